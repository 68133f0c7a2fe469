//! The contract suite: what every backend promises, run on every backend.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::join_all;
use store::{
    Commit, Committed, Compare, MAX_COMMIT_BYTES, MAX_COMMIT_OPS, Op, Store, StoreError, WatchItem,
};
use tokio::time::Instant;

use super::backend::{
    Backend, PATIENCE, commit, delete, done, eventually, get, key, names, next, put, put_leased,
    read_up_to, told,
};

macro_rules! contract {
    ($($name:ident)*) => {
        contract! { @backend embedded_in_memory $($name)* }
        contract! { @backend embedded_on_disk $($name)* }
        contract! { @backend etcd $($name)* }
    };
    (@backend $backend:ident $($name:ident)*) => {
        mod $backend {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let backend = super::Backend::$backend().await;
                    super::$name(&backend.store).await;
                }
            )*
        }
    };
}

contract! {
    revisions_grow_and_reads_show_the_newest
    a_commit_is_all_or_nothing
    each_comparison_holds_when_it_should
    no_comparison_may_fail
    a_recreated_key_is_not_what_it_was
    deleting_what_is_not_there_changes_nothing
    commits_over_the_limits_are_refused_and_those_at_them_are_not
    a_key_written_twice_in_a_commit_is_refused
    no_increment_is_lost_when_many_compare_and_set
    a_list_is_of_one_moment_while_others_commit
    prefixes_are_exact
    a_watch_tells_a_commit_in_one_piece
    a_watch_from_any_revision_misses_nothing_and_tells_nothing_twice
    a_watch_knows_the_newest_revision_soon
    a_watcher_that_sleeps_too_long_must_resync
    a_lease_that_is_not_kept_alive_takes_its_keys_along
    a_lease_that_is_kept_alive_stays
    a_revoked_lease_takes_its_keys_along_and_is_gone
    a_commit_under_a_lease_that_has_lapsed_writes_nothing
    a_key_belongs_to_the_lease_it_was_last_written_under
}

async fn revisions_grow_and_reads_show_the_newest(store: &Arc<dyn Store>) {
    assert_eq!(get(&**store, "a").await, None);
    let mut last = store.list(&key("")).await.unwrap().revision;
    for value in ["1", "2", "3"] {
        let revision = done(&**store, vec![put("a", value)]).await;
        assert!(revision > last);
        assert_eq!(get(&**store, "a").await, Some((value.to_owned(), revision)));
        let listing = store.list(&key("")).await.unwrap();
        assert_eq!((listing.revision, listing.entries.len()), (revision, 1));
        assert_eq!(listing.entries[0].revision, revision);
        last = revision;
    }
    let revision = done(&**store, vec![delete("a")]).await;
    assert!(revision > last);
    assert_eq!(get(&**store, "a").await, None);
    assert_eq!(store.list(&key("")).await.unwrap().revision, revision);
    assert_eq!(done(&**store, vec![put("empty", "")]).await, revision + 1);
    assert_eq!(
        get(&**store, "empty").await,
        Some((String::new(), revision + 1))
    );
}

async fn a_commit_is_all_or_nothing(store: &Arc<dyn Store>) {
    let first = done(&**store, vec![put("a", "1"), put("b", "1")]).await;
    let compares = vec![
        Compare::Exists { key: key("a") },
        Compare::Absent { key: key("b") },
    ];
    let refused = commit(
        &**store,
        compares,
        vec![put("a", "2"), delete("b"), put("c", "2")],
    )
    .await;
    assert_eq!(refused, Committed::Conflict);
    assert_eq!(get(&**store, "a").await, Some(("1".to_owned(), first)));
    assert_eq!(names(&**store, "").await, ["a", "b"]);
    assert_eq!(
        store.list(&key("")).await.unwrap().revision,
        first,
        "a conflict takes no revision"
    );

    let compares = vec![
        Compare::Exists { key: key("a") },
        Compare::Exists { key: key("b") },
    ];
    let Committed::Done(second) = commit(
        &**store,
        compares,
        vec![put("a", "2"), delete("b"), put("c", "2")],
    )
    .await
    else {
        panic!("both are there")
    };
    assert_eq!(get(&**store, "a").await, Some(("2".to_owned(), second)));
    assert_eq!(
        get(&**store, "c").await,
        Some(("2".to_owned(), second)),
        "one revision for all"
    );
    assert_eq!(names(&**store, "").await, ["a", "c"]);
}

