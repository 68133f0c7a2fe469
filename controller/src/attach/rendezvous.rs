//! A client that speaks the rendezvous protocol of Heroku's own command line: raw bytes, which become the messages that
//! any other client would have sent.
//!
//! The router has taken the secret that the client begins with for a request of this protocol. The client throws away
//! whatever it hears first, so a line of its own says that the dyno is there. From then on it sends what is typed, and
//! [`EOT`] where its input has ended; nothing else is ever said about either side.

use std::time::Duration;

use axum::extract::ws::Message;
use bytes::{Bytes, BytesMut};
use controller_api::attach::{Control, Stream, read_frame};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// What HTTP calls it.
pub(crate) const PROTOCOL: &str = "rendezvous";

const GREETING: &[u8] = b"rendezvous\r\n";
/// End of transmission: the client's input has ended. Of a terminal it may also be a key that was typed.
const EOT: u8 = 4;
/// A byte like [`EOT`] with others after it is one of theirs.
const NO_MORE_WITHIN: Duration = Duration::from_millis(200);
/// A client that is hung up on before it has sent [`EOT`] fails on sending it, and says so rather than what the dyno said.
const LINGER: Duration = Duration::from_secs(1);
/// As long as the router waits for a client that takes nothing.
const MAX_STALL: Duration = Duration::from_secs(60);
const CHUNK: usize = 16 * 1024;

/// The near side of such a client.
#[derive(Debug)]
pub(crate) struct Rendezvous {
    pub(super) to_client: mpsc::Sender<Message>,
    pub(super) from_client: mpsc::Receiver<Message>,
}

impl Rendezvous {
    /// Over `io`, in a task of its own that ends when both sides have.
    pub(crate) fn over(
        io: impl AsyncRead + AsyncWrite + Send + 'static,
        has_terminal: bool,
    ) -> Self {
        let (to_client, saying) = mpsc::channel(1);
        let (hearing, from_client) = mpsc::channel(1);
        tokio::spawn(carry(io, has_terminal, saying, hearing));
        Self {
            to_client,
            from_client,
        }
    }
}

async fn carry(
    io: impl AsyncRead + AsyncWrite,
    has_terminal: bool,
    saying: mpsc::Receiver<Message>,
    hearing: mpsc::Sender<Message>,
) {
    let (read, mut write) = tokio::io::split(io);
    let input_ended = CancellationToken::new();
    let listen = listen(read, has_terminal, hearing, &input_ended);
    let say = async {
        if say(saying, &mut write).await.is_ok() {
            let _ = timeout(LINGER, input_ended.cancelled()).await;
            let _ = timeout(LINGER, write.shutdown()).await;
        }
    };
    tokio::pin!(say);
    tokio::select! {
        () = &mut say => {}
        () = listen => say.await,
    }
}

/// Until nothing more is to be said.
async fn say(
    mut saying: mpsc::Receiver<Message>,
    write: &mut (impl AsyncWrite + Unpin),
) -> std::io::Result<()> {
    let mut is_greeted = false;
    while let Some(message) = saying.recv().await {
        // Each side is pinged as soon as both are there.
        if !std::mem::replace(&mut is_greeted, true) {
            put(write, GREETING).await?;
        }
        match message {
            Message::Binary(frame) => {
                if let Some((Stream::Stdout | Stream::Stderr, bytes)) = read_frame(&frame) {
                    put(write, bytes).await?;
                }
            }
            Message::Text(text) => {
                if let Some(Control::Error(why)) = Control::from_text(&text) {
                    put(write, format!("\r\n !    {why}\r\n").as_bytes()).await?;
                }
            }
            Message::Close(_) => break,
            Message::Ping(_) | Message::Pong(_) => {}
        }
    }
    Ok(())
}

/// # Errors
/// Also when the client takes nothing of it for [`MAX_STALL`].
async fn put(write: &mut (impl AsyncWrite + Unpin), mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let written = timeout(MAX_STALL, write.write(bytes)).await??;
        if written == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        bytes = bytes.get(written..).unwrap_or_default();
    }
    timeout(MAX_STALL, write.flush()).await?
}

/// Until the client hangs up. What it says when nobody listens any more is thrown away, up to the end of its input.
async fn listen(
    mut read: impl AsyncRead + Unpin,
    has_terminal: bool,
    hearing: mpsc::Sender<Message>,
    input_ended: &CancellationToken,
) {
    let mut input = Input::new(has_terminal);
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(CHUNK);
        let more = read.read_buf(&mut buffer);
        let more = match input.is_last {
            true => timeout(NO_MORE_WITHIN, more).await.ok(),
            false => Some(more.await),
        };
        let heard = match more {
            Some(Ok(1..)) => input.heard(buffer.split().freeze()),
            Some(Ok(0) | Err(_)) => break,
            None => input.no_more(),
        };
        if input.has_ended {
            input_ended.cancel();
        }
        for message in heard {
            let _ = hearing.send(message).await;
        }
    }
    input_ended.cancel();
}

