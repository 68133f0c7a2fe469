//! Buffers that are shared by turns: a connection has one only while there is something in it.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::metrics::UnderWay;

/// Room for a large part of most bodies in one read.
pub(crate) const SIZE: usize = 64 * 1024;
/// Kept for the next one who needs one; more than that are given back to the allocator.
const MAX_FREE: usize = 64;
/// A text of this capacity and less is kept for the next one.
const MAX_TEXT: usize = 32 * 1024;
/// What waits for more and is no longer than this is put where it takes no more room than it needs.
const SMALL: usize = 4 * 1024;

/// One worker's.
#[derive(Debug)]
pub(crate) struct Buffers {
    free: RefCell<Vec<Box<[u8]>>>,
    /// For what is written piece by piece.
    texts: RefCell<Vec<Vec<u8>>>,
    count: Arc<BufferCount>,
}

/// How many of [`SIZE`] are in use.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct BufferCount(UnderWay);

impl BufferCount {
    pub(crate) fn in_use(&self) -> u64 {
        self.0.now()
    }
}

impl Buffers {
    #[cfg(test)]
    pub(crate) fn new() -> Rc<Self> {
        Self::counted(Arc::default())
    }

    pub(crate) fn counted(count: Arc<BufferCount>) -> Rc<Self> {
        Rc::new(Self {
            free: RefCell::default(),
            texts: RefCell::default(),
            count,
        })
    }

    fn take(&self) -> Box<[u8]> {
        self.count.0.begin();
        let free = self.free.borrow_mut().pop();
        free.unwrap_or_else(|| vec![0; SIZE].into_boxed_slice())
    }

    fn put(&self, buffer: Box<[u8]>) {
        if buffer.len() != SIZE {
            return;
        }
        self.count.0.end();
        let mut free = self.free.borrow_mut();
        if free.len() < MAX_FREE {
            free.push(buffer);
        }
    }
}

impl Buffers {
    /// Empty, with room.
    pub(crate) fn take_text(&self) -> Vec<u8> {
        let free = self.texts.borrow_mut().pop();
        free.unwrap_or_else(|| Vec::with_capacity(2048))
    }

    pub(crate) fn put_text(&self, mut text: Vec<u8>) {
        let mut texts = self.texts.borrow_mut();
        if text.capacity() > 0 && text.capacity() <= MAX_TEXT && texts.len() < MAX_FREE {
            text.clear();
            texts.push(text);
        }
    }
}

/// What has come over a connection and was not yet passed on.
#[derive(Debug)]
pub(crate) struct Buf {
    buffers: Rc<Buffers>,
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buf {
    pub(crate) fn new(buffers: Rc<Buffers>) -> Self {
        Self {
            buffers,
            bytes: Box::default(),
            start: 0,
            end: 0,
        }
    }

    pub(crate) fn data(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn data_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    pub(crate) const fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The first `count` bytes are done with.
    pub(crate) fn advance(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Reads what is there, and gives how much it was: nothing is the end. While nothing comes, an empty buffer takes no
    /// memory, and one with little in it little. `max` is the most that may be in it.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        max: usize,
    ) -> Poll<io::Result<usize>> {
        self.make_room(max)?;
        let mut room = ReadBuf::new(&mut self.bytes[self.end..]);
        let read = Pin::new(from).poll_read(cx, &mut room);
        let count = room.filled().len();
        if read.is_pending() {
            self.rest();
        }
        ready!(read)?;
        self.end += count;
        Poll::Ready(Ok(count))
    }

    /// Puts `bytes` in, whatever room they take: whoever calls it bounds that.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.bytes.len() - self.end < bytes.len() {
            self.reserve(bytes.len());
        }
        self.bytes[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// Has room for so much more.
    fn reserve(&mut self, more: usize) {
        let all = self.len() + more;
        if all <= self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        } else if all <= SIZE {
            let larger = self.buffers.take();
            self.move_to(larger);
        } else {
            self.move_to(vec![0; all.next_power_of_two()].into_boxed_slice());
        }
    }

    fn make_room(&mut self, max: usize) -> io::Result<()> {
        if self.end < self.bytes.len() && self.bytes.len() >= SIZE {
            return Ok(());
        }
        if self.bytes.len() < SIZE {
            let larger = self.buffers.take();
            self.move_to(larger);
        } else if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        } else if self.bytes.len() < max {
            let size = (self.bytes.len() * 2).min(max);
            self.move_to(vec![0; size].into_boxed_slice());
        } else {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        Ok(())
    }

    fn move_to(&mut self, mut bytes: Box<[u8]>) {
        let length = self.len();
        bytes[..length].copy_from_slice(self.data());
        self.buffers.put(std::mem::replace(&mut self.bytes, bytes));
        self.start = 0;
        self.end = length;
    }

    /// Nothing will happen with it for a while.
    pub(crate) fn rest(&mut self) {
        if self.bytes.len() < SIZE {
            return;
        }
        if self.is_empty() {
            self.buffers.put(std::mem::take(&mut self.bytes));
        } else if self.len() <= SMALL {
            let small = self.data().into();
            self.end = self.len();
            self.start = 0;
            self.buffers.put(std::mem::replace(&mut self.bytes, small));
        }
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        self.buffers.put(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_buffer_takes_no_memory_and_a_little_data_little() {
        let buffers = Buffers::new();
        let mut buf = Buf::new(buffers.clone());
        buf.push(b"hello");
        assert_eq!(buf.bytes.len(), SIZE);
        buf.rest();
        assert_eq!((buf.data(), buf.bytes.len()), (&b"hello"[..], 5));
        assert_eq!(buffers.free.borrow().len(), 1);
        buf.push(b" world");
        assert_eq!(buf.data(), b"hello world");
        assert!(buffers.free.borrow().is_empty());
        buf.advance(11);
        buf.rest();
        assert_eq!((buf.bytes.len(), buffers.free.borrow().len()), (0, 1));
    }

    #[test]
    fn it_grows_no_further_than_it_may() {
        let mut buf = Buf::new(Buffers::new());
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let endless = vec![b'x'; 4 * SIZE];
        let mut from = endless.as_slice();
        while buf.len() < 2 * SIZE {
            assert!(matches!(
                buf.poll_fill(&mut cx, &mut from, 2 * SIZE),
                Poll::Ready(Ok(1..))
            ));
        }
        assert!(matches!(
            buf.poll_fill(&mut cx, &mut from, 2 * SIZE),
            Poll::Ready(Err(_))
        ));
        buf.advance(1);
        assert!(buf.poll_fill(&mut cx, &mut from, 2 * SIZE).is_ready());
        assert_eq!(buf.len(), 2 * SIZE);
    }
}
