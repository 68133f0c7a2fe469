//! Attaching: Docker turns the HTTP connection into raw streams, of a container or of a command in it.
//!
//! Done by hand, because the client library takes the first byte of terminal output for a frame header when it is a
//! control character, and because end of file must reach the container while its output goes on.

use std::path::Path;
use std::pin::Pin;

use bollard::ClientVersion;
use bytes::{Buf as _, Bytes, BytesMut};
use futures::{Stream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio_util::codec::{Decoder, FramedRead};

use crate::{Attached, OutputChunk, RuntimeError, StdStream};

pub(super) const DOING: &str = "attaching to a container";
const MAX_HEAD_BYTES: usize = 16 * 1024;

pub(super) struct Target<'a> {
    pub socket: &'a Path,
    pub version: ClientVersion,
    /// Of the request, below the version.
    pub path: &'a str,
    /// JSON, or nothing.
    pub body: &'a str,
    pub has_terminal: bool,
}

pub(super) async fn open(target: Target<'_>) -> Result<Attached, RuntimeError> {
    let io = |error: std::io::Error| RuntimeError::unreachable(DOING, error);
    let mut stream = UnixStream::connect(target.socket).await.map_err(io)?;
    let ClientVersion {
        major_version,
        minor_version,
    } = target.version;
    let request = format!(
        "POST /v{major_version}.{minor_version}/{} HTTP/1.1\r\n\
         Host: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{}",
        target.path,
        target.body.len(),
        target.body
    );
    stream.write_all(request.as_bytes()).await.map_err(io)?;
    let rest = read_head(&mut stream).await?;
    let (read, write) = stream.into_split();
    let read = tokio::io::AsyncReadExt::chain(std::io::Cursor::new(rest), read);
    let output: Pin<Box<dyn Stream<Item = Result<OutputChunk, std::io::Error>> + Send>> =
        if target.has_terminal {
            Box::pin(raw(read))
        } else {
            Box::pin(FramedRead::new(read, Demultiplex))
        };
    Ok(Attached {
        output: Box::pin(
            output.map(|chunk| chunk.map_err(|error| RuntimeError::unreachable(DOING, error))),
        ),
        input: Box::pin(write),
    })
}

/// Reads the response's head; gives back what came after it.
async fn read_head(stream: &mut UnixStream) -> Result<BytesMut, RuntimeError> {
    let mut buffer = BytesMut::with_capacity(1024);
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        let read = stream
            .read_buf(&mut buffer)
            .await
            .map_err(|error| RuntimeError::unreachable(DOING, error))?;
        if read == 0 || buffer.len() > MAX_HEAD_BYTES {
            return Err(RuntimeError::unreachable(
                DOING,
                "Docker's answer had no end",
            ));
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let rest = buffer.split_off(end);
    let status: u16 = head
        .split_ascii_whitespace()
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0);
    match status {
        101 | 200 => Ok(rest),
        404 => Err(RuntimeError::NotFound {
            doing: DOING,
            message: head,
        }),
        _ => Err(RuntimeError::Refused {
            doing: DOING,
            status,
            message: String::from_utf8_lossy(&rest).into_owned(),
        }),
    }
}

fn raw(
    read: impl AsyncRead + Send + 'static,
) -> impl Stream<Item = Result<OutputChunk, std::io::Error>> + Send {
    tokio_util::io::ReaderStream::with_capacity(Box::pin(read), 16 * 1024).map(|bytes| {
        bytes.map(|bytes| OutputChunk {
            stream: StdStream::Stdout,
            bytes,
        })
    })
}

/// Frames of `[stream, 0, 0, 0, length as u32, bytes]`.
struct Demultiplex;

impl Decoder for Demultiplex {
    type Item = OutputChunk;
    type Error = std::io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<OutputChunk>, std::io::Error> {
        const HEADER: usize = 8;
        if buffer.len() < HEADER {
            return Ok(None);
        }
        let length = u32::from_be_bytes([buffer[4], buffer[5], buffer[6], buffer[7]]) as usize;
        if buffer.len() < HEADER + length {
            buffer.reserve(HEADER + length - buffer.len());
            return Ok(None);
        }
        let stream = if buffer[0] == 2 {
            StdStream::Stderr
        } else {
            StdStream::Stdout
        };
        buffer.advance(HEADER);
        let bytes: Bytes = buffer.split_to(length).freeze();
        Ok(Some(OutputChunk { stream, bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_apart_wherever_they_are_cut() {
        let wire = b"\x01\0\0\0\0\0\0\x02hi\x02\0\0\0\0\0\0\x03err";
        for cut in 0..wire.len() {
            let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
            for part in [&wire[..cut], &wire[cut..]] {
                buffer.extend_from_slice(part);
                while let Some(chunk) = Demultiplex.decode(&mut buffer).unwrap() {
                    found.push((chunk.stream, chunk.bytes));
                }
            }
            assert_eq!(
                found,
                [
                    (StdStream::Stdout, Bytes::from("hi")),
                    (StdStream::Stderr, Bytes::from("err"))
                ]
            );
        }
    }
}
