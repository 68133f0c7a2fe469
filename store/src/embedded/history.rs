//! The recent changes, and the watches that read them.
//!
//! A watch is a cursor into the history, not a buffer of its own: memory is bounded whoever is slow.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream;
use model::Revision;
use tokio::sync::watch;
use tokio::time::Instant;

use super::closed;
use crate::{Event, Key, StoreError, Watch, WatchBatch, WatchItem};

/// What is kept: the newest changes within both limits.
const MAX_REVISIONS: usize = 8192;
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Roughly what an event takes besides its key and value.
const EVENT_BYTES: usize = 100;

/// Commits that a watch does not cover are reported no more often than this.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);

/// A new store is at this revision, as etcd is.
pub(super) const FIRST_REVISION: Revision = 1;

pub(super) struct History {
    /// Held for a push, or for one watch's look at what is new to it; never across an await.
    ring: Mutex<Ring>,
    news: watch::Sender<News>,
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History")
            .field("news", &*self.news.borrow())
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy)]
struct News {
    newest: Revision,
    closed: bool,
}

/// Every revision above `floor` up to `floor + batches.len()`, each as one batch.
struct Ring {
    batches: VecDeque<WatchBatch>,
    bytes: usize,
    floor: Revision,
}

enum Look {
    /// What comes next has left the history.
    Missed,
    Batch(WatchBatch),
    /// Nothing of interest up to this revision, the newest.
    Nothing(Revision),
}

impl History {
    /// A history that begins after `revision`.
    pub(super) fn after(revision: Revision) -> Arc<Self> {
        Arc::new(Self {
            ring: Mutex::new(Ring {
                batches: VecDeque::new(),
                bytes: 0,
                floor: revision,
            }),
            news: watch::Sender::new(News {
                newest: revision,
                closed: false,
            }),
        })
    }

    /// Appends batches of consecutive revisions and wakes every watch. What is known already is left out.
    pub(super) fn publish(&self, batches: Vec<WatchBatch>) {
        let newest = self.with_ring(|ring| {
            for batch in batches {
                if batch.revision > ring.newest() {
                    ring.push(batch);
                }
            }
            ring.newest()
        });
        self.news.send_modify(|news| news.newest = newest);
    }

    /// Begins anew after `revision`: changes up to it cannot be told. Does nothing if it is known already.
    pub(super) fn skip_to(&self, revision: Revision) {
        let newest = self.with_ring(|ring| {
            if revision > ring.newest() {
                *ring = Ring {
                    batches: VecDeque::new(),
                    bytes: 0,
                    floor: revision,
                };
            }
            ring.newest()
        });
        self.news.send_modify(|news| news.newest = newest);
    }

    /// Ends every watch with an error.
    pub(super) fn close(&self) {
        self.news.send_modify(|news| news.closed = true);
    }

    pub(super) fn watch(self: Arc<Self>, prefix: Key, after: Revision) -> Watch {
        let watcher = Watcher {
            news: self.news.subscribe(),
            history: self,
            prefix,
            cursor: after.max(FIRST_REVISION),
            told: None,
            ended: false,
        };
        Box::pin(stream::unfold(watcher, |mut watcher| async move {
            let item = watcher.next().await?;
            Some((item, watcher))
        }))
    }

    fn look(&self, prefix: &Key, cursor: Revision) -> Look {
        self.with_ring(|ring| {
            let Some(known) = cursor.checked_sub(ring.floor) else {
                return Look::Missed;
            };
            let known = usize::try_from(known)
                .unwrap_or(usize::MAX)
                .min(ring.batches.len());
            for batch in ring.batches.range(known..) {
                let events: Vec<Event> = batch
                    .events
                    .iter()
                    .filter(|event| event.key().starts_with(prefix))
                    .cloned()
                    .collect();
                if !events.is_empty() {
                    return Look::Batch(WatchBatch {
                        revision: batch.revision,
                        events,
                    });
                }
            }
            Look::Nothing(ring.newest())
        })
    }

    fn with_ring<T>(&self, f: impl FnOnce(&mut Ring) -> T) -> T {
        f(&mut self.ring.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Ring {
    fn newest(&self) -> Revision {
        self.floor + self.batches.len() as u64
    }

    fn push(&mut self, batch: WatchBatch) {
        debug_assert_eq!(
            batch.revision,
            self.newest() + 1,
            "revisions are consecutive"
        );
        self.bytes += size(&batch);
        self.batches.push_back(batch);
        while self.batches.len() > MAX_REVISIONS || self.bytes > MAX_BYTES {
            let Some(oldest) = self.batches.pop_front() else {
                break;
            };
            self.bytes -= size(&oldest);
            self.floor = oldest.revision;
        }
    }
}

fn size(batch: &WatchBatch) -> usize {
    batch.events.iter().map(event_size).sum()
}

fn event_size(event: &Event) -> usize {
    let value = match event {
        Event::Put(entry) => entry.value.len(),
        Event::Delete { .. } => 0,
    };
    EVENT_BYTES + event.key().as_str().len() + value
}

/// One watch's place in the history.
struct Watcher {
    history: Arc<History>,
    news: watch::Receiver<News>,
    prefix: Key,
    /// Everything up to here was looked at.
    cursor: Revision,
    /// The revision that the reader knows of, and when it was told by a progress item.
    told: Option<(Revision, Option<Instant>)>,
    ended: bool,
}

impl Watcher {
    async fn next(&mut self) -> Option<Result<WatchItem, StoreError>> {
        if self.ended {
            return None;
        }
        loop {
            if self.news.borrow_and_update().closed {
                self.ended = true;
                return Some(Err(closed("watching")));
            }
            match self.history.look(&self.prefix, self.cursor) {
                Look::Missed => {
                    self.ended = true;
                    return Some(Ok(WatchItem::Resync));
                }
                Look::Batch(batch) => {
                    self.cursor = batch.revision;
                    let last_progress = self.told.and_then(|(_, at)| at);
                    self.told = Some((batch.revision, last_progress));
                    return Some(Ok(WatchItem::Batch(batch)));
                }
                Look::Nothing(newest) => self.cursor = self.cursor.max(newest),
            }
            let progress_from = match self.told {
                None => None,
                Some((revision, _)) if revision >= self.cursor => {
                    // The sender lives as long as the history, which this watcher holds.
                    let _ = self.news.changed().await;
                    continue;
                }
                Some((_, at)) => at.map(|at| at + PROGRESS_EVERY),
            };
            if let Some(due) = progress_from.filter(|due| *due > Instant::now()) {
                tokio::select! {
                    _ = self.news.changed() => continue,
                    () = tokio::time::sleep_until(due) => {}
                }
            }
            self.told = Some((self.cursor, Some(Instant::now())));
            return Some(Ok(WatchItem::Progress(self.cursor)));
        }
    }
}
