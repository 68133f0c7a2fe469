//! A request to a dyno and the head of its response back: tries, retries and their limits.
//!
//! A second try never risks that an app acts on a request twice: it is made only if no byte of the request can have been
//! acted on, or if the request may be repeated by HTTP's own rule (idempotent, and without a body) and either the
//! connection was an old one that ended without a byte of answer, or the dyno's host has fallen silent.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use model::DynoProtocol;
use tokio::time::sleep;
use tracing::{debug, error, warn};

use crate::alarm::Alarm;
use crate::backend::{Backend, BackendId};
use crate::bridge::is_given_up;
use crate::entry::Redirect;
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::http1::response::{self, LIMITS, MAX_HEAD, is_interim, may_be_head};
use crate::http1::scan::{Refused, Scan};
use crate::pace::Pace;
use crate::pool::{ConnectError, Link, is_silence};
use crate::route::{self, Step, Tries};
use crate::upload::{Sending, Sent, Upload};

/// What there is instead of a dyno's answer.
#[derive(Debug)]
pub(crate) enum Instead {
    /// The platform's own page.
    Landing,
    Redirect(Redirect),
    /// What an authority asked for.
    Challenge,
    Fault(Fault),
}

impl From<Fault> for Instead {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A dyno has answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) link: Link,
    /// So many bytes of the link's buffer are the answer's head.
    pub(crate) head: usize,
    /// Whether some of its lines end in a line feed alone.
    pub(crate) has_bare_line_feed: bool,
    /// The request, which may not be over yet.
    pub(crate) sending: Sending,
}

/// While all backends are in quarantine or none is up, the table is asked again this often at first, then less.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Heads of no account before the one that counts.
const MAX_INTERIM: usize = 32;

pub(crate) async fn forward(
    exchange: &mut Exchange,
    upload: &mut impl Upload,
    alarm: &Alarm,
) -> Result<Answered, Instead> {
    let worker = exchange.worker.clone();
    let began = exchange.began;
    let (mut tries, mut pause, mut only_fresh) = (Tries::default(), FIRST_PAUSE, false);
    let mut now = began;
    loop {
        let first_byte = match route::next(exchange, &tries, now) {
            Step::To { first_byte } => first_byte,
            Step::Landing => return Err(Instead::Landing),
            Step::Redirect(to) => return Err(Instead::Redirect(to)),
            Step::Challenge => return Err(Instead::Challenge),
            Step::Answer(fault) => return Err(fault.into()),
            Step::Wait { at_most, then } => {
                let left = at_most.saturating_sub(began.elapsed());
                if left.is_zero() {
                    return Err(then.into());
                }
                let mut table_changed = pin!(worker.table_changed());
                table_changed.as_mut().enable();
                tokio::select! {
                    () = poll_fn(|cx| upload.poll_gone(cx, alarm)), if !exchange.asked.has_body => {
                        return Err(Fault::ClientInterrupted.into());
                    }
                    () = table_changed => pause = FIRST_PAUSE,
                    () = sleep(pause.min(left)) => pause = (pause * 2).min(LONGEST_PAUSE),
                }
                now = Instant::now();
                continue;
            }
        };
        let Some(link) = connect(exchange, only_fresh, &mut tries, now).await? else {
            now = Instant::now();
            continue;
        };
        match send(exchange, link, upload, alarm, first_byte, &mut tries).await? {
            Some(answered) => return Ok(answered),
            None => {
                only_fresh = true;
                now = Instant::now();
                exchange.release();
            }
        }
    }
}