async fn each_comparison_holds_when_it_should(store: &Arc<dyn Store>) {
    let old = done(&**store, vec![put("is", "1")]).await;
    let now = done(&**store, vec![put("is", "2")]).await;
    let revision = |name: &str, revision| Compare::Revision {
        key: key(name),
        revision,
    };
    let cases = [
        (revision("is", now), true),
        (revision("is", old), false),
        (revision("is", now + 1), false),
        (revision("is", 0), false),
        (revision("is not", now), false),
        (revision("is not", 0), false),
        (Compare::Exists { key: key("is") }, true),
        (Compare::Exists { key: key("is not") }, false),
        (Compare::Absent { key: key("is") }, false),
        (Compare::Absent { key: key("is not") }, true),
    ];
    for (compare, holds) in cases {
        let text = format!("{compare:?}");
        let committed = commit(&**store, vec![compare], vec![put("other", "x")]).await;
        assert_eq!(matches!(committed, Committed::Done(_)), holds, "{text}");
    }
    let nothing = commit(&**store, vec![revision("is", now)], vec![]).await;
    assert!(
        matches!(nothing, Committed::Done(_)),
        "a commit may only compare"
    );
}

async fn no_comparison_may_fail(store: &Arc<dyn Store>) {
    let revision = done(&**store, vec![put("a", "1")]).await;
    let good = Compare::Revision {
        key: key("a"),
        revision,
    };
    let bad = Compare::Absent { key: key("a") };
    for compares in [vec![good.clone(), bad.clone()], vec![bad, good]] {
        assert_eq!(
            commit(&**store, compares, vec![put("a", "2")]).await,
            Committed::Conflict
        );
    }
}

async fn a_recreated_key_is_not_what_it_was(store: &Arc<dyn Store>) {
    let revision = done(&**store, vec![put("a", "same")]).await;
    done(&**store, vec![delete("a")]).await;
    done(&**store, vec![put("a", "same")]).await;
    let compare = Compare::Revision {
        key: key("a"),
        revision,
    };
    assert_eq!(
        commit(&**store, vec![compare], vec![put("a", "x")]).await,
        Committed::Conflict
    );
}

async fn deleting_what_is_not_there_changes_nothing(store: &Arc<dyn Store>) {
    let before = done(&**store, vec![put("a", "1")]).await;
    assert_eq!(done(&**store, vec![delete("nothing")]).await, before);
    let mut watch = store.watch(&key(""), before).await.unwrap();
    let after = done(&**store, vec![delete("nothing"), put("b", "1")]).await;
    assert_eq!(after, before + 1);
    assert_eq!(
        read_up_to(&mut watch, after).await,
        [(after, "+b=1".to_owned())]
    );
}

