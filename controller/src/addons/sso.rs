//! Sending somebody's browser to an add-on's dashboard, with proof that the platform did.

use std::collections::BTreeMap;
use std::time::Duration;

use hmac::{Hmac, Mac as _};
use model::addon::{Addon, ProviderSecrets};
use model::{AddonId, AppName, Email, Timestamp};
use serde::{Deserialize, Serialize};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

/// How long a link to a dashboard is good for.
pub(crate) const LINK_FOR: Duration = Duration::from_secs(300);

/// What such a link says: who, and where to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    pub(crate) addon: AddonId,
    pub(crate) app: AppName,
    pub(crate) email: Email,
    pub(crate) until: Timestamp,
}

/// The form that the browser posts: Heroku's fields, the older names of some beside them, and a proof by SHA-256.
pub(crate) fn params(
    addon: &Addon,
    secrets: &ProviderSecrets,
    app: &AppName,
    email: &Email,
    now: Timestamp,
) -> BTreeMap<String, String> {
    let id = match &addon.provider_id {
        Some(id) => id.clone(),
        None => addon.id.to_string(),
    };
    let (salt, timestamp) = (secrets.sso_salt.expose(), now.as_second());
    let signed = format!("{id}:{salt}:{timestamp}");
    let token = hex::encode(Sha1::digest(&signed));
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(salt.as_bytes()).expect("any key will do");
    mac.update(format!("{id}:{timestamp}").as_bytes());
    let better = hex::encode(mac.finalize().into_bytes());
    [
        ("resource_id", id.clone()),
        ("id", id),
        ("timestamp", timestamp.to_string()),
        ("resource_token", token.clone()),
        ("token", token),
        ("resource_token_256", better),
        ("uuid", addon.id.to_string()),
        ("email", email.to_string()),
        ("app", app.to_string()),
        ("nav-data", String::new()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
