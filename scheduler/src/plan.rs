//! The planner: a pure function from what is to what should be done about it.
//!
//! `plan` looks at a [`Snapshot`] and answers with at most one [`Change`] per app, each a set of writes that is committed
//! whole and only if nothing it was decided by has changed. It never waits and never remembers: called again after every
//! change, it takes the next step of each switch from wherever things stand. The order of a switch is
//! start → ready → every live router has acknowledged the new route → every live router has acknowledged the removal of
//! the old → in-flight requests drained → stop.

mod app;
mod converge;
mod formation;
mod place;
mod release;
mod route;
mod sweep;

use std::collections::BTreeMap;
use std::time::Duration;

use model::{AppId, Dyno, DynoId, LogLine, NodeId, Revision, Timestamp};
use store::{Key, Txn, key};

use crate::snapshot::{Memory, Snapshot};

pub use place::Unplaceable;

/// The planner's constants, in one place so that tests and operators can turn them.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The platform's domain: an app is reached at `<name>.<domain>`.
    pub domain: String,
    /// How long a node's heartbeat may be missing before its dynos are replaced.
    pub dead_after: Duration,
    /// How long in-flight requests may hold up the stop of a dyno.
    pub drain_for: Duration,
    /// How long without any router counts as "there are none": removal then needs no acknowledgement.
    pub no_router_after: Duration,
    /// A dyno that is not `web` counts as ready when it has run this long.
    pub settle: Duration,
    /// How long a dyno may go without a place before the release (or the one-off dyno) fails.
    pub place_within: Duration,
    /// How long a dyno of a live release may go without a place before its app's log says so.
    pub tell_unplaced_after: Duration,
    /// How long the release phase may take.
    pub release_phase_within: Duration,
}

impl Rules {
    pub fn for_domain(domain: impl Into<String>) -> Self {
        Self {
            domain: domain.into(),
            dead_after: Duration::from_secs(5),
            drain_for: Duration::from_secs(30),
            no_router_after: Duration::from_secs(15),
            settle: Duration::from_secs(2),
            place_within: Duration::from_secs(10),
            tell_unplaced_after: Duration::from_secs(3),
            release_phase_within: Duration::from_secs(3600),
        }
    }
}

/// What to do now, and when to look again if nothing changes before.
#[derive(Debug, Default)]
pub struct Plan {
    pub changes: Vec<Change>,
    /// What is to be told once, though nothing is to be written: see [`Memory::tell`].
    pub shortages: Vec<Shortage>,
    pub wake_at: Option<Timestamp>,
}

/// A dyno has had no place for a while, and nobody has been told why.
#[derive(Debug)]
pub struct Shortage {
    pub dyno: DynoId,
    pub reason: Unplaceable,
    /// What to write in the app's log.
    pub note: LogLine,
}

/// One app's next step: all of it or nothing.
#[derive(Debug)]
pub struct Change {
    pub app: AppId,
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

/// The next step of every app.
pub fn plan(
    snapshot: &Snapshot,
    memory: &Memory,
    rules: &Rules,
    now: Timestamp,
    ids: &mut dyn Ids,
) -> Plan {
    let mut context = Context {
        snapshot,
        memory,
        rules,
        now,
        free: place::Free::of(snapshot),
        shortages: Vec::new(),
        wake_at: None,
    };
    let mut changes = Vec::new();
    for (id, state) in &snapshot.apps {
        changes.extend(app::step(&mut context, *id, state, ids));
    }
    Plan {
        changes,
        shortages: context.shortages,
        wake_at: context.wake_at,
    }
}

/// What the parts of one planning share.
struct Context<'a> {
    snapshot: &'a Snapshot,
    memory: &'a Memory,
    rules: &'a Rules,
    now: Timestamp,
    free: place::Free,
    shortages: Vec<Shortage>,
    wake_at: Option<Timestamp>,
}

impl Context<'_> {
    /// Whether `wait` has passed since `since`; if not, asks to be woken when it has.
    fn has_passed(&mut self, since: Timestamp, wait: Duration) -> bool {
        let due = add(since, wait);
        if due <= self.now {
            return true;
        }
        self.wake_at = Some(self.wake_at.map_or(due, |at| at.min(due)));
        false
    }

    /// Whether a node is to be given up for lost.
    fn is_lost(&mut self, node: NodeId) -> bool {
        match self.memory.node_gone.get(&node) {
            Some(since) => self.has_passed(*since, self.rules.dead_after),
            None => false,
        }
    }

    /// Whether a node's dynos are to move elsewhere.
    fn is_draining(&self, node: NodeId) -> bool {
        let state = self.snapshot.nodes.get(&node);
        state
            .and_then(|state| state.node.as_ref())
            .is_some_and(|node| node.draining)
    }

    /// Whether every live router routes by `revision` or a later one.
    fn is_acknowledged(&mut self, revision: Revision) -> bool {
        match self.memory.routers_gone {
            Some(since) => self.has_passed(since, self.rules.no_router_after),
            None => self
                .snapshot
                .routers
                .values()
                .all(|router| router.applied >= revision),
        }
    }

    /// Whether no router has a request in flight to the dyno, or it has been waited for long enough.
    fn is_drained(&mut self, dyno: &Dyno) -> bool {
        let busy = self
            .snapshot
            .routers
            .values()
            .any(|router| router.draining.contains_key(&dyno.id));
        let since = self
            .memory
            .unrouted
            .get(&dyno.id)
            .copied()
            .unwrap_or(self.now);
        !busy || self.has_passed(since, self.rules.drain_for)
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
