//! What the planner must remember between looks, because no record holds it.
//!
//! A new leader starts it afresh: a timer that ran while somebody else led proves nothing. All times are the leader's
//! own, none is another host's: their clocks may say anything.

use std::collections::{BTreeMap, BTreeSet};

use model::{AppId, DynoId, DynoState, NodeId, Timestamp};

use crate::plan::{Plan, Shortage, Unplaceable};
use crate::snapshot::{AppState, Snapshot, Touched};

#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// Since when a node has had no heartbeat.
    pub node_gone: BTreeMap<NodeId, Timestamp>,
    /// When a node that had been gone was seen again.
    pub node_back: BTreeMap<NodeId, Timestamp>,
    /// The same, of nodes that had dynos all the while: one that has just joined was never missed.
    pub missed_node_back: BTreeMap<NodeId, Timestamp>,
    /// Since when there has been no router at all.
    pub routers_gone: Option<Timestamp>,
    pub apps: BTreeMap<AppId, AppMemory>,
    /// When a dyno was last moved to balance the nodes.
    pub moved_at: Option<Timestamp>,
}

/// What is remembered of one app's dynos, while they have records.
#[derive(Debug, Clone, Default)]
pub struct AppMemory {
    /// Since when a dyno has been out of its app's route.
    pub unrouted: BTreeMap<DynoId, Timestamp>,
    /// Since when a dyno has found no place.
    pub unplaced: BTreeMap<DynoId, Timestamp>,
    /// What was said of the lack of a place, of dynos that still have none.
    pub told_short: BTreeMap<DynoId, Unplaceable>,
    /// Dynos that every router was seen to send requests to, and that have not left their route since. A later change of
    /// the route, still on its way to the routers, takes nothing from that.
    pub acknowledged: BTreeSet<DynoId>,
    /// Which start of a dyno was seen to have succeeded (its node's stamp of it), and since when.
    pub up: BTreeMap<DynoId, (Timestamp, Timestamp)>,
    /// When it is to be looked at though nothing has changed.
    pub wake_at: Option<Timestamp>,
    /// It is to be looked at whenever a router has something to say.
    pub awaits_routers: bool,
}

impl Memory {
    /// Starts and stops the timers by what the snapshot shows.
    pub fn observe(&mut self, snapshot: &Snapshot, now: Timestamp) {
        self.observe_nodes(snapshot, now);
        self.apps.retain(|id, _| snapshot.apps.contains_key(id));
        for (id, state) in &snapshot.apps {
            self.apps
                .entry(*id)
                .or_default()
                .observe(snapshot, state, now);
        }
    }

    /// As [`Memory::observe`], of nodes and routers and only these apps.
    pub fn observe_apps(&mut self, snapshot: &Snapshot, apps: &BTreeSet<AppId>, now: Timestamp) {
        self.observe_nodes(snapshot, now);
        for id in apps {
            match snapshot.apps.get(id) {
                Some(state) => self
                    .apps
                    .entry(*id)
                    .or_default()
                    .observe(snapshot, state, now),
                None => {
                    self.apps.remove(id);
                }
            }
        }
    }

    /// Stops the timers of nodes that have come and gone between two looks: they have been missed only since. What is
    /// listed anew may have.
    pub fn start_anew(&mut self, snapshot: &Snapshot, touched: &Touched) {
        let is_alive = |id: &NodeId| snapshot.nodes.get(id).is_some_and(|n| n.alive.is_some());
        self.node_gone
            .retain(|id, _| is_alive(id) || !(touched.all || touched.heard_of.contains(id)));
    }

    fn observe_nodes(&mut self, snapshot: &Snapshot, now: Timestamp) {
        let Self {
            node_gone,
            node_back,
            missed_node_back,
            ..
        } = self;
        node_gone.retain(|id, _| {
            let Some(state) = snapshot.nodes.get(id) else {
                return false;
            };
            let is_back = state.alive.is_some();
            if is_back {
                node_back.insert(*id, now);
                if state.dynos.values().any(|dyno| dyno.runs) {
                    missed_node_back.insert(*id, now);
                }
            }
            !is_back
        });
        node_back.retain(|id, _| snapshot.nodes.contains_key(id));
        missed_node_back.retain(|id, _| snapshot.nodes.contains_key(id));
        for (id, state) in &snapshot.nodes {
            if state.alive.is_none() {
                node_gone.entry(*id).or_insert(now);
            }
        }
        self.routers_gone = snapshot
            .routers
            .is_empty()
            .then(|| self.routers_gone.unwrap_or(now));
    }

