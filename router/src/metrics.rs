//! What is counted, and how it is read.
//!
//! **Counting costs nothing that another core could notice.** Each worker has counters of its own, written by its one
//! thread with a plain load and a plain store, on cache lines that nobody else writes; whoever wants to know adds the
//! workers' up. An app's counters exist while the app is in the table, and take room only on workers that have had a
//! request of it.

mod app;
mod counter;
mod histogram;
mod text;
mod window;
mod worker;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::{Revision, RouterId};
use tokio::sync::watch;

pub(crate) use app::{AppCounters, Finished, Totals};
pub(crate) use counter::{Counter, UnderWay};
pub(crate) use histogram::Durations;
pub(crate) use text::{CONTENT_TYPE, text};
pub(crate) use window::Recent;
pub(crate) use worker::{Connected, Door, Protocol, WorkerCell, WorkerTotals};

use crate::follow::Published;
use crate::table::Table;
use crate::tcp::Ports;
use crate::trace::SpanCounts;
use window::Window;

/// How often the present is put aside, to tell later what was recent: recent is the last one to two of it.
const TURN_EVERY: Duration = Duration::from_secs(10);

/// All of a router's.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) id: RouterId,
    pub(crate) started: Instant,
    workers: Box<[Arc<WorkerCell>]>,
    published: watch::Receiver<Option<Published>>,
    pub(crate) ports: Arc<Ports>,
    /// The revision that is in force in all workers.
    applied: AtomicU64,
    window: Mutex<Window>,
    /// Of traces, where they are exported.
    pub(crate) spans: Arc<SpanCounts>,
}

impl Metrics {
    pub(crate) fn new(
        id: RouterId,
        workers: usize,
        published: watch::Receiver<Option<Published>>,
        ports: Arc<Ports>,
    ) -> Self {
        let started = Instant::now();
        Self {
            id,
            started,
            workers: (0..workers).map(|_| Arc::default()).collect(),
            published,
            ports,
            applied: AtomicU64::new(0),
            window: Mutex::new(Window::new(started)),
            spans: Arc::default(),
        }
    }

    pub(crate) fn worker(&self, index: usize) -> Arc<WorkerCell> {
        self.workers[index].clone()
    }

    pub(crate) fn workers(&self) -> WorkerTotals {
        self.workers.iter().map(|worker| worker.totals()).sum()
    }

    /// The newest table, which may not be in force everywhere yet.
    pub(crate) fn table(&self) -> Option<Arc<Table>> {
        let published = self.published.borrow();
        published.as_ref().map(|published| published.table.clone())
    }

    pub(crate) fn set_applied(&self, applied: Revision) {
        self.applied.store(applied, Ordering::Relaxed);
    }

    pub(crate) fn applied(&self) -> Revision {
        self.applied.load(Ordering::Relaxed)
    }

    /// What has happened in the last 10 to 20 s, or since the start.
    pub(crate) fn recent(&self) -> Recent {
        let now = window::Reading::of(self, Instant::now());
        let window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.since(now)
    }

    /// Puts the present aside from time to time. Until dropped.
    pub(crate) async fn keep_window(self: Arc<Self>) {
        let mut every = tokio::time::interval(TURN_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first comes at once.
        every.tick().await;
        loop {
            every.tick().await;
            let now = window::Reading::of(&self, Instant::now());
            let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
            window.turn(now);
        }
    }
}

/// Bytes of this process that are in memory; 0 where the kernel does not tell.
pub(crate) fn resident_bytes() -> u64 {
    let pages = fs_err::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split_ascii_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or_default() * rustix::param::page_size() as u64
}
