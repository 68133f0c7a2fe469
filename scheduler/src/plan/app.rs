//! One app's next step.

use model::{App, AppId, Dyno, LogLine, LogSource};
use store::{Versioned, key};

use super::formation::Formation;
use super::route::Routing;
use super::{Change, Context, Ids, Writes, converge, release, sweep};
use crate::snapshot::AppState;

/// What to do for the app now, if anything.
pub(super) fn step(
    context: &mut Context<'_>,
    id: AppId,
    state: &AppState,
    ids: &mut dyn Ids,
) -> Option<Change> {
    let mut writes = Writes::default();
    match &state.app {
        Some(app) => {
            // Whoever changes the app while this is decided makes it void.
            writes.compare(&app.key, app.revision);
            live(context, app, state, ids, &mut writes);
        }
        None => {
            writes.require_absent(key::app(id));
            sweep::destroyed(context, state, &mut writes);
        }
    }
    sweep::ended(context, state, &mut writes);
    (writes.count > 0).then_some(Change {
        app: Some(id),
        txn: writes.txn,
        notes: writes.notes,
    })
}

fn live(
    context: &mut Context<'_>,
    app: &Versioned<App>,
    state: &AppState,
    ids: &mut dyn Ids,
    writes: &mut Writes,
) {
    let Some(target) = state.release(app.value.target) else {
        return;
    };
    let running = match release::phase(context, &app.value, target, state, ids, writes) {
        release::Phase::Passed => Some(target),
        release::Phase::Running => state.release(app.value.current),
        release::Phase::Failed(failure) => {
            release::fail(context, app, target, failure, state, writes);
            return;
        }
    };
    let Some(running) = running else { return };
    let formation = Formation::of(context, &app.value, running, state);
    if let Some(failure) = release::failure(context, running, &formation) {
        release::fail(context, app, running, failure, state, writes);
        return;
    }
    converge::place_one_offs(context, &app.value, state, writes);
    let short = converge::start(context, &app.value, running, &formation, ids, writes);
    let routing = Routing::decide(context, &app.value, running, &formation, &short, state);
    converge::stop(context, &formation, &routing, state, writes);
    routing.write(state, writes);
    if running.status.is_pending() && formation.is_complete() {
        release::succeed(context, app, running, state, writes);
    }
}

/// A line in the app's log from the platform, as Heroku's API writes them.
pub(super) fn note(context: &Context<'_>, app: AppId, text: String) -> LogLine {
    LogLine {
        app,
        at: context.now,
        source: LogSource::App,
        process: "api".to_owned(),
        text,
    }
}

/// A line in the app's log from the platform, about one dyno.
pub(super) fn note_of(context: &Context<'_>, dyno: &Dyno, text: String) -> LogLine {
    LogLine {
        app: dyno.app,
        at: context.now,
        source: LogSource::Heroku,
        process: dyno.name.to_string(),
        text,
    }
}
