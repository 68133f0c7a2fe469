//! The first account: made at install, by whoever owns the machine.

use controller_api::wire::AuthorizationCreate;
use model::{Account, Email, Secret, Timestamp};
use store::{Store, StoreError, key};

use crate::actions::{ActionError, accounts, tokens};
use crate::auth;

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
