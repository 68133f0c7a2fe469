//! The keys of session tickets: a new one twice a day, and the old ones forgotten when no ticket needs them any more.
//!
//! Any controller may; who is second finds it done.

use std::time::Duration;

use model::certificate::TICKETS_LAST;
use model::{TicketKey, TicketKeys, Timestamp};
use store::{Committed, StoreError, Txn, key};
use tracing::{info, warn};

use crate::context::{Context, Ctx};

const LOOK_EVERY: Duration = Duration::from_secs(600);
const RETRY: Duration = Duration::from_secs(10);
const SEALS_FOR: Duration = Duration::from_secs(12 * 3600);

/// For as long as this controller runs.
pub(crate) async fn run(context: Ctx) {
    loop {
        let wait = match rotate(&context, Timestamp::now()).await {
            Ok(()) => LOOK_EVERY,
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "Could not make a new key for session tickets; will retry"
                );
                RETRY
            }
        };
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn rotate(context: &Context, now: Timestamp) -> Result<(), StoreError> {
    let (store, place) = (context.store(), key::ticket_keys());
    let seen = key::TICKETS.get(store, &place).await?;
    let keys = match &seen {
        Some(seen) if !is_due(seen.value.made_at, now) => return Ok(()),
        // With another master key they are lost, and sessions with them; nothing else is.
        Some(seen) => context
            .keyring
            .open(&place, &seen.value.keys)
            .unwrap_or_default(),
        None => Vec::new(),
    };
    let keys = turned(keys, fresh(now), now);
    let record = TicketKeys {
        made_at: now,
        keys: context.keyring.seal(&place, &keys)?,
    };
    let txn = match &seen {
        Some(seen) => Txn::new().replace(&key::TICKETS, seen, &record),
        None => Txn::new().create(&key::TICKETS, place, &record),
    };
    if let Committed::Done(_) = txn.commit(store).await? {
        info!("Session tickets are sealed with a new key");
    }
    Ok(())
}

/// Also when the clock was ahead and has been put right.
fn is_due(made_at: Timestamp, now: Timestamp) -> bool {
    made_at > now || made_at.checked_add(SEALS_FOR).is_ok_and(|due| due <= now)
}

fn fresh(now: Timestamp) -> TicketKey {
    TicketKey {
        name: hex::encode(rand::random::<[u8; 16]>()),
        key: hex::encode(rand::random::<[u8; 32]>()).into(),
        made_at: now,
    }
}

/// Newest first, without those whose last ticket is over.
fn turned(mut keys: Vec<TicketKey>, fresh: TicketKey, now: Timestamp) -> Vec<TicketKey> {
    keys.retain(|key| {
        let last_use = key.made_at.checked_add(SEALS_FOR + TICKETS_LAST);
        key.made_at <= now && last_use.is_ok_and(|last_use| last_use > now)
    });
    keys.insert(0, fresh);
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(hours * 3600).unwrap()
    }

    #[test]
    fn a_key_is_kept_as_long_as_a_ticket_of_it_may_be_shown() {
        let mut keys = Vec::new();
        for hours in [0, 12, 24, 36, 48] {
            keys = turned(keys, fresh(at(hours)), at(hours));
        }
        let made: Vec<_> = keys.iter().map(|key| key.made_at).collect();
        assert_eq!(made, [at(48), at(36), at(24)]);
    }

    #[test]
    fn a_new_key_is_made_after_half_a_day_and_when_a_clock_was_ahead() {
        assert!(!is_due(at(0), at(11)));
        assert!(is_due(at(0), at(12)));
        assert!(is_due(at(5), at(4)));
        let keys = turned(vec![fresh(at(100))], fresh(at(0)), at(0));
        assert_eq!(keys.len(), 1, "one of the future would never be forgotten");
    }
}
