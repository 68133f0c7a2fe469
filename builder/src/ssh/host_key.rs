//! The host key: one for the whole platform, sealed in the store, so that a builder may be moved or replaced and no
//! client ever reads a warning.

use model::Secret;
use rand::RngCore as _;
use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::Ed25519Keypair;
use store::{Committed, Keyring, Store, StoreError, Txn, key};

const NAME: &str = "ssh-host-key";

/// The platform's key. The first builder makes it; several that start at once agree on one.
pub(crate) async fn load(store: &dyn Store, keyring: &Keyring) -> Result<PrivateKey, StoreError> {
    let place = key::platform(NAME);
    loop {
        if let Some(sealed) = key::PLATFORM.get(store, &place).await? {
            let seed: Secret<String> = keyring.open(&place, &sealed.value)?;
            let mut bytes = [0; 32];
            hex::decode_to_slice(seed.expose(), &mut bytes).map_err(|_| StoreError::Unseal)?;
            return Ok(Ed25519Keypair::from_seed(&bytes).into());
        }
        let mut seed = [0; 32];
        rand::rng().fill_bytes(&mut seed);
        let sealed = keyring.seal(&place, &Secret::new(hex::encode(seed)))?;
        match Txn::new()
            .create(&key::PLATFORM, place.clone(), &sealed)
            .commit(store)
            .await?
        {
            // Read back in either case: what counts is what the store has.
            Committed::Done(_) | Committed::Conflict => {}
        }
    }
}
