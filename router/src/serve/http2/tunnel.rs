//! A stream as bytes both ways, for what is spoken in a tunnel (RFC 8441).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::wire::Wire;
use crate::upload::Upload as _;

#[derive(Debug)]
pub(super) struct Tunnel(Wire);

impl Tunnel {
    pub(super) const fn new(wire: Wire) -> Self {
        Self(wire)
    }

    /// Whoever polls it is woken by the stream from now on.
    fn look(&self, cx: &Context<'_>) -> io::Result<()> {
        self.0.stream.watch(cx.waker());
        match self.0.stream.is_over() {
            true => Err(io::ErrorKind::ConnectionReset.into()),
            false => Ok(()),
        }
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.look(cx)?;
        // An error is only a client's that sends chunks.
        let _ = ready!(this.0.poll_piece(cx));
        let piece = this.0.piece();
        let some = piece.len().min(buf.remaining());
        buf.put_slice(piece.get(..some).unwrap_or_default());
        this.0.consume(some);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.look(cx)?;
        if self.0.stream.has_ended() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        match buf.is_empty() {
            true => Poll::Ready(Ok(0)),
            false => self.0.poll_data(buf, false).map(Ok),
        }
    }

    /// The connection's own task writes.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.look(cx)?;
        if !self.0.stream.has_ended() {
            ready!(self.0.poll_end(&[]));
        }
        Poll::Ready(Ok(()))
    }
}
