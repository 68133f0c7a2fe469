//! What only the embedded backend promises.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use store::{Commit, Committed, Compare, Embedded, Key, Op, Store, StoreError, WatchItem};

fn key(name: &str) -> Key {
    Key::from_text(format!("/paas/v1/test/{name}"))
}

fn put(name: &str, value: &str) -> Commit {
    Commit {
        compares: vec![],
        ops: vec![Op::Put {
            key: key(name),
            value: Bytes::from(value.to_owned()),
            lease: None,
        }],
    }
}

async fn done(store: &Embedded, commit: Commit) -> u64 {
    match store.commit(commit).await.unwrap() {
        Committed::Done(revision) => revision,
        Committed::Conflict => panic!("nothing was compared"),
    }
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_reopen_and_revisions_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(dir.path()).unwrap();
    let first = done(&store, put("a", "1")).await;
    let second = done(&store, put("a", "2")).await;
    assert!(second > first);
    store.close().await;
    assert!(matches!(
        store.get(&key("a")).await,
        Err(StoreError::Unavailable { .. })
    ));
    assert!(matches!(
        store.commit(put("a", "3")).await,
        Err(StoreError::Unavailable { .. })
    ));

    let store = Embedded::open(dir.path()).unwrap();
    let entry = store.get(&key("a")).await.unwrap().unwrap();
    assert_eq!((&entry.value[..], entry.revision), (&b"2"[..], second));
    let commit = Commit {
        compares: vec![Compare::Revision {
            key: key("a"),
            revision: second,
        }],
        ..put("a", "3")
    };
    assert!(done(&store, commit).await > second);
}

#[tokio::test]
async fn every_lease_ends_when_the_file_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(dir.path()).unwrap();
    let lease = store.lease(Duration::from_secs(60)).await.unwrap();
    let ops = ["x", "y"].map(|name| Op::Put {
        key: key(name),
        value: Bytes::new(),
        lease: Some(lease.id()),
    });
    let leased = done(
        &store,
        Commit {
            compares: vec![],
            ops: ops.to_vec(),
        },
    )
    .await;
    done(&store, put("z", "stays")).await;
    store.close().await;
    assert!(matches!(
        lease.keep_alive().await,
        Err(StoreError::Unavailable { .. })
    ));

    let store = Embedded::open(dir.path()).unwrap();
    let listing = store.list(&key("")).await.unwrap();
    assert_eq!(
        listing
            .entries
            .iter()
            .map(|entry| entry.key.name())
            .collect::<Vec<_>>(),
        ["z"]
    );
    assert_eq!(
        listing.revision,
        leased + 2,
        "the put of z, and one revision for both deletions"
    );
    let orphan = Op::Put {
        key: key("x"),
        value: Bytes::new(),
        lease: Some(lease.id()),
    };
    let refused = store
        .commit(Commit {
            compares: vec![],
            ops: vec![orphan],
        })
        .await;
    assert!(
        matches!(refused, Err(StoreError::LeaseLapsed { .. })),
        "{refused:?}"
    );

    let mut watch = store.watch(&key(""), leased).await.unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap(), WatchItem::Resync);
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn a_second_opening_is_refused_in_plain_words() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Embedded::open(dir.path()).unwrap();
    let refused = Embedded::open(dir.path()).unwrap_err();
    let cause = std::error::Error::source(&refused).unwrap().to_string();
    assert!(
        matches!(refused, StoreError::Files { .. })
            && cause.contains("another process has it open"),
        "{cause}"
    );
}

#[tokio::test]
async fn the_file_is_private() {
    let dir = tempfile::tempdir().unwrap();
    let _store = Embedded::open(dir.path()).unwrap();
    let mode = std::fs::metadata(dir.path().join("store.redb"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn closing_ends_watches_with_an_error() {
    let store = Embedded::open_in_memory().unwrap();
    let mut watch = store.watch(&key(""), 1).await.unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap(), WatchItem::Progress(1));
    store.close().await;
    assert!(watch.next().await.unwrap().is_err());
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn dropping_the_store_gives_the_file_back() {
    let dir = tempfile::tempdir().unwrap();
    drop(Embedded::open(dir.path()).unwrap());
    let reopened = async {
        while Embedded::open(dir.path()).is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reopened)
        .await
        .unwrap();
}
