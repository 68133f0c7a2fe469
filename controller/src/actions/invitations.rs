//! Inviting people: a token for one e-mail address, good once, and for so long.

use std::net::IpAddr;
use std::time::Duration;

use controller_api::wire::InvitationCreate;
use model::{Account, AccountId, Email, Invitation, InvitationId, Secret, Timestamp};
use store::{Committed, Store, StoreError, Txn, Versioned, key};

use super::{ActionError, accounts, contended, lasting};
use crate::context::Context;
use crate::find;
use crate::{audit, auth};

const DEFAULT_EXPIRY: Duration = Duration::from_secs(7 * 24 * 3600);
const LONGEST_EXPIRY: Duration = Duration::from_secs(31 * 24 * 3600);
const MAX_PENDING: usize = 1000;

/// A new one, in place of an older one to the same address. Its token is nowhere but in the answer.
pub(crate) async fn create(
    store: &dyn Store,
    by: AccountId,
    create: &InvitationCreate,
) -> Result<(Invitation, Secret<String>), ActionError> {
    let email = accounts::own_address(&create.email)?;
    let now = Timestamp::now();
    let lasts = lasting(
        create.expires_in,
        DEFAULT_EXPIRY,
        LONGEST_EXPIRY,
        "a month's",
    )?;
    if find::account(store, email.as_str()).await?.is_some() {
        return Err(taken(&email));
    }
    let pending = list(store).await?;
    if pending.len() >= MAX_PENDING {
        return Err(ActionError::invalid(format!(
            "There are {MAX_PENDING} invitations; take some back first."
        )));
    }
    let invitation = Invitation {
        id: InvitationId::new(),
        email,
        is_admin: create.is_admin,
        invited_by: by,
        created_at: now,
        expires_at: now.checked_add(lasts).map_err(ActionError::internal)?,
    };
    let token = auth::new_token();
    let place = key::invitation(&auth::token_hash(token.expose()));
    let older = pending
        .iter()
        .filter(|older| older.value.email == invitation.email);
    let txn = older
        .fold(Txn::new(), |txn, older| {
            txn.unchanged(older).delete(older.key.clone())
        })
        .create(&key::INVITATIONS, place, &invitation);
    match txn.commit(store).await? {
        Committed::Done(_) => Ok((invitation, token)),
        Committed::Conflict => Err(contended()),
    }
}

/// Those that can still be taken up, the oldest first.
pub(crate) async fn list(store: &dyn Store) -> Result<Vec<Versioned<Invitation>>, StoreError> {
    let now = Timestamp::now();
    let mut pending = key::INVITATIONS.all(store).await?;
    pending.retain(|invitation| !invitation.value.is_expired(now));
    pending.sort_by_key(|invitation| invitation.value.created_at);
    Ok(pending)
}

/// By id, or all of an e-mail address: two may have been made at once. The newest is told.
pub(crate) async fn revoke(store: &dyn Store, identity: &str) -> Result<Invitation, ActionError> {
    let mut found = list(store).await?;
    found.retain(|invitation| {
        let Invitation { id, email, .. } = &invitation.value;
        id.to_string() == identity || email.as_str().eq_ignore_ascii_case(identity)
    });
    let newest = found.last().ok_or_else(gone)?.value.clone();
    let txn = found.iter().fold(Txn::new(), |txn, invitation| {
        txn.unchanged(invitation).delete(invitation.key.clone())
    });
    match txn.commit(store).await? {
        Committed::Done(_) => Ok(newest),
        // It may have been taken up.
        Committed::Conflict => Err(contended()),
    }
}

pub(crate) async fn find(
    store: &dyn Store,
    token: &str,
) -> Result<Option<Versioned<Invitation>>, StoreError> {
    let place = key::invitation(&auth::token_hash(token));
    let found = key::INVITATIONS.get(store, &place).await?;
    Ok(found.filter(|invitation| !invitation.value.is_expired(Timestamp::now())))
}

/// What somebody new says of himself.
pub(crate) struct Newcomer {
    pub(crate) name: Option<String>,
    pub(crate) password: Secret<String>,
    pub(crate) from: Option<IpAddr>,
}

/// The account is made and the invitation gone in one commit: it is good once.
pub(crate) async fn accept(
    context: &Context,
    token: &str,
    newcomer: Newcomer,
) -> Result<Account, ActionError> {
    let store = context.store();
    let invitation = find(store, token).await?.ok_or_else(gone)?;
    let name = accounts::checked_name(newcomer.name)?;
    let password = accounts::checked(newcomer.password.into_exposed())?;
    let hash = context
        .passwords
        .hash(password)
        .await
        .map_err(ActionError::internal)?;
    let Invitation {
        email, is_admin, ..
    } = &invitation.value;
    let account = accounts::new_account(email.clone(), name, *is_admin, hash, Timestamp::now());
    let txn = accounts::inserting(&account)
        .unchanged(&invitation)
        .delete(invitation.key.clone());
    let deed = audit::without_token(
        &account,
        newcomer.from,
        "POST /account-invitations/actions/accept",
    );
    let status = |done: &Result<_, _>| match done {
        Ok(Committed::Done(_)) => 201,
        _ => 422,
    };
    let committed = context.audit.of(deed, txn.commit(store), status).await;
    match committed?? {
        Committed::Done(_) => Ok(account),
        Committed::Conflict if find::account(store, email.as_str()).await?.is_some() => {
            Err(taken(email))
        }
        Committed::Conflict => Err(gone()),
    }
}

fn taken(email: &Email) -> ActionError {
    ActionError::invalid(format!("There is an account for {email} already."))
}

const fn gone() -> ActionError {
    ActionError::Gone {
        resource: "invitation",
    }
}
