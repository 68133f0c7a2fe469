//! Logging in at an identity provider, on the way to logging in a terminal.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::audit::Deed;
use model::{
    Account, AccountId, BrowserLogin, BrowserLoginState, Checksum, Email, Identity, Invitation,
    Secret, Timestamp,
};
use serde::{Deserialize, Serialize};
use store::{Committed, Store, StoreError, Txn, Versioned, key};
use tracing::{error, info};

use super::{ActionError, Attempts, accounts, browser_login, invitations};
use crate::context::Context;
use crate::http::ticket;
use crate::oidc::{self, Admitted, Errand, OidcError, Provider};
use crate::{audit, auth, find};

/// What the provider passes on; it cannot read it.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    place: String,
    secret: Secret<String>,
}

/// Where to send this browser, which alone can come back.
pub(crate) async fn depart(
    context: &Context,
    provider: &Provider,
    place: &str,
    browser: &Checksum,
) -> Result<String, ActionError> {
    let departure = provider.depart(|secret| {
        let state = State {
            place: place.to_owned(),
            secret: secret.clone(),
        };
        ticket::seal(&context.keyring, &state)
            .map_err(|error| OidcError::Settings(error.to_string()))
    });
    let (url, errand) = departure.await.map_err(ActionError::internal)?;
    let at = key::browser_login(&auth::token_hash(place));
    let sealed = context.keyring.seal(&at, &errand)?;
    browser_login::change(context.store(), place, |login| {
        browser_login::refuse_decided(login)?;
        login.state = BrowserLoginState::AtProvider {
            browser: browser.clone(),
            sealed: sealed.clone(),
        };
        Ok(())
    })
    .await?;
    Ok(url)
}

/// Who came back, and to which login.
pub(crate) struct Came {
    pub(crate) place: String,
    pub(crate) who: Who,
}

pub(crate) enum Who {
    Known(Box<Account>),
    /// The account of his address has a password. Whoever has that, and nobody else, may have the account linked with him.
    ToProve(Admitted),
}

pub(crate) struct Arrival {
    pub(crate) state: String,
    /// Absent where the provider said no.
    pub(crate) code: Option<String>,
    pub(crate) browser: Checksum,
    pub(crate) from: Option<IpAddr>,
}

pub(crate) async fn arrive(
    context: &Context,
    provider: &Provider,
    arrival: Arrival,
) -> Result<Came, ActionError> {
    let state: State =
        ticket::open(&context.keyring, &arrival.state).ok_or_else(browser_login::gone)?;
    let errand = take_errand(context, &state, &arrival.browser).await?;
    let Some(code) = arrival.code else {
        return Err(refused("Your identity provider did not let you in."));
    };
    let person = provider.arrive(errand, &code).await.map_err(in_vain)?;
    let admitted = oidc::admit(provider.config(), person).map_err(refused)?;
    let coming = Coming {
        admitted: &admitted,
        creates: provider.config().create_accounts,
        proven: None,
        from: arrival.from,
        what: "GET /auth/callback",
    };
    let who = match account_of(context, &coming).await? {
        Some(account) => Who::Known(Box::new(account)),
        None => Who::ToProve(admitted),
    };
    Ok(Came {
        place: state.place,
        who,
    })
}

fn in_vain(error: OidcError) -> ActionError {
    match error {
        OidcError::Refused(_) | OidcError::Untrusted(_) => {
            info!(error = %error, "Somebody came back from the identity provider in vain");
        }
        OidcError::Provider(_) | OidcError::Settings(_) => {
            error!(error = %error, "Nobody can log in at the identity provider");
        }
    }
    refused("Your identity provider's answer could not be used. Try again.")
}

/// Keeps who came to this browser until the password is given there.
pub(crate) async fn keep(
    context: &Context,
    place: &str,
    browser: &Checksum,
    admitted: &Admitted,
) -> Result<(), ActionError> {
    let at = key::browser_login(&auth::token_hash(place));
    let sealed = context.keyring.seal(&at, admitted)?;
    browser_login::change(context.store(), place, |login| {
        browser_login::refuse_decided(login)?;
        login.state = BrowserLoginState::Arrived {
            browser: browser.clone(),
            sealed: sealed.clone(),
        };
        Ok(())
    })
    .await
}

/// Who came to this browser, and is yet to give a password.
pub(crate) fn arrived(
    context: &Context,
    login: &Versioned<BrowserLogin>,
    asking: &Checksum,
) -> Result<Option<Admitted>, StoreError> {
    match &login.value.state {
        BrowserLoginState::Arrived { browser, sealed } if browser == asking => {
            context.keyring.open(&login.key, sealed).map(Some)
        }
        _ => Ok(None),
    }
}

