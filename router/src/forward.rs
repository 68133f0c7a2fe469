//! A request to a dyno and the head of its response back: tries, retries and their limits.
//!
//! A second try never risks that an app acts on a request twice: it is made only if no byte of the request can have been
//! acted on, or if the request may be repeated by HTTP's own rule (idempotent, and nothing of its body gone) and either the
//! connection was an old one that ended without a byte of answer, or the dyno's host has fallen silent.

use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::Response;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::{sleep, timeout_at};
use tracing::{debug, error, warn};

use crate::backend::{Backend, BackendId};
use crate::body::Upload;
use crate::exchange::{Exchange, Sent};
use crate::fault::Fault;
use crate::pool::{ConnectError, Connection, is_silence};
use crate::rewrite::Head;
use crate::route::{self, Step, Tries};

/// What there is instead of a dyno's answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Instead {
    /// The platform's own page.
    Landing,
    Fault(Fault),
}

impl From<Fault> for Instead {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// While all backends are in quarantine or none is up, the table is asked again this often at first, then less.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(crate) async fn forward(
    exchange: &Rc<Exchange>,
    mut head: Head,
) -> Result<(Response<Incoming>, Connection), Instead> {
    let worker = &exchange.worker;
    let began = Instant::now();
    let (mut tries, mut pause, mut only_fresh) = (Tries::default(), FIRST_PAUSE, false);
    loop {
        let mut table_changed = pin!(worker.table_changed());
        table_changed.as_mut().enable();
        let target = match route::next(exchange, &tries) {
            Step::To(target) => target,
            Step::Landing => return Err(Instead::Landing),
            Step::Answer(fault) => return Err(fault.into()),
            Step::Wait { at_most, then } => {
                let left = at_most.saturating_sub(began.elapsed());
                if left.is_zero() {
                    return Err(then.into());
                }
                tokio::select! {
                    () = table_changed => pause = FIRST_PAUSE,
                    () = sleep(pause.min(left)) => pause = (pause * 2).min(LONGEST_PAUSE),
                }
                continue;
            }
        };
        let connection = match connect(exchange, only_fresh, &mut tries).await? {
            Some(connection) => connection,
            None => continue,
        };
        let first_byte = target.first_byte(exchange);
        match send(exchange, connection, head, first_byte, &mut tries).await? {
            Outcome::Answered {
                response,
                connection,
            } => {
                return Ok((response, connection));
            }
            Outcome::Again(unsent) => {
                head = unsent;
                only_fresh = true;
                exchange.release();
            }
        }
    }
}

