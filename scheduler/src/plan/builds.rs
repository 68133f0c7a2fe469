//! Giving builds a host.
//!
//! Any builder that is up can do any build; it takes from its host's room as a dyno does. A host without builds takes one
//! even where there is no room left for it, if nobody else has room: a platform that is full must still be able to deploy
//! what makes it smaller, and a build is bounded and yields to dynos. More than that wait.

use std::collections::BTreeMap;

use model::build_place::BuildPlacing;
use model::{BuildPlace, BuildRequest, BuilderReport, NodeId, Resources, ServiceId};
use store::{Txn, Versioned, key};

use super::{Change, Context};

/// Answers what has no answer yet, or a better one now, in the order it was asked; forgets answers nobody asks for.
pub(super) fn step(context: &mut Context<'_>) -> Vec<Change> {
    let snapshot = context.snapshot;
    let mut changes: Vec<Change> = Vec::new();
    for (app, place) in &snapshot.build_places {
        if !snapshot.build_requests.contains_key(app) {
            let txn = Txn::new()
                .absent(key::build_request(*app))
                .unchanged(place)
                .delete(place.key.clone());
            changes.push(change(txn));
        }
    }
    let mut running: BTreeMap<ServiceId, u32> = BTreeMap::new();
    for (_, builder, _) in snapshot.placed_builds() {
        *running.entry(builder).or_default() += 1;
    }
    let mut waiting: Vec<&Versioned<BuildRequest>> = snapshot
        .build_requests
        .values()
        .filter(|request| {
            answer(context, &request.value).is_none_or(|known| known.given().is_none())
        })
        .collect();
    waiting.sort_by_key(|request| request.revision);
    for request in waiting {
        changes.extend(place(context, request, &mut running));
    }
    changes
}

/// What the request was told so far.
fn answer<'a>(context: &Context<'a>, request: &BuildRequest) -> Option<&'a BuildPlace> {
    let known = &context.snapshot.build_places.get(&request.app)?.value;
    known.answers(request).then_some(known)
}

fn place(
    context: &mut Context<'_>,
    request: &Versioned<BuildRequest>,
    running: &mut BTreeMap<ServiceId, u32>,
) -> Option<Change> {
    let wanted = &request.value;
    let mut txn = Txn::new().unchanged(request);
    let outcome = match choose(context, wanted, running) {
        Ok(builder) => {
            let host = builder.value.host;
            // Void if that builder, or its host, is not what was looked at.
            txn = txn.unchanged(builder);
            let alive = context.snapshot.nodes.get(&host);
            if let Some(alive) = alive.and_then(|host| host.alive.as_ref()) {
                txn = txn.unchanged(alive);
            }
            context.free.reserve_for_build(host, wanted.resources());
            *running.entry(builder.value.id).or_default() += 1;
            BuildPlacing::On {
                builder: builder.value.id,
                host,
            }
        }
        Err(Full { reason, nobody }) => BuildPlacing::Waits { reason, nobody },
    };
    let told = BuildPlace {
        build: wanted.build,
        app: wanted.app,
        attempt: wanted.attempt,
        outcome,
    };
    let place = key::build_place(wanted.app);
    let txn = match context.snapshot.build_places.get(&wanted.app) {
        Some(known) if known.value == told => return None,
        Some(known) => txn.replace(&key::BUILD_PLACES, known, &told),
        None => txn.create(&key::BUILD_PLACES, place, &told),
    };
    Some(change(txn))
}

/// How good a builder is for a build; less is better. First those with room, then those with the fewest builds, then the
/// less loaded, in coarse steps: a small difference is not worth leaving the builder that has the repository at hand.
type Fitness = (bool, bool, u32, u64, bool, u64, ServiceId);

/// The best builder; or why there is none.
fn choose<'a>(
    context: &Context<'a>,
    request: &BuildRequest,
    running: &BTreeMap<ServiceId, u32>,
) -> Result<&'a Versioned<BuilderReport>, Full> {
    const COARSE: u64 = 100;
    let mut best: Option<(Fitness, &Versioned<BuilderReport>)> = None;
    let mut full = 0;
    for builder in context.snapshot.builders.values() {
        let report = &builder.value;
        let Some(host) = host(context, report.host, request.resources()) else {
            continue;
        };
        if request.not.contains(&report.id) {
            continue;
        }
        let builds = running.get(&report.id).copied().unwrap_or(0);
        if builds >= report.max_builds || !(host.has_room || builds == 0) {
            full += 1;
            continue;
        }
        let fitness = (
            !host.has_room,
            host.is_unsteady,
            builds,
            host.load / COARSE,
            report.id != request.asked_by,
            host.load,
            report.id,
        );
        if best.is_none_or(|(least, _)| fitness < least) {
            best = Some((fitness, builder));
        }
    }
    best.map(|(_, builder)| builder).ok_or_else(|| Full {
        nobody: full == 0,
        reason: match full {
            0 => "No host takes builds now: those there are are cordoned, draining, or not alive"
                .to_owned(),
            1 => "The one host that takes builds has no room for another one".to_owned(),
            _ => format!("None of the {full} hosts that take builds has room for another one"),
        },
    })
}

/// Why a build has to wait.
struct Full {
    reason: String,
    nobody: bool,
}

/// A host as a build sees it.
struct Host {
    has_room: bool,
    is_unsteady: bool,
    load: u64,
}

/// `None` if nothing new is to start there.
fn host(context: &Context<'_>, id: NodeId, need: Resources) -> Option<Host> {
    let node = context.snapshot.nodes.get(&id)?.node.as_ref()?;
    if node.runs_dynos() {
        let room = context.free.room(id)?;
        return Some(Host {
            has_room: room.free().holds(need),
            is_unsteady: room.is_unsteady(),
            load: room.load_with_builds(),
        });
    }
    // It has all of its room for builds, as many at a time as its operator allows.
    (!node.cordoned && !node.draining).then_some(Host {
        has_room: true,
        is_unsteady: false,
        load: 0,
    })
}

fn change(txn: Txn) -> Change {
    Change {
        app: None,
        txn,
        notes: Vec::new(),
    }
}
