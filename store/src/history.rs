//! The recent changes, and the watches that read them. Both backends feed one: the embedded one from its writer, etcd's
//! from a single watch of its own.
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

use crate::{Event, Key, StoreError, Watch, WatchBatch, WatchItem};

/// What is kept: the newest changes within both limits.
const MAX_REVISIONS: usize = 8192;
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Roughly what an event takes besides its key and value.
const EVENT_BYTES: usize = 100;

/// Commits that a watch does not cover are reported no more often than this.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);

/// A new store is at this revision, as etcd is.
pub(crate) const FIRST_REVISION: Revision = 1;

pub(crate) struct History {
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

/// Every change above `floor` up to `newest`, a batch for each revision that has any.
struct Ring {
    batches: VecDeque<WatchBatch>,
    bytes: usize,
    floor: Revision,
    newest: Revision,
    /// Counts how often changes were lost: a watch of an earlier generation cannot go on.
    generation: u64,
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
    pub(crate) fn after(revision: Revision) -> Arc<Self> {
        Arc::new(Self {
            ring: Mutex::new(Ring::after(revision, 0)),
            news: watch::Sender::new(News {
                newest: revision,
                closed: false,
            }),
        })
    }

    pub(crate) fn newest(&self) -> Revision {
        self.news.borrow().newest
    }

    /// Appends batches of growing revisions and wakes every watch. What is known already is left out.
    pub(crate) fn publish(&self, batches: Vec<WatchBatch>) {
        let newest = self.with_ring(|ring| {
            for batch in batches {
                if batch.revision > ring.newest {
                    ring.push(batch);
                }
            }
            ring.newest
        });
        self.news.send_modify(|news| news.newest = newest);
    }

    /// Begins anew after `revision`, because changes were lost: every watch resyncs.
    pub(crate) fn restart_after(&self, revision: Revision) {
        self.with_ring(|ring| *ring = Ring::after(revision, ring.generation + 1));
        self.news.send_modify(|news| news.newest = revision);
    }

    /// Ends every watch with an error.
    pub(crate) fn close(&self) {
        self.news.send_modify(|news| news.closed = true);
    }

    pub(crate) fn watch(self: Arc<Self>, prefix: Key, after: Revision) -> Watch {
        let watcher = Watcher {
            news: self.news.subscribe(),
            generation: self.with_ring(|ring| ring.generation),
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

    fn look(&self, prefix: &Key, generation: u64, cursor: Revision) -> Look {
        self.with_ring(|ring| {
            if cursor < ring.floor || generation != ring.generation {
                return Look::Missed;
            }
            let known = ring
                .batches
                .partition_point(|batch| batch.revision <= cursor);
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
            Look::Nothing(ring.newest)
        })
    }

    fn with_ring<T>(&self, f: impl FnOnce(&mut Ring) -> T) -> T {
        f(&mut self.ring.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Ring {
    fn after(revision: Revision, generation: u64) -> Self {
        Self {
            batches: VecDeque::new(),
            bytes: 0,
            floor: revision,
            newest: revision,
            generation,
        }
    }

    fn push(&mut self, batch: WatchBatch) {
        self.newest = batch.revision;
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
    generation: u64,
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
                return Some(Err(StoreError::closed("watching")));
            }
            match self
                .history
                .look(&self.prefix, self.generation, self.cursor)
            {
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::StreamExt as _;

    use super::*;
    use crate::Entry;

    fn batch(revision: Revision, name: &str, bytes: usize) -> WatchBatch {
        let value = Bytes::from(vec![0; bytes]);
        let key = Key::from_text(name);
        let entry = Entry {
            key,
            value,
            revision,
        };
        WatchBatch {
            revision,
            events: vec![Event::Put(entry)],
        }
    }

    async fn next(watch: &mut Watch) -> WatchItem {
        watch.next().await.unwrap().unwrap()
    }

    #[test]
    fn what_is_kept_is_bounded_by_revisions_and_by_bytes() {
        let history = History::after(1);
        let revisions = 2..2 + 3 * MAX_REVISIONS as u64;
        history.publish(
            revisions
                .clone()
                .map(|revision| batch(revision, "/a", 1))
                .collect(),
        );
        history.with_ring(|ring| {
            assert_eq!(ring.batches.len(), MAX_REVISIONS);
            assert_eq!(ring.newest, revisions.end - 1);
            assert_eq!(ring.floor, ring.newest - MAX_REVISIONS as u64);
        });
        let large = (0..20)
            .map(|i| batch(revisions.end + i, "/a", 1_000_000))
            .collect();
        history.publish(large);
        history.with_ring(|ring| {
            assert!(
                ring.bytes <= MAX_BYTES && ring.batches.len() == 4,
                "{}",
                ring.bytes
            );
            assert_eq!(ring.bytes, ring.batches.iter().map(size).sum::<usize>());
        });
    }

    #[tokio::test]
    async fn revisions_may_have_gaps_and_are_told_once() {
        let history = History::after(10);
        history.publish(vec![batch(12, "/a", 1), batch(20, "/b", 1)]);
        history.publish(vec![batch(20, "/b", 1), batch(21, "/a", 1)]);
        for (after, expected) in [
            (10, vec![12, 20, 21]),
            (12, vec![20, 21]),
            (15, vec![20, 21]),
        ] {
            let mut watch = history.clone().watch(Key::from_text("/"), after);
            for revision in expected {
                let item = next(&mut watch).await;
                assert!(matches!(item, WatchItem::Batch(batch) if batch.revision == revision));
            }
        }
        let mut late = history.clone().watch(Key::from_text("/"), 21);
        assert_eq!(next(&mut late).await, WatchItem::Progress(21));
        let mut early = history.watch(Key::from_text("/"), 9);
        assert_eq!(next(&mut early).await, WatchItem::Resync);
    }

    #[tokio::test]
    async fn a_watch_of_before_a_gap_resyncs_even_if_its_revision_would_do() {
        let history = History::after(10);
        let mut watch = history.clone().watch(Key::from_text("/"), 50);
        assert_eq!(next(&mut watch).await, WatchItem::Progress(50));
        history.restart_after(20);
        assert_eq!(next(&mut watch).await, WatchItem::Resync);
        assert!(watch.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_watch_does_not_cover_wakes_its_reader_only_now_and_then() {
        let history = History::after(1);
        let mut watch = history.clone().watch(Key::from_text("/in/"), 1);
        assert_eq!(next(&mut watch).await, WatchItem::Progress(1));
        let publishing = async {
            for revision in 2..=1000 {
                history.publish(vec![batch(revision, "/out/", 1)]);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let began = Instant::now();
            history.publish(vec![batch(1001, "/in/", 1)]);
            began
        };
        let reading = async {
            let mut progress = 0;
            loop {
                match next(&mut watch).await {
                    WatchItem::Progress(_) => progress += 1,
                    WatchItem::Batch(_) => return (progress, Instant::now()),
                    WatchItem::Resync => panic!("nothing was lost"),
                }
            }
        };
        let (published, (progress, told)) = tokio::join!(publishing, reading);
        assert!(
            (10..=21).contains(&progress),
            "{progress} times in a second"
        );
        assert_eq!(published, told, "what it does cover is told at once");
    }
}
