//! The contract suite: what every backend promises, run on every backend.

mod leases;
mod watches;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use store::{Commit, Committed, Compare, MAX_COMMIT_BYTES, MAX_COMMIT_OPS, Op, Store, StoreError};

use self::leases::*;
use self::watches::*;
use super::backend::{Backend, commit, delete, done, eventually, get, key, names, put, read_up_to};

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
