//! What becomes of a pending release: its release phase, and the verdict on it.

use model::{
    App, Dyno, DynoKind, DynoName, DynoState, ExitReason, Intent, ProcessType, Release,
    ReleaseFailure, ReleaseStatus,
};
use store::{Versioned, key};

use super::app::note;
use super::converge::need_alone;
use super::formation::Formation;
use super::place::Peers;
use super::{Context, Ids, Writes};
use crate::snapshot::AppState;

/// How far the `release:` command of a pending release has come.
pub(super) enum Phase {
    /// There is none, or it has exited with 0.
    Passed,
    Running,
    Failed(ReleaseFailure),
}

/// Starts the release phase's dyno, or tells what became of it.
pub(super) fn phase(
    context: &mut Context<'_>,
    app: &App,
    target: &Release,
    state: &AppState,
    ids: &mut dyn Ids,
    writes: &mut Writes,
) -> Phase {
    if !target.status.is_pending() {
        return Phase::Passed;
    }
    let Some(slug) = state.slug_of(target) else {
        // Written in one commit with the release: the next look has it.
        return Phase::Running;
    };
    let Some(command) = slug.release_command() else {
        return Phase::Passed;
    };
    match state
        .dynos
        .values()
        .map(|d| &d.value)
        .find(|dyno| is_phase_of(dyno, target))
    {
        Some(dyno) => phase_of(context, dyno, state),
        None => {
            create_phase_dyno(context, app, target, command, ids, writes);
            Phase::Running
        }
    }
}

fn phase_of(context: &mut Context<'_>, dyno: &Dyno, state: &AppState) -> Phase {
    let failed = |reason: String, log_tail| Phase::Failed(ReleaseFailure { reason, log_tail });
    match state.status(dyno.id).map(|status| &status.state) {
        Some(
            DynoState::Stopped {
                exit: Some(exit), ..
            }
            | DynoState::Crashed { exit, .. },
        ) => {
            if exit.reason == (ExitReason::Exited { status: 0 }) {
                return Phase::Passed;
            }
            let reason = format!("the release command failed: {}", exit.reason.describe());
            failed(reason, exit.log_tail.clone())
        }
        Some(DynoState::Stopped { exit: None, .. }) => failed(
            "the release command was stopped before it ended".to_owned(),
            Vec::new(),
        ),
        _ if context.has_passed(dyno.created_at, context.rules.release_phase_within) => {
            let minutes = context.rules.release_phase_within.as_secs() / 60;
            failed(
                format!("the release command did not end within {minutes} minutes"),
                Vec::new(),
            )
        }
        _ => Phase::Running,
    }
}

/// Whether the dyno runs the release phase of this very release.
fn is_phase_of(dyno: &Dyno, release: &Release) -> bool {
    matches!(dyno.kind, DynoKind::ReleasePhase) && dyno.release_id == release.id
}

fn create_phase_dyno(
    context: &mut Context<'_>,
    app: &App,
    target: &Release,
    command: &str,
    ids: &mut dyn Ids,
    writes: &mut Writes,
) {
    let mut dyno = Dyno {
        id: ids.dyno(),
        app: app.id,
        app_name: app.name.clone(),
        name: DynoName::new(ProcessType::release(), 1),
        kind: DynoKind::ReleasePhase,
        release: target.version,
        release_id: target.id,
        node: None,
        command: command.to_owned(),
        size: app.size(&ProcessType::web()),
        intent: Intent::Run,
        replace: false,
        created_at: context.now,
    };
    let peers = Peers::default();
    dyno.node = context.free.place(&need_alone(app, &dyno, &peers)).ok();
    writes.create_dyno(context.snapshot, &dyno);
}

/// Why a release that is on trial will not do, as soon as that is known.
pub(super) fn failure(
    context: &mut Context<'_>,
    release: &Release,
    formation: &Formation<'_>,
) -> Option<ReleaseFailure> {
    if !release.status.is_pending() {
        return None;
    }
    for member in formation.current() {
        let Some(status) = member.status else {
            continue;
        };
        let DynoState::Crashed { exit, .. } = &status.state else {
            continue;
        };
        // One exit may be bad luck and is tried again at once; the second is the app's own doing. A dyno that cannot
        // be started at all, or never binds its port, is told at the first.
        if status.restarts >= 1 || !matches!(exit.reason, ExitReason::Exited { .. }) {
            let reason = format!("{}: {}", member.seen.value.name, exit.reason.describe());
            return Some(ReleaseFailure {
                reason,
                log_tail: exit.log_tail.clone(),
            });
        }
    }
    unplaceable(context, formation)
}

/// A dyno has had no place for too long, and nothing of the app could still make room for it.
fn unplaceable(context: &mut Context<'_>, formation: &Formation<'_>) -> Option<ReleaseFailure> {
    for of_type in formation
        .types
        .values()
        .filter(|of_type| !of_type.may_make_room())
    {
        let peers = of_type.peers();
        for dyno in of_type
            .current
            .iter()
            .map(|m| &m.seen.value)
            .filter(|d| d.node.is_none())
        {
            let unplaced = &context.memory_of(dyno.app).unplaced;
            let Some(since) = unplaced.get(&dyno.id).copied() else {
                continue;
            };
            let Err(error) = context.free.best(&of_type.need(&peers)) else {
                continue;
            };
            if context.has_passed(since, context.rules.place_within) {
                let reason = format!("{} could not be placed: {error}", dyno.name);
                return Some(ReleaseFailure {
                    reason,
                    log_tail: Vec::new(),
                });
            }
        }
    }
    None
}

/// Marks the release failed and goes back to the current one, in one commit. Its dynos are obsolete from then on.
pub(super) fn fail(
    context: &Context<'_>,
    app: &Versioned<App>,
    release: &Release,
    failure: ReleaseFailure,
    state: &AppState,
    writes: &mut Writes,
) {
    let text = format!("Release {} failed: {}", release.version, failure.reason);
    writes.notes.push(note(context, release.app, text));
    resolve(
        context,
        release,
        ReleaseStatus::Failed(failure),
        state,
        writes,
    );
    let app_now = App {
        target: app.value.current,
        updated_at: context.now,
        ..app.value.clone()
    };
    writes.write(|txn| txn.put(&key::APPS, app.key.clone(), &app_now));
}

/// Marks the release succeeded and current, and forgets process types it does not have any more.
pub(super) fn succeed(
    context: &Context<'_>,
    app: &Versioned<App>,
    release: &Release,
    state: &AppState,
    writes: &mut Writes,
) {
    resolve(context, release, ReleaseStatus::Succeeded, state, writes);
    let mut app_now = App {
        current: release.version,
        updated_at: context.now,
        ..app.value.clone()
    };
    if let Some(slug) = state.slug_of(release) {
        app_now.formation.retain(|process_type, wanted| {
            let stays = slug.process_types.contains_key(process_type);
            if !stays && wanted.quantity > 0 {
                let text = format!("Removed process type {process_type} ({})", wanted.quantity);
                writes.notes.push(note(context, release.app, text));
            }
            stays
        });
    }
    writes.write(|txn| txn.put(&key::APPS, app.key.clone(), &app_now));
}

fn resolve(
    context: &Context<'_>,
    release: &Release,
    status: ReleaseStatus,
    state: &AppState,
    writes: &mut Writes,
) {
    let Some(seen) = state.releases.get(&release.version) else {
        return;
    };
    let resolved = Release {
        status,
        updated_at: context.now,
        ..release.clone()
    };
    writes.compare(&seen.key, seen.revision);
    writes.write(|txn| txn.put(&key::RELEASES, seen.key.clone(), &resolved));
}
