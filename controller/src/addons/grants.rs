//! What lets a provider do something with an add-on: a grant that it gets with the request for one, and the tokens that
//! it gets for that. All are sealed, so that none needs a record; a new secret of the provider ends them.

use std::time::Duration;

use model::addon::ProviderSecrets;
use model::{AddonId, Checksum, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Keyring, StoreError};

use crate::auth::token_hash;
use crate::http::ticket;

/// Heroku's five minutes, and some more for an add-on that is asked for again.
pub(crate) const GRANT_FOR: Duration = Duration::from_secs(600);
/// Heroku's.
pub(crate) const TOKEN_FOR: Duration = Duration::from_secs(8 * 3600);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant(Holder);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccessToken(Holder);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefreshToken(Holder);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    addon: AddonId,
    /// Of the provider's secret that it was made under.
    secret: Checksum,
    until: Option<Timestamp>,
}

macro_rules! holds {
    ($($kind:ident: $lasts:expr;)*) => {$(
        impl $kind {
            pub(crate) fn new(addon: AddonId, secrets: &ProviderSecrets, now: Timestamp) -> Self {
                Self(Holder {
                    addon,
                    secret: token_hash(secrets.client_secret.expose()),
                    until: $lasts.map(|lasts: Duration| now.checked_add(lasts).unwrap_or(Timestamp::MAX)),
                })
            }

            pub(crate) fn seal(&self, keyring: &Keyring) -> Result<String, StoreError> {
                ticket::seal(keyring, self)
            }

            pub(crate) fn open(keyring: &Keyring, text: &str) -> Option<Self> {
                ticket::open(keyring, text)
            }

            /// For which add-on; it counts once [`Self::counts`] says so.
            pub(crate) const fn addon(&self) -> AddonId {
                self.0.addon
            }

            pub(crate) fn counts(&self, secrets: &ProviderSecrets, now: Timestamp) -> bool {
                self.0.until.is_none_or(|until| now < until)
                    && self.0.secret == token_hash(secrets.client_secret.expose())
            }
        }
    )*};
}

holds! {
    Grant: Some(GRANT_FOR);
    AccessToken: Some(TOKEN_FOR);
    RefreshToken: None;
}

#[cfg(test)]
mod tests {
    use model::Secret;

    use super::*;

    fn secrets(client: &str) -> ProviderSecrets {
        ProviderSecrets {
            password: Secret::from("p"),
            sso_salt: Secret::from("s"),
            client_secret: Secret::from(client),
        }
    }

    #[test]
    fn a_token_counts_for_a_while_and_as_long_as_the_secret_is_the_same() {
        let (keyring, now) = (
            Keyring::new(&[1; 32]),
            Timestamp::from_second(1000).unwrap(),
        );
        let addon = AddonId::new();
        let token = AccessToken::new(addon, &secrets("one"), now);
        let sealed = token.seal(&keyring).unwrap();
        assert!(
            RefreshToken::open(&keyring, &sealed).is_none(),
            "another kind"
        );
        let token = AccessToken::open(&keyring, &sealed).unwrap();
        assert_eq!(token.addon(), addon);
        assert!(token.counts(&secrets("one"), now));
        assert!(!token.counts(&secrets("two"), now));
        assert!(!token.counts(&secrets("one"), now + TOKEN_FOR));
        let refresh = RefreshToken::new(addon, &secrets("one"), now);
        assert!(refresh.counts(&secrets("one"), now + TOKEN_FOR * 1000));
    }
}
