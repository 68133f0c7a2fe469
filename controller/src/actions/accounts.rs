//! Making and changing accounts.

use controller_api::wire::{AccountCreate, AccountUpdate};
use model::team::EMAIL_DOMAIN;
use model::{Account, AccountId, Email, Secret, Timestamp};
use store::{Committed, Store, Txn, Versioned, key};
use tokio::time::Instant;

use super::{ActionError, Attempts, tokens};
use crate::auth::{self, Session};
use crate::context::Context;
use crate::limits::Guess;

const MIN_PASSWORD: usize = 8;
const MAX_PASSWORD: usize = 1024;
const MAX_NAME: usize = 200;

/// A new account, and its password if one was made up.
pub(crate) async fn create(
    context: &Context,
    create: AccountCreate,
) -> Result<(Account, Secret<String>), ActionError> {
    let email = own_address(&create.email)?;
    let password = match create.password {
        Some(password) => checked(password)?,
        None => auth::new_password(),
    };
    let password_hash = context
        .passwords
        .hash(password.clone())
        .await
        .map_err(ActionError::internal)?;
    let name = checked_name(create.name)?;
    let account = new_account(
        email,
        name,
        create.is_admin,
        password_hash,
        Timestamp::now(),
    );
    if !insert(context.store(), &account).await? {
        return Err(ActionError::invalid(format!(
            "There is an account for {} already.",
            account.email
        )));
    }
    Ok((account, password))
}

/// An address that clients take for nobody else's.
pub(super) fn own_address(email: &str) -> Result<Email, ActionError> {
    let email: Email = email.parse()?;
    match email.as_str().ends_with(&format!("@{EMAIL_DOMAIN}")) {
        true => Err(ActionError::invalid(format!(
            "Addresses at {EMAIL_DOMAIN} are those of teams."
        ))),
        false => Ok(email),
    }
}

pub(crate) fn new_account(
    email: Email,
    name: Option<String>,
    is_admin: bool,
    password_hash: Secret<String>,
    now: Timestamp,
) -> Account {
    Account {
        id: AccountId::new(),
        email,
        name,
        is_admin,
        password_hash,
        created_at: now,
        updated_at: now,
        last_login: None,
        second_factor: None,
        identity: None,
        credentials_version: 0,
        suspended_at: None,
    }
}

/// Whether it was made: `false` when the e-mail address is taken.
pub(crate) async fn insert(store: &dyn Store, account: &Account) -> Result<bool, ActionError> {
    let committed = inserting(account).commit(store).await?;
    Ok(matches!(committed, Committed::Done(_)))
}

/// An address has one account: the commit conflicts where there is one already.
pub(super) fn inserting(account: &Account) -> Txn {
    Txn::new()
        .create(&key::ACCOUNTS, key::account(account.id), account)
        .create(
            &key::ACCOUNT_EMAILS,
            key::account_email(&account.email),
            &account.id,
        )
}

/// A new password needs the old one, and ends all other sessions.
pub(crate) async fn update(
    context: &Context,
    session: &Session,
    update: AccountUpdate,
) -> Result<Account, ActionError> {
    let name = update
        .name
        .map(|name| checked_name(Some(name)))
        .transpose()?;
    let new_hash = match update.new_password {
        Some(new) => {
            let old = Secret::new(update.password.unwrap_or_default());
            check_password(context, &session.account, old).await?;
            Some(
                context
                    .passwords
                    .hash(checked(new)?)
                    .await
                    .map_err(ActionError::internal)?,
            )
        }
        None => None,
    };
    let account = edit(context.store(), session.account.id, |account| {
        if let Some(name) = &name {
            account.name.clone_from(name);
        }
        if let Some(hash) = &new_hash {
            if account.password_hash != session.account.password_hash {
                return Err(not_the_password());
            }
            account.password_hash.clone_from(hash);
            account.credentials_changed();
        }
        account.updated_at = Timestamp::now();
        Ok(())
    })
    .await?;
    if new_hash.is_some() {
        let in_use = Some(&session.token.key);
        tokens::revoke_all_but(context.store(), account.id, in_use).await?;
    }
    Ok(account)
}