/// A connection to the claimed backend; `None` if there is none to be had and another backend must be tried.
async fn connect(
    exchange: &mut Exchange,
    only_fresh: bool,
    tries: &mut Tries,
    now: Instant,
) -> Result<Option<Link>, Fault> {
    let worker = exchange.worker.clone();
    let Some(backend) = exchange.backend().cloned() else {
        return Err(Fault::Platform);
    };
    let is_http2 = exchange.dyno_protocol == DynoProtocol::Http2;
    let must_live = !exchange.asked.is_repeatable();
    let open = match is_http2 {
        true => worker.pool.join(&backend, only_fresh),
        false if only_fresh => None,
        false => worker.pool.take(&backend, must_live, worker.alarms.now()),
    };
    if let Some(link) = open {
        exchange.dispatch(Duration::ZERO, now);
        return Ok(Some(link));
    }
    let timeouts = &worker.shared.config.timeouts;
    let began = now;
    let tls = match (backend.id, &worker.shared.config.services) {
        (BackendId::Service(role, _), Some(services)) => Some(services.of(role)),
        _ => None,
    };
    let patience = route::patience(exchange, &backend, tries);
    backend.begins_to_connect(patience);
    let connected = match is_http2 {
        false => Box::pin(worker.pool.connect(backend.addr, tls, patience)).await,
        true => Box::pin(worker.pool.cross(&backend, only_fresh, patience)).await,
    };
    let fault = match connected {
        Ok(link) => {
            backend.has_connected();
            let now = Instant::now();
            exchange.dispatch(now.duration_since(began), now);
            return Ok(Some(link));
        }
        Err(ConnectError::Ours(error)) => {
            error!(
                error = &error as &dyn std::error::Error,
                "Could not open a connection to any dyno"
            );
            exchange.release();
            return Err(Fault::Platform);
        }
        Err(ConnectError::Silence) => {
            note_silence(&backend, began, timeouts.quarantine);
            Fault::ConnectTimeout
        }
        Err(ConnectError::Refused(error)) => {
            debug!(error = &error as &dyn std::error::Error, dyno = %backend.label, addr = %backend.addr, "Connection refused");
            Fault::Refused
        }
    };
    exchange.failed_to_connect(began.elapsed());
    backend.quarantine(timeouts.quarantine);
    tries.failed(&backend, fault);
    Ok(None)
}

fn note_silence(backend: &Backend, began: Instant, quarantine: Duration) {
    if backend.host().was_silent(began, quarantine) {
        warn!(host.address = %backend.addr.ip(), dyno = %backend.label, "A host does not answer; asking others");
    }
}

/// `None`: nothing happened; it may be sent once more.
async fn send(
    exchange: &mut Exchange,
    mut link: Link,
    upload: &mut impl Upload,
    alarm: &Alarm,
    first_byte: Duration,
    tries: &mut Tries,
) -> Result<Option<Answered>, Fault> {
    let began = Instant::now();
    link.expect_answer(exchange.asked.has_body);
    link.outbox.begin(&exchange.asked.head);
    let mut talk = Talk {
        sending: Sending::begin(upload),
        refused: None,
        scan: Scan::default(),
        interim: 0,
        idle: exchange.idle,
        first_byte,
        pace: Pace::new(exchange.pace()),
    };
    alarm.set(exchange.idle);
    let talked = poll_fn(|cx| talk.poll(cx, &mut link, upload, alarm)).await;
    exchange.bytes_in = upload.passed_on();
    let failure = match talked {
        Ok(head) => {
            if let Some(backend) = exchange.backend() {
                backend.host().heard();
            }
            return Ok(Some(Answered {
                link,
                head,
                has_bare_line_feed: talk.scan.has_bare_line_feed(),
                sending: talk.sending,
            }));
        }
        Err(failure) => failure,
    };
    debug!(
        ?failure,
        link.is_reused, "A request to a dyno was not answered"
    );
    let is_repeatable = exchange.asked.is_repeatable();
    Err(match failure {
        Failure::Silent(Some(error)) if is_silence(&error) => {
            if let Some(backend) = exchange.backend() {
                let quarantine = exchange.worker.shared.config.timeouts.quarantine;
                note_silence(backend, began, quarantine);
                backend.quarantine(quarantine);
                tries.failed(backend, Fault::NoResponse);
            }
            if is_repeatable {
                return Ok(None);
            }
            Fault::NoResponse
        }
        Failure::Silent(Some(error)) if is_given_up(&error) => Fault::NoResponse,
        Failure::Unsent if link.is_reused => return Ok(None),
        Failure::Silent(_) if link.is_reused && is_repeatable => return Ok(None),
        Failure::Unsent | Failure::Silent(_) => Fault::NoResponse,
        Failure::Ours(fault) => fault,
        Failure::Interrupted => Fault::BackendInterrupted,
        Failure::Malformed => Fault::PoorResponse,
        Failure::Head(why) => response::refused(why),
    })
}

