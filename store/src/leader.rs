//! Electing one leader among equals: whoever creates the key under its lease leads until the lease is gone.
//!
//! Holding [`Leadership`] is a hint; what makes it safe is [`Leadership::guard`], the comparison that every commit of the
//! leader carries. A leader that was paused past its lease finds all its commits refused.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use model::Revision;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::{Committed, Event, Key, Lease, Store, StoreError, Txn, WatchItem, key};

/// How long nobody leads after a leader's death. With a node of its host's lost in the same moment, traffic is to leave
/// that node within 5 s all the same.
pub const TTL: Duration = Duration::from_secs(4);

/// How much sooner than the store a leader believes that its lease has lapsed.
const MARGIN: Duration = Duration::from_secs(1);

/// Proof of having won an election, good until [`Leadership::lost`] fires.
#[derive(Debug)]
pub struct Leadership {
    key: Key,
    revision: Revision,
    candidate: String,
    lost: CancellationToken,
    lease: Arc<dyn Lease>,
    _keeper: AbortOnDropHandle<()>,
}

impl Leadership {
    /// Makes a commit void once somebody else leads.
    pub fn guard(&self, txn: Txn) -> Txn {
        txn.at_revision(self.key.clone(), self.revision)
    }

    /// Begins another term: every commit guarded before is void from here on, also one that is still under way and of
    /// which nobody knows whether it arrived. What is read at the answered revision or later shows all that did.
    /// `None`: it leads no more, or cannot know that it does.
    pub async fn renew(&mut self, store: &dyn Store) -> Result<Option<Revision>, StoreError> {
        let txn = self.guard(Txn::new().put_leased(
            &key::LEADERS,
            self.key.clone(),
            &self.candidate,
            self.lease.id(),
        ));
        Ok(match txn.commit(store).await? {
            Committed::Done(revision) => {
                self.revision = revision;
                Some(revision)
            }
            Committed::Conflict => None,
        })
    }

    /// Whether the store still has the record of this very election, which [`Leadership::guard`] asks for.
    pub async fn is_on_record(&self, store: &dyn Store) -> Result<bool, StoreError> {
        let record = store.get(&self.key).await?;
        Ok(record.is_some_and(|record| record.revision == self.revision))
    }

    pub const fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Steps down now, so that another need not wait for the lease to lapse.
    pub async fn resign(self) {
        if let Err(error) = self.lease.revoke().await {
            info!(
                error = &error as &dyn std::error::Error,
                "Left without a word; another leads when the lease lapses"
            );
        }
    }
}

/// Waits until this candidate leads. Trouble is logged and retried; dropping the future withdraws.
pub async fn campaign(store: &Arc<dyn Store>, election: &str, candidate: &str) -> Leadership {
    loop {
        match attempt(store, election, candidate).await {
            Ok(Some(leadership)) => return leadership,
            Ok(None) => {}
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    election, "Could not campaign; will retry"
                );
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn attempt(
    store: &Arc<dyn Store>,
    election: &str,
    candidate: &str,
) -> Result<Option<Leadership>, StoreError> {
    let key = key::leader(election);
    // From before it was asked for: the lease begins no earlier than that.
    let granted = Instant::now();
    let lease = store.lease(TTL).await?;
    let txn = Txn::new().absent(key.clone()).put_leased(
        &key::LEADERS,
        key.clone(),
        &candidate.to_owned(),
        lease.id(),
    );
    let committed = match txn.commit(&**store).await {
        Ok(committed) => committed,
        Err(error) => {
            // It may have been written: then nobody leads until the lease ends, which is now rather than later.
            let _ = lease.revoke().await;
            return Err(error);
        }
    };
    if let Committed::Done(revision) = committed {
        let lost = CancellationToken::new();
        let keeper =
            AbortOnDropHandle::new(tokio::spawn(keep(lease.clone(), granted, lost.clone())));
        return Ok(Some(Leadership {
            key,
            revision,
            candidate: candidate.to_owned(),
            lost,
            lease,
            _keeper: keeper,
        }));
    }
    lease.revoke().await?;
    wait_for_vacancy(&**store, &key).await?;
    Ok(None)
}

/// Keeps the lease alive, and says that it is lost a little before it is: whoever hears it has stopped by then.
async fn keep(lease: Arc<dyn Lease>, granted: Instant, lost: CancellationToken) {
    let mut alive_until = granted + TTL - MARGIN;
    loop {
        tokio::time::sleep_until((Instant::now() + TTL / 4).min(alive_until)).await;
        let sent = Instant::now();
        if sent >= alive_until {
            break;
        }
        // One that hangs leaves time for another: it may have hung on a member of the store that died.
        let answer_by = (sent + TTL / 4).min(alive_until);
        match tokio::time::timeout_at(answer_by, lease.keep_alive()).await {
            Ok(Ok(())) => alive_until = sent + TTL - MARGIN,
            Ok(Err(StoreError::LeaseLapsed { .. })) => break,
            Ok(Err(_)) | Err(_) => {}
        }
    }
    lost.cancel();
}

/// Looks at this very key: another election's name may begin with it.
async fn wait_for_vacancy(store: &dyn Store, key: &Key) -> Result<(), StoreError> {
    let listing = store.list(key).await?;
    if listing.entries.iter().all(|entry| entry.key != *key) {
        return Ok(());
    }
    let is_vacancy =
        |event: &Event| matches!(event, Event::Delete { key: gone, .. } if gone == key);
    let mut watch = store.watch(key, listing.revision).await?;
    while let Some(item) = watch.next().await {
        match item? {
            WatchItem::Batch(batch) if batch.events.iter().any(is_vacancy) => break,
            WatchItem::Batch(_) | WatchItem::Progress(_) => {}
            WatchItem::Resync => break,
        }
    }
    Ok(())
}
