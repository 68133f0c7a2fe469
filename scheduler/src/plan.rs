//! The planner: a pure function from what is to what should be done about it.
//!
//! `plan` looks at a [`Snapshot`] and answers with at most one [`Change`] per app, each a set of writes that is committed
//! whole and only if nothing it was decided by has changed. It never waits and never remembers: called again after every
//! change, it takes the next step of each switch from wherever things stand. The order of a switch is
//! start → ready → every live router has acknowledged the new route → every live router has acknowledged the removal of
//! the old → in-flight requests drained → stop.

mod app;
mod builds;
mod converge;
mod formation;
mod health;
mod place;
mod rebalance;
mod release;
mod route;
mod rules;
mod sweep;
mod unplaceable;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{AppId, Dyno, DynoId, LogLine, NodeId, Revision, Timestamp};
use store::{Key, Txn, key};

use crate::memory::{AppMemory, Memory};
use crate::snapshot::Snapshot;

pub use rules::Rules;
pub use unplaceable::Unplaceable;

/// All that a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    pub snapshot: &'a Snapshot,
    pub memory: &'a Memory,
    pub rules: &'a Rules,
    pub now: Timestamp,
    /// The apps to look at; `None` for all, and for how the load is spread.
    pub apps: Option<&'a BTreeSet<AppId>>,
}

/// What to do now, and when to look again if nothing changes before.
#[derive(Debug)]
pub struct Plan {
    pub changes: Vec<Change>,
    /// What is to be told once, though nothing is to be written: see [`Memory::keep`].
    pub shortages: Vec<Shortage>,
    /// Of every app that was looked at.
    pub outlooks: Vec<(AppId, Outlook)>,
    /// A dyno is moved to balance the nodes.
    pub moves: bool,
    pub made_at: Timestamp,
}

/// What an app waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outlook {
    pub wake_at: Option<Timestamp>,
    pub awaits_routers: bool,
}

/// A dyno has had no place for a while, and nobody has been told why.
#[derive(Debug)]
pub struct Shortage {
    pub app: AppId,
    pub dyno: DynoId,
    pub reason: Unplaceable,
    /// What to write in the app's log.
    pub note: LogLine,
}

/// One app's next step: all of it or nothing.
#[derive(Debug)]
pub struct Change {
    /// `None` for what is no app's.
    pub app: Option<AppId>,
    pub txn: Txn,
    /// What to write in the app's log once it is committed.
    pub notes: Vec<LogLine>,
}

/// Where new ids come from; the planner itself rolls no dice.
pub trait Ids {
    fn dyno(&mut self) -> DynoId;
}

/// Fresh random ids.
#[derive(Debug, Clone, Copy)]
pub struct RandomIds;

impl Ids for RandomIds {
    fn dyno(&mut self) -> DynoId {
        DynoId::new()
    }
}

/// The next step of every app that is looked at.
pub fn plan(look: &Look<'_>, ids: &mut dyn Ids) -> Plan {
    let mut context = Context::new(look);
    let mut plan = Plan {
        changes: Vec::new(),
        shortages: Vec::new(),
        outlooks: Vec::new(),
        moves: false,
        made_at: look.now,
    };
    let apps = &look.snapshot.apps;
    let mut step = |id: AppId, state| {
        context.outlook = Outlook::default();
        plan.changes.extend(app::step(&mut context, id, state, ids));
        plan.outlooks.push((id, context.outlook));
    };
    match look.apps {
        None => apps.iter().for_each(|(id, state)| step(*id, state)),
        Some(some) => some
            .iter()
            .filter_map(|id| Some((*id, apps.get(id)?)))
            .for_each(|(id, state)| step(id, state)),
    }
    plan.changes.extend(builds::step(&mut context));
    if look.apps.is_none() {
        let busy = plan
            .changes
            .iter()
            .filter_map(|change| change.app)
            .collect();
        let moves = rebalance::moves(&mut context, &busy, ids);
        plan.moves = moves.iter().any(|change| change.app.is_some());
        plan.changes.extend(moves);
    }
    plan.shortages = context.shortages;
    plan
}

