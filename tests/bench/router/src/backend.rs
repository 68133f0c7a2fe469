//! The dyno: answers `/1k` and `/64k` on kept connections, and costs as little as it can.

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::process::{OTHER_CORE, Proxy, pinned};

pub(crate) const PORT: u16 = 18_090;

pub(crate) fn start() -> anyhow::Result<Proxy> {
    let program = std::env::current_exe()?;
    let mut command = pinned(OTHER_CORE, program.to_str().context("a path of text")?);
    command.arg("backend");
    Proxy::start(command, &[PORT])
}

pub(crate) fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", PORT)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(serve(stream));
        }
    })
}

fn answer(bytes: usize) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: text/plain\r\nContent-Length: {bytes}\r\n\
         Date: Mon, 23 Nov 2026 00:00:00 GMT\r\nCache-Control: no-cache\r\n\r\n"
    )
    .into_bytes();
    answer.resize(answer.len() + bytes, b'x');
    answer
}

async fn serve(mut stream: TcpStream) {
    let (small, large) = (answer(1 << 10), answer(64 << 10));
    let mut buffer = Vec::with_capacity(4096);
    loop {
        while let Some(end) = buffer.windows(4).position(|seen| seen == b"\r\n\r\n") {
            let answer = if buffer.starts_with(b"GET /64k") {
                &large
            } else {
                &small
            };
            if stream.write_all(answer).await.is_err() {
                return;
            }
            buffer.drain(..end + 4);
        }
        if !matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {
            return;
        }
    }
}
