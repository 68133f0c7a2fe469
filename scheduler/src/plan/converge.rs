//! Starting what is missing and stopping what is in the way.

use std::collections::BTreeSet;

use model::{App, Dyno, DynoKind, DynoName, Intent, NodeId, ProcessType, Release};
use store::key;

use super::app::note_of;
use super::formation::{Formation, TypeState};
use super::place::{Need, Peers};
use super::route::Routing;
use super::{Context, Ids, Shortage, Unplaceable, Writes};
use crate::snapshot::AppState;

/// Creates dynos for empty slots, and places those that have had no place. Returns the types that found none: there,
/// something old must make room first.
pub(super) fn start(
    context: &mut Context<'_>,
    app: &App,
    release: &Release,
    formation: &Formation<'_>,
    ids: &mut dyn Ids,
    writes: &mut Writes,
) -> BTreeSet<ProcessType> {
    let mut short = BTreeSet::new();
    for (process_type, of_type) in &formation.types {
        if of_type.command.is_none() {
            continue;
        }
        let mut peers = of_type.peers();
        let mut placed_one = false;
        let unplaced = of_type
            .current
            .iter()
            .filter(|m| m.seen.value.node.is_none());
        for member in unplaced {
            if writes.is_full() {
                break;
            }
            match context.free.place(&of_type.need(&peers)) {
                Ok(node) => {
                    peers.add(node);
                    placed_one = true;
                    let placed = Dyno {
                        node: Some(node),
                        ..member.seen.value.clone()
                    };
                    writes.require_alive(context.snapshot, node);
                    require_lost(of_type, placed.name.index, writes);
                    writes.put_dyno(member.seen, &placed);
                    let memory = context.memory_of(app.id);
                    if memory.told_short.contains_key(&placed.id) {
                        let text = "Placed: there is room for it now".to_owned();
                        writes.notes.push(note_of(context, &placed, text));
                    }
                }
                Err(reason) => {
                    short.insert(process_type.clone());
                    // Old dynos of the type may still make room one after the other; the failure of a release on
                    // trial is told as such.
                    if !of_type.may_make_room() && !formation.pending {
                        tell(context, &member.seen.value, reason);
                    }
                }
            }
        }
        for index in of_type.missing().take(may_start(of_type)) {
            if writes.is_full() || short.contains(process_type) {
                break;
            }
            let node = context.free.place(&of_type.need(&peers)).ok();
            match node {
                Some(node) => {
                    peers.add(node);
                    placed_one = true;
                    require_lost(of_type, index, writes);
                }
                None => {
                    short.insert(process_type.clone());
                }
            }
            let name = DynoName::new(process_type.clone(), index);
            let Some(dyno) = fill_slot(context, app, release, of_type, &name, node, ids) else {
                break;
            };
            writes.create_dyno(context.snapshot, &dyno);
        }
        if placed_one {
            // One that has just found a place is to be ready first.
            short.remove(process_type);
        }
    }
    short
}

/// A new dyno of the type; `None` if the release has no such type.
pub(super) fn fill_slot(
    context: &Context<'_>,
    app: &App,
    release: &Release,
    of_type: &TypeState<'_>,
    name: &DynoName,
    node: Option<NodeId>,
    ids: &mut dyn Ids,
) -> Option<Dyno> {
    Some(Dyno {
        id: ids.dyno(),
        app: app.id,
        app_name: app.name.clone(),
        name: name.clone(),
        kind: DynoKind::Formation,
        release: release.version,
        release_id: release.id,
        node,
        command: of_type.command?.to_owned(),
        size: of_type.size,
        intent: Intent::Run,
        replace: false,
        created_at: context.now,
    })
}

/// A replacement of what a lost node runs holds only while that node has not come back.
fn require_lost(of_type: &TypeState<'_>, index: u32, writes: &mut Writes) {
    for node in of_type.lost_from(index) {
        writes.require_gone(node);
    }
}

/// Says why a dyno has no place: once it has waited a while, and again when the reason is another.
fn tell(context: &mut Context<'_>, dyno: &Dyno, reason: Unplaceable) {
    let memory = context.memory_of(dyno.app);
    let Some(since) = memory.unplaced.get(&dyno.id).copied() else {
        return;
    };
    let told = memory.told_short.get(&dyno.id);
    if told.is_some_and(|told| told.is_like(&reason))
        || !context.has_passed(since, context.rules.tell_unplaced_after)
    {
        return;
    }
    let note = note_of(context, dyno, format!("Cannot be placed: {reason}"));
    context.shortages.push(Shortage {
        app: dyno.app,
        dyno: dyno.id,
        reason,
        note,
    });
}

