//! Logging a terminal in by way of a browser: begun by the terminal, decided in the browser, ended by the terminal.
//!
//! All of it is in the store, so that any controller goes on where another was. The token is made when the terminal that
//! began comes for it: until then there is none to be lost.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use controller_api::wire::{AuthorizationCreate, BrowserLoginCreate};
use model::{Account, BrowserLogin, BrowserLoginState, Checksum, Secret, Timestamp, TokenId};
use rand::Rng as _;
use store::{Committed, Store, StoreError, Txn, Versioned, key};
use tokio::time::Instant;

use super::tokens::{self, New};
use super::{ActionError, Attempts, accounts, contended};
use crate::context::Context;
use crate::limits::network;
use crate::{auth, sweep};

pub(crate) const LASTS: Duration = Duration::from_secs(600);
const TOKEN_LASTS: u64 = 30 * 24 * 3600;
/// Whoever says yes has not chosen it: what asks for more gets this.
const LONGEST_TOKEN: u64 = TOKEN_LASTS;
/// Terminals that wait; beyond that another gives way, of those that nobody has proven himself to.
const MAX_WAITING: usize = 1000;
/// A terminal's words for itself are a stranger's, and are shown to whoever is asked.
const MAX_DESCRIPTION: usize = 60;
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
            .filter(|seconds| *seconds > 0)
            .ok_or_else(|| {
                ActionError::invalid("expires_in must be a positive number of seconds.")
            })?
            .min(LONGEST_TOKEN),
    };
    let now = Timestamp::now();
    let (place, token) = (auth::new_token(), auth::new_token());
    let description = described(create.description.as_deref().unwrap_or_default());
    let login = BrowserLogin {
        description,
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
        Committed::Conflict => Err(contended()),
    }
}

fn new_code() -> String {
    let mut rng = rand::rng();
    let mut letter = || char::from(LETTERS[rng.random_range(0..LETTERS.len())]);
    let mut half = || (0..4).map(|_| letter()).collect::<String>();
    format!("{}-{}", half(), half())
}

/// Nothing that looks like other words than it is, or in another order.
fn described(text: &str) -> String {
    let is_plain = |c: &char| c.is_alphanumeric() || c.is_ascii_graphic() || *c == ' ';
    let plain = text.chars().filter(is_plain);
    let plain: String = plain
        .map(|c| if c == '"' { '\'' } else { c })
        .take(MAX_DESCRIPTION)
        .collect();
    match plain.trim() {
        "" => "A terminal".to_owned(),
        plain => plain.to_owned(),
    }
}

/// Takes away those that are over and, where too many wait, others.
async fn make_room(store: &dyn Store, now: Timestamp) -> Result<(), ActionError> {
    let all = key::BROWSER_LOGINS.all(store).await?;
    let (over, waiting): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|login| login.value.is_expired(now));
    sweep::delete_all(store, &over).await?;
    let surplus = (waiting.len() + 1).saturating_sub(MAX_WAITING);
    let giving_way = giving_way(waiting, surplus);
    if giving_way.len() < surplus {
        return Err(ActionError::TooManyLogins { wait: LASTS });
    }
    sweep::delete_all(store, &giving_way).await?;
    Ok(())
}

/// Of those to which nobody has proven himself, so many: each the oldest of the network that has most then.
fn giving_way(
    waiting: Vec<Versioned<BrowserLogin>>,
    surplus: usize,
) -> Vec<Versioned<BrowserLogin>> {
    if surplus == 0 {
        return Vec::new();
    }
    let mut networks: HashMap<_, Vec<_>> = HashMap::new();
    for login in waiting {
        if login.value.is_anybodys() {
            let network = login.value.address.map(network);
            networks.entry(network).or_default().push(login);
        }
    }
    // The oldest last.
    for logins in networks.values_mut() {
        logins.sort_by_key(|login| Reverse(login.value.expires_at));
    }
    let oldest_of_most = || {
        let most = networks.values_mut().max_by_key(|logins| logins.len())?;
        most.pop()
    };
    std::iter::from_fn(oldest_of_most).take(surplus).collect()
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
    use model::AccountId;

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

    #[test]
    fn a_terminal_calls_itself_something_short_and_plain() {
        for (given, shown) in [
            ("paas login from ann-desk", "paas login from ann-desk"),
            ("\u{202e}evil\u{200b} \n<b>\"x\"", "evil <b>'x'"),
            ("\u{202e}", "A terminal"),
            ("J\u{fc}rgens-Rechner", "J\u{fc}rgens-Rechner"),
        ] {
            assert_eq!(described(given), shown);
        }
        assert_eq!(described(&"x".repeat(300)).len(), MAX_DESCRIPTION);
    }

    fn login(number: i64, address: &str, state: BrowserLoginState) -> Versioned<BrowserLogin> {
        let hash = auth::token_hash(&number.to_string());
        let at = Timestamp::from_second(number).unwrap();
        Versioned {
            key: key::browser_login(&hash),
            revision: Default::default(),
            value: BrowserLogin {
                description: String::new(),
                address: address.parse().ok(),
                code: String::new(),
                terminal: hash,
                token_secs: 1,
                state,
                created_at: at,
                expires_at: at,
            },
        }
    }

    #[test]
    fn the_oldest_of_whoever_has_most_give_way_and_none_that_somebody_proved_himself_to() {
        let waiting = |number, address| login(number, address, BrowserLoginState::Waiting);
        let identified = BrowserLoginState::Identified {
            browser: auth::token_hash("x"),
            account: AccountId::new(),
            credentials_version: 0,
        };
        let all = vec![
            waiting(1, "10.0.0.1"),
            login(2, "10.6.6.6", identified.clone()),
            waiting(5, "10.6.6.6"),
            waiting(3, "10.6.6.6"),
            waiting(4, "10.6.6.6"),
            login(0, "10.0.0.2", identified),
        ];
        let gone = |surplus| -> Vec<_> {
            giving_way(all.clone(), surplus)
                .iter()
                .map(|login| login.value.created_at.as_second())
                .collect()
        };
        assert!(gone(0).is_empty());
        assert_eq!(gone(2), [3, 4]);
        let all_that_can = gone(9);
        assert_eq!(all_that_can.len(), 4);
        assert!(all_that_can.starts_with(&[3, 4]));
    }
}
