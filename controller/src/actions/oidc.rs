//! Logging in at an identity provider, on the way to logging in a terminal.

use model::{
    Account, AccountId, BrowserLoginState, Checksum, Email, Identity, Invitation, Secret, Timestamp,
};
use serde::{Deserialize, Serialize};
use store::{Committed, Store, StoreError, Txn, Versioned, key};
use tracing::info;

use super::{ActionError, Attempts, accounts, browser_login, invitations};
use crate::auth;
use crate::context::Context;
use crate::find;
use crate::http::ticket;
use crate::oidc::{self, Admitted, Errand, OidcError, Provider};

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
pub(crate) async fn arrive(
    context: &Context,
    provider: &Provider,
    arrival: Arrival<'_>,
) -> Result<(String, Account), ActionError> {
    let state: State =
        ticket::open(&context.keyring, arrival.state).ok_or_else(browser_login::gone)?;
    let errand = take_errand(context, &state, arrival.browser).await?;
    let Some(code) = arrival.code else {
        return Err(refused("Your identity provider did not let you in."));
    };
    let person = provider.arrive(errand, code).await.map_err(|error| {
        info!(error = %error, "Somebody came back from the identity provider in vain");
        refused("Your identity provider's answer could not be used. Try again.")
    })?;
    let admitted = oidc::admit(provider.config(), person).map_err(refused)?;
    let creates = provider.config().create_accounts;
    let account = account_of(context.store(), admitted, creates).await?;
    Ok((state.place, account))
}

pub(crate) struct Arrival<'a> {
    pub(crate) state: &'a str,
    /// Absent where the provider said no.
    pub(crate) code: Option<&'a str>,
    pub(crate) browser: &'a Checksum,
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

/// The account that the provider's subject is linked with. At first there is none: then the one with the e-mail address, which
/// the provider has verified, is linked, or one is made.
async fn account_of(
    store: &dyn Store,
    admitted: Admitted,
    creates: bool,
) -> Result<Account, ActionError> {
    let mut attempts = Attempts::default();
    loop {
        let now = Timestamp::now();
        let at = key::account_identity(&hash_of(&admitted.identity));
        let linked = key::ACCOUNT_IDENTITIES.get(store, &at).await?;
        let known = match &linked {
            Some(id) => key::ACCOUNTS.get(store, &key::account(id.value)).await?,
            None => find::account(store, admitted.email.as_str()).await?,
        };
        let (txn, account) = match known {
            Some(seen) => {
                let account = seen_again(&seen, &admitted, now)?;
                let txn = Txn::new().replace(&key::ACCOUNTS, &seen, &account);
                (txn, account)
            }
            None => match invitation(store, &admitted.email).await? {
                Some(invitation) => {
                    let account = Account {
                        is_admin: invitation.value.is_admin,
                        ..newcomer(&admitted, now)
                    };
                    let txn = accounts::inserting(&account).unchanged(&invitation);
                    (txn.delete(invitation.key), account)
                }
                None if creates => {
                    let account = newcomer(&admitted, now);
                    (accounts::inserting(&account), account)
                }
                None => {
                    return Err(refused(
                        "There is no account of your e-mail address here. Ask an administrator for an invitation.",
                    ));
                }
            },
        };
        let txn = match &linked {
            Some(link) => txn
                .unchanged(link)
                .put(&key::ACCOUNT_IDENTITIES, at, &account.id),
            None => txn.create(&key::ACCOUNT_IDENTITIES, at, &account.id),
        };
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(account);
        }
        attempts.lost().await?;
    }
}

fn seen_again(
    seen: &Versioned<Account>,
    admitted: &Admitted,
    now: Timestamp,
) -> Result<Account, ActionError> {
    let mut account = seen.value.clone();
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
        None => account.identity = Some(admitted.identity.clone()),
    }
    account.is_admin = match admitted.is_admin {
        Some(true) => true,
        // Who has a password was made an administrator here.
        Some(false) => account.is_admin && account.has_password(),
        None => account.is_admin,
    };
    account.last_login = Some(now);
    Ok(account)
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

fn newcomer(admitted: &Admitted, now: Timestamp) -> Account {
    let no_password = Secret::from(Account::NO_PASSWORD);
    let is_admin = admitted.is_admin.unwrap_or(false);
    let (email, name) = (admitted.email.clone(), admitted.name.clone());
    Account {
        identity: Some(admitted.identity.clone()),
        last_login: Some(now),
        ..accounts::new_account(email, name, is_admin, no_password, now)
    }
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
