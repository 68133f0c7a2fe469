//! What an HTTP/2 connection writes, gathered until its task has done all it can: answers of several streams that are
//! there at the same time leave in one write, and one record.
//!
//! The library flushes after each frame of some size. So flushing does nothing here, and whoever polls the connection
//! flushes for real afterwards: see [`Gathered::poll_flush`].

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::buffer::Buf;
use crate::stream::Stream;

#[derive(Debug)]
struct Inner {
    stream: Stream,
    /// What was read before it was known which protocol the client speaks.
    before: Option<Buf>,
    out: Buf,
    is_kept_back: bool,
}

/// What the library reads from and writes to.
#[derive(Debug)]
pub(crate) struct Gathering(Rc<RefCell<Inner>>);

/// For whoever polls the library.
#[derive(Debug)]
pub(crate) struct Gathered(Rc<RefCell<Inner>>);

pub(crate) fn gather(stream: Stream, before: Option<Buf>, out: Buf) -> (Gathering, Gathered) {
    let inner = Rc::new(RefCell::new(Inner {
        stream,
        before,
        out,
        is_kept_back: false,
    }));
    (Gathering(inner.clone()), Gathered(inner))
}

impl Gathered {
    /// Writes what was gathered.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_flush(cx)
    }
}

impl Inner {
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, self.out.data()))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(written);
            self.is_kept_back = true;
        }
        self.out.rest();
        if self.is_kept_back {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.is_kept_back = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Puts what it can to what was gathered. Once there is no room, the client has to take some of it.
    fn poll_put(&mut self, cx: &mut Context<'_>, bytes: &[&[u8]]) -> Poll<io::Result<usize>> {
        if bytes.iter().all(|bytes| bytes.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        loop {
            let mut put = 0;
            for bytes in bytes {
                let some = self.out.append(bytes);
                put += some;
                if some < bytes.len() {
                    break;
                }
            }
            if put > 0 {
                return Poll::Ready(Ok(put));
            }
            ready!(self.poll_flush(cx))?;
        }
    }
}

impl AsyncRead for Gathering {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.0.borrow_mut();
        if let Some(mut before) = inner.before.take()
            && !before.is_empty()
        {
            let some = before.len().min(buf.remaining());
            buf.put_slice(&before.data()[..some]);
            before.advance(some);
            inner.before = Some(before);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut inner.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Gathering {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_put(cx, &[buf])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut few: [&[u8]; 8] = [&[]; 8];
        for (few, buf) in few.iter_mut().zip(bufs) {
            *few = buf;
        }
        self.0.borrow_mut().poll_put(cx, &few)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.borrow_mut();
        ready!(inner.poll_flush(cx))?;
        Pin::new(&mut inner.stream).poll_shutdown(cx)
    }
}
