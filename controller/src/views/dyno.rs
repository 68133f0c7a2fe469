//! Dynos: the wanted and the observed in one.

use controller_api::wire;
use model::{App, Dyno, DynoState, DynoStatus, Timestamp};

use super::app_ref;
use crate::find::KnownDyno;

pub(crate) fn dyno(app: &App, known: &KnownDyno) -> wire::Dyno {
    let state = known
        .status
        .as_ref()
        .map_or("starting", |status| status.state.as_str());
    let since = known
        .status
        .as_ref()
        .map_or(known.dyno.value.created_at, since);
    record(app, &known.dyno.value, state, since, None)
}

/// A one-off dyno that has just been asked for.
pub(crate) fn new_dyno(app: &App, dyno: &Dyno, attach_url: Option<String>) -> wire::Dyno {
    record(app, dyno, "starting", dyno.created_at, attach_url)
}

/// A dyno that somebody is to be attached to, as what runs inside it for them.
pub(crate) fn attached(
    app: &App,
    known: &KnownDyno,
    command: String,
    attach_url: String,
) -> wire::Dyno {
    wire::Dyno {
        command,
        attach_url: Some(attach_url),
        ..dyno(app, known)
    }
}

fn record(
    app: &App,
    dyno: &Dyno,
    state: &str,
    since: Timestamp,
    attach_url: Option<String>,
) -> wire::Dyno {
    wire::Dyno {
        app: app_ref(app),
        attach_url,
        command: dyno.command.clone(),
        created_at: dyno.created_at.into(),
        id: dyno.id,
        name: dyno.name.to_string(),
        release: wire::dyno::DynoRelease {
            id: dyno.release_id,
            version: dyno.release.0,
        },
        size: dyno.size,
        state: state.to_owned(),
        process_type: dyno.name.process_type.to_string(),
        updated_at: since.into(),
    }
}

/// Since when it is in its state: what `ps` shows as `up … ago`.
const fn since(status: &DynoStatus) -> Timestamp {
    match status.state {
        DynoState::Starting { since }
        | DynoState::Up { since, .. }
        | DynoState::Stopping { since } => since,
        DynoState::Crashed { at, .. } | DynoState::Stopped { at, .. } => at,
    }
}
