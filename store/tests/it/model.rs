//! Random operations against a model of a few lines: a sorted map and a counter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use store::{Commit, Committed, Compare, Key, Lease, Op, Store, StoreError};

use super::backend::{Backend, key, read_up_to};

/// Prefixes of each other, and neighbours.
const NAMES: [&str; 7] = ["a", "a/", "a/b", "a/c", "a0", "ab", "b"];
const LEASES: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    Commit {
        compares: Vec<(usize, Compared)>,
        writes: BTreeMap<usize, Write>,
    },
    Revoke(usize),
    Get(usize),
    List(usize),
}

#[derive(Debug, Clone)]
enum Compared {
    Absent,
    Exists,
    AsItIs,
    AtRevision(u64),
}

#[derive(Debug, Clone)]
enum Write {
    Put { value: u8, lease: Option<usize> },
    Delete,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = 0..NAMES.len();
    let compared = prop_oneof![
        1 => Just(Compared::Absent),
        1 => Just(Compared::Exists),
        3 => Just(Compared::AsItIs),
        1 => (0_u64..40).prop_map(Compared::AtRevision),
    ];
    let write = prop_oneof![
        3 => (any::<u8>(), prop::option::weighted(0.4, 0..LEASES)).prop_map(|(value, lease)| Write::Put { value, lease }),
        1 => Just(Write::Delete),
    ];
    let compares = prop::collection::vec((name.clone(), compared), 0..3);
    let writes = prop::collection::btree_map(name.clone(), write, 0..4);
    let step = prop_oneof![
        8 => (compares, writes).prop_map(|(compares, writes)| Step::Commit { compares, writes }),
        1 => (0..LEASES).prop_map(Step::Revoke),
        1 => name.clone().prop_map(Step::Get),
        2 => name.prop_map(Step::List),
    ];
    prop::collection::vec(step, 1..40)
}

struct Model {
    folder: String,
    revision: u64,
    entries: BTreeMap<String, (u8, u64, Option<usize>)>,
    leases: Vec<(Arc<dyn Lease>, bool)>,
    /// As a watch should tell them; deletions by one lease are in key order.
    events: Vec<(u64, String)>,
}

impl Model {
    fn name(&self, name: usize) -> String {
        format!("{}/{}", self.folder, NAMES[name])
    }

    fn key(&self, name: usize) -> Key {
        key(&self.name(name))
    }

    fn holds(&self, name: usize, compared: &Compared) -> bool {
        let written = self
            .entries
            .get(&self.name(name))
            .map(|(_, revision, _)| *revision);
        match compared {
            Compared::Absent => written.is_none(),
            Compared::Exists => written.is_some(),
            Compared::AsItIs => true,
            Compared::AtRevision(revision) => written == Some(*revision),
        }
    }

    /// As [`Store`] would have it compared.
    fn compare(&self, name: usize, compared: &Compared) -> Compare {
        let key = self.key(name);
        match (compared, self.entries.get(&self.name(name))) {
            (Compared::Absent, _) | (Compared::AsItIs, None) => Compare::Absent { key },
            (Compared::Exists, _) => Compare::Exists { key },
            (Compared::AsItIs, Some((_, revision, _))) => Compare::Revision {
                key,
                revision: *revision,
            },
            (Compared::AtRevision(revision), _) => Compare::Revision {
                key,
                revision: *revision,
            },
        }
    }

    /// What a commit should answer: `Err` if a lease is gone.
    fn apply(
        &mut self,
        compares: &[(usize, Compared)],
        writes: &BTreeMap<usize, Write>,
    ) -> Result<Committed, ()> {
        if !compares
            .iter()
            .all(|(name, compared)| self.holds(*name, compared))
        {
            return Ok(Committed::Conflict);
        }
        let lapsed = |write: &Write| matches!(write, Write::Put { lease: Some(lease), .. } if !self.leases[*lease].1);
        if writes.values().any(lapsed) {
            return Err(());
        }
        let (revision, mut changed) = (self.revision + 1, false);
        for (name, write) in writes {
            let name = self.name(*name);
            match write {
                Write::Put { value, lease } => {
                    self.entries
                        .insert(name.clone(), (*value, revision, *lease));
                    self.events.push((revision, format!("+{name}={value}")));
                    changed = true;
                }
                Write::Delete if self.entries.remove(&name).is_some() => {
                    self.events.push((revision, format!("-{name}")));
                    changed = true;
                }
                Write::Delete => {}
            }
        }
        self.revision += u64::from(changed);
        Ok(Committed::Done(self.revision))
    }

