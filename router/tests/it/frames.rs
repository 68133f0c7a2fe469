//! One end of an HTTP/2 connection, mostly a client's, that says frame by frame whatever a test has it say.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::support::*;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const ACK: u8 = 0x1;
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITIZED: u8 = 0x20;

pub(super) const NO_ERROR: u32 = 0;
pub(super) const PROTOCOL_ERROR: u32 = 1;
pub(super) const FLOW_CONTROL_ERROR: u32 = 3;
pub(super) const STREAM_CLOSED: u32 = 5;
pub(super) const FRAME_SIZE_ERROR: u32 = 6;
pub(super) const REFUSED_STREAM: u32 = 7;
pub(super) const CANCEL: u32 = 8;
pub(super) const COMPRESSION_ERROR: u32 = 9;
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// Of a `GOAWAY` or `RST_STREAM`.
    pub(super) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// Whether it is the head of an answer with status 200, by its one byte in the static table.
    pub(super) fn is_ok(&self) -> bool {
        self.kind == HEADERS && self.payload.first() == Some(&0x88)
    }
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A field as HPACK has it that is in no table and is put into none.
pub(super) fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0x00];
    for text in [name, value] {
        field.extend(integer(text.len(), 7, 0));
        field.extend(text.as_bytes());
    }
    field
}

/// RFC 7541, section 5.1, behind a prefix of so many bits.
pub(super) fn integer(number: usize, bits: u32, first: u8) -> Vec<u8> {
    let most = (1 << bits) - 1;
    if number < most {
        return vec![first | u8::try_from(number).unwrap()];
    }
    let (mut bytes, mut left) = (vec![first | u8::try_from(most).unwrap()], number - most);
    while left >= 128 {
        bytes.push(u8::try_from(left % 128).unwrap() | 128);
        left /= 128;
    }
    bytes.push(u8::try_from(left).unwrap());
    bytes
}

pub(super) fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|(name, value)| literal(name, value))
        .collect()
}

/// A request for `app.paas.test`.
pub(super) fn request(method: &str, path: &str) -> Vec<u8> {
    fields(&[
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "app.paas.test"),
    ])
}

/// All of a request.
pub(super) fn get(stream: u32, path: &str) -> Vec<u8> {
    let flags = END_HEADERS | END_STREAM;
    frame(HEADERS, flags, stream, &request("GET", path))
}

/// A request whose body is to come.
pub(super) fn post(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &request("POST", path))
}

pub(super) fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

pub(super) fn window_update(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

pub(super) fn setting(id: u16, value: u32) -> Vec<u8> {
    let mut setting = id.to_be_bytes().to_vec();
    setting.extend(value.to_be_bytes());
    setting
}

#[derive(Debug)]
pub(super) struct Framed {
    pub(super) stream: TcpStream,
    buf: Vec<u8>,
}

impl Framed {
    /// Has said nothing yet.
    pub(super) async fn silent(platform: &Platform) -> Self {
        Self::of(TcpStream::connect(platform.http).await.unwrap())
    }

    pub(super) fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buf: Vec::new(),
        }
    }

    /// Waits for so many bytes that are no frame.
    pub(super) async fn skip(&mut self, count: usize) {
        while self.buf.len() < count {
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.buf)).await;
            assert_ne!(read.expect("nothing came").unwrap(), 0);
        }
        self.buf.drain(..count);
    }

    /// Has begun with these settings.
    pub(super) async fn begin(platform: &Platform, settings: &[u8]) -> Self {
        let mut client = Self::silent(platform).await;
        let hello = [PREFACE, &frame(SETTINGS, 0, 0, settings)].concat();
        client.stream.write_all(&hello).await.unwrap();
        client
    }

    /// Has begun, and agreed to the router's settings.
    pub(super) async fn agreed(platform: &Platform, settings: &[u8]) -> Self {
        let mut client = Self::begin(platform, settings).await;
        let theirs = client.until(|frame| frame.kind == SETTINGS && frame.flags == 0);
        assert!(theirs.await.is_some());
        client.say(&frame(SETTINGS, ACK, 0, &[])).await;
        client
    }

    /// Whether it could be said.
    pub(super) async fn say(&mut self, bytes: &[u8]) -> bool {
        let said = timeout(PATIENCE, self.stream.write_all(bytes)).await;
        said.expect("nobody reads").is_ok()
    }

    /// `None`: there is no more.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.buf)).await;
            match read.expect("neither a frame nor an end came") {
                Ok(1..) => {}
                Ok(0) | Err(_) => return None,
            }
        }
    }

    /// What has come within so long.
    pub(super) async fn next_within(&mut self, patience: Duration) -> Option<Frame> {
        timeout(patience, self.next()).await.ok().flatten()
    }

    fn take(&mut self) -> Option<Frame> {
        let head: [u8; 9] = self.buf.get(..9)?.try_into().unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let payload = self.buf.get(9..9 + length)?.to_vec();
        self.buf.drain(..9 + length);
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes(head[5..].try_into().unwrap()),
            payload,
        })
    }

    /// The first frame that is one.
    pub(super) async fn until(&mut self, is_it: impl Fn(&Frame) -> bool) -> Option<Frame> {
        while let Some(frame) = self.next().await {
            if is_it(&frame) {
                return Some(frame);
            }
        }
        None
    }

    /// Waits for the connection's end, and gives the code of the last `GOAWAY` before it.
    pub(super) async fn end(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.next().await {
            if frame.kind == GOAWAY {
                code = Some(frame.code());
            }
        }
        code
    }
}
