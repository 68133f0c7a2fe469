//! The store's contract as a model: one sorted map, and a revision that grows by one with each change.

use std::collections::BTreeMap;

use bytes::Bytes;
use store::{Commit, Committed, Compare, Entry, Event, Key, LeaseId, Op};

use crate::it::linear::Model;

/// What is in the store at one revision, and under which lease.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Shelf {
    pub(super) revision: u64,
    entries: BTreeMap<Key, (Bytes, u64, Option<LeaseId>)>,
}

#[derive(Debug, Clone)]
pub(super) enum Call {
    Get(Key),
    /// Everything.
    List,
    Commit(Commit),
    Revoke(LeaseId),
    /// The store ends it; called when it may, and never answered.
    Lapse(LeaseId),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Got(Option<Entry>),
    Listed(u64, Vec<Entry>),
    Committed(Committed),
    Revoked,
}

pub(super) struct Contract;

impl Model for Contract {
    type State = Shelf;
    type Call = Call;
    type Answer = Answer;

    fn step(before: &Shelf, call: &Call, answer: Option<&Answer>) -> Option<Shelf> {
        let mut shelf = before.clone();
        let answers = match call {
            Call::Get(key) => Answer::Got(shelf.get(key)),
            Call::List => Answer::Listed(shelf.revision, shelf.list()),
            Call::Commit(commit) => Answer::Committed(shelf.commit(commit)),
            Call::Revoke(lease) | Call::Lapse(lease) => {
                shelf.end(*lease);
                Answer::Revoked
            }
        };
        match answer {
            Some(answer) => (*answer == answers).then_some(shelf),
            // What nobody heard of matters only if it had an effect.
            None => (shelf.revision != before.revision).then_some(shelf),
        }
    }
}

impl Shelf {
    /// As a store begins.
    pub(super) const fn new() -> Self {
        Self {
            revision: 1,
            entries: BTreeMap::new(),
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Entry> {
        let (value, revision, _) = self.entries.get(key)?;
        Some(Entry {
            key: key.clone(),
            value: value.clone(),
            revision: *revision,
        })
    }

    pub(super) fn list(&self) -> Vec<Entry> {
        let keys = self.entries.keys();
        keys.filter_map(|key| self.get(key)).collect()
    }

    fn commit(&mut self, commit: &Commit) -> Committed {
        let revision_of = |key: &Key| self.entries.get(key).map(|(_, revision, _)| *revision);
        let holds = commit.compares.iter().all(|compare| match compare {
            Compare::Revision { key, revision } => revision_of(key) == Some(*revision),
            Compare::Absent { key } => revision_of(key).is_none(),
            Compare::Exists { key } => revision_of(key).is_some(),
        });
        if !holds {
            return Committed::Conflict;
        }
        let next = self.revision + 1;
        for op in &commit.ops {
            match op {
                Op::Put { key, value, lease } => {
                    let entry = (value.clone(), next, *lease);
                    self.entries.insert(key.clone(), entry);
                    self.revision = next;
                }
                Op::Delete { key } => {
                    if self.entries.remove(key).is_some() {
                        self.revision = next;
                    }
                }
            }
        }
        Committed::Done(self.revision)
    }

    fn end(&mut self, lease: LeaseId) {
        let count = self.entries.len();
        self.entries
            .retain(|_, (_, _, under)| *under != Some(lease));
        if self.entries.len() < count {
            self.revision += 1;
        }
    }

    /// The changes that lead from `before`, the shelf one revision earlier, in key order.
    pub(super) fn changes_since(&self, before: &Self) -> Vec<Event> {
        let gone = before
            .entries
            .keys()
            .filter(|key| !self.entries.contains_key(key));
        let gone = gone.map(|key| Event::Delete {
            key: key.clone(),
            revision: self.revision,
        });
        let new = self
            .list()
            .into_iter()
            .filter(|entry| entry.revision == self.revision);
        let mut events: Vec<Event> = gone.chain(new.map(Event::Put)).collect();
        events.sort_by(|a, b| a.key().cmp(b.key()));
        events
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::it::backend::{key, put, put_leased};
    use crate::it::linear::{Disorder, Operation, order};

    fn called(call: Call, from: u64, answer: Option<(Answer, u64)>) -> Operation<Call, Answer> {
        Operation {
            call,
            called_at: Duration::from_secs(from),
            answer: answer.map(|(answer, at)| (answer, Duration::from_secs(at))),
        }
    }

    fn write(op: Op, from: u64, revision: u64, until: u64) -> Operation<Call, Answer> {
        let (compares, ops) = (Vec::new(), vec![op]);
        let done = Answer::Committed(Committed::Done(revision));
        called(
            Call::Commit(Commit { compares, ops }),
            from,
            Some((done, until)),
        )
    }

    fn finds_nothing(from: u64, until: u64) -> Operation<Call, Answer> {
        called(Call::Get(key("a")), from, Some((Answer::Got(None), until)))
    }

    fn has_order(history: &[Operation<Call, Answer>]) -> bool {
        match order::<Contract>(Shelf::new(), history) {
            Ok(_) => true,
            Err(Disorder::Impossible(_)) => false,
            Err(Disorder::Undecided) => panic!("undecided"),
        }
    }

    #[test]
    fn a_write_that_was_answered_is_not_lost() {
        let written = write(put("a", "1"), 0, 2, 1);
        assert!(has_order(&[written.clone(), finds_nothing(0, 2)]));
        assert!(!has_order(&[written, finds_nothing(2, 3)]));
    }

    #[test]
    fn no_revision_is_given_twice_or_left_out() {
        let first = write(put("a", "1"), 0, 2, 9);
        assert!(has_order(&[first.clone(), write(put("b", "1"), 0, 3, 9)]));
        assert!(!has_order(&[first.clone(), write(put("b", "1"), 0, 2, 9)]));
        assert!(!has_order(&[first, write(put("b", "1"), 0, 4, 9)]));
    }

    #[test]
    fn a_lease_does_not_lapse_before_its_time() {
        let lease = LeaseId(7);
        let written = write(put_leased("a", "1", lease), 0, 2, 1);
        let lapse = called(Call::Lapse(lease), 5, None);
        let history = |from| {
            [
                written.clone(),
                finds_nothing(from, from + 1),
                lapse.clone(),
            ]
        };
        assert!(has_order(&history(6)));
        assert!(!has_order(&history(2)));
    }
}
