//! The store as its contract says: revisions, comparisons, leases that lapse, a log to watch.

use std::collections::{BTreeMap, BTreeSet};

use model::{AppId, Dyno, DynoId, Revision, Route};
use store::{Commit, Committed, Compare, Entry, Event, Key, Op, Update, Versioned, key};

use super::Millis;

#[derive(Debug, Default)]
pub(super) struct SimStore {
    kv: BTreeMap<Key, Entry>,
    pub(super) log: Vec<Logged>,
    leases: BTreeMap<i64, SimLease>,
    lease_of: BTreeMap<Key, i64>,
    next_lease: i64,
    /// Nobody can reach it; leases do not lapse meanwhile, as etcd's do not without a leader.
    pub(super) down: bool,
}

#[derive(Debug)]
struct SimLease {
    ttl: Millis,
    lapses_at: Millis,
}

/// One commit, read once for all who follow.
#[derive(Debug)]
pub(super) struct Logged {
    pub(super) events: Vec<Event>,
    pub(super) dynos: Vec<Change<Dyno>>,
    pub(super) routes: Vec<Change<Route>>,
}

#[derive(Debug)]
pub(super) enum Change<T> {
    Put(Versioned<T>),
    Delete(Key),
}

impl SimStore {
    pub(super) fn revision(&self) -> Revision {
        self.log.len() as Revision
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Entry> {
        self.kv.get(key)
    }

    pub(super) fn has(&self, key: &Key) -> bool {
        self.kv.contains_key(key)
    }

    /// What a follower gets that begins, or begins anew.
    pub(super) fn snapshot(&self) -> Update {
        Update::Snapshot {
            revision: self.revision(),
            entries: self.kv.values().cloned().collect(),
        }
    }

    pub(super) fn changes(&self, index: usize) -> Update {
        Update::Changes {
            revision: index as Revision + 1,
            events: self.log[index].events.clone(),
        }
    }

    pub(super) fn grant(&mut self, ttl: Millis, now: Millis) -> i64 {
        self.next_lease += 1;
        let lapses_at = now + ttl;
        self.leases
            .insert(self.next_lease, SimLease { ttl, lapses_at });
        self.next_lease
    }

    /// Whether it was in time.
    pub(super) fn keep_alive(&mut self, lease: i64, now: Millis) -> bool {
        match self.leases.get_mut(&lease) {
            Some(lease) => {
                lease.lapses_at = now + lease.ttl;
                true
            }
            None => false,
        }
    }

    pub(super) fn revoke(&mut self, lease: i64) {
        if self.leases.remove(&lease).is_none() {
            return;
        }
        let held = self.lease_of.iter().filter(|(_, of)| **of == lease);
        let keys: Vec<Key> = held.map(|(key, _)| key.clone()).collect();
        if !keys.is_empty() {
            let ops = keys.into_iter().map(|key| Op::Delete { key });
            self.write(ops.collect());
        }
    }

    /// Lets leases lapse whose time is over.
    pub(super) fn tick(&mut self, now: Millis) {
        if self.down {
            return;
        }
        let over = self.leases.iter().filter(|(_, l)| l.lapses_at <= now);
        let over: Vec<i64> = over.map(|(id, _)| *id).collect();
        over.into_iter().for_each(|lease| self.revoke(lease));
    }

    /// Another member leads it: all leases begin anew.
    pub(super) fn renew_leases(&mut self, now: Millis) {
        for lease in self.leases.values_mut() {
            lease.lapses_at = now + lease.ttl;
        }
    }

    pub(super) fn commit(&mut self, commit: Commit) -> Committed {
        let holds = commit.compares.iter().all(|compare| match compare {
            Compare::Revision { key, revision } => self
                .get(key)
                .is_some_and(|entry| entry.revision == *revision),
            Compare::Absent { key } => !self.has(key),
            Compare::Exists { key } => self.has(key),
        });
        let lapsed = |op: &Op| matches!(op, Op::Put { lease: Some(lease), .. } if !self.leases.contains_key(&lease.0));
        if !holds || commit.ops.iter().any(lapsed) {
            return Committed::Conflict;
        }
        self.write(commit.ops);
        Committed::Done(self.revision())
    }

    fn write(&mut self, ops: Vec<Op>) {
        let revision = self.revision() + 1;
        let mut logged = Logged {
            events: Vec::new(),
            dynos: Vec::new(),
            routes: Vec::new(),
        };
        for op in ops {
            let key = op.key().clone();
            self.lease_of.remove(&key);
            match op {
                Op::Put { value, lease, .. } => {
                    if let Some(lease) = lease {
                        self.lease_of.insert(key.clone(), lease.0);
                    }
                    let entry = Entry {
                        key: key.clone(),
                        value,
                        revision,
                    };
                    if key::DYNOS.holds(&key) {
                        let dyno = key::DYNOS.decode(&entry).unwrap();
                        logged.dynos.push(Change::Put(dyno));
                    } else if key::ROUTES.holds(&key) {
                        let route = key::ROUTES.decode(&entry).unwrap();
                        logged.routes.push(Change::Put(route));
                    }
                    self.kv.insert(key, entry.clone());
                    logged.events.push(Event::Put(entry));
                }
                Op::Delete { .. } => {
                    if self.kv.remove(&key).is_none() {
                        continue;
                    }
                    if key::DYNOS.holds(&key) {
                        logged.dynos.push(Change::Delete(key.clone()));
                    } else if key::ROUTES.holds(&key) {
                        logged.routes.push(Change::Delete(key.clone()));
                    }
                    logged.events.push(Event::Delete { key, revision });
                }
            }
        }
        self.log.push(logged);
    }

    /// All keys below the prefix.
    pub(super) fn keys(&self, prefix: &Key) -> BTreeSet<Key> {
        let below = self.kv.range(prefix.clone()..).map(|(key, _)| key);
        below
            .take_while(|key| key.starts_with(prefix))
            .cloned()
            .collect()
    }
}

impl Change<Dyno> {
    pub(super) fn ids(&self) -> (DynoId, AppId) {
        match self {
            Self::Put(dyno) => (dyno.value.id, dyno.value.app),
            Self::Delete(key) => {
                let mut segments = key.as_str().rsplit('/');
                let dyno = segments.next().unwrap().parse().unwrap();
                (dyno, segments.next().unwrap().parse().unwrap())
            }
        }
    }
}

impl Change<Route> {
    pub(super) fn app(&self) -> AppId {
        match self {
            Self::Put(route) => route.value.app,
            Self::Delete(key) => key.name().parse().unwrap(),
        }
    }
}
