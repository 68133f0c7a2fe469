//! Clients that write and read the same few keys, and write down what they called and what came of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use model::Revision;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use store::{Commit, Committed, Compare, Entry, Key, Op, Store, StoreError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::shelf::{Answer, Call};
use crate::it::backend::key;
use crate::it::linear::Operation;

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];
/// As short as etcd has it with its usual elections.
const TTL: Duration = Duration::from_secs(2);

/// What all clients write down together.
pub(super) struct Notes {
    began: Instant,
    operations: Mutex<Vec<Operation<Call, Answer>>>,
    ended: watch::Sender<usize>,
}

impl Notes {
    pub(super) fn begin() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            operations: Mutex::default(),
            ended: watch::Sender::new(0),
        })
    }

    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn note(&self, call: Call, called_at: Duration, answer: Option<(Answer, Duration)>) {
        self.operations.lock().unwrap().push(Operation {
            call,
            called_at,
            answer,
        });
        self.ended.send_modify(|ended| *ended += 1);
    }

    /// Until so many more calls have ended, one way or another.
    pub(super) async fn until_more_have_ended(&self, more: usize) {
        let mut ended = self.ended.subscribe();
        let enough = *ended.borrow() + more;
        ended.wait_for(|ended| *ended >= enough).await.unwrap();
    }

    /// In the order of their calls.
    pub(super) fn take(&self) -> Vec<Operation<Call, Answer>> {
        let mut operations = std::mem::take(&mut *self.operations.lock().unwrap());
        operations.sort_by_key(|operation| operation.called_at);
        operations
    }
}

pub(super) struct Client {
    pub(super) name: String,
    pub(super) store: Arc<dyn Store>,
    pub(super) notes: Arc<Notes>,
    pub(super) random: StdRng,
    written: u32,
    /// As it last saw them.
    seen: BTreeMap<Key, Entry>,
}

impl Client {
    pub(super) fn new(name: &str, store: Arc<dyn Store>, notes: Arc<Notes>, seed: u64) -> Self {
        Self {
            name: name.to_owned(),
            store,
            notes,
            random: StdRng::seed_from_u64(seed),
            written: 0,
            seen: BTreeMap::new(),
        }
    }

    /// Calls, one after the other, until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            match self.random.random_range(0..10) {
                0..=2 => self.get().await,
                3 => self.list().await,
                _ => {
                    let commit = self.some_commit();
                    self.commit(commit).await;
                }
            }
        }
    }

    async fn get(&mut self) {
        let key = self.some_key();
        let called_at = self.notes.now();
        // A read that failed has no effect.
        if let Ok(got) = self.store.get(&key).await {
            self.see(&key, got.clone());
            let answer = (Answer::Got(got), self.notes.now());
            self.notes.note(Call::Get(key), called_at, Some(answer));
        }
    }

    pub(super) async fn list(&mut self) {
        list(&*self.store, &self.notes).await;
    }

    async fn commit(&mut self, commit: Commit) {
        let called_at = self.notes.now();
        let call = Call::Commit(commit.clone());
        match self.store.commit(commit.clone()).await {
            Ok(committed) => {
                if let Committed::Done(revision) = committed {
                    self.see_done(commit, revision);
                }
                let answer = (Answer::Committed(committed), self.notes.now());
                self.notes.note(call, called_at, Some(answer));
            }
            Err(StoreError::LeaseLapsed { .. }) => {}
            Err(error) => {
                assert!(error.is_retryable(), "{error:?}");
                self.notes.note(call, called_at, None);
            }
        }
    }

    fn see(&mut self, key: &Key, entry: Option<Entry>) {
        match entry {
            Some(entry) => self.seen.insert(key.clone(), entry),
            None => self.seen.remove(key),
        };
    }

    fn see_done(&mut self, commit: Commit, revision: Revision) {
        for op in commit.ops {
            match op {
                Op::Put { key, value, .. } => {
                    let entry = Entry {
                        key: key.clone(),
                        value,
                        revision,
                    };
                    self.see(&key, Some(entry));
                }
                Op::Delete { key } => self.see(&key, None),
            }
        }
    }

    fn some_key(&mut self) -> Key {
        key(KEYS[self.random.random_range(0..KEYS.len())])
    }

    /// One key or two; mostly as it goes on in life, by what was seen last.
    fn some_commit(&mut self) -> Commit {
        let mut commit = Commit::default();
        let first = self.some_key();
        let mut keys = vec![first.clone()];
        if self.random.random_bool(0.3) {
            let second = self.some_key();
            keys.extend((second != first).then_some(second));
        }
        for key in keys {
            let compare = match (self.seen.get(&key), self.random.random_range(0..10)) {
                (_, 0) => None,
                (_, 1) => Some(Compare::Exists { key: key.clone() }),
                (Some(entry), _) => Some(Compare::Revision {
                    key: key.clone(),
                    revision: entry.revision,
                }),
                (None, _) => Some(Compare::Absent { key: key.clone() }),
            };
            commit.compares.extend(compare);
            commit.ops.push(match self.random.random_bool(0.15) {
                true => Op::Delete { key },
                false => Op::Put {
                    key,
                    value: self.fresh(),
                    lease: None,
                },
            });
        }
        commit
    }

    /// A value that nobody else writes.
    fn fresh(&mut self) -> Bytes {
        self.written += 1;
        Bytes::from(format!("{}-{}", self.name, self.written))
    }

    /// Holds one lease after the other, puts a key under each, and lets it go or lets it lapse.
    pub(super) async fn run_leases(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let granting = self.notes.now();
            let Ok(lease) = self.store.lease(TTL).await else {
                continue;
            };
            let put = Op::Put {
                key: key(&format!("leased-{}", self.name)),
                value: self.fresh(),
                lease: Some(lease.id()),
            };
            let (compares, ops) = (Vec::new(), vec![put]);
            self.commit(Commit { compares, ops }).await;
            let mut lives_until = granting + TTL;
            for _ in 0..self.random.random_range(0..40) {
                self.get().await;
                let sent = self.notes.now();
                match lease.keep_alive().await {
                    Ok(()) => lives_until = sent + TTL,
                    Err(StoreError::LeaseLapsed { .. }) => break,
                    Err(_) => {}
                }
            }
            // Not before the time that was promised last.
            self.notes.note(Call::Lapse(lease.id()), lives_until, None);
            if self.random.random_bool(0.5) {
                let called_at = self.notes.now();
                let answer = match lease.revoke().await {
                    Ok(()) => Some((Answer::Revoked, self.notes.now())),
                    Err(_) => None,
                };
                self.notes.note(Call::Revoke(lease.id()), called_at, answer);
            }
        }
    }
}

/// Everything, as one of the calls.
pub(super) async fn list(store: &dyn Store, notes: &Notes) -> Option<store::Listing> {
    let called_at = notes.now();
    let listing = store.list(&key("")).await.ok()?;
    let answer = Answer::Listed(listing.revision, listing.entries.clone());
    notes.note(Call::List, called_at, Some((answer, notes.now())));
    Some(listing)
}
