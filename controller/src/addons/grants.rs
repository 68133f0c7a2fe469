//! What lets a provider do something with an add-on: a grant that it gets with the request for one, and the tokens that
//! it gets for that. All are sealed, so that none needs a record.

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
struct Holder {
    addon: AddonId,
    /// Of the provider's secret that it was made under, where it ends with that.
    secret: Option<Checksum>,
    until: Option<Timestamp>,
}

macro_rules! holds {
    ($($(#[$doc:meta])* $kind:ident: $place:literal, $lasts:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(crate) struct $kind(Holder);

        impl $kind {
            pub(crate) fn new(addon: AddonId, secrets: &ProviderSecrets, now: Timestamp) -> Self {
                let lasts: Option<Duration> = $lasts;
                Self(Holder {
                    addon,
                    secret: lasts.map(|_| token_hash(secrets.client_secret.expose())),
                    until: lasts.map(|lasts| now.checked_add(lasts).unwrap_or(Timestamp::MAX)),
                })
            }

            pub(crate) fn seal(&self, keyring: &Keyring) -> Result<String, StoreError> {
                ticket::seal_at(keyring, $place, &self.0)
            }

            pub(crate) fn open(keyring: &Keyring, text: &str) -> Option<Self> {
                ticket::open_at(keyring, $place, text).map(Self)
            }

            /// For which add-on; it counts once [`Self::counts`] says so.
            pub(crate) const fn addon(&self) -> AddonId {
                self.0.addon
            }

            pub(crate) fn counts(&self, secrets: &ProviderSecrets, now: Timestamp) -> bool {
                let hash = token_hash(secrets.client_secret.expose());
                self.0.until.is_none_or(|until| now < until)
                    && self.0.secret.as_ref().is_none_or(|secret| *secret == hash)
            }
        }
    )*};
}

holds! {
    Grant: "add-on grant", Some(GRANT_FOR);
    AccessToken: "add-on access token", Some(TOKEN_FOR);
    /// Good for as long as the add-on: there is no other way to a token, and who uses it shows the secret of that day.
    RefreshToken: "add-on refresh token", None;
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
        assert!(refresh.counts(&secrets("two"), now + TOKEN_FOR * 1000));
    }
}
