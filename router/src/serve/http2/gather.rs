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

use super::calm::{Calm, Enough};
use super::frames::{DATA, Frames, GOAWAY, HEADERS};
use super::pressure::Pressure;
use crate::alarm::Alarms;
use crate::buffer::Buf;
use crate::http1::request::HTTP2_PREFACE;
use crate::stream::Stream;

#[derive(Debug)]
struct Inner {
    stream: Stream,
    /// What was read before it was known which protocol the client speaks.
    before: Option<Buf>,
    out: Buf,
    is_kept_back: bool,
    alarms: Rc<Alarms>,
    calm: Calm,
    has_lost_calm: bool,
    coming: Frames,
    going: Frames,
    /// The last stream that the client opened.
    last_stream: u32,
    /// Bytes of answers' bodies that have gone, or are about to.
    data_gone: u64,
    pressure: Rc<Pressure>,
}

/// What the library reads from and writes to.
#[derive(Debug)]
pub(crate) struct Gathering(Rc<RefCell<Inner>>);

/// For whoever polls the library.
#[derive(Debug)]
pub(crate) struct Gathered(Rc<RefCell<Inner>>);

pub(crate) fn gather(
    stream: Stream,
    before: Option<Buf>,
    out: Buf,
    alarms: Rc<Alarms>,
    pressure: Rc<Pressure>,
) -> (Gathering, Gathered) {
    let inner = Rc::new(RefCell::new(Inner {
        stream,
        before,
        out,
        is_kept_back: false,
        calm: Calm::new(alarms.now()),
        has_lost_calm: false,
        alarms,
        coming: Frames::after(HTTP2_PREFACE.len()),
        going: Frames::after(0),
        last_stream: 0,
        data_gone: 0,
        pressure,
    }));
    (Gathering(inner.clone()), Gathered(inner))
}

impl Gathered {
    /// Writes what was gathered.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.borrow_mut();
        ready!(inner.poll_flush(cx))?;
        inner.pressure.relieve();
        Poll::Ready(Ok(()))
    }

    /// Bytes of answers' bodies that have gone, or are about to.
    pub(crate) fn data_gone(&self) -> u64 {
        self.0.borrow().data_gone
    }

    /// The client has not taken what it was sent, and will not.
    pub(crate) fn reset_at_end(&self) {
        self.0.borrow().stream.reset_at_end();
    }

    /// If the client has sent more than it may, it is told so, provided that a frame can be told at this place.
    pub(crate) fn say_calm(&self) {
        let mut inner = self.0.borrow_mut();
        if inner.has_lost_calm && inner.going.is_between() {
            let frame = go_away(inner.last_stream);
            inner.out.append(&frame);
        }
    }

    /// What was said last is taken, or `count` more bytes have come and not been looked at, or the client has ended too.
    pub(crate) fn poll_linger(
        &self,
        cx: &mut Context<'_>,
        count: &mut usize,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.0.borrow_mut();
        ready!(inner.poll_flush(cx))?;
        ready!(Pin::new(&mut inner.stream).poll_shutdown(cx))?;
        let mut unread = [0; 4096];
        while *count > 0 {
            let mut some = ReadBuf::new(&mut unread);
            ready!(Pin::new(&mut inner.stream).poll_read(cx, &mut some))?;
            match some.filled().len() {
                0 => break,
                read => *count = count.saturating_sub(read),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// `ENHANCE_YOUR_CALM`.
const fn go_away(last_stream: u32) -> [u8; 17] {
    let [a, b, c, d] = last_stream.to_be_bytes();
    [0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, a, b, c, d, 0, 0, 0, 0xb]
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
                let (calm, data_gone) = (&mut self.calm, &mut self.data_gone);
                self.going.pass(&bytes[..some], |head| {
                    calm.sent(&head);
                    if head.kind == DATA {
                        *data_gone += u64::from(head.length);
                    }
                });
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

impl Inner {
    /// More has come.
    fn count(&mut self, bytes: &[u8]) -> Result<(), Enough> {
        let (now, mut counted) = (self.alarms.now(), Ok(()));
        let (calm, last_stream) = (&mut self.calm, &mut self.last_stream);
        self.coming.pass(bytes, |head| {
            if head.kind == HEADERS {
                *last_stream = head.stream.max(*last_stream);
            }
            counted = counted.and_then(|()| calm.received(&head, now));
        });
        self.has_lost_calm = counted.is_err();
        counted
    }
}

impl AsyncRead for Gathering {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let inner = &mut *self.0.borrow_mut();
        let had = buf.filled().len();
        if let Some(mut before) = inner.before.take()
            && !before.is_empty()
        {
            let some = before.len().min(buf.remaining());
            buf.put_slice(&before.data()[..some]);
            before.advance(some);
            inner.before = Some(before);
        } else {
            ready!(Pin::new(&mut inner.stream).poll_read(cx, buf))?;
        }
        Poll::Ready(inner.count(&buf.filled()[had..]).map_err(io::Error::other))
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