/// The password of somebody who has shown a token, which is no way to guess it.
pub(crate) async fn check_password(
    context: &Context,
    account: &Account,
    password: Secret<String>,
) -> Result<(), ActionError> {
    if !account.has_password() {
        return Err(ActionError::invalid(
            "The account has no password: it logs in at the identity provider.",
        ));
    }
    let guess = Guess {
        address: None,
        email: &account.email,
    };
    context
        .guesses
        .begin(guess, Instant::now())
        .map_err(|wait| ActionError::TooManyGuesses { wait })?;
    let known = context
        .passwords
        .verify(Some(account), password)
        .await
        .map_err(ActionError::internal)?;
    if !known {
        return Err(not_the_password());
    }
    context.guesses.was_right(guess);
    Ok(())
}

fn not_the_password() -> ActionError {
    ActionError::Forbidden {
        message: "The present password is not right.".to_owned(),
    }
}

pub(super) fn refuse_suspended(account: &Account) -> Result<(), ActionError> {
    if account.is_suspended() {
        return Err(ActionError::Forbidden {
            message:
                "The account is suspended. An administrator can resume it: paas accounts:resume"
                    .to_owned(),
        });
    }
    Ok(())
}

/// Nothing lets in any more, until it is resumed. Whoever does this stays, so there is always an administrator.
pub(crate) async fn suspend(
    store: &dyn Store,
    by: AccountId,
    account: AccountId,
) -> Result<Account, ActionError> {
    if by == account {
        return Err(ActionError::Forbidden {
            message: "Another administrator can suspend you.".to_owned(),
        });
    }
    let mut attempts = Attempts::default();
    loop {
        // Two who suspend each other at once: one of them is an administrator no longer.
        let acting = read(store, by).await?;
        if acting.value.is_suspended() || !acting.value.is_admin {
            return Err(ActionError::Forbidden {
                message: "Only administrators of the platform may do this.".to_owned(),
            });
        }
        let seen = read(store, account).await?;
        if seen.value.is_suspended() {
            return Ok(seen.value);
        }
        let mut changed = seen.value.clone();
        changed.suspended_at = Some(Timestamp::now());
        changed.credentials_changed();
        let txn = Txn::new()
            .unchanged(&acting)
            .replace(&key::ACCOUNTS, &seen, &changed);
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(changed);
        }
        attempts.lost().await?;
    }
}

pub(crate) async fn resume(store: &dyn Store, account: AccountId) -> Result<Account, ActionError> {
    edit(store, account, |account| {
        account.suspended_at = None;
        Ok(())
    })
    .await
}

async fn read(store: &dyn Store, account: AccountId) -> Result<Versioned<Account>, ActionError> {
    let found = key::ACCOUNTS.get(store, &key::account(account)).await?;
    found.ok_or(ActionError::Gone {
        resource: "account",
    })
}

/// For what was begun with a proof of who somebody is: it is worth nothing once that takes another.
pub(super) fn refuse_outdated(
    account: &Account,
    credentials_version: u32,
) -> Result<(), ActionError> {
    refuse_suspended(account)?;
    if account.credentials_version != credentials_version {
        return Err(ActionError::Forbidden {
            message: "What proves who you are has changed meanwhile. Log in again.".to_owned(),
        });
    }
    Ok(())
}

/// Changes the newest state of an account; `change` may be asked several times, and may refuse.
pub(crate) async fn edit(
    store: &dyn Store,
    account: AccountId,
    mut change: impl FnMut(&mut Account) -> Result<(), ActionError> + Send,
) -> Result<Account, ActionError> {
    let mut attempts = Attempts::default();
    loop {
        let seen = read(store, account).await?;
        let mut changed = seen.value.clone();
        change(&mut changed)?;
        let txn = Txn::new().replace(&key::ACCOUNTS, &seen, &changed);
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(changed);
        }
        attempts.lost().await?;
    }
}

pub(super) fn checked(password: String) -> Result<Secret<String>, ActionError> {
    if (MIN_PASSWORD..=MAX_PASSWORD).contains(&password.len()) {
        return Ok(Secret::new(password));
    }
    Err(ActionError::invalid(format!(
        "A password must have {MIN_PASSWORD} to {MAX_PASSWORD} characters."
    )))
}

pub(super) fn checked_name(name: Option<String>) -> Result<Option<String>, ActionError> {
    match name {
        Some(name) if name.len() > MAX_NAME || name.chars().any(char::is_control) => {
            Err(ActionError::invalid(format!(
                "A name must have at most {MAX_NAME} characters, and no control characters."
            )))
        }
        other => Ok(other.filter(|name| !name.is_empty())),
    }
}
