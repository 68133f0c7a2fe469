//! The contract of leases.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use store::{Commit, Committed, Compare, Store, StoreError, WatchItem};
use tokio::time::Instant;

use crate::it::backend::{
    commit, delete, done, eventually, get, key, names, next, put, put_leased, read_up_to, told,
};

pub(super) async fn a_lease_that_is_not_kept_alive_takes_its_keys_along(store: &Arc<dyn Store>) {
    let lease = store.lease(Duration::from_secs(1)).await.unwrap();
    let id = lease.id();
    let revision = done(
        &**store,
        vec![
            put_leased("l/a", "1", id),
            put_leased("l/b", "1", id),
            put("l/c", "1"),
        ],
    )
    .await;
    let mut watch = store.watch(&key("l/"), revision).await.unwrap();
    let batch = loop {
        if let WatchItem::Batch(batch) = next(&mut watch).await {
            break batch;
        }
    };
    let texts: BTreeSet<_> = batch.events.iter().map(|event| told(event).1).collect();
    assert_eq!(
        texts,
        BTreeSet::from(["-l/a".to_owned(), "-l/b".to_owned()]),
        "in one revision"
    );
    assert_eq!(names(&**store, "l/").await, ["l/c"]);
    let late = lease.keep_alive().await;
    assert!(
        matches!(late, Err(StoreError::LeaseLapsed { .. })),
        "{late:?}"
    );
}

pub(super) async fn a_lease_that_is_kept_alive_stays(store: &Arc<dyn Store>) {
    let ttl = Duration::from_secs(2);
    let lease = store.lease(ttl).await.unwrap();
    done(&**store, vec![put_leased("a", "1", lease.id())]).await;
    let until = Instant::now() + ttl * 3;
    let mut every = tokio::time::interval(ttl / 8);
    while Instant::now() < until {
        every.tick().await;
        lease.keep_alive().await.unwrap();
        assert!(get(&**store, "a").await.is_some());
    }
    eventually(
        "the key goes when nobody keeps its lease alive",
        async || get(&**store, "a").await.is_none(),
    )
    .await;
}

pub(super) async fn a_revoked_lease_takes_its_keys_along_and_is_gone(store: &Arc<dyn Store>) {
    let lease = store.lease(Duration::from_secs(60)).await.unwrap();
    let before = done(
        &**store,
        vec![
            put_leased("a", "1", lease.id()),
            put_leased("b", "1", lease.id()),
        ],
    )
    .await;
    let mut watch = store.watch(&key(""), before).await.unwrap();
    lease.revoke().await.unwrap();
    assert_eq!(names(&**store, "").await, [""; 0], "at once");
    let mut events = read_up_to(&mut watch, before + 1).await;
    events.sort();
    assert_eq!(
        events,
        [(before + 1, "-a".to_owned()), (before + 1, "-b".to_owned())]
    );
    let again = lease.revoke().await;
    assert!(
        matches!(again, Err(StoreError::LeaseLapsed { .. })),
        "{again:?}"
    );
    let late = lease.keep_alive().await;
    assert!(
        matches!(late, Err(StoreError::LeaseLapsed { .. })),
        "{late:?}"
    );
}

pub(super) async fn a_commit_under_a_lease_that_has_lapsed_writes_nothing(store: &Arc<dyn Store>) {
    let lease = store.lease(Duration::from_secs(60)).await.unwrap();
    lease.revoke().await.unwrap();
    let ops = vec![put("a", "1"), put_leased("b", "1", lease.id())];
    let refused = store
        .commit(Commit {
            compares: vec![],
            ops: ops.clone(),
        })
        .await;
    assert!(
        matches!(refused, Err(StoreError::LeaseLapsed { lease: gone }) if gone == lease.id().0),
        "{refused:?}"
    );
    assert_eq!(names(&**store, "").await, [""; 0]);
    // What is compared comes first.
    let compares = vec![Compare::Exists { key: key("a") }];
    assert_eq!(commit(&**store, compares, ops).await, Committed::Conflict);
}

pub(super) async fn a_key_belongs_to_the_lease_it_was_last_written_under(store: &Arc<dyn Store>) {
    let [first, second] = [(); 2].map(|()| store.lease(Duration::from_secs(60)));
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    done(
        &**store,
        ["freed", "moved", "kept", "taken"]
            .map(|name| put_leased(name, "1", first.id()))
            .to_vec(),
    )
    .await;
    done(&**store, vec![put("plain", "1")]).await;
    let ops = vec![
        put("freed", "2"),
        put_leased("moved", "2", second.id()),
        put_leased("kept", "2", first.id()),
        put_leased("plain", "2", second.id()),
        delete("taken"),
    ];
    done(&**store, ops).await;
    done(&**store, vec![put("taken", "3")]).await;
    first.revoke().await.unwrap();
    assert_eq!(
        names(&**store, "").await,
        ["freed", "moved", "plain", "taken"]
    );
    second.revoke().await.unwrap();
    assert_eq!(names(&**store, "").await, ["freed", "taken"]);
}
