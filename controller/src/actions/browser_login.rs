//! Logging a terminal in by way of a browser: begun by the terminal, decided in the browser, ended by the terminal.
//!
//! All of it is in the store, so that any controller goes on where another was. The token is made when the terminal that
//! began comes for it: until then there is none to be lost.

use std::net::IpAddr;
use std::time::Duration;

use controller_api::wire::{AuthorizationCreate, BrowserLoginCreate};
use model::{Account, BrowserLogin, BrowserLoginState, Checksum, Secret, Timestamp, TokenId};
use rand::Rng as _;
use store::{Committed, Store, StoreError, Txn, Versioned, key};
use tokio::time::Instant;

use super::tokens::{self, New};
use super::{ActionError, Attempts, accounts};
use crate::context::Context;
use crate::{auth, sweep};

pub(crate) const LASTS: Duration = Duration::from_secs(600);
const TOKEN_LASTS: u64 = 30 * 24 * 3600;
const LONGEST_TOKEN: u64 = 366 * 24 * 3600;
/// Terminals that wait; beyond that the oldest gives way.
const MAX_WAITING: usize = 1000;
/// RFC 8628, 6.1: letters that make no words and are not mistaken for one another.
const LETTERS: &[u8] = b"BCDFGHJKLMNPQRSTVWXZ";

/// What the terminal is given; neither secret is kept.
pub(crate) struct Begun {
    /// Leads a browser to it.
    pub(crate) place: Secret<String>,
    /// Lets the terminal ask how things are.
    pub(crate) token: Secret<String>,
    pub(crate) login: BrowserLogin,
}

pub(crate) async fn begin(
    context: &Context,
    address: Option<IpAddr>,
    create: BrowserLoginCreate,
) -> Result<Begun, ActionError> {
    if let Some(address) = address {
        context
            .guesses
            .begin_terminal(address, Instant::now())
            .map_err(|wait| ActionError::TooManyLogins { wait })?;
    }
    let token_secs = match create.expires_in {
        None => TOKEN_LASTS,
        Some(seconds) => u64::try_from(seconds)
            .ok()
            .filter(|seconds| (1..=LONGEST_TOKEN).contains(seconds))
            .ok_or_else(|| {
                ActionError::invalid(
                    "expires_in must be a positive number of seconds, a year's at most.",
                )
            })?,
    };
    let now = Timestamp::now();
    let (place, token) = (auth::new_token(), auth::new_token());
    let description = create.description.as_deref().unwrap_or("A terminal");
    let login = BrowserLogin {
        description: tokens::described(description),
        address,
        code: new_code(),
        terminal: auth::token_hash(token.expose()),
        token_secs,
        state: BrowserLoginState::Waiting,
        created_at: now,
        expires_at: now.checked_add(LASTS).map_err(ActionError::internal)?,
    };
    make_room(context.store(), now).await?;
    let at = key::browser_login(&auth::token_hash(place.expose()));
    let txn = Txn::new().create(&key::BROWSER_LOGINS, at, &login);
    match txn.commit(context.store()).await? {
        Committed::Done(_) => Ok(Begun {
            place,
            token,
            login,
        }),
        Committed::Conflict => Err(StoreError::Contended { attempts: 1 }.into()),
    }
}

fn new_code() -> String {
    let mut rng = rand::rng();
    let mut letter = || char::from(LETTERS[rng.random_range(0..LETTERS.len())]);
    let mut half = || (0..4).map(|_| letter()).collect::<String>();
    format!("{}-{}", half(), half())
}

/// Takes away those that are over and, where too many wait, the oldest.
async fn make_room(store: &dyn Store, now: Timestamp) -> Result<(), StoreError> {
    let mut all = key::BROWSER_LOGINS.all(store).await?;
    all.sort_by_key(|login| login.value.expires_at);
    let over = all
        .iter()
        .take_while(|login| login.value.is_expired(now))
        .count();
    let too_many = (all.len() + 1).saturating_sub(MAX_WAITING);
    sweep::delete_all(store, &all[..over.max(too_many)]).await
}

/// One that still waits for something.
pub(crate) async fn find(
    store: &dyn Store,
    place: &str,
) -> Result<Option<Versioned<BrowserLogin>>, StoreError> {
    let at = key::browser_login(&auth::token_hash(place));
    let found = key::BROWSER_LOGINS.get(store, &at).await?;
    Ok(found.filter(|login| !login.value.is_expired(Timestamp::now())))
}

