//! What a leader knows and remembers, and its looks at that: everything of the scheduler but the waiting and the writing.

use std::collections::BTreeSet;

use model::{AppId, Revision, Timestamp};
use store::Update;

use crate::memory::Memory;
use crate::plan::{Ids, Look, Plan, Rules, plan};
use crate::snapshot::Snapshot;

#[derive(Debug, Default)]
pub struct Planner {
    pub snapshot: Snapshot,
    pub memory: Memory,
}

impl Planner {
    pub fn apply(&mut self, update: Update) {
        self.snapshot.apply(update);
    }

    pub const fn revision(&self) -> Revision {
        self.snapshot.revision
    }

    /// When to look again though nothing changes.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.memory.wake_at()
    }

    /// The next step of everything.
    pub fn look_at_all(&mut self, rules: &Rules, now: Timestamp, ids: &mut dyn Ids) -> Plan {
        let touched = self.snapshot.take_touched();
        self.memory.start_anew(&self.snapshot, &touched);
        self.memory.observe(&self.snapshot, now);
        self.plan(rules, now, None, ids)
    }

    /// The next step of what has changed since the last look, or has waited for this moment.
    pub fn look(&mut self, rules: &Rules, now: Timestamp, ids: &mut dyn Ids) -> Plan {
        let touched = self.snapshot.take_touched();
        self.memory.start_anew(&self.snapshot, &touched);
        match self.memory.due(&self.snapshot, &touched, now) {
            None => {
                self.memory.observe(&self.snapshot, now);
                self.plan(rules, now, None, ids)
            }
            Some(apps) => {
                self.memory.observe_apps(&self.snapshot, &apps, now);
                self.plan(rules, now, Some(&apps), ids)
            }
        }
    }

    fn plan(
        &mut self,
        rules: &Rules,
        now: Timestamp,
        apps: Option<&BTreeSet<AppId>>,
        ids: &mut dyn Ids,
    ) -> Plan {
        let look = Look {
            snapshot: &self.snapshot,
            memory: &self.memory,
            rules,
            now,
            apps,
        };
        let planned = plan(&look, ids);
        self.memory.keep(&planned);
        planned
    }
}