/// What the client's bytes mean.
#[derive(Debug)]
struct Input {
    has_terminal: bool,
    start: Start,
    /// An [`EOT`] that nothing has followed yet. Without a terminal it is not passed on before that is known.
    is_last: bool,
    has_ended: bool,
}

/// The line end after the secret, which not all clients send, is no input.
#[derive(Debug, PartialEq, Eq)]
enum Start {
    Nothing,
    CarriageReturn,
    Over,
}

impl Input {
    const fn new(has_terminal: bool) -> Self {
        Self {
            has_terminal,
            start: Start::Nothing,
            is_last: false,
            has_ended: false,
        }
    }

    fn heard(&mut self, bytes: Bytes) -> Vec<Message> {
        let mut input = BytesMut::with_capacity(bytes.len() + 2);
        if std::mem::take(&mut self.is_last) && !self.has_terminal {
            input.extend_from_slice(&[EOT]);
        }
        for byte in bytes {
            match (&self.start, byte) {
                (Start::Nothing, b'\r') => {
                    self.start = Start::CarriageReturn;
                    continue;
                }
                (Start::CarriageReturn, b'\n') => {
                    self.start = Start::Over;
                    continue;
                }
                (Start::CarriageReturn, _) => input.extend_from_slice(b"\r"),
                _ => {}
            }
            self.start = Start::Over;
            input.extend_from_slice(&[byte]);
        }
        if input.last() == Some(&EOT) {
            self.is_last = true;
            if !self.has_terminal {
                input.truncate(input.len() - 1);
            }
        }
        match input.is_empty() {
            true => Vec::new(),
            false => vec![Message::Binary(Stream::Stdin.frame(&input).into())],
        }
    }

    /// For a while.
    fn no_more(&mut self) -> Vec<Message> {
        if !std::mem::take(&mut self.is_last) {
            return Vec::new();
        }
        self.has_ended = true;
        match self.has_terminal {
            // It was passed on, and the terminal knows what it means.
            true => Vec::new(),
            false => vec![Message::Text(Control::Eof(true).to_text().into())],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stdin(bytes: &[u8]) -> Vec<Message> {
        vec![Message::Binary(Stream::Stdin.frame(bytes).into())]
    }

    fn heard(input: &mut Input, bytes: &'static [u8]) -> Vec<Message> {
        input.heard(Bytes::from_static(bytes))
    }

    #[test]
    fn the_line_end_after_the_secret_is_no_input_however_it_comes() {
        for (pieces, expected) in [
            (&[&b"\r\n"[..], b"ls\n"][..], &b"ls\n"[..]),
            (&[b"\r", b"\n", b"ls\n"], b"ls\n"),
            (&[b"\r\nls\n"], b"ls\n"),
            (&[b"ls\n"], b"ls\n"),
            (&[b"\r", b"ls\n"], b"\rls\n"),
            (&[b"\r\n\r\n"], b"\r\n"),
        ] {
            let mut input = Input::new(true);
            let all: Vec<Message> = pieces
                .iter()
                .flat_map(|piece| input.heard(Bytes::copy_from_slice(piece)))
                .collect();
            assert_eq!(all, stdin(expected), "{pieces:?}");
        }
    }

    #[test]
    fn an_end_of_input_is_one_only_when_nothing_follows() {
        let mut input = Input::new(false);
        assert_eq!(heard(&mut input, b"a\x04"), stdin(b"a"));
        assert_eq!(heard(&mut input, b"b\x04c"), stdin(b"\x04b\x04c"));
        assert_eq!(input.no_more(), []);
        assert_eq!(heard(&mut input, b"\x04"), []);
        let eof = vec![Message::Text(Control::Eof(true).to_text().into())];
        assert_eq!(input.no_more(), eof);
        assert!(input.has_ended);
    }

    #[test]
    fn a_terminal_gets_each_byte_at_once() {
        let mut input = Input::new(true);
        assert_eq!(heard(&mut input, b"\x04"), stdin(b"\x04"));
        assert_eq!(input.no_more(), []);
        assert!(input.has_ended);
        assert_eq!(heard(&mut input, b"x\x04"), stdin(b"x\x04"));
    }
}
