//! The client's end of a stream: what it sends, and what it is sent. For the stream's own task.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::connection::Connection;
use super::stream::Stream;
use crate::alarm::Alarm;
use crate::buffer::Buf;
use crate::fault::Fault;
use crate::http1::field;
use crate::http1::framing::Framing;
use crate::http2::hpack::Encoder;
use crate::passing::Passing;
use crate::relay::{Passed, Recipient};
use crate::upload::Upload;

/// Dropped before the answer has ended, it has the stream reset.
#[derive(Debug)]
pub(super) struct Wire {
    connection: Rc<Connection>,
    pub(super) stream: Rc<Stream>,
    /// Of the request's body, as the dyno gets it.
    framing: Framing,
    /// Nothing was said yet, and the client waits for word that its body is wanted.
    owes_go_ahead: Cell<bool>,
    /// What has come and was not passed on yet.
    come: Buf,
    /// Bytes of the request's body.
    passed_on: u64,
}

impl Wire {
    /// `expects_go_ahead`: it waits to be told that the body is wanted.
    pub(super) fn new(
        connection: Rc<Connection>,
        stream: Rc<Stream>,
        framing: Framing,
        expects_go_ahead: bool,
    ) -> Self {
        let come = Buf::new(connection.client.worker.buffers.clone());
        Self {
            connection,
            stream,
            framing,
            owes_go_ahead: Cell::new(expects_go_ahead && framing != Framing::Empty),
            come,
            passed_on: 0,
        }
    }

    /// Ready when there is room for a head, which is to be put in at once.
    pub(super) fn poll_room(&self) -> Poll<()> {
        self.connection.poll_room(&self.stream)
    }

    /// The head of an answer. `is_last`: nothing follows it.
    pub(super) fn head(&self, is_last: bool, encode: impl FnOnce(&mut Encoder, &mut Vec<u8>)) {
        self.owes_go_ahead.set(false);
        self.connection.head(&self.stream, is_last, encode);
    }

    /// Sends what it can of a piece of a body, which is not empty, and gives how much that was. `is_last`: the body ends
    /// with the piece.
    pub(super) fn poll_data(&self, piece: &[u8], is_last: bool) -> Poll<usize> {
        self.connection.poll_data(&self.stream, piece, is_last)
    }

    /// Whether the piece that is there is all, or none will come.
    fn has_all(&self) -> bool {
        self.stream.has_all() && self.stream.is_taken()
    }

    /// What has come, if anything has.
    pub(super) fn come(&mut self) -> &[u8] {
        if self.come.is_empty()
            && let Some(come) = self.stream.take()
        {
            self.come = come;
        }
        self.come.data()
    }

    /// The end of a body, and what is to be said after it.
    pub(super) fn poll_end(&self, trailers: &[u8]) -> Poll<()> {
        let trailers = field::trailing(trailers);
        if trailers.is_empty() {
            return self.connection.poll_end(&self.stream);
        }
        ready!(self.poll_room());
        self.head(true, |encoder, block| {
            for line in trailers.split(|byte| *byte == b'\n') {
                if let Some(colon) = line.iter().position(|byte| *byte == b':') {
                    let (name, value) = line.split_at(colon);
                    encoder.field(name, value[1..].trim_ascii(), block);
                }
            }
        });
        Poll::Ready(())
    }
}

impl Upload for Wire {
    fn framing(&self) -> Framing {
        self.framing
    }

    /// Whoever polls it is woken by the stream.
    fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        if !self.come().is_empty() || self.has_all() {
            return Poll::Ready(Ok(()));
        }
        if self.owes_go_ahead.get() && self.poll_room().is_ready() {
            self.head(false, |encoder, block| encoder.status(100, block));
        }
        Poll::Pending
    }

    fn piece(&self) -> &[u8] {
        self.come.data()
    }

    fn consume(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        self.come.advance(count);
        if self.come.is_empty() {
            self.come.rest();
        }
        self.passed_on += count as u64;
        self.connection.passed_on(count);
        if let Some(more) = self.stream.passed_on(count) {
            self.connection.open_theirs(&self.stream, more);
        }
    }

    fn passed_on(&self) -> u64 {
        self.passed_on
    }

    fn is_last(&self) -> bool {
        self.has_all()
    }

    /// Whose stream is reset has its task ended.
    fn poll_gone(&mut self, _: &mut Context<'_>, _: &Alarm) -> Poll<()> {
        Poll::Pending
    }
}

impl Recipient for Wire {
    /// The client is told that nobody needs the rest.
    const OUTLIVES_ANSWER: bool = false;

    fn poll_pass(
        &mut self,
        _: &mut Context<'_>,
        body: &mut Passing,
        buf: &mut Buf,
        passed: &mut Passed,
    ) -> Poll<Result<bool, Fault>> {
        while !self.stream.has_ended() {
            body.look(buf)?;
            let is_last = body.is_last();
            let piece = body.piece(buf);
            if !piece.is_empty() {
                let ends = is_last && body.trailers().is_empty();
                let gone = ready!(self.poll_data(piece, ends));
                body.consume(buf, gone);
                passed.more(gone);
            } else if is_last {
                ready!(self.poll_end(body.trailers()));
                passed.moved = true;
            } else {
                return Poll::Ready(Ok(false));
            }
        }
        Poll::Ready(Ok(true))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let left = self.come.len() + self.stream.left_behind();
        if left > 0 {
            self.connection.passed_on(left);
        }
        self.connection.release(&self.stream);
    }
}
