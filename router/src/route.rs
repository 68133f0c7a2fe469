//! Where a request goes next: host, app, and one of its dynos; or why nowhere.
//!
//! This is the one place where a backend is picked. It does not wait: table, pick and claim are one step of the worker's
//! thread, which is what makes an acknowledged table final (see [`crate::follow`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{AppId, DynoProtocol, NoBackend, ServiceRole};

use crate::backend::{Backend, InFlight};
use crate::entry::{self, Decision, Entry, Redirect};
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::pick::{Pick, fit, has_other, pick};
use crate::rules::Rules;
use crate::table::{App, Platform, Table, Target};

#[derive(Debug)]
pub(crate) enum Step {
    /// What was picked is claimed already.
    To {
        /// From the end of the request to the first byte of the answer.
        first_byte: Duration,
    },
    Answer(Fault),
    Redirect(Redirect),
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
        Some(Target::App(front)) => {
            if exchange.entry.is_none()
                && let Some(rules) = &front.rules
                && let Some(step) = enter(exchange, &table, front, rules, now)
            {
                return step;
            }
            let app = answering(exchange, &table, front);
            exchange.set_app(app);
            to_app(exchange, app, tries, now)
        }
        Some(Target::Platform(platform)) => to_platform(exchange, platform, tries, now),
        Some(Target::Landing) => Step::Landing,
        None if table.is_known() => Step::Answer(Fault::NoSuchApp),
        None => Step::Answer(Fault::Platform),
    }
}

/// The app whose dynos are asked. What led to an app that is gone leads nowhere else.
fn answering<'t>(exchange: &Exchange, table: &'t Table, front: &'t Arc<App>) -> &'t Arc<App> {
    let sent_to = exchange.entry.as_ref().and_then(|entry| entry.sent_to);
    sent_to.and_then(|id| table.app(id)).unwrap_or(front)
}

/// Asks the app's rules, once. A step is the end of it.
fn enter(
    exchange: &mut Exchange,
    table: &Table,
    front: &Arc<App>,
    rules: &Rules,
    now: Instant,
) -> Option<Step> {
    let has_dyno = |id: Option<AppId>, tag| {
        let app = id.map_or(Some(front), |id| table.app(id));
        app.is_some_and(|app| app.backends.iter().any(|backend| backend.tag == Some(tag)))
    };
    let decision = entry::decide(rules, &exchange.visit(), now, has_dyno, &mut rand::rng());
    let mut entry = Box::new(Entry {
        front: front.clone(),
        sent_to: None,
        prefix: None,
        wanted: None,
    });
    let step = match decision {
        Decision::In {
            sent_to,
            prefix,
            wanted,
        } => {
            (entry.sent_to, entry.prefix, entry.wanted) = (sent_to, prefix, wanted);
            None
        }
        Decision::Redirect(to) => Some(Step::Redirect(to)),
        Decision::Refuse { fault, is_told } => {
            if !is_told {
                exchange.hush();
            }
            Some(Step::Answer(fault))
        }
    };
    exchange.entry = Some(entry);
    if step.is_some() {
        exchange.set_app(front);
    }
    step
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
    let routing = app.rules.as_ref().map(|rules| &rules.routing);
    let limit = routing
        .and_then(|routing| routing.requests_per_dyno)
        .unwrap_or(exchange.worker.shared.config.backlog_per_dyno);
    exchange.dyno_protocol = routing.map_or_else(DynoProtocol::default, |it| it.dyno_protocol);
    let step = to_dyno(exchange, app, tries, limit, now);
    if matches!(step, Step::Wait { .. }) && !exchange.waits(&app.queue, may_wait(app, limit)) {
        return Step::Answer(Fault::Backlog);
    }
    step
}

/// As many as its dynos could take at once; while it has none, as many as a few could.
fn may_wait(app: &App, limit: u32) -> u32 {
    const FEW: usize = 5;
    let dynos = app.backends.len().max(FEW);
    limit.saturating_mul(u32::try_from(dynos).unwrap_or(u32::MAX))
}

fn to_dyno(exchange: &mut Exchange, app: &App, tries: &Tries, limit: u32, now: Instant) -> Step {
    let timeouts = exchange.worker.shared.config.timeouts;
    if app.rules.as_ref().is_some_and(|rules| rules.routing.paused) {
        return Step::Wait {
            at_most: timeouts.boot,
            then: Fault::Paused,
        };
    }
    if exchange.dyno_protocol == DynoProtocol::Http2 && exchange.asked.is_websocket() {
        return Step::Answer(Fault::NoWebSockets);
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
    let terms = Claim {
        at_most: timeouts.boot,
        first_byte: timeouts.first_byte,
        limit,
    };
    let step = claim(exchange, &app.backends, tries, terms, now);
    if matches!(step, Step::To { .. }) && has_backlog(exchange, &app.backends, limit) {
        exchange.release();
        // Those that were held come all at once, and are let through as there is room.
        return match exchange.is_waiting() {
            true => Step::Wait {
                at_most: timeouts.boot,
                then: Fault::Backlog,
            },
            false => Step::Answer(Fault::Backlog),
        };
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
    exchange.dyno_protocol = DynoProtocol::default();
    let terms = Claim {
        at_most: timeouts.platform_wait,
        first_byte: timeouts.platform,
        limit: u32::MAX,
    };
    match claim(exchange, &platform.backends, tries, terms, now) {
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

struct Claim {
    /// How long to wait while all are in quarantine.
    at_most: Duration,
    first_byte: Duration,
    /// Requests that a dyno may have for a session's sake.
    limit: u32,
}

fn claim(
    exchange: &mut Exchange,
    backends: &[Arc<Backend>],
    tries: &Tries,
    terms: Claim,
    now: Instant,
) -> Step {
    let given_up = Step::Answer(tries.last.unwrap_or(Fault::Platform));
    if tries.tried.len() >= MAX_TRIES {
        return given_up;
    }
    let wanted = exchange.entry.as_ref().and_then(|entry| entry.wanted);
    let back = wanted.and_then(|tag| fit(backends, tag, &tries.tried, now));
    if let Some(backend) = back.filter(|backend| backend.in_flight() < terms.limit) {
        exchange.claim(InFlight::begin(backend.clone()));
        return Step::To {
            first_byte: terms.first_byte,
        };
    }
    match pick(backends, &tries.tried, now, &mut rand::rng()) {
        Pick::Backend(backend) => {
            exchange.claim(InFlight::begin(backend.clone()));
            Step::To {
                first_byte: terms.first_byte,
            }
        }
        Pick::Tried => given_up,
        Pick::Quarantined => Step::Wait {
            at_most: terms.at_most,
            then: Fault::Platform,
        },
    }
}

/// How long to try to connect to the backend that was picked.
pub(crate) fn patience(exchange: &Exchange, picked: &Backend, tries: &Tries) -> Duration {
    let table = exchange.worker.table();
    let timeouts = &exchange.worker.shared.config.timeouts;
    let (others, alone) = match table.lookup(&exchange.asked.host) {
        Some(Target::App(front)) => {
            let app = answering(exchange, &table, front);
            (&app.backends, timeouts.connect)
        }
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
