//! A request's body on its way to a dyno, whichever protocol it came by.

use std::task::{Context, Poll, ready};

use crate::alarm::Alarm;
use crate::fault::Fault;
use crate::http1::framing::Framing;
use crate::outbox::Outbox;
use crate::pool::Link;

/// A body that its client is still sending.
pub(crate) trait Upload {
    /// How the dyno is sent it.
    fn framing(&self) -> Framing;

    /// Ready when there is a piece, which may be the last one, or none will come any more. An error is the client's.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>>;

    /// What is there, none of it passed on yet.
    fn piece(&self) -> &[u8];

    /// So much of it was passed on.
    fn consume(&mut self, count: usize);

    /// How much of the body was passed on so far.
    fn passed_on(&self) -> u64;

    /// Whether nothing follows the piece that is there.
    fn is_last(&self) -> bool;

    /// Ready when the client, which has sent all of its request, has left.
    fn poll_gone(&mut self, cx: &mut Context<'_>, alarm: &Alarm) -> Poll<()>;
}

/// How far a request has got.
#[derive(Debug)]
pub(crate) struct Sending {
    /// Whether nothing is to be put into the outbox any more.
    is_closed: bool,
    /// Bytes of the body that have gone.
    gone: u64,
}

/// What came of a try to go on with it.
#[derive(Debug)]
pub(crate) enum Sent {
    /// All of it has been sent.
    All,
    /// More will be, when there is more or room for it. Whether any of it went just now.
    More { moved: bool },
    /// The client broke off, or sent nonsense.
    Broken(Fault),
    /// The dyno's connection takes no more.
    Refused(std::io::Error),
}

impl Sending {
    /// Of a request whose head is in the link's outbox.
    pub(crate) fn begin(upload: &impl Upload) -> Self {
        Self {
            is_closed: upload.framing() == Framing::Empty,
            gone: 0,
        }
    }

    pub(crate) fn is_over(&self, link: &Link) -> bool {
        self.is_closed && link.outbox.is_empty()
    }

    /// Bytes of the body that have gone.
    pub(crate) const fn gone(&self) -> u64 {
        self.gone
    }

    /// Whether nothing can be sent before the client has sent more.
    pub(crate) fn waits_for_client(&self, link: &Link) -> bool {
        !self.is_closed && link.outbox.is_empty()
    }

    /// Sends what there is.
    pub(crate) fn go_on(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link,
        upload: &mut impl Upload,
    ) -> Sent {
        let mut moved = false;
        loop {
            match self.poll_step(cx, link, upload) {
                Poll::Pending => return Sent::More { moved },
                Poll::Ready(Ok(())) if self.is_over(link) => return Sent::All,
                Poll::Ready(Ok(())) => moved = true,
                Poll::Ready(Err(Stop::Client(fault))) => return Sent::Broken(fault),
                Poll::Ready(Err(Stop::Dyno(error))) => return Sent::Refused(error),
            }
        }
    }

    fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link,
        upload: &mut impl Upload,
    ) -> Poll<Result<(), Stop>> {
        // What is there of the body goes in one write with the head.
        let is_fresh = link.outbox.is_between_pieces();
        if is_fresh && !self.is_closed {
            match upload.poll_piece(cx) {
                Poll::Ready(Ok(())) => self.put(&mut link.outbox, upload),
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(Stop::Client(fault))),
                Poll::Pending if link.outbox.is_empty() => return Poll::Pending,
                Poll::Pending => {}
            }
        }
        if link.outbox.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let written = link.outbox.poll_write(cx, &mut link.stream, upload.piece());
        let gone = ready!(written).map_err(Stop::Dyno)?;
        upload.consume(gone);
        self.gone += gone as u64;
        Poll::Ready(Ok(()))
    }

    fn put(&mut self, outbox: &mut Outbox, upload: &impl Upload) {
        let (framing, length) = (upload.framing(), upload.piece().len());
        self.is_closed = upload.is_last();
        if length > 0 {
            outbox.piece(length, framing, self.is_closed);
        } else if self.is_closed && framing == Framing::Chunked {
            outbox.last_chunk(&[]);
        }
    }
}

enum Stop {
    Client(Fault),
    Dyno(std::io::Error),
}
