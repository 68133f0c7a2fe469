//! The follower: one snapshot, then every change, whatever happens in between.

use std::collections::BTreeMap;
use std::sync::Arc;

use store::{Commit, Committed, Embedded, Event, Follower, Store, Update};

use super::backend::{PATIENCE, delete, done, key, put};
use super::etcd_server::EtcdServer;
use super::outage::Outage;

/// What somebody who follows would hold in memory.
#[derive(Debug, Default)]
struct Copy {
    revision: u64,
    snapshots: u32,
    values: BTreeMap<String, String>,
}

impl Copy {
    fn apply(&mut self, update: Update) {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        match update {
            Update::Snapshot { revision, entries } => {
                assert!(revision >= self.revision);
                self.revision = revision;
                self.snapshots += 1;
                let values = entries
                    .iter()
                    .map(|entry| (entry.key.name().to_owned(), text(&entry.value)));
                self.values = values.collect();
            }
            Update::Changes { revision, events } => {
                assert!(self.snapshots > 0, "a snapshot comes first");
                assert!(revision >= self.revision);
                self.revision = revision;
                for event in events {
                    match event {
                        Event::Put(entry) => {
                            self.values
                                .insert(entry.key.name().to_owned(), text(&entry.value));
                        }
                        Event::Delete { key, .. } => {
                            self.values.remove(key.name());
                        }
                    }
                }
            }
        }
    }

    async fn follow_up_to(&mut self, follower: &mut Follower, revision: u64) {
        let following = async {
            while self.revision < revision || self.snapshots == 0 {
                self.apply(follower.next().await);
            }
        };
        tokio::time::timeout(PATIENCE, following)
            .await
            .expect("the follower catches up");
    }

    fn pairs(&self) -> Vec<(&str, &str)> {
        self.values
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }
}

#[tokio::test]
async fn a_snapshot_comes_first_and_then_every_change() {
    let store = Embedded::open_in_memory().unwrap();
    let first = done(
        &*store,
        vec![put("f/a", "1"), put("f/b", "1"), put("g/c", "1")],
    )
    .await;
    let mut follower = Follower::new(store.clone(), vec![key("f/")]);
    let mut copy = Copy::default();
    copy.follow_up_to(&mut follower, first).await;
    assert_eq!(copy.pairs(), [("a", "1"), ("b", "1")]);
    done(&*store, vec![put("f/a", "2"), delete("f/b")]).await;
    let last = done(&*store, vec![put("g/c", "2")]).await;
    copy.follow_up_to(&mut follower, last).await;
    assert_eq!((copy.pairs(), copy.snapshots), (vec![("a", "2")], 1));
}

#[tokio::test]
async fn several_prefixes_are_followed_as_one() {
    let store = Embedded::open_in_memory().unwrap();
    let first = done(
        &*store,
        vec![put("f/a", "1"), put("g/b", "1"), put("h/c", "1")],
    )
    .await;
    let mut follower = Follower::new(store.clone(), vec![key("f/"), key("g/")]);
    let mut copy = Copy::default();
    copy.follow_up_to(&mut follower, first).await;
    assert_eq!(copy.pairs(), [("a", "1"), ("b", "1")]);
    let update = loop {
        done(
            &*store,
            vec![put("f/a", "2"), put("g/b", "2"), put("h/c", "2")],
        )
        .await;
        if let Update::Changes { events, .. } = follower.next().await
            && !events.is_empty()
        {
            break events;
        }
    };
    assert_eq!(
        update.len(),
        2,
        "both prefixes of one commit in one update: {update:?}"
    );
}

#[tokio::test]
async fn who_falls_behind_gets_a_new_snapshot() {
    let store = Embedded::open_in_memory().unwrap();
    let first = done(&*store, vec![put("f/a", "1"), put("f/b", "1")]).await;
    let mut follower = Follower::new(store.clone(), vec![key("f/")]);
    let mut copy = Copy::default();
    copy.follow_up_to(&mut follower, first).await;
    done(&*store, vec![put("f/a", "2"), delete("f/b")]).await;
    let big = "x".repeat(1_000_000);
    for _ in 0..6 {
        done(&*store, vec![put("elsewhere", &big)]).await;
    }
    let last = done(&*store, vec![put("f/c", "1")]).await;
    copy.follow_up_to(&mut follower, last).await;
    assert_eq!(
        (copy.pairs(), copy.snapshots),
        (vec![("a", "2"), ("c", "1")], 2)
    );
}

#[tokio::test(start_paused = true)]
async fn an_outage_ends_in_a_new_snapshot() {
    let store = Embedded::open_in_memory().unwrap();
    let first = done(&*store, vec![put("f/a", "1")]).await;
    let outage = Outage::of(store.clone());
    outage.begin();
    let mut follower = Follower::new(outage.clone(), vec![key("f/")]);
    let mut copy = Copy::default();
    {
        let following = copy.follow_up_to(&mut follower, first);
        tokio::pin!(following);
        let early = tokio::time::timeout(PATIENCE / 2, &mut following).await;
        assert!(early.is_err(), "it waits for the store");
        outage.end();
        following.await;
    }
    assert_eq!(copy.pairs(), [("a", "1")]);
    outage.begin();
    let last = done(&*store, vec![put("f/a", "2")]).await;
    let more = tokio::time::timeout(PATIENCE / 2, copy.follow_up_to(&mut follower, last)).await;
    assert!(more.is_err());
    outage.end();
    copy.follow_up_to(&mut follower, last).await;
    assert_eq!((copy.pairs(), copy.snapshots), (vec![("a", "2")], 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_survives_a_restart_of_etcd() {
    let mut etcd = EtcdServer::start().await;
    let store = etcd.connect().await;
    let mut follower = Follower::new(store.clone(), vec![key("f/")]);
    let mut copy = Copy::default();
    for round in ["1", "2", "3"] {
        let before = done(&*store, vec![put("f/before", round)]).await;
        copy.follow_up_to(&mut follower, before).await;
        etcd.kill();
        etcd.start_again().await;
        let after = commit_when_possible(
            store.clone(),
            Commit {
                compares: vec![],
                ops: vec![put("f/after", round)],
            },
        );
        let after = tokio::time::timeout(PATIENCE, after).await.unwrap();
        copy.follow_up_to(&mut follower, after).await;
        assert_eq!(copy.pairs(), [("after", round), ("before", round)]);
    }
}

async fn commit_when_possible(store: Arc<dyn Store>, commit: Commit) -> u64 {
    loop {
        if let Ok(Committed::Done(revision)) = store.commit(commit.clone()).await {
            return revision;
        }
    }
}
