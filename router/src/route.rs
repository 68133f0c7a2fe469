//! Where a request goes next: host, app, and one of its dynos; or why nowhere.
//!
//! This is the one place where a backend is picked. It does not wait: table, pick and claim are one step of the worker's
//! thread, which is what makes an acknowledged table final (see [`crate::follow`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{NoBackend, ServiceRole};

use crate::backend::{Backend, InFlight};
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::pick::{Pick, has_other, pick};
use crate::table::{App, Platform, Target};

#[derive(Debug)]
pub(crate) enum Step {
    /// What was picked is claimed already.
    To {
        /// From the end of the request to the first byte of the answer.
        first_byte: Duration,
    },
    Answer(Fault),
    Landing,
    /// An authority asks whether the host is ours.
    Challenge,
    /// Ask again when the table has changed or a moment has passed; after `at_most`, answer with the fault.
    Wait {
        at_most: Duration,
        then: Fault,
    },
}

/// The tries of one request so far.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    /// Serials of the backends that could not be connected to.
    tried: Vec<u64>,
    last: Option<Fault>,
}

/// Backends tried before a request is given up.
const MAX_TRIES: usize = 10;

impl Tries {
    pub(crate) fn failed(&mut self, backend: &Backend, fault: Fault) {
        self.tried.push(backend.serial);
        self.last = Some(fault);
    }
}

pub(crate) fn next(exchange: &mut Exchange, tries: &Tries, now: Instant) -> Step {
    let worker = exchange.worker.clone();
    if exchange.is_challenge() {
        return Step::Challenge;
    }
    let table = worker.table();
    let target = table.lookup(&exchange.asked.host);
    if let Some(fault) = misdirection(exchange, target.is_some()) {
        return Step::Answer(fault);
    }
    match target {
        Some(Target::App(app)) => {
            exchange.set_app(app);
            to_app(exchange, app, tries, now)
        }
        Some(Target::Platform(platform)) => to_platform(exchange, platform, tries, now),
        Some(Target::Landing) => Step::Landing,
        None if table.is_known() => Step::Answer(Fault::NoSuchApp),
        None => Step::Answer(Fault::Platform),
    }
}

/// Whether the client asks on a connection that was opened for something else; see [`Shown::misdirection`].
///
/// [`Shown::misdirection`]: crate::certificates::Shown::misdirection
fn misdirection(exchange: &Exchange, is_known: bool) -> Option<Fault> {
    let shown = exchange.client.shown.as_ref()?;
    let tls = exchange.worker.shared.tls.as_ref()?;
    let host = &exchange.asked.host;
    if shown.name.as_deref() == Some(host) {
        return None;
    }
    shown.misdirection(host, is_known, &tls.current())
}

fn to_app(exchange: &mut Exchange, app: &Arc<App>, tries: &Tries, now: Instant) -> Step {
    let timeouts = exchange.worker.shared.config.timeouts;
    exchange.idle = timeouts.idle;
    if app.maintenance {
        return Step::Answer(Fault::Maintenance);
    }
    if app.backends.is_empty() {
        return match app.no_backend {
            Some(NoBackend::Booting) => Step::Wait {
                at_most: timeouts.boot,
                then: Fault::BootTimeout,
            },
            Some(NoBackend::Blank) => Step::Answer(Fault::Blank),
            Some(NoBackend::NoWebProcesses) => Step::Answer(Fault::NoWebProcesses),
            Some(NoBackend::Crashed) => Step::Answer(Fault::Crashed),
            None => Step::Answer(Fault::Platform),
        };
    }
    let patience = Patience {
        at_most: timeouts.boot,
        first_byte: timeouts.first_byte,
    };
    let step = claim(exchange, &app.backends, tries, patience, now);
    let limit = exchange.worker.shared.config.backlog_per_dyno;
    if matches!(step, Step::To { .. }) && has_backlog(exchange, &app.backends, limit) {
        exchange.release();
        return Step::Answer(Fault::Backlog);
    }
    step
}

fn to_platform(exchange: &mut Exchange, platform: &Platform, tries: &Tries, now: Instant) -> Step {
    let timeouts = exchange.worker.shared.config.timeouts;
    exchange.idle = timeouts.platform;
    if platform.backends.is_empty() {
        return Step::Wait {
            at_most: timeouts.platform_wait,
            then: Fault::PlatformAway,
        };
    }
    let patience = Patience {
        at_most: timeouts.platform_wait,
        first_byte: timeouts.platform,
    };
    match claim(exchange, &platform.backends, tries, patience, now) {
        // All that are known may be of a process that was killed; the next one makes itself known in a moment.
        Step::Answer(then) if tries.tried.len() < MAX_TRIES => Step::Wait {
            at_most: timeouts.platform_wait,
            then,
        },
        step => step,
    }
}

/// Whether the app has more requests than its dynos may have, this one among them. All are counted only where the dyno that
/// was picked, the less loaded of two, has its share already.
fn has_backlog(exchange: &Exchange, backends: &[Arc<Backend>], limit: u32) -> bool {
    let picked = exchange.backend().map_or(0, |backend| backend.in_flight());
    let under_way = || {
        backends
            .iter()
            .map(|backend| u64::from(backend.in_flight()))
    };
    picked > limit && under_way().sum::<u64>() > u64::from(limit) * backends.len() as u64
}

struct Patience {
    /// While all are in quarantine.
    at_most: Duration,
    first_byte: Duration,
}

fn claim(
    exchange: &mut Exchange,
    backends: &[Arc<Backend>],
    tries: &Tries,
    patience: Patience,
    now: Instant,
) -> Step {
    let given_up = Step::Answer(tries.last.unwrap_or(Fault::Platform));
    if tries.tried.len() >= MAX_TRIES {
        return given_up;
    }
    match pick(backends, &tries.tried, now, &mut rand::rng()) {
        Pick::Backend(backend) => {
            exchange.claim(InFlight::begin(backend.clone()));
            Step::To {
                first_byte: patience.first_byte,
            }
        }
        Pick::Tried => given_up,
        Pick::Quarantined => Step::Wait {
            at_most: patience.at_most,
            then: Fault::Platform,
        },
    }
}

/// How long to try to connect to the backend that was picked.
pub(crate) fn patience(exchange: &Exchange, picked: &Backend, tries: &Tries) -> Duration {
    let table = exchange.worker.table();
    let timeouts = &exchange.worker.shared.config.timeouts;
    let (others, alone) = match table.lookup(&exchange.asked.host) {
        Some(Target::App(app)) => (&app.backends, timeouts.connect),
        Some(Target::Platform(platform)) => (&platform.backends, timeouts.platform_connect),
        Some(Target::Landing) | None => return timeouts.connect,
    };
    if has_other(others, picked, &tries.tried, Instant::now()) {
        timeouts.connect_if_others.min(timeouts.connect)
    } else {
        alone
    }
}

impl Platform {
    /// Whether its clients are programs that read JSON.
    pub(crate) fn is_api(&self) -> bool {
        self.role == ServiceRole::Controller
    }
}