/// Links who came with the account whose password, and code if it has a second factor, was given.
pub(crate) async fn link(
    context: &Context,
    admitted: &Admitted,
    proven: &Account,
    from: Option<IpAddr>,
) -> Result<Account, ActionError> {
    let coming = Coming {
        admitted,
        creates: false,
        proven: Some(proven),
        from,
        what: "POST /auth/browser/{login}",
    };
    let linked = account_of(context, &coming).await?;
    linked.ok_or_else(browser_login::gone)
}

/// It is good once, whatever comes of it.
async fn take_errand(
    context: &Context,
    state: &State,
    asking: &Checksum,
) -> Result<Errand, ActionError> {
    let at = key::browser_login(&auth::token_hash(&state.place));
    let mut taken = None;
    browser_login::change(context.store(), &state.place, |login| {
        let BrowserLoginState::AtProvider { browser, sealed } = &login.state else {
            return Err(browser_login::gone());
        };
        let errand: Errand = context.keyring.open(&at, sealed)?;
        let is_known = auth::same_secret(errand.state.expose(), state.secret.expose());
        if browser != asking || !is_known {
            return Err(browser_login::gone());
        }
        taken = Some(errand);
        login.state = BrowserLoginState::Waiting;
        Ok(())
    })
    .await?;
    taken.ok_or_else(browser_login::gone)
}

fn refused(message: &str) -> ActionError {
    ActionError::Forbidden {
        message: message.to_owned(),
    }
}

/// Somebody whom the provider vouches for.
struct Coming<'a> {
    admitted: &'a Admitted,
    /// Whether an account is made for whoever has none.
    creates: bool,
    /// Whose password was given besides, as the account was then.
    proven: Option<&'a Account>,
    from: Option<IpAddr>,
    what: &'a str,
}

/// What is to be done for somebody to come in, and what of it is worth a record.
struct Entry {
    account: Account,
    txn: Txn,
    told: BTreeMap<String, String>,
}

/// The account that the provider's subject is linked with. At first there is none: then the one with the e-mail address, which
/// the provider has verified, is linked, or one is made. `None`: that one's password is to be given first.
async fn account_of(
    context: &Context,
    coming: &Coming<'_>,
) -> Result<Option<Account>, ActionError> {
    let store = context.store();
    let mut attempts = Attempts::default();
    loop {
        let Some(entry) = entry_of(store, coming).await? else {
            return Ok(None);
        };
        let committing = entry.txn.commit(store);
        let committed = if entry.told.is_empty() {
            committing.await?
        } else {
            let deed = Deed {
                parameters: entry.told,
                ..audit::without_token(&entry.account, coming.from, coming.what)
            };
            let status = |done: &Result<_, _>| match done {
                Ok(Committed::Done(_)) => 200,
                Ok(Committed::Conflict) => 409,
                Err(_) => 503,
            };
            context.audit.of(deed, committing, status).await??
        };
        if let Committed::Done(_) = committed {
            return Ok(Some(entry.account));
        }
        attempts.lost().await?;
    }
}

async fn entry_of(store: &dyn Store, coming: &Coming<'_>) -> Result<Option<Entry>, ActionError> {
    let admitted = coming.admitted;
    let at = key::account_identity(&hash_of(&admitted.identity));
    let linked = key::ACCOUNT_IDENTITIES.get(store, &at).await?;
    let known = match &linked {
        Some(id) => key::ACCOUNTS.get(store, &key::account(id.value)).await?,
        None => find::account(store, admitted.email.as_str()).await?,
    };
    let entry = match known {
        Some(seen) => seen_again(&seen, coming)?,
        None => Some(newcomer(store, coming).await?),
    };
    let Some(mut entry) = entry else {
        return Ok(None);
    };
    if entry.told.contains_key("account") || entry.told.contains_key("identity") {
        let subject = &admitted.identity.subject;
        entry.told.insert("subject".to_owned(), audit::cut(subject));
    }
    entry.txn = match &linked {
        Some(link) => {
            entry
                .txn
                .unchanged(link)
                .put(&key::ACCOUNT_IDENTITIES, at, &entry.account.id)
        }
        None => entry
            .txn
            .create(&key::ACCOUNT_IDENTITIES, at, &entry.account.id),
    };
    Ok(Some(entry))
}

fn seen_again(
    seen: &Versioned<Account>,
    coming: &Coming<'_>,
) -> Result<Option<Entry>, ActionError> {
    let admitted = coming.admitted;
    let mut account = seen.value.clone();
    let mut told = BTreeMap::new();
    accounts::refuse_suspended(&account)?;
    match &account.identity {
        // Addresses are given to others when somebody leaves; subjects are not.
        Some(identity) if *identity != admitted.identity => {
            return Err(refused(
                "The account of your e-mail address belongs to somebody else of your identity provider's. If that was you, an \
                 administrator can unlink it: paas accounts:unlink",
            ));
        }
        Some(_) => {}
        None if account.has_password() && !is_proven(&account, coming.proven) => return Ok(None),
        None => {
            account.identity = Some(admitted.identity.clone());
            told.insert("identity".to_owned(), "linked".to_owned());
        }
    }
    let was_admin = account.is_admin;
    account.is_admin = oidc::is_admin(admitted.is_admin, was_admin, account.has_password());
    if account.is_admin != was_admin {
        let how = if was_admin { "taken" } else { "granted" };
        told.insert("administrator".to_owned(), how.to_owned());
    }
    account.last_login = Some(Timestamp::now());
    let txn = Txn::new().replace(&key::ACCOUNTS, seen, &account);
    Ok(Some(Entry { account, txn, told }))
}

