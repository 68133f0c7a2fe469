//! What to do about one dyno: a pure function of what is wanted, what is found and what was last said of it.
//!
//! It is asked again after every step, so it names one step at a time and never needs to remember.

use std::time::Duration;

use model::dyno_status::{STABLE_AFTER, crash_backoff};
use model::{Dyno, DynoKind, DynoState, Timestamp};
use runtime::ContainerExit;

/// Everything a decision rests on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    /// `None`: the record is gone, or names another node.
    pub wanted: Option<&'a Dyno>,
    pub found: Found,
    /// What was last said of it.
    pub state: &'a DynoState,
    pub restarts: u32,
    /// A terminal or pipes are connected to it now.
    pub is_attached: bool,
    /// SIGKILL was sent to the container that is found.
    pub was_killed: bool,
    pub times: Times,
    pub now: Timestamp,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub boot_timeout: Duration,
    pub stop_grace: Duration,
}

/// The dyno's container, as the engine tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Missing,
    /// Made and never started: somebody died in between.
    Created,
    Running {
        started_at: Timestamp,
    },
    Exited {
        exit: ContainerExit,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Make and start a container, in place of whatever is left of an earlier one.
    Launch {
        restarts: u32,
    },
    /// It runs, though it was said to have crashed or not to have been made: begin from "starting".
    Adopt {
        since: Timestamp,
    },
    /// Try its port until it answers, or until then.
    AwaitPort {
        until: Timestamp,
    },
    MarkUp,
    /// R10.
    FailBoot,
    /// It ended by itself and is to be started again at `retry_at`; `exit` is `None` when nobody knows how.
    Crash {
        exit: Option<ContainerExit>,
        restarts: u32,
        retry_at: Timestamp,
    },
    /// SIGTERM to all.
    Terminate,
    /// Its terminal is gone: SIGHUP to all.
    HangUp,
    /// R12 the first time.
    Kill,
    /// It has ended for good.
    Finish {
        exit: Option<ContainerExit>,
    },
    /// Remove the container and what it wrote.
    Remove,
    /// Nothing is left of it and nothing is wanted: remove its status too.
    Forget,
    /// Look again when something changes, or then.
    Wait {
        until: Option<Timestamp>,
    },
}

pub(crate) fn decide(view: &View<'_>) -> Action {
    match view.wanted {
        Some(dyno) if !dyno.is_stopping() => run(view, dyno),
        _ => stop(view),
    }
}

fn run(view: &View<'_>, dyno: &Dyno) -> Action {
    let restarts_when_it_ends = matches!(dyno.kind, DynoKind::Formation);
    match (view.found, view.state) {
        // Over is over, even if the record lags behind.
        (Found::Missing, DynoState::Stopped { .. }) => Action::Wait { until: None },
        (_, DynoState::Stopped { .. }) => Action::Remove,
        (_, DynoState::Stopping { .. }) => stop(view),

        (Found::Missing | Found::Created, DynoState::Starting { .. }) => Action::Launch {
            restarts: view.restarts,
        },
        (Found::Missing, DynoState::Crashed { retry_at, .. }) if restarts_when_it_ends => {
            if *retry_at <= view.now {
                Action::Launch {
                    restarts: view.restarts.saturating_add(1),
                }
            } else {
                Action::Wait {
                    until: Some(*retry_at),
                }
            }
        }
        (Found::Created | Found::Exited { .. }, DynoState::Crashed { .. })
            if restarts_when_it_ends =>
        {
            Action::Remove
        }

        (Found::Running { started_at }, DynoState::Crashed { .. }) => {
            Action::Adopt { since: started_at }
        }
        (Found::Running { started_at }, _) => run_on(view, dyno, started_at),

        (Found::Exited { exit }, _) => ended(view, restarts_when_it_ends, Some(exit)),
        (Found::Missing | Found::Created, _) => ended(view, restarts_when_it_ends, None),
    }
}

fn run_on(view: &View<'_>, dyno: &Dyno, started_at: Timestamp) -> Action {
    if let DynoKind::OneOff(one_off) = &dyno.kind {
        match one_off.attach {
            Some(_) if !view.is_attached => return Action::HangUp,
            Some(_) => {}
            None => {
                let ends = later(started_at, Duration::from_secs(one_off.time_to_live_secs));
                if ends <= view.now {
                    return Action::Terminate;
                }
                if view.state.is_up() {
                    return Action::Wait { until: Some(ends) };
                }
            }
        }
    }
    match view.state {
        DynoState::Up { .. } => Action::Wait { until: None },
        _ if !dyno.is_web() => Action::MarkUp,
        _ => {
            let until = later(started_at, view.times.boot_timeout);
            if until <= view.now {
                Action::FailBoot
            } else {
                Action::AwaitPort { until }
            }
        }
    }
}

fn ended(view: &View<'_>, restarts_when_it_ends: bool, exit: Option<ContainerExit>) -> Action {
    if !restarts_when_it_ends {
        return Action::Finish { exit };
    }
    let restarts = if was_stable(view.state, view.now) {
        0
    } else {
        view.restarts
    };
    Action::Crash {
        exit,
        restarts,
        retry_at: later(view.now, crash_backoff(restarts)),
    }
}

fn stop(view: &View<'_>) -> Action {
    match (view.found, view.state) {
        (Found::Running { .. }, DynoState::Stopping { since }) => {
            let deadline = later(*since, view.times.stop_grace);
            if deadline > view.now {
                Action::Wait {
                    until: Some(deadline),
                }
            } else if view.was_killed {
                // The engine was told; it is told again should it not have listened.
                Action::Wait {
                    until: Some(later(view.now, Duration::from_secs(1))),
                }
            } else {
                Action::Kill
            }
        }
        (Found::Running { .. }, _) => Action::Terminate,
        (Found::Missing, DynoState::Stopped { .. }) if view.wanted.is_some() => {
            Action::Wait { until: None }
        }
        (Found::Missing, _) if view.wanted.is_none() => Action::Forget,
        (Found::Missing, _) => Action::Finish { exit: None },
        (Found::Created, _) | (Found::Exited { .. }, DynoState::Stopped { .. }) => Action::Remove,
        // Its end was already told.
        (Found::Exited { .. }, DynoState::Crashed { .. }) => Action::Remove,
        (Found::Exited { exit }, _) => Action::Finish { exit: Some(exit) },
    }
}

/// A dyno that stayed up long enough has left its crashes behind.
fn was_stable(state: &DynoState, now: Timestamp) -> bool {
    matches!(state, DynoState::Up { since, .. } if later(*since, STABLE_AFTER) <= now)
}

pub(crate) fn later(at: Timestamp, wait: Duration) -> Timestamp {
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