    /// The apps that a change, or the time, gives cause to look at; `None` for all.
    pub fn due(
        &self,
        snapshot: &Snapshot,
        touched: &Touched,
        now: Timestamp,
    ) -> Option<BTreeSet<AppId>> {
        if touched.all {
            return None;
        }
        let mut due = touched.apps.clone();
        let on_node = |id: &NodeId| snapshot.nodes.get(id).into_iter();
        let on_touched = touched.nodes.iter().flat_map(on_node);
        due.extend(on_touched.flat_map(|node| node.dynos.values().map(|dyno| dyno.app)));
        let calls = |app: &AppMemory| {
            app.wake_at.is_some_and(|at| at <= now)
                || (touched.routers && app.awaits_routers)
                // Room may have come free anywhere.
                || !app.unplaced.is_empty()
        };
        due.extend(
            self.apps
                .iter()
                .filter(|(_, app)| calls(app))
                .map(|(id, _)| *id),
        );
        Some(due)
    }

    /// When some app is to be looked at though nothing has changed.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.apps.values().filter_map(|app| app.wake_at).min()
    }

    /// Takes down what a plan wants remembered. Its notes about shortages are being written: not again, then, until the
    /// dyno is placed or the reason is another.
    pub fn keep(&mut self, plan: &Plan) {
        for (id, outlook) in &plan.outlooks {
            if let Some(app) = self.apps.get_mut(id) {
                app.wake_at = outlook.wake_at;
                app.awaits_routers = outlook.awaits_routers;
            }
        }
        for Shortage {
            app, dyno, reason, ..
        } in &plan.shortages
        {
            if let Some(app) = self.apps.get_mut(app) {
                app.told_short.insert(*dyno, reason.clone());
            }
        }
        if plan.moves {
            self.moved_at = Some(plan.made_at);
        }
    }
}

impl AppMemory {
    pub(crate) const fn new() -> Self {
        Self {
            unrouted: BTreeMap::new(),
            unplaced: BTreeMap::new(),
            told_short: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            up: BTreeMap::new(),
            wake_at: None,
            awaits_routers: false,
        }
    }

    fn observe(&mut self, snapshot: &Snapshot, state: &AppState, now: Timestamp) {
        let routed: BTreeSet<DynoId> = state
            .route
            .iter()
            .flat_map(|route| route.value.backends.iter().map(|b| b.dyno))
            .collect();
        let dynos = || state.dynos.values().map(|dyno| &dyno.value);
        let unrouted = dynos().map(|d| d.id).filter(|id| !routed.contains(id));
        run_timers(&mut self.unrouted, unrouted, now);
        let unplaced = dynos().filter(|d| d.node.is_none()).map(|d| d.id);
        run_timers(&mut self.unplaced, unplaced, now);
        self.told_short
            .retain(|id, _| self.unplaced.contains_key(id));

        self.acknowledged.retain(|id| routed.contains(id));
        let applied = snapshot.routers.values().map(|router| router.applied).min();
        let in_force = |applied| {
            state
                .route
                .as_ref()
                .is_some_and(|route| route.revision <= applied)
        };
        if applied.is_some_and(in_force) {
            self.acknowledged.extend(&routed);
        }

        let starts: BTreeMap<DynoId, Timestamp> = state
            .statuses
            .values()
            .filter_map(|status| match status.value.state {
                DynoState::Up { since, .. } => Some((status.value.dyno, since)),
                _ => None,
            })
            .collect();
        self.up
            .retain(|id, (start, _)| starts.get(id) == Some(start));
        for (id, start) in starts {
            self.up.entry(id).or_insert((start, now));
        }
    }
}

/// Keeps a timer for each of `running`, begun at `now` if it is new.
fn run_timers(
    timers: &mut BTreeMap<DynoId, Timestamp>,
    running: impl Iterator<Item = DynoId>,
    now: Timestamp,
) {
    let running: BTreeSet<DynoId> = running.collect();
    timers.retain(|id, _| running.contains(id));
    for id in running {
        timers.entry(id).or_insert(now);
    }
}