/// Somebody at this browser has proven who he is; whoever had before him is not asked any more.
pub(crate) async fn identify(
    store: &dyn Store,
    place: &str,
    browser: &Checksum,
    account: &Account,
) -> Result<(), ActionError> {
    change(store, place, |login| {
        refuse_decided(login)?;
        login.state = BrowserLoginState::Identified {
            browser: browser.clone(),
            account: account.id,
            credentials_version: account.credentials_version,
        };
        Ok(())
    })
    .await
}

/// Who has proven at this browser who he is, unless that takes another proof by now.
pub(crate) async fn identified(
    store: &dyn Store,
    login: &BrowserLogin,
    asking: &Checksum,
) -> Result<Option<Versioned<Account>>, StoreError> {
    let Some((id, credentials_version)) = login.identified_by(asking) else {
        return Ok(None);
    };
    let account = key::ACCOUNTS.get(store, &key::account(id)).await?;
    Ok(account
        .filter(|account| accounts::refuse_outdated(&account.value, credentials_version).is_ok()))
}

/// Whether it is his, says whoever proved at this browser who he is.
pub(crate) async fn decide(
    store: &dyn Store,
    place: &str,
    browser: &Checksum,
    approved: Option<TokenId>,
) -> Result<(), ActionError> {
    let mut attempts = Attempts::default();
    loop {
        let seen = find(store, place).await?.ok_or_else(gone)?;
        let account = identified(store, &seen.value, browser).await?;
        let account = account.ok_or_else(gone)?;
        let mut decided = seen.value.clone();
        decided.state = match approved {
            Some(token) => BrowserLoginState::Approved {
                account: account.value.id,
                credentials_version: account.value.credentials_version,
                token,
            },
            None => BrowserLoginState::Refused,
        };
        let txn = Txn::new()
            .unchanged(&account)
            .replace(&key::BROWSER_LOGINS, &seen, &decided);
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(());
        }
        attempts.lost().await?;
    }
}

pub(super) fn refuse_decided(login: &BrowserLogin) -> Result<(), ActionError> {
    if login.is_decided() {
        return Err(gone());
    }
    Ok(())
}

/// Changes the newest state of one that is not over.
pub(super) async fn change(
    store: &dyn Store,
    place: &str,
    mut change: impl FnMut(&mut BrowserLogin) -> Result<(), ActionError> + Send,
) -> Result<(), ActionError> {
    let mut attempts = Attempts::default();
    loop {
        let seen = find(store, place).await?.ok_or_else(gone)?;
        let mut changed = seen.value.clone();
        change(&mut changed)?;
        let txn = Txn::new().replace(&key::BROWSER_LOGINS, &seen, &changed);
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(());
        }
        attempts.lost().await?;
    }
}

pub(super) const fn gone() -> ActionError {
    ActionError::Gone { resource: "login" }
}

/// How things are for the terminal that began.
#[derive(Debug)]
pub(crate) enum Progress {
    Waiting,
    /// It has a token, and the login is over.
    LoggedIn(Secret<String>),
    Refused,
    /// It took too long, or somebody else came for the token.
    Over,
}

pub(crate) async fn progress(store: &dyn Store, place: &str) -> Result<Progress, ActionError> {
    let mut attempts = Attempts::default();
    loop {
        let Some(seen) = find(store, place).await? else {
            return Ok(Progress::Over);
        };
        let over = Txn::new().unchanged(&seen).delete(seen.key.clone());
        let new = match seen.value.state {
            BrowserLoginState::Approved {
                account,
                credentials_version,
                token,
            } => New {
                id: token,
                account,
                credentials_version,
            },
            BrowserLoginState::Refused => {
                over.commit(store).await?;
                return Ok(Progress::Refused);
            }
            _ => return Ok(Progress::Waiting),
        };
        let create = AuthorizationCreate {
            description: Some(seen.value.description),
            expires_in: i64::try_from(seen.value.token_secs).ok(),
            scope: None,
        };
        match tokens::try_create(store, &new, &create, over).await {
            Ok(Some((_, secret))) => return Ok(Progress::LoggedIn(secret)),
            Ok(None) => attempts.lost().await?,
            Err(ActionError::Gone { .. }) => return Ok(Progress::Over),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_short_and_hard_to_mistake() {
        for _ in 0..100 {
            let code = new_code();
            let (a, b) = code.split_once('-').unwrap();
            assert!(a.len() == 4 && b.len() == 4, "{code}");
            let letters = code.bytes().filter(|c| *c != b'-');
            assert!(letters.into_iter().all(|c| LETTERS.contains(&c)), "{code}");
        }
    }
}