async fn commits_over_the_limits_are_refused_and_those_at_them_are_not(store: &Arc<dyn Store>) {
    let many = |count: usize| {
        (0..count)
            .map(|i| put(&format!("{i:04}"), "x"))
            .collect::<Vec<_>>()
    };
    done(&**store, many(MAX_COMMIT_OPS)).await;
    assert_eq!(names(&**store, "").await.len(), MAX_COMMIT_OPS);

    let absent = |count: usize| {
        (0..count)
            .map(|i| Compare::Absent {
                key: key(&format!("no/{i}")),
            })
            .collect()
    };
    let committed = commit(&**store, absent(MAX_COMMIT_OPS), vec![put("compared", "x")]).await;
    assert!(matches!(committed, Committed::Done(_)));

    let big = |bytes: usize| {
        let value = Bytes::from(vec![b'x'; bytes - key("big").as_str().len()]);
        Op::Put {
            key: key("big"),
            value,
            lease: None,
        }
    };
    done(&**store, vec![big(MAX_COMMIT_BYTES)]).await;
    let revision = store.list(&key("none")).await.unwrap().revision;

    for (compares, ops) in [
        (vec![], many(MAX_COMMIT_OPS + 1)),
        (absent(MAX_COMMIT_OPS + 1), vec![put("compared", "y")]),
        (vec![], vec![big(MAX_COMMIT_BYTES + 1)]),
        (
            vec![Compare::Exists { key: key("big") }],
            vec![big(MAX_COMMIT_BYTES)],
        ),
    ] {
        let refused = store.commit(Commit { compares, ops }).await;
        assert!(
            matches!(refused, Err(StoreError::CommitTooLarge { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(
        store.list(&key("none")).await.unwrap().revision,
        revision,
        "nothing was written"
    );
}

async fn a_key_written_twice_in_a_commit_is_refused(store: &Arc<dyn Store>) {
    for ops in [
        vec![put("a", "1"), put("a", "2")],
        vec![put("a", "1"), delete("a")],
        vec![delete("a"), delete("a")],
    ] {
        let refused = store
            .commit(Commit {
                compares: vec![],
                ops,
            })
            .await;
        assert!(
            matches!(&refused, Err(StoreError::WrittenTwice { key: twice }) if *twice == key("a")),
            "{refused:?}"
        );
    }
    assert_eq!(get(&**store, "a").await, None);
}

async fn no_increment_is_lost_when_many_compare_and_set(store: &Arc<dyn Store>) {
    const TASKS: u64 = 8;
    const EACH: u64 = 15;
    done(&**store, vec![put("counter", "0")]).await;
    let increment = || async {
        for _ in 0..EACH {
            loop {
                let (value, revision) = get(&**store, "counter").await.unwrap();
                let next = (value.parse::<u64>().unwrap() + 1).to_string();
                let compare = Compare::Revision {
                    key: key("counter"),
                    revision,
                };
                if let Committed::Done(_) =
                    commit(&**store, vec![compare], vec![put("counter", &next)]).await
                {
                    break;
                }
            }
        }
    };
    join_all((0..TASKS).map(|_| increment())).await;
    assert_eq!(
        get(&**store, "counter").await.unwrap().0,
        (TASKS * EACH).to_string()
    );
}

async fn a_list_is_of_one_moment_while_others_commit(store: &Arc<dyn Store>) {
    // More than two of etcd's pages between the first key and the last.
    for chunk in 0..20 {
        done(
            &**store,
            (0..110)
                .map(|i| put(&format!("m/{chunk:02}{i:03}"), "x"))
                .collect(),
        )
        .await;
    }
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for round in 0.. {
                let value = i32::to_string(&round);
                done(
                    &*store,
                    vec![put("a", &value), put("m/10055", &value), put("z", &value)],
                )
                .await;
            }
        })
    };
    eventually("the writer writes", async || {
        get(&**store, "z").await.is_some()
    })
    .await;
    let mut revisions = BTreeSet::new();
    for _ in 0..20 {
        let listing = store.list(&key("")).await.unwrap();
        assert_eq!(listing.entries.len(), 2202);
        assert!(listing.entries.is_sorted_by(|a, b| a.key < b.key));
        let written: Vec<_> = ["a", "m/10055", "z"]
            .map(|name| {
                listing
                    .entries
                    .iter()
                    .find(|entry| entry.key == key(name))
                    .unwrap()
            })
            .map(|entry| (entry.revision, entry.value.clone()))
            .into();
        assert!(
            written.iter().all(|each| *each == written[0]),
            "{written:?}"
        );
        assert!(
            listing
                .entries
                .iter()
                .all(|entry| entry.revision <= listing.revision)
        );
        assert_eq!(
            written[0].0, listing.revision,
            "the writer writes all there is to write"
        );
        revisions.insert(listing.revision);
    }
    writer.abort();
    assert!(revisions.len() > 1, "the writer wrote meanwhile");
}

async fn prefixes_are_exact(store: &Arc<dyn Store>) {
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

async fn a_watch_tells_a_commit_in_one_piece(store: &Arc<dyn Store>) {
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

async fn a_watch_from_any_revision_misses_nothing_and_tells_nothing_twice(store: &Arc<dyn Store>) {
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

async fn a_watch_knows_the_newest_revision_soon(store: &Arc<dyn Store>) {
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

async fn a_watcher_that_sleeps_too_long_must_resync(store: &Arc<dyn Store>) {
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

async fn a_lease_that_is_not_kept_alive_takes_its_keys_along(store: &Arc<dyn Store>) {
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

async fn a_lease_that_is_kept_alive_stays(store: &Arc<dyn Store>) {
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

async fn a_revoked_lease_takes_its_keys_along_and_is_gone(store: &Arc<dyn Store>) {
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

async fn a_commit_under_a_lease_that_has_lapsed_writes_nothing(store: &Arc<dyn Store>) {
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

async fn a_key_belongs_to_the_lease_it_was_last_written_under(store: &Arc<dyn Store>) {
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
