//! Giving out and revoking tokens.

use std::time::Duration;

use controller_api::wire::{AuthorizationCreate, AuthorizationUpdate};
use model::{Account, AccountId, Scope, Secret, Timestamp, Token, TokenId};
use store::{Committed, Key, Store, Txn, Versioned, key};

use super::{ActionError, Attempts, accounts, contended};
use crate::auth::{self, Session};

const MAX_DESCRIPTION: usize = 255;
/// Tokens one account may have at a time.
const MAX_TOKENS: usize = 1000;
/// Well below the store's limit on one commit.
const CHUNK: usize = 60;

/// A new token of somebody who has proven to be this account, as it was then; its secret is nowhere but in the answer.
pub(crate) async fn create(
    store: &dyn Store,
    account: &Account,
    create: &AuthorizationCreate,
) -> Result<(Token, Secret<String>), ActionError> {
    let new = New {
        id: TokenId::new(),
        account: account.id,
        credentials_version: account.credentials_version,
    };
    let mut attempts = Attempts::default();
    loop {
        if let Some(made) = try_create(store, &new, create, Txn::new()).await? {
            return Ok(made);
        }
        attempts.lost().await?;
    }
}

/// A token to be made for somebody who has proven who he is.
pub(super) struct New {
    pub(super) id: TokenId,
    pub(super) account: AccountId,
    /// The account's, when he did.
    pub(super) credentials_version: u32,
}

/// The same, together with what else is to be done or to be so; `None` where that is not so, or the account changes at
/// this moment.
pub(super) async fn try_create(
    store: &dyn Store,
    new: &New,
    create: &AuthorizationCreate,
    also: Txn,
) -> Result<Option<(Token, Secret<String>)>, ActionError> {
    let account = key::ACCOUNTS.get(store, &key::account(new.account)).await?;
    let account = account.ok_or(ActionError::Gone {
        resource: "account",
    })?;
    accounts::refuse_outdated(&account.value, new.credentials_version)?;
    let now = Timestamp::now();
    let expires_at = match create.expires_in {
        None => None,
        Some(seconds) if seconds > 0 => {
            let seconds = Duration::from_secs(seconds.unsigned_abs());
            Some(
                now.checked_add(seconds)
                    .map_err(|_| ActionError::invalid("expires_in is too large."))?,
            )
        }
        Some(_) => {
            return Err(ActionError::invalid(
                "expires_in must be a positive number of seconds.",
            ));
        }
    };
    if list(store, new.account).await?.len() >= MAX_TOKENS {
        return Err(ActionError::invalid(format!(
            "The account has {MAX_TOKENS} tokens; revoke some first."
        )));
    }
    let mut scope: Vec<Scope> = match create.scope.as_deref() {
        None | Some([]) => vec![Scope::Global],
        Some(named) => named
            .iter()
            .map(|name| name.parse())
            .collect::<Result<_, _>>()?,
    };
    scope.sort_unstable();
    scope.dedup();
    let description = create
        .description
        .as_deref()
        .unwrap_or("Long-lived user authorization");
    let token = Token {
        id: new.id,
        account: new.account,
        description: described(description),
        scope,
        created_at: now,
        expires_at,
    };
    let secret = auth::new_token();
    let place = key::token(&auth::token_hash(secret.expose()));
    let txn = also.unchanged(&account).create(&key::TOKENS, place, &token);
    Ok(match txn.commit(store).await? {
        Committed::Done(_) => Some((token, secret)),
        Committed::Conflict => None,
    })
}

pub(super) fn described(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_DESCRIPTION)
        .collect()
}

pub(crate) async fn update(
    store: &dyn Store,
    token: &Versioned<Token>,
    update: &AuthorizationUpdate,
) -> Result<Token, ActionError> {
    let mut changed = token.value.clone();
    if let Some(description) = &update.description {
        changed.description = described(description);
    }
    let txn = Txn::new().replace(&key::TOKENS, token, &changed);
    match txn.commit(store).await? {
        Committed::Done(_) => Ok(changed),
        Committed::Conflict => Err(contended()),
    }
}

/// The new secret, which is nowhere but in the answer.
pub(crate) async fn rotate(
    store: &dyn Store,
    token: &Versioned<Token>,
) -> Result<Secret<String>, ActionError> {
    let secret = auth::new_token();
    let place = key::token(&auth::token_hash(secret.expose()));
    let txn = Txn::new()
        .unchanged(token)
        .delete(token.key.clone())
        .create(&key::TOKENS, place, &token.value);
    match txn.commit(store).await? {
        Committed::Done(_) => Ok(secret),
        Committed::Conflict => Err(contended()),
    }
}

/// An account's tokens that still work, the oldest first.
pub(crate) async fn list(
    store: &dyn Store,
    account: AccountId,
) -> Result<Vec<Versioned<Token>>, ActionError> {
    let now = Timestamp::now();
    let mut tokens = key::TOKENS.all(store).await?;
    tokens.retain(|token| token.value.account == account && !token.value.is_expired(now));
    tokens.sort_by_key(|token| token.value.created_at);
    Ok(tokens)
}

/// By id, or `~` for the one in use.
pub(crate) async fn find(
    store: &dyn Store,
    session: &Session,
    identity: &str,
) -> Result<Option<Versioned<Token>>, ActionError> {
    if identity == "~" {
        return Ok(Some(session.token.clone()));
    }
    let Ok(id) = identity.parse::<TokenId>() else {
        return Ok(None);
    };
    Ok(list(store, session.account.id)
        .await?
        .into_iter()
        .find(|token| token.value.id == id))
}

pub(crate) async fn revoke(store: &dyn Store, token: &Versioned<Token>) -> Result<(), ActionError> {
    // It may be getting another secret at this moment, which must not outlive this.
    let txn = Txn::new().unchanged(token).delete(token.key.clone());
    match txn.commit(store).await? {
        Committed::Done(_) => Ok(()),
        Committed::Conflict => Err(contended()),
    }
}

/// All of the account's tokens but the one in use. One that gets another secret meanwhile is seen in the next round.
pub(crate) async fn revoke_all_but(
    store: &dyn Store,
    account: AccountId,
    in_use: Option<&Key>,
) -> Result<(), ActionError> {
    let mut attempts = Attempts::default();
    loop {
        let mut tokens = list(store, account).await?;
        tokens.retain(|token| Some(&token.key) != in_use);
        let mut is_done = true;
        for chunk in tokens.chunks(CHUNK) {
            let txn = chunk.iter().fold(Txn::new(), |txn, token| {
                txn.unchanged(token).delete(token.key.clone())
            });
            is_done &= matches!(txn.commit(store).await?, Committed::Done(_));
        }
        if is_done {
            return Ok(());
        }
        attempts.lost().await?;
    }
}