/// What the parts of one planning share.
struct Context<'a> {
    snapshot: &'a Snapshot,
    memory: &'a Memory,
    rules: &'a Rules,
    now: Timestamp,
    is_mass_loss: bool,
    free: place::Free,
    shortages: Vec<Shortage>,
    /// Of the app that is being looked at.
    outlook: Outlook,
}

impl<'a> Context<'a> {
    fn new(look: &Look<'a>) -> Self {
        let mut context = Self {
            snapshot: look.snapshot,
            memory: look.memory,
            rules: look.rules,
            now: look.now,
            is_mass_loss: health::is_mass_loss(look.snapshot, look.memory, look.rules, look.now),
            free: place::Free::default(),
            shortages: Vec::new(),
            outlook: Outlook::default(),
        };
        context.free = place::Free::of(&context);
        context
    }

    /// What is remembered of the app's dynos.
    fn memory_of(&self, app: AppId) -> &'a AppMemory {
        static NOTHING: AppMemory = AppMemory::new();
        self.memory.apps.get(&app).unwrap_or(&NOTHING)
    }

    /// Whether `wait` has passed since `since`; if not, asks to be woken when it has.
    fn has_passed(&mut self, since: Timestamp, wait: Duration) -> bool {
        let due = add(since, wait);
        if due <= self.now {
            return true;
        }
        self.outlook.wake_at = Some(self.outlook.wake_at.map_or(due, |at| at.min(due)));
        false
    }

    /// Whether every live router routes by `revision` or a later one.
    fn is_acknowledged(&mut self, revision: Revision) -> bool {
        if let Some(since) = self.memory.routers_gone {
            self.outlook.awaits_routers = true;
            return self.has_passed(since, self.rules.no_router_after);
        }
        let mut routers = self.snapshot.routers.values();
        let acknowledged = routers.all(|router| router.applied >= revision);
        self.outlook.awaits_routers |= !acknowledged;
        acknowledged
    }

    /// Whether no router has a request in flight to the dyno, or it has been waited for long enough.
    fn is_drained(&mut self, dyno: &Dyno) -> bool {
        let mut routers = self.snapshot.routers.values();
        if !routers.any(|router| router.draining.contains_key(&dyno.id)) {
            return true;
        }
        self.outlook.awaits_routers = true;
        let unrouted = self.memory_of(dyno.app).unrouted.get(&dyno.id);
        self.has_passed(unrouted.copied().unwrap_or(self.now), self.rules.drain_for)
    }
}

/// Collects one app's writes and what they depend on.
#[derive(Debug, Default)]
struct Writes {
    txn: Txn,
    count: usize,
    compared: BTreeMap<Key, ()>,
    notes: Vec<LogLine>,
}

/// Room for the ops of one change; the rest follows in the next step. The store takes 128.
const MAX_WRITES: usize = 100;

impl Writes {
    const fn is_full(&self) -> bool {
        self.count >= MAX_WRITES
    }

    fn compare(&mut self, key: &Key, revision: Revision) {
        if self.compared.insert(key.clone(), ()).is_none() {
            self.txn = std::mem::take(&mut self.txn).at_revision(key.clone(), revision);
        }
    }

    fn write(&mut self, edit: impl FnOnce(Txn) -> Txn) {
        self.txn = edit(std::mem::take(&mut self.txn));
        self.count += 1;
    }

    /// A placement holds only while its node is the one that was looked at.
    fn require_alive(&mut self, snapshot: &Snapshot, node: NodeId) {
        if let Some(alive) = snapshot
            .nodes
            .get(&node)
            .and_then(|node| node.alive.as_ref())
        {
            self.compare(&alive.key, alive.revision);
        }
    }

    /// A replacement of what a lost node ran holds only while that node has not come back.
    fn require_gone(&mut self, node: NodeId) {
        self.require_absent(key::alive_node(node));
    }

    fn require_absent(&mut self, key: Key) {
        if self.compared.insert(key.clone(), ()).is_none() {
            self.txn = std::mem::take(&mut self.txn).absent(key);
        }
    }
}

fn add(at: Timestamp, wait: Duration) -> Timestamp {
    at.saturating_add(jiff::SignedDuration::try_from(wait).unwrap_or(jiff::SignedDuration::MAX))
        .unwrap_or(Timestamp::MAX)
}
