//! An answer on its way from a dyno to a client, and what is left of the request on its way to the dyno, whichever
//! protocol the client speaks.

use std::task::{Context, Poll};

use crate::alarm::Alarm;
use crate::buffer::{self, Buf};
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::pace::Pace;
use crate::passing::Passing;
use crate::pool::Link;
use crate::upload::{Sending, Sent, Upload};

/// A client that was told, or is about to be, what comes before the body of its answer.
pub(crate) trait Recipient: Upload {
    /// Whether its request goes on although the answer is complete.
    const OUTLIVES_ANSWER: bool;

    /// Passes on what is there of a body. Pending: the client takes no more for now. Ready: whether it has all of the
    /// answer, or else the dyno has to say more.
    fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Passing,
        buf: &mut Buf,
        passed: &mut Passed,
    ) -> Poll<Result<bool, Fault>>;
}

/// What has gone to the client.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    /// Bytes of the body.
    pub(crate) bytes: u64,
    /// Whether anything has.
    pub(crate) moved: bool,
}

impl Passed {
    pub(crate) fn more(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.moved = true;
    }
}

#[derive(Debug)]
pub(crate) struct Relay<'e> {
    exchange: &'e mut Exchange,
    link: Link,
    sending: Sending,
    body: Passing,
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
        is_last: bool,
    ) -> Self {
        Self {
            pace: Pace::new(exchange.pace()),
            exchange,
            link,
            sending,
            body,
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

    pub(crate) fn poll<R: Recipient>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut R,
        alarm: &Alarm,
    ) -> Poll<Ended> {
        let mut moved = self.send(cx, client);
        let still = match self.receive(cx, client, &mut moved) {
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
            let is_enough = self.is_refused || self.is_last || !R::OUTLIVES_ANSWER;
            if is_enough || (alarm.has_rung() && !moved) {
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
    fn send(&mut self, cx: &mut Context<'_>, client: &mut impl Upload) -> bool {
        if self.is_refused || self.sending.is_over(&self.link) {
            return false;
        }
        let sent = self.sending.go_on(cx, &mut self.link, client);
        self.exchange.bytes_in = client.passed_on();
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
        client: &mut impl Recipient,
        moved: &mut bool,
    ) -> Result<Still, Fault> {
        loop {
            let mut passed = Passed::default();
            let taken = client.poll_pass(cx, &mut self.body, &mut self.link.buf, &mut passed);
            self.exchange.bytes += passed.bytes;
            *moved |= passed.moved;
            match taken {
                Poll::Pending => return Ok(Still::AtClient),
                Poll::Ready(Ok(true)) => return Ok(Still::Complete),
                Poll::Ready(Ok(false)) => {}
                Poll::Ready(Err(fault)) => return Err(fault),
            }
            match self.link.poll_fill(cx, buffer::SIZE) {
                Poll::Ready(Ok(1..)) => *moved = true,
                Poll::Ready(Ok(0)) => self.body.end().map_err(|_| Fault::BackendInterrupted)?,
                Poll::Ready(Err(_)) => return Err(Fault::BackendInterrupted),
                Poll::Pending if self.body.flush()? => {}
                Poll::Pending => return Ok(Still::AtDyno),
            }
        }
    }
}
