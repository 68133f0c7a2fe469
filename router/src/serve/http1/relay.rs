//! An answer on its way from a dyno to a client, and what is left of the request on its way to the dyno.

use std::task::{Context, Poll};

use super::wire::Wire;
use crate::alarm::Alarm;
use crate::buffer;
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::http1::field;
use crate::http1::framing::Framing;
use crate::pace::Pace;
use crate::passing::Passing;
use crate::pool::Link;
use crate::upload::{Sending, Sent, Upload as _};

/// The answer's head is in the client's outbox.
#[derive(Debug)]
pub(crate) struct Relay<'e> {
    exchange: &'e mut Exchange,
    link: Link,
    sending: Sending,
    body: Passing,
    /// How the client gets it.
    to: Framing,
    /// Whether the end of the body is in the client's outbox, or gone.
    has_ended: bool,
    /// Whether the dyno will hang up once it has answered.
    is_last: bool,
    /// Whether the dyno takes no more of the request, or the client sends no more.
    is_refused: bool,
    is_received: bool,
    /// The client's, with what it takes.
    pace: Pace,
}

/// How both directions came to their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Whole,
    /// The answer is complete, the request is not.
    Answered,
    /// The answer broke off.
    Cut(Fault),
}

/// Where the answer stands still.
enum Still {
    /// All of it has gone.
    Complete,
    AtClient,
    AtDyno,
}

impl<'e> Relay<'e> {
    pub(crate) fn new(
        exchange: &'e mut Exchange,
        link: Link,
        sending: Sending,
        body: Passing,
        to: Framing,
        is_last: bool,
    ) -> Self {
        Self {
            pace: Pace::new(exchange.pace()),
            exchange,
            link,
            sending,
            has_ended: body.is_over(),
            body,
            to,
            is_last,
            is_refused: false,
            is_received: false,
        }
    }

    /// The dyno's connection, if what went over it is complete.
    pub(crate) fn into_link(self) -> Option<Link> {
        let is_whole = self.is_received && self.sending.is_over(&self.link);
        is_whole.then_some(self.link)
    }

    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        wire: &mut Wire,
        alarm: &Alarm,
    ) -> Poll<Ended> {
        let mut moved = self.send(cx, wire);
        let still = match self.receive(cx, wire, &mut moved) {
            Ok(still) => still,
            Err(fault) => return Poll::Ready(Ended::Cut(fault)),
        };
        if matches!(still, Still::Complete) {
            if !self.is_received {
                self.is_received = true;
                self.exchange.received();
            }
            if self.sending.is_over(&self.link) {
                return Poll::Ready(Ended::Whole);
            }
            if self.is_refused || self.is_last || (alarm.has_rung() && !moved) {
                return Poll::Ready(Ended::Answered);
            }
        }
        let waits = matches!(still, Still::AtClient);
        if self.pace.look(self.exchange.bytes, waits, alarm.now()) {
            return Poll::Ready(Ended::Cut(Fault::ClientIdle));
        }
        if moved {
            alarm.set(self.exchange.idle);
        } else if alarm.has_rung() {
            return Poll::Ready(Ended::Cut(match still {
                Still::AtClient => Fault::ClientIdle,
                Still::AtDyno | Still::Complete => Fault::BackendIdle,
            }));
        }
        alarm.watch(cx.waker());
        Poll::Pending
    }

    /// What is left of the request. Whether any of it went.
    fn send(&mut self, cx: &mut Context<'_>, wire: &mut Wire) -> bool {
        if self.is_refused || self.sending.is_over(&self.link) {
            return false;
        }
        let sent = self.sending.go_on(cx, &mut self.link, wire);
        self.exchange.bytes_in = wire.passed_on();
        match sent {
            Sent::All => true,
            Sent::More { moved } => moved,
            Sent::Broken(_) | Sent::Refused(_) => {
                self.is_refused = true;
                true
            }
        }
    }

    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        wire: &mut Wire,
        moved: &mut bool,
    ) -> Result<Still, Fault> {
        loop {
            // What is there of the body goes in one write with the head.
            if !self.has_ended && wire.outbox.is_between_pieces() {
                self.put(wire)?;
            }
            if !wire.outbox.is_empty() {
                let piece = self.body.piece(&self.link.buf);
                match wire.outbox.poll_write(cx, &mut wire.stream, piece) {
                    Poll::Ready(Ok(gone)) => {
                        self.body.consume(&mut self.link.buf, gone);
                        self.exchange.bytes += gone as u64;
                        *moved = true;
                    }
                    Poll::Ready(Err(_)) => return Err(Fault::ClientInterrupted),
                    Poll::Pending => return Ok(Still::AtClient),
                }
            } else if self.has_ended {
                return Ok(Still::Complete);
            } else {
                match self.link.poll_fill(cx, buffer::SIZE) {
                    Poll::Ready(Ok(1..)) => *moved = true,
                    Poll::Ready(Ok(0)) => {
                        self.body.end().map_err(|_| Fault::BackendInterrupted)?;
                    }
                    Poll::Ready(Err(_)) => return Err(Fault::BackendInterrupted),
                    Poll::Pending if self.body.flush()? => {}
                    Poll::Pending => return Ok(Still::AtDyno),
                }
            }
        }
    }

    /// Puts what is there of the body into the client's outbox.
    fn put(&mut self, wire: &mut Wire) -> Result<(), Fault> {
        self.body.look(&mut self.link.buf)?;
        let is_last = self.body.is_last();
        let trailers = self.body.trailers();
        let piece = self.body.piece(&self.link.buf);
        let length = piece.len();
        if length > 0 {
            self.has_ended = is_last && trailers.is_empty();
            if wire.outbox.copy_piece(piece, self.to, self.has_ended) {
                self.body.consume(&mut self.link.buf, length);
                self.exchange.bytes += length as u64;
            } else {
                wire.outbox.piece(length, self.to, self.has_ended);
            }
        } else if is_last {
            self.has_ended = true;
            if self.to == Framing::Chunked {
                wire.outbox.last_chunk(&field::trailing(trailers));
            }
        }
        Ok(())
    }
}
