//! Who has seen which commit, and when the last of all hosts did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use model::Revision;
use store::{Event, WatchBatch};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// Commits that it has room for.
const ROOM: usize = 1 << 18;

pub(crate) struct Board {
    hosts: u32,
    base: Revision,
    seen_by: Vec<AtomicU32>,
    seen_by_all: watch::Sender<Revision>,
    delivered: AtomicU64,
    lost: AtomicU32,
    /// What one of the hosts has heard; held for a push or a look.
    heard: Mutex<Vec<Heard>>,
    /// When all had seen it; held for a push or a look.
    complete: Mutex<BTreeMap<Revision, Instant>>,
}

/// One commit, as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) revision: Revision,
    pub(crate) bytes: usize,
    /// What it was about: `-dyno-status -dynos`, `routes`.
    pub(crate) about: String,
}

impl Board {
    /// For hosts that watch what comes after `base`.
    pub(crate) fn new(hosts: usize, base: Revision) -> Self {
        Self {
            hosts: hosts as u32,
            base,
            seen_by: (0..ROOM).map(|_| AtomicU32::new(0)).collect(),
            seen_by_all: watch::Sender::new(base),
            delivered: AtomicU64::new(0),
            lost: AtomicU32::new(0),
            heard: Mutex::default(),
            complete: Mutex::default(),
        }
    }

    pub(crate) const fn base(&self) -> Revision {
        self.base
    }

    pub(crate) fn sees(&self, host: usize, batch: &WatchBatch) {
        let index = (batch.revision - self.base) as usize;
        self.delivered
            .fetch_add(batch.events.len() as u64, Ordering::Relaxed);
        if host == 0 {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.push(Heard::of(batch));
        }
        if self.seen_by[index].fetch_add(1, Ordering::Relaxed) + 1 == self.hosts {
            let mut complete = self.complete.lock().unwrap_or_else(PoisonError::into_inner);
            complete.insert(batch.revision, Instant::now());
            drop(complete);
            self.seen_by_all.send_if_modified(|newest| {
                let is_newer = batch.revision > *newest;
                *newest = batch.revision.max(*newest);
                is_newer
            });
        }
    }

    /// A host's watch has ended, and with it what is measured.
    pub(crate) fn loses_a_host(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn lost(&self) -> u32 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Returns when every host has seen it; and when that was.
    pub(crate) async fn all_have(&self, revision: Revision, within: Duration) -> Option<Instant> {
        let mut newest = self.seen_by_all.subscribe();
        let until = Instant::now() + within;
        timeout_at(until, newest.wait_for(|newest| *newest >= revision))
            .await
            .ok()?
            .ok()?;
        self.complete_at(revision)
    }

    pub(crate) fn complete_at(&self, revision: Revision) -> Option<Instant> {
        let complete = self.complete.lock().unwrap_or_else(PoisonError::into_inner);
        complete.get(&revision).copied()
    }

    pub(crate) fn heard_after(&self, revision: Revision) -> Vec<Heard> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let later = heard.iter().filter(|heard| heard.revision > revision);
        later.cloned().collect()
    }
}

impl Heard {
    fn of(batch: &WatchBatch) -> Self {
        let bytes = batch.events.iter().map(|event| match event {
            Event::Put(entry) => entry.key.as_str().len() + entry.value.len(),
            Event::Delete { key, .. } => key.as_str().len(),
        });
        let about: BTreeSet<String> = batch.events.iter().map(about).collect();
        Self {
            revision: batch.revision,
            bytes: bytes.sum(),
            about: about.into_iter().collect::<Vec<_>>().join(" "),
        }
    }
}

fn about(event: &Event) -> String {
    let gone = match event {
        Event::Put(_) => "",
        Event::Delete { .. } => "-",
    };
    let mut parts = event.key().as_str().split('/').skip(3);
    match (parts.next(), parts.next()) {
        (Some("alive"), Some(what)) => format!("{gone}alive/{what}"),
        (Some(table), _) => format!("{gone}{table}"),
        (None, _) => String::new(),
    }
}
