//! Our words in etcd's, and back.

use std::time::Duration;

use bytes::Bytes;
use etcd_client::{CompareOp, EventType, KeyValue, PutOptions, ResponseHeader, Txn, TxnOp};
use model::Revision;

use super::retry::message_of;
use crate::{Commit, Compare, Entry, Event, Key, Op, StoreError, WatchBatch};

/// etcd's words, for want of a code of their own.
const LEASE_NOT_FOUND: &str = "requested lease not found";

pub(super) fn transaction(commit: &Commit) -> Result<Txn, StoreError> {
    let compares = commit
        .compares
        .iter()
        .map(compare)
        .collect::<Result<Vec<_>, _>>()?;
    let ops: Vec<_> = commit.ops.iter().map(operation).collect();
    Ok(Txn::new().when(compares).and_then(ops))
}

fn compare(compare: &Compare) -> Result<etcd_client::Compare, StoreError> {
    Ok(match compare {
        Compare::Revision { key, revision } => {
            let revision = i64::try_from(*revision)
                .map_err(|error| StoreError::unavailable("comparing a revision", error))?;
            etcd_client::Compare::mod_revision(key.as_str(), CompareOp::Equal, revision)
        }
        Compare::Absent { key } => {
            etcd_client::Compare::create_revision(key.as_str(), CompareOp::Equal, 0)
        }
        Compare::Exists { key } => {
            etcd_client::Compare::create_revision(key.as_str(), CompareOp::Greater, 0)
        }
    })
}

fn operation(op: &Op) -> TxnOp {
    match op {
        Op::Put { key, value, lease } => {
            let options = lease.map(|lease| PutOptions::new().with_lease(lease.0));
            TxnOp::put(key.as_str(), value.to_vec(), options)
        }
        Op::Delete { key } => TxnOp::delete(key.as_str(), None),
    }
}

pub(super) fn entry(found: &KeyValue) -> Result<Entry, StoreError> {
    Ok(Entry {
        key: key(found)?,
        value: Bytes::copy_from_slice(found.value()),
        revision: unsigned(found.mod_revision())?,
    })
}

fn key(found: &KeyValue) -> Result<Key, StoreError> {
    found
        .key_str()
        .map(Key::from_text)
        .map_err(|error| StoreError::unavailable("reading a key's name", error))
}

/// One batch for each revision. etcd never spreads a revision over two answers unless asked to.
pub(super) fn batches(events: &[etcd_client::Event]) -> Result<Vec<WatchBatch>, StoreError> {
    let mut batches: Vec<WatchBatch> = Vec::new();
    for event in events {
        let Some(found) = event.kv() else { continue };
        let event = match event.event_type() {
            EventType::Put => Event::Put(entry(found)?),
            EventType::Delete => Event::Delete {
                key: key(found)?,
                revision: unsigned(found.mod_revision())?,
            },
        };
        match batches.last_mut() {
            Some(batch) if batch.revision == event.revision() => batch.events.push(event),
            _ => batches.push(WatchBatch {
                revision: event.revision(),
                events: vec![event],
            }),
        }
    }
    Ok(batches)
}

pub(super) fn revision(header: Option<&ResponseHeader>) -> Result<Revision, StoreError> {
    unsigned(header.map_or(0, ResponseHeader::revision))
}

fn unsigned(revision: i64) -> Result<Revision, StoreError> {
    match u64::try_from(revision) {
        Ok(0) => Err(StoreError::unavailable(
            "reading etcd's answer",
            "it has no revision",
        )),
        Ok(revision) => Ok(revision),
        Err(error) => Err(StoreError::unavailable("reading etcd's answer", error)),
    }
}

pub(super) fn whole_seconds(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX).max(1)
}

/// The first key after all those that start with `prefix`.
pub(super) fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return end;
        }
    }
    // To etcd: no end.
    vec![0]
}

pub(super) fn is_lease_gone(error: &StoreError) -> bool {
    let StoreError::Unavailable { source, .. } = error else {
        return false;
    };
    match source.downcast_ref::<etcd_client::Error>() {
        Some(etcd_client::Error::LeaseKeepAliveError(text)) => text == "lease not found",
        Some(error) => message_of(error).is_some_and(|message| message.contains(LEASE_NOT_FOUND)),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_the_first_key_beyond_it() {
        assert_eq!(end_of("/a/"), b"/a0");
        assert_eq!(end_of("a\u{10ffff}"), b"a\xf4\x8f\xbf\xc0");
        assert_eq!(end_of(""), [0]);
    }

    #[test]
    fn leases_last_at_least_a_second() {
        assert_eq!(whole_seconds(Duration::from_millis(10)), 1);
        assert_eq!(whole_seconds(Duration::from_millis(2900)), 2);
    }
}
