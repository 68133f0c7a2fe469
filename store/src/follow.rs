//! Following the store: one consistent snapshot, then every change, for ever.
//!
//! Connection loss, compaction and slow readers end in the same way: a fresh snapshot. So whoever follows writes two
//! small functions (replace all, apply one change) and has covered restart, missed event and normal path at once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use model::Revision;
use tracing::warn;

use crate::{Entry, Event, Key, Store, StoreError, Watch, WatchItem};

/// What a follower is told.
#[derive(Debug)]
pub enum Update {
    /// Everything followed, as of one revision: replaces all that was told before.
    Snapshot {
        revision: Revision,
        entries: Vec<Entry>,
    },
    /// The changes of one commit; empty when that commit touched nothing that is followed.
    Changes {
        revision: Revision,
        events: Vec<Event>,
    },
}

impl Update {
    /// Whether it tells of nothing but a newer revision.
    pub const fn is_empty(&self) -> bool {
        matches!(self, Self::Changes { events, .. } if events.is_empty())
    }
}

/// Follows a set of key prefixes. Pull [`Follower::next`] in a loop; dropping it stops everything.
pub struct Follower {
    store: Arc<dyn Store>,
    prefixes: Vec<Key>,
    common: Key,
    watch: Option<Watch>,
    failures: u32,
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower")
            .field("prefixes", &self.prefixes)
            .finish_non_exhaustive()
    }
}

impl Follower {
    /// `prefixes` must not be empty. Cheap; the first [`Follower::next`] talks to the store.
    pub fn new(store: Arc<dyn Store>, prefixes: Vec<Key>) -> Self {
        let common = match prefixes.as_slice() {
            [only] => only.clone(),
            _ => Key::root(),
        };
        Self {
            store,
            prefixes,
            common,
            watch: None,
            failures: 0,
        }
    }

    /// The next update. Never fails: trouble is logged and retried with back-off, up to 5 s apart. Safe to cancel.
    pub async fn next(&mut self) -> Update {
        loop {
            match self.try_next().await {
                Ok(Some(update)) => {
                    self.failures = 0;
                    return update;
                }
                Ok(None) => self.watch = None,
                Err(error) => {
                    self.watch = None;
                    self.failures = self.failures.saturating_add(1);
                    let pause = Duration::from_millis(50 << self.failures.min(7))
                        .min(Duration::from_secs(5));
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "Could not follow the store; will retry"
                    );
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    async fn try_next(&mut self) -> Result<Option<Update>, StoreError> {
        let Some(watch) = &mut self.watch else {
            let listing = self.store.list(&self.common).await?;
            self.watch = Some(self.store.watch(&self.common, listing.revision).await?);
            let entries = listing
                .entries
                .into_iter()
                .filter(|entry| covers(&self.prefixes, &entry.key))
                .collect();
            return Ok(Some(Update::Snapshot {
                revision: listing.revision,
                entries,
            }));
        };
        match watch.next().await {
            Some(Ok(WatchItem::Batch(mut batch))) => {
                batch
                    .events
                    .retain(|event| covers(&self.prefixes, event.key()));
                Ok(Some(Update::Changes {
                    revision: batch.revision,
                    events: batch.events,
                }))
            }
            Some(Ok(WatchItem::Progress(revision))) => Ok(Some(Update::Changes {
                revision,
                events: Vec::new(),
            })),
            Some(Ok(WatchItem::Resync)) | None => Ok(None),
            Some(Err(error)) => Err(error),
        }
    }
}

fn covers(prefixes: &[Key], key: &Key) -> bool {
    prefixes.iter().any(|prefix| key.starts_with(prefix))
}
