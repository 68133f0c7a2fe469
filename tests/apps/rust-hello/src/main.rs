//! A web app of few lines: one thread, HTTP/1.1, every answer closes its connection.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

fn main() -> std::io::Result<()> {
    let port = env::var("PORT").unwrap_or_else(|_| "5000".to_owned());
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
    let var = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let body = format!("Hello from {} {} {}\n", var("POWERED_BY", "paas"), var("HEROKU_RELEASE_VERSION", ""), var("DYNO", ""));
    let mut digits = itoa::Buffer::new();
    let length = digits.format(body.len()).to_owned();
    for stream in listener.incoming() {
        let mut stream = stream?;
        let request = BufReader::new(stream.try_clone()?);
        // A client that leaves early is no reason to stop.
        if request.lines().map_while(Result::ok).any(|line| line.is_empty()) {
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        }
    }
    Ok(())
}
