//! What whoever owns the machine may do without being logged in: make the first account, at install, and let somebody in
//! again who cannot get in any more.

use std::collections::BTreeMap;

use controller_api::wire::AuthorizationCreate;
use model::audit::{AuditRecord, Deed, DeedEnd};
use model::{Account, Email, Secret, Timestamp};
use store::{Committed, Store, StoreError, Txn, audit, key};
use tracing::warn;
use uuid::Uuid;

use crate::actions::{ActionError, Attempts, accounts, oidc, tokens};
use crate::context::actor;
use crate::{auth, find};

/// Shown once; neither secret is kept.
#[derive(Debug, Clone)]
pub struct FirstAccount {
    pub account: Account,
    pub password: Secret<String>,
    pub token: Secret<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum FirstAccountError {
    #[error("the accounts could not be read")]
    Store(#[from] StoreError),
    #[error("the first account could not be made")]
    Create(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<ActionError> for FirstAccountError {
    fn from(error: ActionError) -> Self {
        Self::Create(Box::new(error))
    }
}

/// Makes an administrator with a password and a token, unless there is an account already.
pub async fn create_first(
    store: &dyn Store,
    email: Email,
    now: Timestamp,
) -> Result<Option<FirstAccount>, FirstAccountError> {
    if !key::ACCOUNTS.all(store).await?.is_empty() {
        return Ok(None);
    }
    let password = auth::new_password();
    let hash = auth::hash(&password).map_err(ActionError::internal)?;
    let account = accounts::new_account(email, None, true, hash, now);
    if !accounts::insert(store, &account).await? {
        return Ok(None);
    }
    let create = AuthorizationCreate {
        description: Some("Made at install".to_owned()),
        ..AuthorizationCreate::default()
    };
    let (_, token) = tokens::create(store, &account, &create).await?;
    Ok(Some(FirstAccount {
        account,
        password,
        token,
    }))
}

/// Who is to be let in again.
#[derive(Debug, Clone)]
pub struct Recovery {
    pub email: Email,
    /// Whether the one at the identity provider, whom the account is linked with, is to be it no longer.
    pub forget_identity: bool,
}

/// Shown once; the password is not kept.
#[derive(Debug, Clone)]
pub struct Recovered {
    pub account: Account,
    pub password: Secret<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    #[error("there is no account for {0}")]
    NoSuchAccount(Email),
    #[error("it could not be put on record, so nothing was done")]
    NotOnRecord(#[source] StoreError),
    #[error("the account could not be recovered; try again")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<ActionError> for RecoveryError {
    fn from(error: ActionError) -> Self {
        Self::Failed(Box::new(error))
    }
}

impl From<StoreError> for RecoveryError {
    fn from(error: StoreError) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// A new password, no second factor and no tokens; if it is suspended, no longer. Whether it is an administrator's stays.
pub async fn recover(store: &dyn Store, recovery: &Recovery) -> Result<Recovered, RecoveryError> {
    let email = &recovery.email;
    let account = find::account(store, email.as_str()).await?;
    let account = account.ok_or_else(|| RecoveryError::NoSuchAccount(email.clone()))?;
    let deed = deed(&account.value, recovery);
    let id = deed.id;
    audit::append(store, &[AuditRecord::Begun(deed)])
        .await
        .map_err(RecoveryError::NotOnRecord)?;
    let recovered = recover_on_record(store, recovery).await;
    let end = DeedEnd {
        id,
        at: Timestamp::now(),
        status: if recovered.is_ok() { 200 } else { 500 },
        details: String::new(),
    };
    // The password must be told all the same: it is nowhere else.
    if let Err(error) = audit::append(store, &[AuditRecord::Ended(end)]).await {
        warn!(
            error = &error as &dyn std::error::Error,
            "How a recovery went is not on record"
        );
    }
    recovered
}

fn deed(account: &Account, recovery: &Recovery) -> Deed {
    let (email, forgets) = (&recovery.email, recovery.forget_identity);
    Deed {
        id: Uuid::now_v7(),
        at: Timestamp::now(),
        // Nobody is logged in: it is done in this one's name, on a host.
        actor: actor(account),
        token: None,
        from: None,
        what: "paasd recover".to_owned(),
        parameters: BTreeMap::from([
            ("account".to_owned(), email.to_string()),
            ("forget_identity".to_owned(), forgets.to_string()),
        ]),
        app: None,
    }
}

async fn recover_on_record(
    store: &dyn Store,
    recovery: &Recovery,
) -> Result<Recovered, RecoveryError> {
    let password = auth::new_password();
    let hash = auth::hash(&password).map_err(ActionError::internal)?;
    let mut attempts = Attempts::default();
    let account = loop {
        let seen = find::account(store, recovery.email.as_str()).await?;
        let seen = seen.ok_or_else(|| RecoveryError::NoSuchAccount(recovery.email.clone()))?;
        let mut account = seen.value.clone();
        account.password_hash.clone_from(&hash);
        account.second_factor = None;
        account.suspended_at = None;
        account.credentials_changed();
        account.updated_at = Timestamp::now();
        let identity = account.identity.take_if(|_| recovery.forget_identity);
        let mut txn = Txn::new().replace(&key::ACCOUNTS, &seen, &account);
        if let Some(identity) = identity {
            txn = oidc::unlinking(store, txn, account.id, &identity).await?;
        }
        if let Committed::Done(_) = txn.commit(store).await? {
            break account;
        }
        attempts.lost().await?;
    };
    tokens::revoke_all_but(store, account.id, None).await?;
    Ok(Recovered { account, password })
}
