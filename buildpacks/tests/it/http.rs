//! As much HTTP and WebSocket as the tests need, by hand: what matters is what the app puts on the wire.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<Response> {
    get_with(address, path, "")
}

/// `headers` as on the wire, each with its line end.
pub(crate) fn get_with(address: SocketAddr, path: &str, headers: &str) -> io::Result<Response> {
    let mut stream = connect(address)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: app.test\r\n{headers}Connection: close\r\n\r\n"
    )?;
    let mut reader = BufReader::new(stream);
    let (status, headers) = read_head(&mut reader)?;
    let mut body = vec![];
    reader.read_to_end(&mut body)?;
    let chunked = headers
        .iter()
        .any(|(name, value)| name.eq_ignore_ascii_case("transfer-encoding") && value == "chunked");
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(Response {
        status,
        headers,
        body: if chunked { joined(&body) } else { body },
    })
}

/// The content of chunks.
fn joined(mut chunks: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = chunks.split_once("\r\n") {
        let Some((content, rest)) = usize::from_str_radix(size, 16)
            .ok()
            .and_then(|size| rest.split_at_checked(size))
        else {
            break;
        };
        body += content;
        chunks = rest.strip_prefix("\r\n").unwrap_or(rest);
    }
    body
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    Ok(stream)
}

fn read_head(reader: &mut impl BufRead) -> io::Result<(u16, Vec<(String, String)>)> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "not HTTP");
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|text| text.parse().ok())
        .ok_or_else(broken)?;
    let mut headers = vec![];
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        if line.trim_end().is_empty() {
            return Ok((status, headers));
        }
        let (name, value) = line.split_once(':').ok_or_else(broken)?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
}

/// A WebSocket client of one connection.
pub(crate) struct WebSocket {
    reader: BufReader<TcpStream>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Text(String),
    Close(u16),
}

impl WebSocket {
    pub(crate) fn open(address: SocketAddr, path: &str) -> Self {
        let mut stream = connect(address).unwrap();
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: app.test\r\n{upgrade}\r\n\r\n"
        )
        .unwrap();
        let mut reader = BufReader::new(stream);
        let (status, _) = read_head(&mut reader).unwrap();
        assert_eq!(status, 101);
        Self { reader }
    }

    pub(crate) fn send(&mut self, text: &str) {
        assert!(text.len() < 126);
        // A client's frames are masked; a mask of zeros changes nothing.
        let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
        frame.extend(text.as_bytes());
        self.reader.get_mut().write_all(&frame).unwrap();
    }

    pub(crate) fn receive(&mut self) -> Message {
        let mut head = [0; 2];
        self.reader.read_exact(&mut head).unwrap();
        let mut payload = vec![0; usize::from(head[1] & 0x7f)];
        self.reader.read_exact(&mut payload).unwrap();
        match head[0] {
            0x81 => Message::Text(String::from_utf8(payload).unwrap()),
            0x88 => Message::Close(u16::from_be_bytes([payload[0], payload[1]])),
            other => panic!("unexpected frame {other:#x}"),
        }
    }
}

/// Serves the files of a directory to containers for as long as the test process lives; its port.
pub(crate) fn serve_files(dir: PathBuf) -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A client that goes away is no reason to stop.
            let _ = answer(stream, &dir);
        }
    });
    port
}

fn answer(mut stream: TcpStream, dir: &std::path::Path) -> io::Result<()> {
    let mut line = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    reader.read_line(&mut line)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let path = line
        .split(' ')
        .nth(1)
        .unwrap_or("/")
        .split('?')
        .next()
        .unwrap_or("/");
    match fs_err::read(dir.join(path.trim_start_matches('/'))) {
        Ok(content) => {
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                content.len()
            )?;
            stream.write_all(&content)
        }
        Err(_) => write!(
            stream,
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ),
    }
}
