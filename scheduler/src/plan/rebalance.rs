//! Moving dynos that run well to where they would be put today: after a node has come (back), or on request.
//!
//! A move is a restart whose new dyno is placed elsewhere: the switch does the rest, and nobody loses a request. Moves are
//! few at a time, one per app, with pauses. They end: each makes the spread of its type better, or leaves it as it is and
//! makes two nodes' loads more alike by more than the dyno weighs; neither can go on for ever.

use std::collections::{BTreeMap, BTreeSet};

use model::rebalance::Move;
use model::{AppId, Dyno, DynoId, DynoKind, NodeId, ProcessType, RebalanceProgress};
use store::key;

use super::converge::fill_slot;
use super::formation::{Formation, Member, TypeState};
use super::place::{Fitness, Peers};
use super::{Change, Context, Ids, Writes};
use crate::snapshot::AppState;

/// How many dynos one look considers: whoever cannot be helped takes time, too.
const MAX_CONSIDERED: usize = 64;
/// The same for somebody who waits: if none of so many can be helped, the nodes count as balanced.
const MAX_CONSIDERED_ON_REQUEST: usize = 4096;
/// Of how many of the fullest nodes dynos are considered.
const FULLEST: usize = 8;

/// The moves to begin now.
pub(super) fn moves(
    context: &mut Context<'_>,
    busy: &BTreeSet<AppId>,
    ids: &mut dyn Ids,
) -> Vec<Change> {
    let mut changes = Vec::new();
    if context.is_mass_loss || is_pausing(context) {
        return changes;
    }
    let moving = in_progress(context);
    let room = context.rules.moves_at_once.saturating_sub(moving);
    let mut moved = busy.clone();
    let mut considered = 0;
    let most = match context.snapshot.rebalance {
        Some(_) => MAX_CONSIDERED_ON_REQUEST,
        None => MAX_CONSIDERED,
    };
    let mut progress = progress(context);
    for (app, dyno) in candidates(context) {
        if changes.len() >= room {
            return changes;
        }
        if considered >= most {
            break;
        }
        if moved.contains(&app) {
            continue;
        }
        considered += 1;
        if let Some(change) = consider(context, app, dyno, progress.as_mut(), ids) {
            moved.insert(app);
            changes.push(change);
        }
    }
    if changes.is_empty() && moving == 0 && busy.is_empty() {
        changes.extend(end_request(context, progress));
    }
    changes
}

fn is_pausing(context: &Context<'_>) -> bool {
    let moved_at = context.memory.moved_at;
    moved_at.is_some_and(|at| super::add(at, context.rules.pause_between_moves) > context.now)
}

/// Dynos being replaced, whoever asked for it.
fn in_progress(context: &Context<'_>) -> usize {
    let apps = context.snapshot.apps.values();
    apps.flat_map(|app| app.dynos.values())
        .filter(|dyno| dyno.value.replace && !dyno.value.is_stopping())
        .count()
}

/// Of the request that is being followed.
fn progress(context: &Context<'_>) -> Option<RebalanceProgress> {
    let request = &context.snapshot.rebalance.as_ref()?.value;
    let known = context.snapshot.rebalance_progress.clone();
    let known = known.filter(|known| known.request == *request && known.finished_at.is_none());
    Some(known.unwrap_or_else(|| RebalanceProgress::begun(request.clone())))
}

/// All is as balanced as it will be: whoever asked for it has had it.
fn end_request(context: &Context<'_>, progress: Option<RebalanceProgress>) -> Option<Change> {
    let request = context.snapshot.rebalance.as_ref()?;
    let mut writes = Writes::default();
    writes.compare(&request.key, request.revision);
    writes.write(|txn| txn.delete(request.key.clone()));
    let ended = RebalanceProgress {
        finished_at: Some(context.now),
        ..progress?
    };
    writes.put_progress(&ended);
    Some(Change {
        app: None,
        txn: writes.txn,
        notes: Vec::new(),
    })
}

impl Writes {
    fn put_progress(&mut self, progress: &RebalanceProgress) {
        let place = key::rebalance_progress();
        self.write(|txn| txn.put(&key::REBALANCE_PROGRESS, place, progress));
    }
}

/// Dynos that may be better off elsewhere: first of types that are not spread, then from the fullest nodes.
fn candidates(context: &Context<'_>) -> Vec<(AppId, DynoId)> {
    let apps = &context.snapshot.apps;
    let mut found: Vec<(AppId, DynoId)> = Vec::new();
    for (id, state) in apps {
        found.extend(crowded(context, state).into_iter().map(|dyno| (*id, dyno)));
    }
    if !found.is_empty() {
        // None that cannot be helped stands for ever before one that can.
        let first = usize::try_from(context.now.as_second()).unwrap_or(0) % found.len();
        found.rotate_left(first);
    }
    let mut by_load: Vec<(u64, NodeId)> = context
        .free
        .rooms()
        .map(|(id, room)| (room.load(), id))
        .collect();
    by_load.sort_unstable();
    let least = by_load.first().map_or(0, |(load, _)| *load);
    let fullest = by_load.iter().rev().take(FULLEST);
    for (_, node) in fullest.filter(|(load, _)| *load >= least + tolerance(context)) {
        let node = context.snapshot.nodes.get(node);
        let dynos = node.iter().flat_map(|node| &node.dynos);
        found.extend(dynos.filter(|(_, d)| d.runs).map(|(id, d)| (d.app, *id)));
    }
    found
}

