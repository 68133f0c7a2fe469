//! Sharing an app.

use model::{AccountId, App, AppId, Collaborator, Permission, Role, Timestamp};
use store::{Committed, Store, Txn, Versioned, key};
use uuid::Uuid;

use super::{ActionError, contended};
use crate::auth::Session;
use crate::find;

/// An account that may work on an app.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) collaborator: Collaborator,
    pub(crate) email: model::Email,
}

/// What is asked for by name; the most of it includes the rest. `None`: nothing was named.
pub(crate) fn named(permissions: Option<&[String]>) -> Result<Option<Permission>, ActionError> {
    let mut most = None;
    for name in permissions.unwrap_or_default() {
        most = most.max(Some(name.parse::<Permission>()?));
    }
    Ok(most)
}

pub(crate) fn new(app: AppId, account: AccountId, permission: Permission) -> Collaborator {
    let now = Timestamp::now();
    Collaborator {
        id: Uuid::now_v7(),
        app,
        account,
        permission,
        created_at: now,
        updated_at: now,
    }
}

/// Adding one who is there already changes what they may do, if that is said.
pub(crate) async fn add(
    store: &dyn Store,
    app: &App,
    user: &str,
    permission: Option<Permission>,
) -> Result<Shared, ActionError> {
    let account = find::account(store, user).await?.ok_or_else(|| {
        ActionError::invalid(format!(
            "There is no account for {}. An administrator of the platform can make one.",
            user.chars().take(300).collect::<String>()
        ))
    })?;
    let account = account.value;
    if app.owner == account.id {
        return Err(ActionError::invalid(format!(
            "{} owns {} and needs no invitation.",
            account.email, app.name
        )));
    }
    let collaborator = new(
        app.id,
        account.id,
        permission.unwrap_or(Permission::Operate),
    );
    let place = key::collaborator(app.id, account.id);
    let txn = Txn::new()
        .exists(key::app(app.id))
        .exists(key::account(account.id))
        .create(&key::COLLABORATORS, place.clone(), &collaborator);
    if let Committed::Done(_) = txn.commit(store).await? {
        return Ok(Shared {
            collaborator,
            email: account.email,
        });
    }
    match key::COLLABORATORS.get(store, &place).await? {
        Some(existing) => {
            let collaborator = match permission {
                Some(permission) => permit(store, &existing, permission).await?,
                None => existing.value,
            };
            Ok(Shared {
                collaborator,
                email: account.email,
            })
        }
        None => Err(ActionError::Gone { resource: "app" }),
    }
}

pub(crate) async fn permit(
    store: &dyn Store,
    seen: &Versioned<Collaborator>,
    permission: Permission,
) -> Result<Collaborator, ActionError> {
    let changed = Collaborator {
        permission,
        updated_at: Timestamp::now(),
        ..seen.value.clone()
    };
    let txn = Txn::new().replace(&key::COLLABORATORS, seen, &changed);
    match txn.commit(store).await? {
        Committed::Done(_) => Ok(changed),
        Committed::Conflict => Err(contended()),
    }
}

/// By e-mail address, account id or own id; the owner is not among them.
pub(crate) async fn find(
    store: &dyn Store,
    app: &App,
    identity: &str,
) -> Result<(Versioned<Collaborator>, model::Email), ActionError> {
    let not_found = || ActionError::NotFound {
        resource: "collaborator",
        message: format!(
            "{} is no collaborator of {}. See `paas access`.",
            identity.chars().take(300).collect::<String>(),
            app.name
        ),
    };
    let own_id = identity.parse::<Uuid>().ok();
    let account = find::account(store, identity)
        .await?
        .map(|account| account.value.id);
    let all = key::COLLABORATORS
        .list(store, &key::collaborators_of(app.id))
        .await?;
    let found = all
        .into_iter()
        .find(|seen| Some(seen.value.id) == own_id || Some(seen.value.account) == account)
        .ok_or_else(not_found)?;
    let account = key::ACCOUNTS
        .get(store, &key::account(found.value.account))
        .await?
        .ok_or_else(not_found)?;
    Ok((found, account.value.email))
}

/// The owner removes others; anybody removes himself.
pub(crate) async fn remove(
    store: &dyn Store,
    app: &App,
    role: Role,
    session: &Session,
    collaborator: &Versioned<Collaborator>,
) -> Result<(), ActionError> {
    if !role.may(Permission::Manage) && collaborator.value.account != session.account.id {
        return Err(ActionError::Forbidden {
            message: format!(
                "Only the owner of {} may remove others; you may remove yourself.",
                app.name
            ),
        });
    }
    Txn::new()
        .delete(collaborator.key.clone())
        .commit(store)
        .await?;
    Ok(())
}
