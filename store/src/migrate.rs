//! Everything a store holds, moved to another one.
//!
//! The target is marked with whose copy it is before the first key is copied, and the source as moved when all of them are
//! there; only then does the target lose its mark. A mark keeps a platform from starting on that store. So a copy that was
//! cut short is never taken for a whole one, and no platform ever runs on both. What is missing is found by comparison,
//! which is also how a copy that was cut short goes on, and how it is verified in the end.
//!
//! Leased keys stay behind: they say who is alive, and everybody says that anew.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::{
    Commit, Committed, Key, MAX_COMMIT_BYTES, MAX_COMMIT_OPS, Op, Store, StoreError, Txn, key,
};

/// A commit that failed is made again: each of its writes is as good twice as once.
const ATTEMPTS: u32 = 5;

/// Which store is moved where; in both of them, from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// An id of the source that outlives its process.
    pub from: String,
    /// The target, in the words of the configuration.
    pub to: String,
}

#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "the target holds {keys} keys of a platform already, and not those of this store. Migrate to an empty etcd, or delete \
         everything below {root} there (`etcdctl del --prefix {root}`) if nobody needs it", root = key::ROOT
    )]
    TargetInUse { keys: usize },
    #[error(
        "another store's migration into the target ({from}) is not finished: finish it, or delete everything below {root} there \
         (`etcdctl del --prefix {root}`)", root = key::ROOT
    )]
    TargetTaken { from: String },
    #[error(
        "the target differs in {keys} keys after the copy, {first} among them: is somebody writing to it?"
    )]
    Differs { keys: usize, first: Key },
}

/// Why a platform must not run on a store.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "the migration into this store is not finished: run `paasd migrate-store` again on the host it came from; it goes \
         on where it was"
    )]
    Incoming,
    #[error(
        "this store was migrated to {to}: set `store = \"{to}\"` in the configuration. To go back to this one, and lose all \
         that has happened since, run `paasd migrate-store --cancel`"
    )]
    Moved { to: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// Keys that the target now has.
    pub keys: usize,
    /// Of them, those that were written by this run.
    pub written: usize,
}

/// Copies every key that is not leased, and verifies the copy. `tell` is told of every commit: keys written so far, and to
/// be written in all. Nobody else may use either store.
pub async fn migrate(
    source: &dyn Store,
    target: &dyn Store,
    migration: &Migration,
    mut tell: impl FnMut(usize, usize),
) -> Result<Migrated, MigrateError> {
    let wanted = contents(source).await?;
    let found = contents(target).await?;
    let keys = wanted.len();
    match key::MIGRATIONS.get(target, &key::incoming()).await? {
        Some(mark) if mark.value.from == migration.from => {}
        Some(mark) => {
            return Err(MigrateError::TargetTaken {
                from: mark.value.from,
            });
        }
        None if found.is_empty() => mark_target(target, migration).await?,
        None if found == wanted => {
            mark_moved(source, migration).await?;
            return Ok(Migrated { keys, written: 0 });
        }
        None => return Err(MigrateError::TargetInUse { keys: found.len() }),
    }
    let changes = difference(&wanted, &found);
    let all = changes.len();
    let mut written = 0;
    for ops in batches(changes) {
        let count = ops.len();
        write(target, ops).await?;
        written += count;
        tell(written, all);
    }
    verify(&wanted, &contents(target).await?)?;
    mark_moved(source, migration).await?;
    write(
        target,
        vec![Op::Delete {
            key: key::incoming(),
        }],
    )
    .await?;
    Ok(Migrated { keys, written })
}

/// Whether a platform may run on `store`, as far as migrations are concerned.
pub async fn check_ready(store: &dyn Store) -> Result<(), NotReady> {
    if key::MIGRATIONS
        .get(store, &key::incoming())
        .await?
        .is_some()
    {
        return Err(NotReady::Incoming);
    }
    match key::MIGRATIONS.get(store, &key::moved()).await? {
        Some(moved) => Err(NotReady::Moved { to: moved.value.to }),
        None => Ok(()),
    }
}

/// Where `source` was moved to, if it was; it may be used again from now on.
pub async fn cancel(source: &dyn Store) -> Result<Option<String>, StoreError> {
    let moved = key::MIGRATIONS.get(source, &key::moved()).await?;
    write(source, vec![Op::Delete { key: key::moved() }]).await?;
    Ok(moved.map(|moved| moved.value.to))
}

/// Without revisions: each store has its own.
type Contents = BTreeMap<Key, Bytes>;

/// What is to be copied.
async fn contents(store: &dyn Store) -> Result<Contents, StoreError> {
    let listing = store.list(&Key::root()).await?;
    let is_copied = |key: &Key| !key.starts_with(&key::alive()) && !key::MIGRATIONS.holds(key);
    Ok(listing
        .entries
        .into_iter()
        .filter(|entry| is_copied(&entry.key))
        .map(|entry| (entry.key, entry.value))
        .collect())
}

