//! A number that one thread writes and any may read.

use std::sync::atomic::{AtomicU64, Ordering};

/// Only grows. Two writers would lose counts of each other: each worker has its own.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Not one locked instruction: nobody else writes.
    pub(crate) fn add(&self, count: u64) {
        let now = self.0.load(Ordering::Relaxed);
        self.0.store(now.wrapping_add(count), Ordering::Relaxed);
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What has begun and not ended: two counters, so that each only grows.
#[derive(Debug, Default)]
pub(crate) struct UnderWay {
    begun: Counter,
    ended: Counter,
}

impl UnderWay {
    pub(crate) fn begin(&self) {
        self.begun.one();
    }

    pub(crate) fn end(&self) {
        self.ended.one();
    }

    pub(crate) fn begun(&self) -> u64 {
        self.begun.get()
    }

    pub(crate) fn now(&self) -> u64 {
        // In this order: what ends while this is read is counted once too often, never once too few.
        let ended = self.ended.get();
        self.begun.get().saturating_sub(ended)
    }
}