/// How far two nodes' loads may be apart, in thousandths.
fn tolerance(context: &Context<'_>) -> u64 {
    match context.snapshot.rebalance {
        Some(_) => context.rules.balanced_within,
        None => context.rules.unbalanced_beyond,
    }
}

/// Of each type with two more dynos on one node, or in one zone, than elsewhere: the last of that node.
fn crowded(context: &Context<'_>, state: &AppState) -> Vec<DynoId> {
    let mut types: BTreeMap<&ProcessType, Vec<&Dyno>> = BTreeMap::new();
    for dyno in state.dynos.values().map(|dyno| &dyno.value) {
        if matches!(dyno.kind, DynoKind::Formation) && !dyno.is_stopping() && dyno.node.is_some() {
            types.entry(&dyno.name.process_type).or_default().push(dyno);
        }
    }
    let mut last = Vec::new();
    for mut dynos in types.into_values().filter(|dynos| dynos.len() > 1) {
        let mut zones: BTreeMap<&Option<String>, u32> = BTreeMap::new();
        let mut nodes: BTreeMap<NodeId, u32> = BTreeMap::new();
        let rooms = dynos
            .iter()
            .filter_map(|dyno| Some((dyno.node?, context.free.room(dyno.node?)?)));
        for (node, room) in rooms {
            *zones.entry(&room.zone).or_default() += 1;
            *nodes.entry(node).or_default() += 1;
        }
        let uneven = is_uneven(zones.values(), context.free.zones())
            || is_uneven(nodes.values(), context.free.rooms().len());
        if !uneven {
            continue;
        }
        let weight = |dyno: &Dyno| {
            let room = dyno.node.and_then(|node| context.free.room(node));
            let in_zone = room.and_then(|room| zones.get(&room.zone)).copied();
            let on_node = dyno.node.and_then(|node| nodes.get(&node)).copied();
            (in_zone, on_node, dyno.name.index)
        };
        dynos.sort_by_key(|dyno| weight(dyno));
        last.extend(dynos.last().map(|dyno| dyno.id));
    }
    last
}

/// Whether one of `places` places has two more than another, of those that have any and those that have none.
fn is_uneven<'c>(counts: impl ExactSizeIterator<Item = &'c u32> + Clone, places: usize) -> bool {
    let least = match counts.len() < places {
        true => 0,
        false => counts.clone().copied().min().unwrap_or(0),
    };
    counts.copied().max().unwrap_or(0) >= least + 2
}

/// Moves the dyno if its app is at rest and there is a place that is truly better.
fn consider(
    context: &mut Context<'_>,
    id: AppId,
    dyno: DynoId,
    progress: Option<&mut RebalanceProgress>,
    ids: &mut dyn Ids,
) -> Option<Change> {
    let state = context.snapshot.apps.get(&id)?;
    let app = state.app.as_ref()?;
    let release = state.release(app.value.target)?;
    // What it asks to be woken for was already asked for when the app was looked at.
    let outlook = context.outlook;
    let formation = Formation::of(context, &app.value, release, state);
    context.outlook = outlook;
    let is_at_rest = !formation.pending
        && formation.is_complete()
        && formation
            .types
            .values()
            .all(|of_type| of_type.obsolete.is_empty());
    if !is_at_rest {
        return None;
    }
    let (of_type, member) = find(&formation, dyno)?;
    let to = better_place(context, of_type, member)?;
    let mut writes = Writes::default();
    writes.compare(&app.key, app.revision);
    let from = Dyno {
        replace: true,
        ..member.seen.value.clone()
    };
    writes.put_dyno(member.seen, &from);
    let slot = &member.seen.value.name;
    let there = fill_slot(context, &app.value, release, of_type, slot, Some(to), ids)?;
    writes.create_dyno(context.snapshot, &there);
    context.free.reserve(to, of_type.size.resources());
    if let Some(progress) = progress {
        progress.add(Move {
            app_name: app.value.name.clone(),
            dyno: slot.clone(),
            from: from.node?,
            to,
            at: context.now,
        });
        writes.put_progress(progress);
    }
    Some(Change {
        app: Some(id),
        txn: writes.txn,
        notes: Vec::new(),
    })
}

fn find<'f, 'a>(
    formation: &'f Formation<'a>,
    dyno: DynoId,
) -> Option<(&'f TypeState<'a>, &'f Member<'a>)> {
    formation.types.values().find_map(|of_type| {
        let mut members = of_type.current.iter();
        let member = members.find(|member| member.seen.value.id == dyno)?;
        Some((of_type, member))
    })
}

/// Where the dyno would be put if it were not where it is, if that is better by enough.
fn better_place(
    context: &mut Context<'_>,
    of_type: &TypeState<'_>,
    member: &Member<'_>,
) -> Option<NodeId> {
    let from = member.seen.value.node?;
    let resources = of_type.size.resources();
    let load_before = context.free.room(from)?.load();
    let mut peers: Peers = of_type.peers();
    peers.remove(from);
    let need = of_type.need(&peers);
    let here = context.free.fitness(from, &need)?;
    // Both run for a while: there must be room for it beside what it leaves.
    let best: Fitness = context.free.best_but(&need, from)?;
    let to = context.free.room(best.node)?;
    let spread = |fitness: &Fitness| (fitness.in_zone, fitness.on_node);
    let is_better = spread(&best) < spread(&here)
        || (spread(&best) == spread(&here)
            && to.load_with(resources) + tolerance(context) <= load_before);
    (is_better && !best.is_unsteady).then_some(best.node)
}