/// What must be written to a store that holds `found`, so that it holds `wanted` and nothing else.
fn difference(wanted: &Contents, found: &Contents) -> Vec<Op> {
    let puts = wanted
        .iter()
        .filter(|(key, value)| found.get(key) != Some(value))
        .map(|(key, value)| Op::Put {
            key: key.clone(),
            value: value.clone(),
            lease: None,
        });
    let deletes = found
        .keys()
        .filter(|key| !wanted.contains_key(key))
        .map(|key| Op::Delete { key: key.clone() });
    puts.chain(deletes).collect()
}

/// In commits as large as the limits allow.
fn batches(ops: Vec<Op>) -> Vec<Vec<Op>> {
    let mut batches = Vec::new();
    let mut last = Commit::default();
    for op in ops {
        last.ops.push(op);
        let is_over = last.ops.len() > MAX_COMMIT_OPS || last.bytes() > MAX_COMMIT_BYTES;
        if is_over && let Some(op) = last.ops.pop() {
            batches.push(std::mem::replace(&mut last.ops, vec![op]));
        }
    }
    batches.push(last.ops);
    batches.retain(|ops| !ops.is_empty());
    batches
}

fn verify(wanted: &Contents, found: &Contents) -> Result<(), MigrateError> {
    let changes = difference(wanted, found);
    match changes.first() {
        Some(first) => Err(MigrateError::Differs {
            keys: changes.len(),
            first: first.key().clone(),
        }),
        None => Ok(()),
    }
}

/// Of two that come at once, one fails.
async fn mark_target(target: &dyn Store, migration: &Migration) -> Result<(), MigrateError> {
    let marked = Txn::new()
        .absent(key::incoming())
        .put(&key::MIGRATIONS, key::incoming(), migration)
        .commit(target)
        .await?;
    match marked {
        Committed::Done(_) => Ok(()),
        Committed::Conflict => Err(MigrateError::TargetTaken {
            from: "begun at the same time".to_owned(),
        }),
    }
}

async fn mark_moved(source: &dyn Store, migration: &Migration) -> Result<(), StoreError> {
    let op = Op::Put {
        key: key::moved(),
        value: key::MIGRATIONS.encode(&key::moved(), migration)?,
        lease: None,
    };
    write(source, vec![op]).await
}

async fn write(store: &dyn Store, ops: Vec<Op>) -> Result<(), StoreError> {
    let commit = Commit {
        compares: Vec::new(),
        ops,
    };
    for _ in 1..ATTEMPTS {
        match store.commit(commit.clone()).await {
            Err(error) if error.is_retryable() => warn!(
                error = &error as &dyn std::error::Error,
                "A commit of the migration failed; will try again"
            ),
            done => return done.map(drop),
        }
    }
    store.commit(commit).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(entries: &[(&str, &[u8])]) -> Contents {
        let entry =
            |(key, value): &(&str, &[u8])| (Key::from_text(*key), Bytes::copy_from_slice(value));
        entries.iter().map(entry).collect()
    }

    #[test]
    fn what_is_missing_is_put_and_what_is_too_much_deleted() {
        let wanted = contents(&[("a", b"1"), ("b", b"2"), ("c", b"3")]);
        let found = contents(&[("a", b"1"), ("b", b"old"), ("d", b"4")]);
        let keys: Vec<_> = difference(&wanted, &found)
            .iter()
            .map(|op| (op.key().to_string(), matches!(op, Op::Put { .. })))
            .collect();
        let expected = [("b", true), ("c", true), ("d", false)];
        assert_eq!(keys, expected.map(|(key, put)| (key.to_owned(), put)));
        assert!(difference(&wanted, &wanted).is_empty());
        assert!(matches!(
            verify(&wanted, &found),
            Err(MigrateError::Differs { keys: 3, .. })
        ));
    }

    #[test]
    fn batches_are_within_the_limits_and_hold_everything_in_order() {
        let large = vec![0; MAX_COMMIT_BYTES - 1];
        let mut wanted: Contents = (0..300)
            .map(|n| (Key::from_text(format!("k{n:03}")), Bytes::from_static(b"x")))
            .collect();
        wanted.insert(Key::from_text("l"), large.clone().into());
        wanted.insert(Key::from_text("m"), large.into());
        let batches = batches(difference(&wanted, &Contents::new()));
        for ops in &batches {
            let commit = Commit {
                compares: vec![],
                ops: ops.clone(),
            };
            commit.check_limits().unwrap();
        }
        let sizes: Vec<_> = batches.iter().map(Vec::len).collect();
        assert_eq!(sizes, [128, 128, 44, 1, 1]);
        let keys: Vec<_> = batches
            .iter()
            .flatten()
            .map(|op| op.key().clone())
            .collect();
        assert!(keys.iter().eq(wanted.keys()));
    }
}
