//! Having the nodes' loads evened out: the wish is written down, and the planner follows it.

use model::{Actor, RebalanceRequest, Timestamp};
use store::{Committed, Store, Txn, key};

use super::{ActionError, Attempts};

/// One that is being followed already is as good as a new one.
pub(crate) async fn request(store: &dyn Store, by: &Actor) -> Result<(), ActionError> {
    let request = RebalanceRequest {
        requested_at: Timestamp::now(),
        requested_by: by.clone(),
    };
    // Refused only if there is one.
    Txn::new()
        .create(&key::REBALANCE, key::rebalance(), &request)
        .commit(store)
        .await?;
    Ok(())
}

/// Moves that have begun come to their end. Answers what was called off, if there was anything.
pub(crate) async fn stop(store: &dyn Store) -> Result<Option<RebalanceRequest>, ActionError> {
    let place = key::rebalance();
    let mut attempts = Attempts::default();
    while let Some(seen) = key::REBALANCE.get(store, &place).await? {
        let txn = Txn::new().unchanged(&seen).delete(place.clone());
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(Some(seen.value));
        }
        attempts.lost().await?;
    }
    Ok(None)
}
