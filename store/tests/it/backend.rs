//! A fresh store of each kind, and short words for what tests do with one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use store::{
    Commit, Committed, Compare, Embedded, Event, Key, LeaseId, Op, Store, Watch, WatchItem,
};
use tempfile::TempDir;

use super::etcd_server::EtcdServer;

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A store, and what lives as long as it does.
pub(crate) struct Backend {
    pub(crate) store: Arc<dyn Store>,
    _dir: Option<TempDir>,
    _etcd: Option<EtcdServer>,
}

impl Backend {
    pub(crate) async fn embedded_in_memory() -> Self {
        let store = Embedded::open_in_memory().unwrap();
        Self {
            store,
            _dir: None,
            _etcd: None,
        }
    }

    pub(crate) async fn embedded_on_disk() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Embedded::open(dir.path()).unwrap();
        Self {
            store,
            _dir: Some(dir),
            _etcd: None,
        }
    }

    pub(crate) async fn etcd() -> Self {
        let etcd = EtcdServer::start().await;
        let store = etcd.connect().await;
        Self {
            store,
            _dir: None,
            _etcd: Some(etcd),
        }
    }
}

pub(crate) fn key(name: &str) -> Key {
    Key::from_text(format!("/paas/v1/test/{name}"))
}

pub(crate) fn put(name: &str, value: &str) -> Op {
    Op::Put {
        key: key(name),
        value: Bytes::from(value.to_owned()),
        lease: None,
    }
}

pub(crate) fn put_leased(name: &str, value: &str, lease: LeaseId) -> Op {
    Op::Put {
        key: key(name),
        value: Bytes::from(value.to_owned()),
        lease: Some(lease),
    }
}

pub(crate) fn delete(name: &str) -> Op {
    Op::Delete { key: key(name) }
}

pub(crate) async fn commit(store: &dyn Store, compares: Vec<Compare>, ops: Vec<Op>) -> Committed {
    store.commit(Commit { compares, ops }).await.unwrap()
}

/// A commit that compares nothing; the revision it was done at.
pub(crate) async fn done(store: &dyn Store, ops: Vec<Op>) -> u64 {
    match commit(store, vec![], ops).await {
        Committed::Done(revision) => revision,
        Committed::Conflict => panic!("nothing was compared"),
    }
}

/// Value and revision.
pub(crate) async fn get(store: &dyn Store, name: &str) -> Option<(String, u64)> {
    let entry = store.get(&key(name)).await.unwrap()?;
    Some((
        String::from_utf8(entry.value.to_vec()).unwrap(),
        entry.revision,
    ))
}

pub(crate) async fn names(store: &dyn Store, prefix: &str) -> Vec<String> {
    let listing = store.list(&key(prefix)).await.unwrap();
    let text = |entry: &store::Entry| {
        entry
            .key
            .as_str()
            .trim_start_matches("/paas/v1/test/")
            .to_owned()
    };
    listing.entries.iter().map(text).collect()
}

pub(crate) async fn next(watch: &mut Watch) -> WatchItem {
    tokio::time::timeout(PATIENCE, watch.next())
        .await
        .expect("a watch tells something")
        .unwrap()
        .unwrap()
}

/// `+name=value` or `-name`, with its revision.
pub(crate) fn told(event: &Event) -> (u64, String) {
    let name = event.key().as_str().trim_start_matches("/paas/v1/test/");
    let text = match event {
        Event::Put(entry) => format!("+{name}={}", String::from_utf8_lossy(&entry.value)),
        Event::Delete { .. } => format!("-{name}"),
    };
    (event.revision(), text)
}

/// All that a watch tells until it knows of `revision`, in the order it tells it. Whatever it says must make sense.
pub(crate) async fn read_up_to(watch: &mut Watch, revision: u64) -> Vec<(u64, String)> {
    let (mut known, mut events) = (0, Vec::new());
    while known < revision {
        match next(watch).await {
            WatchItem::Batch(batch) => {
                assert!(
                    batch.revision > known,
                    "revision {} after {known}",
                    batch.revision
                );
                assert!(!batch.events.is_empty());
                assert!(
                    batch
                        .events
                        .iter()
                        .all(|event| event.revision() == batch.revision)
                );
                known = batch.revision;
                events.extend(batch.events.iter().map(told));
            }
            WatchItem::Progress(revision) => {
                assert!(revision >= known, "progress to {revision} after {known}");
                known = revision;
            }
            WatchItem::Resync => panic!("nothing was lost"),
        }
    }
    events
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}