/// Why no head of an answer came.
#[derive(Debug)]
enum Failure {
    /// The connection was closed before a byte of the request was written.
    Unsent,
    /// Not a byte of an answer came.
    Silent(Option<io::Error>),
    /// It broke off in the middle of the answer's head.
    Interrupted,
    Malformed,
    Head(Refused),
    /// Ours or the client's.
    Ours(Fault),
}

/// A request under way over one connection, until the head of its answer has come.
struct Talk {
    sending: Sending,
    /// The dyno takes no more of the request. It may have answered all the same: what it said may be known to the
    /// kernel and not yet to us, so reading goes on until that has an end too, which a dead connection has at once.
    refused: Option<io::Error>,
    scan: Scan,
    interim: usize,
    idle: Duration,
    first_byte: Duration,
    /// The client's, with what it sends.
    pace: Pace,
}

impl Talk {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link,
        upload: &mut impl Upload,
        alarm: &Alarm,
    ) -> Poll<Result<usize, Failure>> {
        if self.refused.is_none() && !self.sending.is_over(link) {
            match self.sending.go_on(cx, link, upload) {
                Sent::All => alarm.set(self.first_byte),
                Sent::More { moved: true } => alarm.set(self.idle),
                Sent::More { moved: false } => {}
                Sent::Broken(fault) => return Poll::Ready(Err(Failure::Ours(fault))),
                Sent::Refused(error) => self.refused = Some(error),
            }
        }
        loop {
            if let Some(head) = self.head_in(link)? {
                return Poll::Ready(Ok(head));
            }
            match link.poll_fill(cx, MAX_HEAD) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(self.broke(link, None))),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.broke(link, Some(error)))),
                Poll::Pending => break,
            }
        }
        let is_sent = self.sending.is_over(link);
        if is_sent && upload.poll_gone(cx, alarm).is_ready() {
            return Poll::Ready(Err(Failure::Ours(Fault::ClientInterrupted)));
        }
        let waits = self.refused.is_none() && self.sending.waits_for_client(link);
        if self.pace.look(self.sending.gone(), waits, alarm.now()) {
            return Poll::Ready(Err(Failure::Ours(Fault::ClientIdle)));
        }
        if alarm.has_rung() {
            if self.refused.is_some() {
                return Poll::Ready(Err(self.broke(link, None)));
            }
            let late = if is_sent {
                Fault::Timeout
            } else {
                Fault::ClientIdle
            };
            return Poll::Ready(Err(Failure::Ours(late)));
        }
        alarm.watch(cx.waker());
        Poll::Pending
    }

    /// How long the head is that counts, once all of it is there. What only announces it is thrown away.
    fn head_in(&mut self, link: &mut Link) -> Result<Option<usize>, Failure> {
        loop {
            let bytes = link.buf.data();
            if !may_be_head(bytes) || self.interim > MAX_INTERIM {
                return Err(Failure::Malformed);
            }
            let end = self.scan.end(bytes, &LIMITS).map_err(Failure::Head)?;
            match end {
                Some(end) if is_interim(&bytes[..end]) => {
                    link.buf.advance(end);
                    self.scan = Scan::default();
                    self.interim += 1;
                }
                end => return Ok(end),
            }
        }
    }

    fn broke(&mut self, link: &Link, error: Option<io::Error>) -> Failure {
        let error = error.or(self.refused.take());
        if !link.buf.is_empty() || self.interim > 0 {
            Failure::Interrupted
        } else if link.outbox.has_written() {
            Failure::Silent(error)
        } else {
            Failure::Unsent
        }
    }
}
