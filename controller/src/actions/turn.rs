//! The turn of those who change which names lead where: domains and certificates.

use store::{Store, StoreError, Txn, Versioned, key};

use super::ActionError;
use crate::context::Context;

/// The platform-wide record that every such change compares and sets: each is checked against all others' names, and no
/// comparison of theirs would see one that is added meanwhile.
const NAME: &str = "domains";

#[derive(Debug)]
pub(super) struct Turn {
    seen: Option<Versioned<model::Sealed>>,
}

impl Turn {
    /// Before anything is read that the change depends on.
    pub(super) async fn look(store: &dyn Store) -> Result<Self, StoreError> {
        let seen = key::PLATFORM.get(store, &key::platform(NAME)).await?;
        Ok(Self { seen })
    }

    /// Makes `txn` void if anybody was quicker.
    pub(super) fn take(&self, context: &Context, txn: Txn) -> Result<Txn, ActionError> {
        let place = key::platform(NAME);
        let taken = context.keyring.seal(&place, &uuid::Uuid::new_v4())?;
        Ok(match &self.seen {
            Some(seen) => txn.replace(&key::PLATFORM, seen, &taken),
            None => txn.create(&key::PLATFORM, place, &taken),
        })
    }
}