/// While old dynos are being replaced, half of the formation at a time: new ones boot beside the old within capacity.
fn may_start(of_type: &TypeState<'_>) -> usize {
    if of_type.obsolete.iter().all(|member| member.lost) {
        return usize::MAX;
    }
    let surge = (of_type.wanted as usize).div_ceil(2).max(1);
    let booting = of_type.current.len() - of_type.ready();
    surge.saturating_sub(booting)
}

/// Tells obsolete dynos to stop, each as soon as nothing depends on it.
pub(super) fn stop(
    context: &mut Context<'_>,
    formation: &Formation<'_>,
    routing: &Routing,
    state: &AppState,
    writes: &mut Writes,
) {
    for of_type in formation.types.values() {
        for member in &of_type.obsolete {
            if writes.is_full() {
                return;
            }
            let dyno = &member.seen.value;
            if member.lost {
                let index = dyno.name.index;
                let replaced = of_type
                    .current
                    .iter()
                    .any(|m| m.seen.value.name.index == index && m.seen.value.node.is_some());
                if !(replaced || of_type.wanted < index) || routing.routes_to(dyno.id) {
                    continue;
                }
                // Its node finds this on return and stops it before it may be routed again.
                if let Some(node) = dyno.node {
                    writes.require_gone(node);
                }
            } else if routing.needs(dyno.id) || !may_stop(context, member, state) {
                continue;
            }
            if let Some(route) = state.route.as_ref().filter(|_| dyno.is_web()) {
                writes.compare(&route.key, route.revision);
            }
            let stopped = Dyno {
                intent: Intent::Stop { since: context.now },
                ..dyno.clone()
            };
            writes.put_dyno(member.seen, &stopped);
        }
    }
}

/// A web dyno is stopped when no router sends it requests and none is in flight. That it does not seem to run proves
/// nothing: a router may not have heard, and the dyno may be up again.
fn may_stop(
    context: &mut Context<'_>,
    member: &super::formation::Member<'_>,
    state: &AppState,
) -> bool {
    let dyno = &member.seen.value;
    if !dyno.is_web() {
        return true;
    }
    let acknowledged = state
        .route
        .as_ref()
        .is_none_or(|route| context.is_acknowledged(route.revision));
    !member.routed && acknowledged && context.is_drained(dyno)
}

/// One-off and release-phase dynos: a place, or an end if there is none to be had.
pub(super) fn place_one_offs(
    context: &mut Context<'_>,
    app: &App,
    state: &AppState,
    writes: &mut Writes,
) {
    for seen in state.dynos.values() {
        let dyno = &seen.value;
        let waits =
            dyno.node.is_none() && !dyno.is_stopping() && !matches!(dyno.kind, DynoKind::Formation);
        if !waits || writes.is_full() {
            continue;
        }
        let peers = Peers::default();
        match context.free.place(&need_alone(app, dyno, &peers)) {
            Ok(node) => {
                writes.require_alive(context.snapshot, node);
                writes.put_dyno(
                    seen,
                    &Dyno {
                        node: Some(node),
                        ..dyno.clone()
                    },
                );
            }
            Err(error) => {
                let since = context.memory_of(app.id).unplaced.get(&dyno.id).copied();
                if context.has_passed(since.unwrap_or(context.now), context.rules.place_within) {
                    let text = format!("Could not be placed: {error}");
                    writes.notes.push(note_of(context, dyno, text));
                    let stopped = Dyno {
                        intent: Intent::Stop { since: context.now },
                        ..dyno.clone()
                    };
                    writes.put_dyno(seen, &stopped);
                }
            }
        }
    }
}

/// What a dyno asks of its node that is the only one of its kind.
pub(super) fn need_alone<'p>(app: &App, dyno: &Dyno, peers: &'p Peers) -> Need<'p> {
    Need {
        resources: dyno.size.resources(),
        tags: app.placement.tags_for(&dyno.name.process_type),
        one_per_node: false,
        peers,
    }
}

impl Writes {
    /// Only the planner and, for one-off dynos, the controller create dynos.
    pub(super) fn create_dyno(&mut self, snapshot: &crate::snapshot::Snapshot, dyno: &Dyno) {
        if let Some(node) = dyno.node {
            self.require_alive(snapshot, node);
        }
        self.write(|txn| txn.create(&key::DYNOS, key::dyno(dyno.app, dyno.id), dyno));
    }

    pub(super) fn put_dyno(&mut self, seen: &store::Versioned<Dyno>, dyno: &Dyno) {
        self.compare(&seen.key, seen.revision);
        self.write(|txn| txn.put(&key::DYNOS, seen.key.clone(), dyno));
    }
}
