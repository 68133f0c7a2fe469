//! A connection's bytes, whatever protects them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

use crate::bridge::Bridge;

#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    /// A client's, over TLS.
    Client(Box<server::TlsStream<TcpStream>>),
    /// To one of the platform's own services.
    Service(Box<client::TlsStream<TcpStream>>),
    /// To a dyno that speaks HTTP/2.
    Bridge(Bridge),
}

impl Stream {
    /// The socket that is its own.
    pub(crate) fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(stream) => Some(stream),
            Self::Client(stream) => Some(stream.get_ref().0),
            Self::Service(stream) => Some(stream.get_ref().0),
            Self::Bridge(_) => None,
        }
    }

    /// Has its end be a reset, and what the kernel still has for the other end be thrown away: one that takes nothing would
    /// make it keep that, and the connection, for minutes.
    pub(crate) fn reset_at_end(&self) {
        // If it refuses, the kernel's own limits hold.
        if let Some(socket) = self.tcp().map(SockRef::from) {
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }

    /// Whether what was written may still be here.
    pub(crate) const fn keeps_back(&self) -> bool {
        matches!(self, Self::Client(_) | Self::Service(_))
    }

    /// Whether neither bytes nor an end have come, as far as is known without asking the kernel. Whoever waits for the
    /// stream is forgotten.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut byte = [0; 1];
        let mut unwatched = Context::from_waker(Waker::noop());
        Pin::new(self)
            .poll_read(&mut unwatched, &mut ReadBuf::new(&mut byte))
            .is_pending()
    }
}

macro_rules! each {
    ($this:expr, $stream:ident => $do:expr) => {
        match $this.get_mut() {
            Stream::Plain($stream) => $do,
            Stream::Client($stream) => $do,
            Stream::Service($stream) => $do,
            Stream::Bridge($stream) => $do,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
