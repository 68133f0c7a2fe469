//! Watchers that write down what they are told, and whether that was each change once, in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt as _;
use store::{Event, Key, Store, WatchItem};
use tokio::sync::watch;

use super::clients::{Notes, list};
use super::shelf::Shelf;

/// What a watcher was told, in order.
#[derive(Debug)]
pub(super) enum Told {
    /// It begins, or began anew, from a list as of this revision.
    Listed(u64),
    Batch(u64, Vec<Event>),
    Nothing(u64),
    /// Its watch ended with an error; it goes on from where it was.
    Broke,
    /// Changes were lost to it; it lists.
    Resync,
}

/// Watches below `prefix` until it knows of the revision that `last` says, if it says one.
pub(super) async fn watch(
    store: Arc<dyn Store>,
    prefix: Key,
    notes: Arc<Notes>,
    mut last: watch::Receiver<Option<u64>>,
) -> Vec<Told> {
    let mut told = Vec::new();
    let mut cursor = None;
    loop {
        let Some(after) = cursor else {
            if let Some(listing) = list(&*store, &notes).await {
                cursor = Some(listing.revision);
                told.push(Told::Listed(listing.revision));
            }
            continue;
        };
        let is_over = |last: &Option<u64>| last.is_some_and(|last| after >= last);
        if is_over(&last.borrow()) {
            return told;
        }
        let Ok(mut changes) = store.watch(&prefix, after).await else {
            continue;
        };
        loop {
            let after = cursor.unwrap_or(0);
            let item = tokio::select! {
                item = changes.next() => item,
                _ = last.wait_for(|last| last.is_some_and(|last| after >= last)) => return told,
            };
            match item {
                Some(Ok(WatchItem::Batch(batch))) => {
                    cursor = Some(batch.revision);
                    told.push(Told::Batch(batch.revision, batch.events));
                }
                Some(Ok(WatchItem::Progress(revision))) => {
                    cursor = Some(revision);
                    told.push(Told::Nothing(revision));
                }
                Some(Ok(WatchItem::Resync)) => {
                    cursor = None;
                    told.push(Told::Resync);
                    break;
                }
                Some(Err(_)) | None => {
                    told.push(Told::Broke);
                    break;
                }
            }
        }
    }
}

/// Holds what was told against what happened: the shelf after each revision.
pub(super) fn check(
    told: &[Told],
    prefix: &Key,
    shelves: &BTreeMap<u64, Shelf>,
) -> Result<(), String> {
    let changes = |revision: u64| {
        let (before, after) = (&shelves[&(revision - 1)], &shelves[&revision]);
        let mut events = after.changes_since(before);
        events.retain(|event| event.key().starts_with(prefix));
        events
    };
    let mut known = None;
    for told in told {
        let (revision, events) = match told {
            Told::Broke => continue,
            Told::Resync => {
                known = None;
                continue;
            }
            Told::Listed(revision) => {
                known = Some(*revision);
                continue;
            }
            Told::Batch(revision, events) => (*revision, events.clone()),
            Told::Nothing(revision) => (*revision, Vec::new()),
        };
        let since = known.ok_or("it was told something after a resync")?;
        if revision < since || (revision == since && !events.is_empty()) {
            return Err(format!("it was told of {revision} after {since}"));
        }
        let until = if events.is_empty() {
            revision + 1
        } else {
            revision
        };
        if let Some(missed) = (since + 1..until).find(|between| !changes(*between).is_empty()) {
            return Err(format!(
                "it was never told of {missed}, but of {since} and then of {revision}"
            ));
        }
        let mut events = events;
        events.sort_by(|a, b| a.key().cmp(b.key()));
        if !events.is_empty() && events != changes(revision) {
            return Err(format!(
                "of {revision} it was told {events:?}, not {:?}",
                changes(revision)
            ));
        }
        known = Some(revision);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use store::Entry;

    use super::super::shelf::{Call, Contract};
    use super::*;
    use crate::it::backend::{delete, key, put};
    use crate::it::linear::Model as _;

    /// Two keys written one after the other, then one deleted: revisions 2, 3 and 4.
    fn shelves() -> BTreeMap<u64, Shelf> {
        let mut shelf = Shelf::new();
        let mut shelves = BTreeMap::from([(shelf.revision, shelf.clone())]);
        for op in [put("a", "1"), put("b", "2"), delete("a")] {
            let (compares, ops) = (Vec::new(), vec![op]);
            let call = Call::Commit(store::Commit { compares, ops });
            shelf = Contract::step(&shelf, &call, None).unwrap();
            shelves.insert(shelf.revision, shelf.clone());
        }
        shelves
    }

    fn was_put(name: &str, value: &str, revision: u64) -> Told {
        let entry = Entry {
            key: key(name),
            value: value.to_owned().into(),
            revision,
        };
        Told::Batch(revision, vec![Event::Put(entry)])
    }

    fn was_deleted(name: &str, revision: u64) -> Told {
        let key = key(name);
        Told::Batch(revision, vec![Event::Delete { key, revision }])
    }

    fn is_right(told: &[Told]) -> bool {
        check(told, &key(""), &shelves()).is_ok()
    }

    #[test]
    fn each_change_once_and_in_order_is_right() {
        let (first, second) = (was_put("a", "1", 2), was_put("b", "2", 3));
        let told = [
            Told::Listed(1),
            first,
            Told::Broke,
            second,
            was_deleted("a", 4),
            Told::Nothing(4),
        ];
        assert!(is_right(&told));
        assert!(is_right(&[
            Told::Listed(1),
            Told::Resync,
            Told::Listed(3),
            was_deleted("a", 4)
        ]));
    }

    #[test]
    fn a_gap_is_wrong_whether_a_change_or_progress_follows() {
        assert!(!is_right(&[Told::Listed(1), was_put("b", "2", 3)]));
        assert!(!is_right(&[Told::Listed(1), Told::Nothing(2)]));
        assert!(!is_right(&[Told::Listed(2), was_deleted("a", 4)]));
    }

    #[test]
    fn a_change_told_twice_or_backwards_is_wrong() {
        assert!(!is_right(&[
            Told::Listed(1),
            was_put("a", "1", 2),
            was_put("a", "1", 2)
        ]));
        assert!(!is_right(&[
            Told::Listed(2),
            was_put("b", "2", 3),
            Told::Nothing(2)
        ]));
    }

    #[test]
    fn what_did_not_happen_is_wrong() {
        assert!(!is_right(&[Told::Listed(1), was_put("a", "9", 2)]));
        assert!(!is_right(&[Told::Listed(3), was_deleted("b", 4)]));
    }

    #[test]
    fn nothing_may_follow_a_resync_but_a_list() {
        assert!(!is_right(&[
            Told::Listed(1),
            Told::Resync,
            was_put("b", "2", 3)
        ]));
    }
}
