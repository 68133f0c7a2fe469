//! The client's end of a connection: what it sends, and what it is sent.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::alarm::Alarm;
use crate::buffer::{self, Buf, Buffers};
use crate::fault::Fault;
use crate::http1::field;
use crate::http1::framing::{Arriving, Framing};
use crate::outbox::Outbox;
use crate::passing::Passing;
use crate::relay::{Passed, Recipient};
use crate::stream::Stream;
use crate::upload::Upload;

const GO_AHEAD: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// What a client may have said ahead of its turn before nobody listens to it any more.
const MAX_AHEAD: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) stream: Stream,
    pub(crate) buf: Buf,
    pub(crate) outbox: Outbox,
    /// The body of the request that is under way.
    arriving: Arriving,
    framing: Framing,
    owes_go_ahead: bool,
    is_answering: bool,
    /// How the body of the answer goes.
    to: Framing,
    /// Whether its end is in the outbox, or gone.
    has_ended: bool,
    /// Bytes of the request's body.
    passed_on: u64,
}

impl Wire {
    pub(crate) fn new(stream: Stream, buffers: Rc<Buffers>) -> Self {
        Self {
            stream,
            buf: Buf::new(buffers.clone()),
            outbox: Outbox::new(buffers),
            arriving: Arriving::new(Framing::Empty),
            framing: Framing::Empty,
            owes_go_ahead: false,
            is_answering: false,
            to: Framing::Empty,
            has_ended: false,
            passed_on: 0,
        }
    }

    pub(crate) const fn is_plain(&self) -> bool {
        self.stream.is_plain()
    }

    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        self.buf.poll_fill(cx, &mut self.stream, max)
    }

    /// A request whose head was taken from the buffer.
    pub(crate) fn begin(&mut self, framing: Framing, expects_go_ahead: bool) {
        self.framing = framing;
        self.arriving = Arriving::new(framing);
        self.is_answering = false;
        self.passed_on = 0;
        // Who has begun to send does not wait for it.
        self.owes_go_ahead = expects_go_ahead && framing != Framing::Empty && self.buf.is_empty();
    }

    /// Its answer is to be put into the outbox.
    pub(crate) const fn begin_answer(&mut self) -> &mut Outbox {
        self.is_answering = true;
        self.owes_go_ahead = false;
        &mut self.outbox
    }

    /// Its head is there; how the body follows it, if it does.
    pub(crate) const fn begin_body(&mut self, to: Framing, is_none: bool) {
        self.to = to;
        self.has_ended = is_none;
    }

    /// What was put there since is not to be sent.
    pub(crate) fn forget_answer(&mut self) {
        self.outbox.clear();
    }

    /// Whether all of the request has come.
    pub(crate) fn has_all(&self) -> bool {
        self.arriving.is_over()
    }

    /// Writes what is in the outbox, which has no piece in it.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbox.is_empty() {
            ready!(self.outbox.poll_write(cx, &mut self.stream, &[]))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Recipient for Wire {
    const OUTLIVES_ANSWER: bool = true;

    fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Passing,
        buf: &mut Buf,
        passed: &mut Passed,
    ) -> Poll<Result<bool, Fault>> {
        loop {
            // What is there of the body goes in one write with the head.
            if !self.has_ended && self.outbox.is_between_pieces() {
                self.put(body, buf, passed)?;
            }
            if self.outbox.is_empty() {
                return Poll::Ready(Ok(self.has_ended));
            }
            let piece = body.piece(buf);
            match ready!(self.outbox.poll_write(cx, &mut self.stream, piece)) {
                Ok(gone) => {
                    body.consume(buf, gone);
                    passed.more(gone);
                }
                Err(_) => return Poll::Ready(Err(Fault::ClientInterrupted)),
            }
        }
    }
}

impl Wire {
    /// Puts what is there of the body into the outbox.
    fn put(&mut self, body: &mut Passing, buf: &mut Buf, passed: &mut Passed) -> Result<(), Fault> {
        body.look(buf)?;
        let is_last = body.is_last();
        let trailers = body.trailers();
        let piece = body.piece(buf);
        let length = piece.len();
        if length > 0 {
            self.has_ended = is_last && trailers.is_empty();
            if self.outbox.copy_piece(piece, self.to, self.has_ended) {
                body.consume(buf, length);
                passed.bytes += length as u64;
            } else {
                self.outbox.piece(length, self.to, self.has_ended);
            }
        } else if is_last {
            self.has_ended = true;
            if self.to == Framing::Chunked {
                self.outbox.last_chunk(&field::trailing(trailers));
            }
        }
        Ok(())
    }
}

impl Upload for Wire {
    fn framing(&self) -> Framing {
        self.framing
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        loop {
            if self.arriving.look(&mut self.buf).is_err() {
                return Poll::Ready(Err(Fault::BadChunk));
            }
            if !self.piece().is_empty() || self.arriving.is_last() {
                return Poll::Ready(Ok(()));
            }
            if std::mem::take(&mut self.owes_go_ahead) {
                self.outbox.front().extend_from_slice(GO_AHEAD);
            }
            if !self.is_answering && ready!(self.poll_flush(cx)).is_err() {
                return Poll::Ready(Err(Fault::ClientInterrupted));
            }
            match ready!(self.poll_fill(cx, buffer::SIZE)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(Err(Fault::ClientInterrupted)),
            }
        }
    }

    fn piece(&self) -> &[u8] {
        self.arriving.piece(&self.buf)
    }

    fn consume(&mut self, count: usize) {
        self.arriving.consume(&mut self.buf, count);
        self.passed_on += count as u64;
    }

    fn passed_on(&self) -> u64 {
        self.passed_on
    }

    fn is_last(&self) -> bool {
        self.arriving.is_last()
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>, alarm: &Alarm) -> Poll<()> {
        // So a client that leaves at once is missed a moment later, and one that will say no more may be answered first.
        if let Some(fresh) = self.stream.fresh()
            && !fresh.is_worth_a_look(alarm.now())
        {
            alarm.wake_at_next_look(cx.waker());
            return Poll::Pending;
        }
        // Bytes are the next request; it waits for its turn.
        while self.buf.len() < MAX_AHEAD {
            match ready!(self.poll_fill(cx, buffer::SIZE)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }
}
