//! Taking away the records of dynos that are no more.

use model::{Dyno, DynoKind, DynoState, Intent};

use super::{Context, Writes};
use crate::snapshot::AppState;

/// The app was destroyed: nothing routes to it and everything of it stops.
pub(super) fn destroyed(context: &Context<'_>, state: &AppState, writes: &mut Writes) {
    if let Some(route) = &state.route {
        writes.compare(&route.key, route.revision);
        writes.write(|txn| txn.delete(route.key.clone()));
    }
    for seen in state
        .dynos
        .values()
        .filter(|dyno| !dyno.value.is_stopping())
    {
        if writes.is_full() {
            return;
        }
        let stopped = Dyno {
            intent: Intent::Stop { since: context.now },
            ..seen.value.clone()
        };
        writes.put_dyno(seen, &stopped);
    }
    for status in state
        .statuses
        .values()
        .filter(|s| !state.dynos.contains_key(&s.value.dyno))
    {
        if writes.is_full() {
            return;
        }
        writes.compare(&status.key, status.revision);
        writes.write(|txn| txn.delete(status.key.clone()));
    }
}

/// Dynos that have stopped, or never ran and never will.
pub(super) fn ended(context: &mut Context<'_>, state: &AppState, writes: &mut Writes) {
    for seen in state.dynos.values() {
        if writes.is_full() {
            return;
        }
        let dyno = &seen.value;
        if outlived(context, dyno, state) {
            let stopped = Dyno {
                intent: Intent::Stop { since: context.now },
                ..dyno.clone()
            };
            writes.put_dyno(seen, &stopped);
            continue;
        }
        if !is_over(context, dyno, state) {
            continue;
        }
        writes.compare(&seen.key, seen.revision);
        writes.write(|txn| txn.delete(seen.key.clone()));
        if let Some(status) = state.statuses.get(&dyno.id) {
            writes.compare(&status.key, status.revision);
            writes.write(|txn| txn.delete(status.key.clone()));
        }
    }
}

/// Still meant to run, but its time or its purpose is over.
fn outlived(context: &mut Context<'_>, dyno: &Dyno, state: &AppState) -> bool {
    if dyno.is_stopping() || state.app.is_none() || has_stopped(dyno, state) {
        return false;
    }
    match &dyno.kind {
        DynoKind::Formation => false,
        DynoKind::OneOff(one_off) => {
            let limit = std::time::Duration::from_secs(one_off.time_to_live_secs);
            one_off.attach.is_none() && context.has_passed(dyno.created_at, limit)
        }
        DynoKind::ReleasePhase => !is_on_trial(dyno, state),
    }
}

fn is_over(context: &Context<'_>, dyno: &Dyno, state: &AppState) -> bool {
    let Some(node) = dyno.node else {
        return dyno.is_stopping();
    };
    let node_removed = context
        .snapshot
        .nodes
        .get(&node)
        .is_none_or(|n| n.node.is_none());
    match dyno.kind {
        _ if dyno.is_stopping() => has_stopped(dyno, state) || node_removed,
        DynoKind::Formation => false,
        DynoKind::OneOff(ref one_off) if one_off.is_kept => node_removed,
        DynoKind::OneOff(_) => has_stopped(dyno, state) || node_removed,
        // Its end is the proof that the phase has passed: kept until the release is resolved.
        DynoKind::ReleasePhase => {
            (has_stopped(dyno, state) || node_removed) && !is_on_trial(dyno, state)
        }
    }
}

fn has_stopped(dyno: &Dyno, state: &AppState) -> bool {
    matches!(
        state.status(dyno.id).map(|s| &s.state),
        Some(DynoState::Stopped { .. })
    )
}

fn is_on_trial(dyno: &Dyno, state: &AppState) -> bool {
    state
        .release(dyno.release)
        .is_some_and(|release| release.status.is_pending())
}
