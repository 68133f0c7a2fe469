//! What is on its way out over a connection: bytes of our own, a piece of a body that lies elsewhere, and its frame.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite as _;

use crate::buffer::Buffers;
use crate::http1::chunks::push_size;
use crate::http1::framing::Framing;
use crate::stream::Stream;

#[derive(Debug)]
pub(crate) struct Outbox {
    buffers: Rc<Buffers>,
    /// A head, the size of a chunk, the end of a body.
    front: Vec<u8>,
    front_at: usize,
    /// What is left of the piece.
    piece: usize,
    tail: &'static [u8],
    /// Whether some of it may be kept back by the stream.
    kept_back: bool,
    /// Whether anything went since the beginning.
    has_written: bool,
}

/// Pieces that are copied to the front: for one slice less the kernel charges less than the copy costs.
const SMALL: usize = 8 * 1024;

impl Outbox {
    pub(crate) const fn new(buffers: Rc<Buffers>) -> Self {
        Self {
            buffers,
            front: Vec::new(),
            front_at: 0,
            piece: 0,
            tail: b"",
            kept_back: false,
            has_written: false,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.front_at == self.front.len()
            && self.piece == 0
            && self.tail.is_empty()
            && !self.kept_back
    }

    /// A new message, which begins with `head`.
    pub(crate) fn begin(&mut self, head: &[u8]) {
        self.front().extend_from_slice(head);
        self.has_written = false;
    }

    /// Whether so much as a byte of the message was written.
    pub(crate) const fn has_written(&self) -> bool {
        self.has_written
    }

    /// Whether the next piece may be put in, before or after what is in front of it has gone.
    pub(crate) const fn is_between_pieces(&self) -> bool {
        self.piece == 0 && self.tail.is_empty()
    }

    /// What goes before the next piece.
    pub(crate) fn front(&mut self) -> &mut Vec<u8> {
        if self.front.capacity() == 0 {
            self.front = self.buffers.take_text();
        }
        &mut self.front
    }

    /// What was put in is not to be sent.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.buffers.clone());
    }

    /// The next piece, of `length` bytes, which are not none. `is_last`: nothing will follow it, no trailers either.
    pub(crate) fn piece(&mut self, length: usize, framing: Framing, is_last: bool) {
        debug_assert!(self.piece == 0 && self.tail.is_empty());
        self.piece = length;
        if framing == Framing::Chunked {
            push_size(self.front(), length);
            self.tail = end_of_piece(is_last);
        }
    }

    /// Puts the next piece itself in, if it is small enough for that.
    pub(crate) fn copy_piece(&mut self, piece: &[u8], framing: Framing, is_last: bool) -> bool {
        if piece.len() > SMALL {
            return false;
        }
        let front = self.front();
        if framing == Framing::Chunked {
            push_size(front, piece.len());
        }
        front.extend_from_slice(piece);
        if framing == Framing::Chunked {
            front.extend_from_slice(end_of_piece(is_last));
        }
        true
    }

    /// The end of a body in chunks. `trailers` are lines with their ends.
    pub(crate) fn last_chunk(&mut self, trailers: &[u8]) {
        let front = self.front();
        front.extend_from_slice(b"0\r\n");
        front.extend_from_slice(trailers);
        front.extend_from_slice(b"\r\n");
    }

    /// Writes what it can in one go, and gives how much of `piece`, which is what is left of it, that was.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut Stream,
        piece: &[u8],
    ) -> Poll<io::Result<usize>> {
        let front = &self.front[self.front_at..];
        let piece = &piece[..self.piece];
        if front.is_empty() && piece.is_empty() && self.tail.is_empty() {
            ready!(Pin::new(to).poll_flush(cx))?;
            self.kept_back = false;
            self.forget();
            return Poll::Ready(Ok(0));
        }
        let to_stream = Pin::new(&mut *to);
        let written = if piece.is_empty() && self.tail.is_empty() {
            ready!(to_stream.poll_write(cx, front))?
        } else if front.is_empty() && self.tail.is_empty() {
            ready!(to_stream.poll_write(cx, piece))?
        } else {
            let slices = [front, piece, self.tail].map(IoSlice::new);
            ready!(to_stream.poll_write_vectored(cx, &slices))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        let of_front = written.min(front.len());
        let of_piece = (written - of_front).min(self.piece);
        self.front_at += of_front;
        self.piece -= of_piece;
        self.tail = &self.tail[written - of_front - of_piece..];
        self.kept_back = to.keeps_back();
        self.has_written = true;
        if self.is_empty() {
            self.forget();
        }
        Poll::Ready(Ok(of_piece))
    }

    fn forget(&mut self) {
        self.front_at = 0;
        self.buffers.put_text(std::mem::take(&mut self.front));
    }
}

const fn end_of_piece(is_last: bool) -> &'static [u8] {
    if is_last { b"\r\n0\r\n\r\n" } else { b"\r\n" }
}