    fn revoke(&mut self, lease: usize) {
        self.leases[lease].1 = false;
        let gone: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.2 == Some(lease))
            .map(|(name, _)| name.clone())
            .collect();
        self.revision += u64::from(!gone.is_empty());
        for name in gone {
            self.entries.remove(&name);
            self.events.push((self.revision, format!("-{name}")));
        }
    }
}

async fn check(store: &Arc<dyn Store>, folder: String, steps: Vec<Step>) {
    let beginning = store.list(&key(&folder)).await.unwrap().revision;
    let mut leases = Vec::new();
    for _ in 0..LEASES {
        leases.push((store.lease(Duration::from_secs(60)).await.unwrap(), true));
    }
    let mut model = Model {
        folder,
        revision: beginning,
        entries: BTreeMap::new(),
        leases,
        events: Vec::new(),
    };
    for step in steps {
        match step {
            Step::Commit { compares, writes } => {
                let commit = Commit {
                    compares: compares
                        .iter()
                        .map(|(name, compared)| model.compare(*name, compared))
                        .collect(),
                    ops: writes
                        .iter()
                        .map(|(name, write)| operation(&model, *name, write))
                        .collect(),
                };
                let expected = model.apply(&compares, &writes);
                match (store.commit(commit).await, expected) {
                    (Ok(committed), Ok(expected)) => assert_eq!(committed, expected),
                    (Err(StoreError::LeaseLapsed { .. }), Err(())) => {}
                    (answer, expected) => panic!("{answer:?} for {expected:?}"),
                }
            }
            Step::Revoke(lease) => {
                let (lease, is_alive) = (lease, model.leases[lease].1);
                let revoked = model.leases[lease].0.revoke().await;
                assert_eq!(revoked.is_ok(), is_alive, "{revoked:?}");
                model.revoke(lease);
            }
            Step::Get(name) => {
                let entry = store.get(&model.key(name)).await.unwrap();
                let expected = model.entries.get(&model.name(name));
                assert_eq!(
                    entry.map(|entry| (entry.value, entry.revision)),
                    expected
                        .map(|(value, revision, _)| (Bytes::from(value.to_string()), *revision))
                );
            }
            Step::List(prefix) => {
                let listing = store.list(&model.key(prefix)).await.unwrap();
                assert_eq!(listing.revision, model.revision);
                let prefix = model.name(prefix);
                let expected: Vec<_> = model
                    .entries
                    .iter()
                    .filter(|(name, _)| name.starts_with(&prefix))
                    .map(|(name, (value, revision, _))| {
                        (key(name), Bytes::from(value.to_string()), *revision)
                    })
                    .collect();
                let listed: Vec<_> = listing
                    .entries
                    .into_iter()
                    .map(|entry| (entry.key, entry.value, entry.revision))
                    .collect();
                assert_eq!(listed, expected);
            }
        }
    }
    // Every watch from here to the end tells what the model says, also when it begins in the middle.
    let middle = beginning + (model.revision - beginning) / 2;
    for after in BTreeSet::from([beginning, middle, model.revision]) {
        let mut watch = store
            .watch(&key(&format!("{}/", model.folder)), after)
            .await
            .unwrap();
        let mut events = read_up_to(&mut watch, model.revision).await;
        let mut expected: Vec<_> = model
            .events
            .iter()
            .filter(|(revision, _)| *revision > after)
            .cloned()
            .collect();
        // Within one revision the order says nothing.
        events.sort();
        expected.sort();
        assert_eq!(events, expected, "after {after}");
    }
    for (lease, _) in model.leases.iter().filter(|(_, is_alive)| *is_alive) {
        lease.revoke().await.unwrap();
    }
}

fn operation(model: &Model, name: usize, write: &Write) -> Op {
    let key = model.key(name);
    match write {
        Write::Put { value, lease } => {
            let lease = lease.map(|lease| model.leases[lease].0.id());
            Op::Put {
                key,
                value: Bytes::from(value.to_string()),
                lease,
            }
        }
        Write::Delete => Op::Delete { key },
    }
}

fn check_many(cases: u32, backend: impl AsyncFnOnce() -> Backend) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let backend = runtime.block_on(backend());
    let case = std::cell::Cell::new(0);
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 500,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&steps(), |steps| {
        case.set(case.get() + 1);
        runtime.block_on(check(&backend.store, format!("{:04}", case.get()), steps));
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

#[test]
fn the_embedded_store_does_what_the_model_does() {
    check_many(200, Backend::embedded_in_memory);
}

#[test]
fn the_embedded_store_on_disk_does_what_the_model_does() {
    check_many(25, Backend::embedded_on_disk);
}

#[test]
fn etcd_does_what_the_model_does() {
    check_many(25, Backend::etcd);
}