fn is_proven(account: &Account, proven: Option<&Account>) -> bool {
    proven.is_some_and(|proven| {
        proven.id == account.id && proven.credentials_version == account.credentials_version
    })
}

async fn newcomer(store: &dyn Store, coming: &Coming<'_>) -> Result<Entry, ActionError> {
    let admitted = coming.admitted;
    let invitation = invitation(store, &admitted.email).await?;
    if invitation.is_none() && !coming.creates {
        return Err(refused(
            "There is no account of your e-mail address here. Ask an administrator for an invitation.",
        ));
    }
    let now = Timestamp::now();
    let invited = invitation.as_ref().is_some_and(|one| one.value.is_admin);
    let (email, name) = (admitted.email.clone(), admitted.name.clone());
    let account = Account {
        identity: Some(admitted.identity.clone()),
        last_login: Some(now),
        ..accounts::new_account(
            email,
            name,
            oidc::is_admin(admitted.is_admin, invited, false),
            Secret::from(Account::NO_PASSWORD),
            now,
        )
    };
    let txn = accounts::inserting(&account);
    let (txn, how) = match invitation {
        Some(invitation) => (
            txn.unchanged(&invitation).delete(invitation.key),
            "made, as invited",
        ),
        None => (txn, "made"),
    };
    let mut told = BTreeMap::from([("account".to_owned(), how.to_owned())]);
    if account.is_admin {
        told.insert("administrator".to_owned(), "granted".to_owned());
    }
    Ok(Entry { account, txn, told })
}

async fn invitation(
    store: &dyn Store,
    email: &Email,
) -> Result<Option<Versioned<Invitation>>, ActionError> {
    let pending = invitations::list(store).await?;
    Ok(pending
        .into_iter()
        .find(|invitation| invitation.value.email == *email))
}

/// Nobody of an identity provider's is this account any more, until somebody with its e-mail address logs in there again.
pub(crate) async fn unlink(store: &dyn Store, account: AccountId) -> Result<Account, ActionError> {
    let mut attempts = Attempts::default();
    loop {
        let seen = key::ACCOUNTS.get(store, &key::account(account)).await?;
        let seen = seen.ok_or(ActionError::Gone {
            resource: "account",
        })?;
        let mut changed = seen.value.clone();
        let identity = changed.identity.take().ok_or_else(|| {
            ActionError::invalid("The account is linked with nobody at an identity provider.")
        })?;
        changed.credentials_changed();
        let txn = Txn::new().replace(&key::ACCOUNTS, &seen, &changed);
        let txn = unlinking(store, txn, account, &identity).await?;
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(changed);
        }
        attempts.lost().await?;
    }
}

/// The same for all accounts that are linked with anybody of this issuer: another one has taken its place, or knows its people
/// by other subjects now.
pub(crate) async fn unlink_issuer(
    store: &dyn Store,
    issuer: &str,
) -> Result<Vec<Account>, ActionError> {
    let of_issuer = |account: &Account| {
        let identity = account.identity.as_ref();
        identity.is_some_and(|identity| identity.issuer == issuer)
    };
    let mut unlinked = Vec::new();
    for account in key::ACCOUNTS.all(store).await? {
        if of_issuer(&account.value) {
            unlinked.push(unlink(store, account.value.id).await?);
        }
    }
    if unlinked.is_empty() {
        return Err(ActionError::invalid(
            "No account is linked with anybody of that issuer. Name it as the configuration did: oidc.issuer",
        ));
    }
    Ok(unlinked)
}

/// The record by which a subject finds the account goes, too.
pub(crate) async fn unlinking(
    store: &dyn Store,
    txn: Txn,
    account: AccountId,
    identity: &Identity,
) -> Result<Txn, StoreError> {
    let at = key::account_identity(&hash_of(identity));
    Ok(match key::ACCOUNT_IDENTITIES.get(store, &at).await? {
        Some(link) if link.value == account => txn.unchanged(&link).delete(at),
        _ => txn,
    })
}

/// Issuers and subjects are of any form; a line end is in neither.
fn hash_of(identity: &Identity) -> Checksum {
    auth::token_hash(&format!("{}\n{}", identity.issuer, identity.subject))
}
