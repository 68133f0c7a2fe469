//! Who is calling, and whether the app exists for them.
//!
//! To a stranger an app does not exist: push, fetch and clone answer the same, and nothing is made on disk.

use jiff::Timestamp;
use model::access::role;
use model::{Account, App, AppName, Checksum, Owner, Permission, Token};
use sha2::{Digest as _, Sha256};
use store::{Store, StoreError, key};

/// The account a bearer token stands for, and what the token is good for.
pub(crate) async fn account_of_token(
    store: &dyn Store,
    secret: &str,
    now: Timestamp,
) -> Result<Option<(Account, Token)>, StoreError> {
    let hash = Checksum::of_digest(Sha256::digest(secret).into());
    let Some(token) = key::TOKENS.get(store, &key::token(&hash)).await? else {
        return Ok(None);
    };
    if token.value.is_expired(now) {
        return Ok(None);
    }
    Ok(key::ACCOUNTS
        .get(store, &key::account(token.value.account))
        .await?
        .map(|account| (account.value, token.value))
        .filter(|(account, _)| !account.is_suspended()))
}

/// The account that uploaded the public key with this fingerprint (`SHA256:…`).
pub(crate) async fn account_of_key(
    store: &dyn Store,
    fingerprint: &str,
) -> Result<Option<Account>, StoreError> {
    let Some(found) = key::SSH_KEYS.get(store, &key::ssh_key(fingerprint)).await? else {
        return Ok(None);
    };
    // The store's key is the fingerprint with one character replaced: only the record itself is proof.
    if found.value.fingerprint != fingerprint {
        return Ok(None);
    }
    Ok(key::ACCOUNTS
        .get(store, &key::account(found.value.account))
        .await?
        .map(|account| account.value)
        .filter(|account| !account.is_suspended()))
}

/// What an account finds under a name.
#[derive(Debug)]
pub(crate) enum Access {
    Granted(Box<App>),
    /// There is none, or it is none of this account's business: not to be told apart.
    NotFound,
    Forbidden,
}

/// The app of exactly this name, as this account may see it.
pub(crate) async fn app_named(
    store: &dyn Store,
    account: &Account,
    name: &str,
    permission: Permission,
) -> Result<Access, StoreError> {
    let Ok(name) = name.parse::<AppName>() else {
        return Ok(Access::NotFound);
    };
    let Some(id) = key::APP_NAMES.get(store, &key::app_name(&name)).await? else {
        return Ok(Access::NotFound);
    };
    let Some(app) = key::APPS.get(store, &key::app(id.value)).await? else {
        return Ok(Access::NotFound);
    };
    let collaborator = key::COLLABORATORS
        .get(store, &key::collaborator(app.value.id, account.id))
        .await?;
    let in_team = match app.value.owner {
        Owner::Account(_) => None,
        Owner::Team { team } => {
            let member = key::team_member(team, account.id);
            let member = key::TEAM_MEMBERS.get(store, &member).await?;
            member.map(|member| member.value.role)
        }
    };
    let role = role(
        account.id,
        account.is_admin,
        &app.value,
        in_team,
        collaborator.as_ref().map(|found| &found.value),
    );
    Ok(match role {
        None => Access::NotFound,
        Some(role) if role.may(permission) => Access::Granted(Box::new(app.value)),
        Some(_) => Access::Forbidden,
    })
}