/// A connection to the claimed backend; `None` if there is none to be had and another backend must be tried.
async fn connect(
    exchange: &Rc<Exchange>,
    only_fresh: bool,
    tries: &mut Tries,
) -> Result<Option<Connection>, Fault> {
    let worker = &exchange.worker;
    let Some(backend) = exchange.backend() else {
        return Err(Fault::Platform);
    };
    if !only_fresh && let Some(connection) = worker.pool.take(&backend, !exchange.is_repeatable()) {
        exchange.dispatch(Duration::ZERO);
        return Ok(Some(connection));
    }
    let timeouts = &worker.shared.config.timeouts;
    let began = Instant::now();
    let tls = match (backend.id, &worker.shared.config.services) {
        (BackendId::Service(role, _), Some(services)) => Some(services.of(role)),
        _ => None,
    };
    let patience = route::patience(exchange, &backend, tries);
    backend.begins_to_connect(patience);
    let connecting = worker.pool.connect(backend.addr, tls, patience);
    let fault = match connecting.await {
        Ok(connection) => {
            backend.has_connected();
            exchange.dispatch(began.elapsed());
            return Ok(Some(connection));
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

enum Outcome {
    Answered {
        response: Response<Incoming>,
        connection: Connection,
    },
    /// Nothing happened; the head, to be sent once more.
    Again(Head),
}

async fn send(
    exchange: &Rc<Exchange>,
    mut connection: Connection,
    head: Head,
    first_byte: Duration,
    tries: &mut Tries,
) -> Result<Outcome, Fault> {
    let began = Instant::now();
    let may_repeat = || exchange.is_repeatable() || exchange.sent.get() == Sent::Untouched;
    let spare = may_repeat().then(|| head.clone());
    connection.expect_answer(exchange.has_body());
    let sending = connection
        .sender
        .try_send_request(head.with(Upload(exchange.clone())));
    let failure = match patiently(exchange, first_byte, sending).await? {
        Ok(response) => {
            if let Some(backend) = exchange.backend() {
                backend.host().heard();
            }
            return Ok(Outcome::Answered {
                response,
                connection,
            });
        }
        Err(failure) => failure,
    };
    if let Sent::Broken(fault) = exchange.sent.get() {
        return Err(fault);
    }
    Err(match classify(failure, &connection) {
        Failure::Unsent(request) if connection.is_reused => return Ok(Outcome::Again(*request)),
        Failure::HostSilent => {
            if let Some(backend) = exchange.backend() {
                let quarantine = exchange.worker.shared.config.timeouts.quarantine;
                note_silence(&backend, began, quarantine);
                backend.quarantine(quarantine);
                tries.failed(&backend, Fault::NoResponse);
            }
            match spare {
                Some(head) if exchange.is_repeatable() => return Ok(Outcome::Again(head)),
                _ => Fault::NoResponse,
            }
        }
        Failure::Silent if connection.is_reused => match spare {
            Some(head) if may_repeat() => return Ok(Outcome::Again(head)),
            _ => Fault::NoResponse,
        },
        Failure::Unsent(_) | Failure::Silent => Fault::NoResponse,
        Failure::Interrupted => Fault::BackendInterrupted,
        Failure::Malformed => Fault::PoorResponse,
        Failure::Oversized => Fault::OversizedResponse,
    })
}

enum Failure {
    /// The connection was closed before a byte of it was written.
    Unsent(Box<Head>),
    /// The dyno closed without a byte of answer.
    Silent,
    /// Not even its host's kernel answered.
    HostSilent,
    /// It closed in the middle of the answer's head.
    Interrupted,
    Malformed,
    Oversized,
}

fn classify(mut failure: TrySendError<http::Request<Upload>>, connection: &Connection) -> Failure {
    if let Some(unsent) = failure.take_message() {
        return Failure::Unsent(Box::new(Head::of(unsent)));
    }
    let error = failure.into_error();
    debug!(
        error = &error as &dyn std::error::Error,
        "A dyno's answer failed"
    );
    if error.is_parse_too_large() {
        Failure::Oversized
    } else if error.is_parse() {
        Failure::Malformed
    } else if connection.has_answered() {
        Failure::Interrupted
    } else if caused_by_silence(&error) {
        Failure::HostSilent
    } else {
        Failure::Silent
    }
}

fn caused_by_silence(error: &hyper::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.downcast_ref().is_some_and(is_silence) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Waits for the response's head: while the client still sends, as long as anything moves; then for `first_byte`.
async fn patiently<T>(
    exchange: &Exchange,
    first_byte: Duration,
    response: impl Future<Output = T>,
) -> Result<T, Fault> {
    let mut response = pin!(response);
    let dispatched = Instant::now();
    loop {
        let now = Instant::now();
        let (deadline, fault) = match exchange.sent.get() {
            Sent::All(at) => (at.max(dispatched) + first_byte, Fault::Timeout),
            _ => (exchange.activity.get() + exchange.idle(), Fault::ClientIdle),
        };
        if now >= deadline {
            return Err(fault);
        }
        // The request may end meanwhile, and its deadline with it: look again no later than that could be.
        let look_again = deadline.min(now + first_byte);
        if let Ok(done) = timeout_at(look_again.into(), &mut response).await {
            return Ok(done);
        }
    }
}
