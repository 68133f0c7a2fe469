//! The contract of watches.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use store::{Store, WatchItem};

use crate::it::backend::{PATIENCE, delete, done, key, names, next, put, read_up_to, told};

pub(super) async fn prefixes_are_exact(store: &Arc<dyn Store>) {
    let revision = done(
        &**store,
        vec![
            put("a", "1"),
            put("a/", "1"),
            put("a/x", "1"),
            put("a0", "1"),
            put("ab", "1"),
        ],
    )
    .await;
    assert_eq!(names(&**store, "a").await, ["a", "a/", "a/x", "a0", "ab"]);
    assert_eq!(names(&**store, "a/").await, ["a/", "a/x"]);
    assert_eq!(names(&**store, "ab").await, ["ab"]);
    assert_eq!(names(&**store, "b").await, [""; 0]);
    let mut watch = store.watch(&key("a/"), revision - 1).await.unwrap();
    let events = read_up_to(&mut watch, revision).await;
    assert_eq!(
        events,
        [
            (revision, "+a/=1".to_owned()),
            (revision, "+a/x=1".to_owned())
        ]
    );
}

pub(super) async fn a_watch_tells_a_commit_in_one_piece(store: &Arc<dyn Store>) {
    let before = done(&**store, vec![put("gone", "1"), put("other", "1")]).await;
    let mut watch = store.watch(&key("w/"), before).await.unwrap();
    let ops = vec![
        put("w/a", "1"),
        put("elsewhere", "1"),
        put("w/b", "1"),
        delete("gone"),
    ];
    let first = done(&**store, ops).await;
    let second = done(&**store, vec![delete("w/a"), put("w/b", "2")]).await;
    let mut batches = Vec::new();
    while batches.len() < 2 {
        if let WatchItem::Batch(batch) = next(&mut watch).await {
            let mut events: Vec<_> = batch.events.iter().map(told).collect();
            events.sort();
            batches.push((batch.revision, events));
        }
    }
    let events = |revision, texts: [&str; 2]| {
        (
            revision,
            texts.map(|text| (revision, text.to_owned())).to_vec(),
        )
    };
    assert_eq!(
        batches,
        [
            events(first, ["+w/a=1", "+w/b=1"]),
            events(second, ["+w/b=2", "-w/a"])
        ]
    );
}

pub(super) async fn a_watch_from_any_revision_misses_nothing_and_tells_nothing_twice(
    store: &Arc<dyn Store>,
) {
    const TASKS: usize = 8;
    const EACH: usize = 25;
    let beginning = store.list(&key("")).await.unwrap().revision;
    let writers = join_all((0..TASKS).map(|task| async move {
        let mut written = Vec::new();
        for i in 0..EACH {
            let (name, value) = (format!("in/{task}"), i.to_string());
            let revision = done(
                &**store,
                vec![put(&name, &value), put(&format!("out/{task}"), &value)],
            )
            .await;
            written.push((revision, format!("+{name}={value}")));
        }
        written
    }));
    // Watches that begin while the writers write: each from what it has just listed.
    let watchers = join_all((0..6).map(|_| async move {
        let listing = store.list(&key("in/")).await.unwrap();
        let watch = store.watch(&key("in/"), listing.revision).await.unwrap();
        tokio::task::yield_now().await;
        (listing.revision, watch)
    }));
    let (written, mut watchers) = tokio::join!(writers, watchers);
    let mut written: Vec<_> = written.into_iter().flatten().collect();
    written.sort();
    let last = written.last().unwrap().0;
    assert_eq!(
        written
            .iter()
            .map(|(revision, _)| revision)
            .collect::<BTreeSet<_>>()
            .len(),
        TASKS * EACH
    );
    // And some that begin when all is over.
    for after in [beginning, beginning + 1, beginning + 77, last - 1, last] {
        watchers.push((after, store.watch(&key("in/"), after).await.unwrap()));
    }
    for (after, mut watch) in watchers {
        let expected: Vec<_> = written
            .iter()
            .filter(|(revision, _)| *revision > after)
            .cloned()
            .collect();
        assert_eq!(
            read_up_to(&mut watch, last).await,
            expected,
            "after {after}"
        );
    }
}

pub(super) async fn a_watch_knows_the_newest_revision_soon(store: &Arc<dyn Store>) {
    const SOON: Duration = Duration::from_secs(3);
    let newest = done(&**store, vec![put("out", "1")]).await;
    let mut watch = store.watch(&key("in/"), newest).await.unwrap();
    let first = tokio::time::timeout(SOON, next(&mut watch)).await.unwrap();
    assert_eq!(first, WatchItem::Progress(newest), "soon after it begins");
    for value in ["2", "3", "4"] {
        let newest = done(&**store, vec![put("out", value)]).await;
        let events = tokio::time::timeout(SOON, read_up_to(&mut watch, newest))
            .await
            .unwrap();
        assert_eq!(events, []);
    }
}

pub(super) async fn a_watcher_that_sleeps_too_long_must_resync(store: &Arc<dyn Store>) {
    let beginning = store.list(&key("")).await.unwrap().revision;
    let mut sleeper = store.watch(&key("s/"), beginning).await.unwrap();
    let value = "x".repeat(1_000_000);
    for i in 0..6 {
        done(&**store, vec![put(&format!("s/{i}"), &value)]).await;
    }
    // Another watch shows that everything has arrived.
    let newest = done(&**store, vec![put("s/last", "x")]).await;
    let mut other = store.watch(&key("s/last"), newest - 1).await.unwrap();
    read_up_to(&mut other, newest).await;

    let mut seen = 0;
    let resync = async {
        while let WatchItem::Batch(_) | WatchItem::Progress(_) = next(&mut sleeper).await {
            seen += 1;
        }
    };
    tokio::time::timeout(PATIENCE, resync).await.unwrap();
    assert!(seen < 7, "it was told to resync before it had everything");
    assert!(sleeper.next().await.is_none(), "a resync is the last item");

    let listing = store.list(&key("s/")).await.unwrap();
    assert_eq!(listing.entries.len(), 7);
    let mut watch = store.watch(&key("s/"), listing.revision).await.unwrap();
    let newest = done(&**store, vec![put("s/after", "x")]).await;
    assert_eq!(
        read_up_to(&mut watch, newest).await,
        [(newest, "+s/after=x".to_owned())]
    );
}
