//! A connection's bytes, whatever protects them.

use std::io::{self, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

use crate::bridge::Bridge;
use crate::fresh::Fresh;

#[derive(Debug)]
pub(crate) enum Stream {
    /// A client's, until it has to be waited for. Always there but for the moment in which it becomes [`Self::Plain`].
    Fresh(Option<Fresh>),
    Plain(TcpStream),
    /// A client's, over TLS.
    Client(Box<server::TlsStream<TcpStream>>),
    /// To one of the platform's own services.
    Service(Box<client::TlsStream<TcpStream>>),
    /// To a dyno that speaks HTTP/2.
    Bridge(Bridge),
}

impl From<Fresh> for Stream {
    fn from(fresh: Fresh) -> Self {
        Self::Fresh(Some(fresh))
    }
}

impl Stream {
    /// The socket that is its own.
    pub(crate) fn tcp(&self) -> Option<SockRef<'_>> {
        match self {
            Self::Fresh(stream) => stream.as_ref().map(|stream| stream.socket().into()),
            Self::Plain(stream) => Some(stream.into()),
            Self::Client(stream) => Some(stream.get_ref().0.into()),
            Self::Service(stream) => Some(stream.get_ref().0.into()),
            Self::Bridge(_) => None,
        }
    }

    /// Without TLS, and able to wait.
    pub(crate) fn registered(self) -> io::Result<TcpStream> {
        match self {
            Self::Fresh(Some(fresh)) => fresh.registered(),
            Self::Plain(stream) => Ok(stream),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// A client's that has just come.
    pub(crate) const fn fresh(&mut self) -> Option<&mut Fresh> {
        match self {
            Self::Fresh(fresh) => fresh.as_mut(),
            _ => None,
        }
    }

    /// Without TLS.
    pub(crate) const fn is_plain(&self) -> bool {
        matches!(self, Self::Fresh(_) | Self::Plain(_))
    }

    /// Has a client that has just come be like any other.
    pub(crate) fn settle(&mut self) -> io::Result<()> {
        if let Self::Fresh(fresh) = self {
            let fresh = fresh.take().ok_or(io::ErrorKind::NotConnected)?;
            *self = Self::Plain(fresh.registered()?);
        }
        Ok(())
    }

    /// Asks a client that has just come for what can be had at once. If that is nothing, it has to settle.
    fn at_once<T>(
        &mut self,
        act: impl FnOnce(&mut Fresh) -> Option<io::Result<T>>,
    ) -> Option<io::Result<T>> {
        let Self::Fresh(fresh) = self else {
            return None;
        };
        if let Some(done) = act(fresh.as_mut()?) {
            return Some(done);
        }
        self.settle().err().map(Err)
    }

    /// Has its end be a reset, and what the kernel still has for the other end be thrown away: one that takes nothing would
    /// make it keep that, and the connection, for minutes.
    pub(crate) fn reset_at_end(&self) {
        // If it refuses, the kernel's own limits hold.
        if let Some(socket) = self.tcp() {
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }

    /// Whether the other end has said something that nobody has taken from the kernel: if the socket were closed now, that
    /// would be a reset, which takes back what the other end has not read yet.
    pub(crate) fn has_more(&self) -> bool {
        matches!(self.peeked(), Some(Ok(1..)))
    }

    /// Neither closed by the other end nor with anything to read, by the kernel's account.
    pub(crate) fn is_open(&self) -> bool {
        let nothing = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        matches!(self.peeked(), Some(Err(error)) if nothing(&error))
    }

    fn peeked(&self) -> Option<io::Result<usize>> {
        self.tcp()
            .map(|socket| socket.peek(&mut [MaybeUninit::uninit()]))
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
            Stream::Fresh(_) => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            Stream::Plain($stream) => $do,
            Stream::Client($stream) => $do,
            Stream::Service($stream) => $do,
            Stream::Bridge($stream) => $do,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.at_once(|fresh| fresh.read(buf.initialize_unfilled()));
        if let Some(read) = read {
            return Poll::Ready(read.map(|count| buf.advance(count)));
        }
        each!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.at_once(|fresh| fresh.at_once(|mut socket| socket.write(buf)));
        if let Some(written) = written {
            return Poll::Ready(written);
        }
        each!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.at_once(|fresh| fresh.at_once(|mut socket| socket.write_vectored(bufs)));
        if let Some(written) = written {
            return Poll::Ready(written);
        }
        each!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(*self, Self::Fresh(_)) {
            return Poll::Ready(Ok(()));
        }
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = self.at_once(|fresh| Some(fresh.socket().shutdown(Shutdown::Write)));
        if let Some(shut) = shut {
            return Poll::Ready(shut);
        }
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
