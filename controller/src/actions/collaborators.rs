//! Sharing an app.

use model::access::counts;
use model::{
    Account, AccountId, App, AppId, Collaborator, Permission, Role, TeamMember, Timestamp,
};
use store::{Committed, Store, Txn, Versioned, key};
use uuid::Uuid;

use super::{ActionError, Attempts, contended};
use crate::auth::Session;
use crate::{find, owners};

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

/// `as_member`: their membership of the team that owns the app, if they are in it.
pub(crate) fn new(
    app: AppId,
    account: AccountId,
    permission: Permission,
    as_member: Option<&TeamMember>,
) -> Collaborator {
    let now = Timestamp::now();
    Collaborator {
        id: Uuid::now_v7(),
        app,
        account,
        permission,
        as_member: as_member.map(|member| member.id),
        created_at: now,
        updated_at: now,
    }
}

/// Adding one who is there already changes what they may do, if that is said.
pub(crate) async fn add(
    store: &dyn Store,
    app: &App,
    by: &Account,
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
    let place = key::collaborator(app.id, account.id);
    let mut attempts = Attempts::default();
    loop {
        let member = owners::member(store, app.owner, account.id).await?;
        let there = key::COLLABORATORS.get(store, &place).await?;
        let is_in = |seen: &Versioned<Collaborator>| counts(&seen.value, member.as_ref());
        let txn = Txn::new()
            .exists(key::app(app.id))
            .exists(key::account(account.id));
        let email = account.email.clone();
        let wanted = permission.unwrap_or(Permission::Operate);
        let fresh = new(app.id, account.id, wanted, member.as_ref());
        let (collaborator, txn) = match there {
            Some(seen) if is_in(&seen) => {
                let collaborator = match permission {
                    Some(permission) => permit(store, &seen, permission).await?,
                    None => seen.value,
                };
                return Ok(Shared {
                    collaborator,
                    email,
                });
            }
            // One who was just taken off an app or its team, and asks still, is not let in by himself.
            _ if account.id == by.id && !by.is_admin && member.is_none() => {
                return Err(ActionError::Forbidden {
                    message: format!("You may let others into {}, and not yourself.", app.name),
                });
            }
            Some(seen) => {
                let txn = txn.replace(&key::COLLABORATORS, &seen, &fresh);
                (fresh, txn)
            }
            None => {
                let txn = txn.create(&key::COLLABORATORS, place.clone(), &fresh);
                (fresh, txn)
            }
        };
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(Shared {
                collaborator,
                email,
            });
        }
        let is_gone = key::APPS.get(store, &key::app(app.id)).await?.is_none();
        if is_gone {
            return Err(ActionError::Gone { resource: "app" });
        }
        attempts.lost().await?;
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
    let found = find::collaborators(store, app).await?;
    let found = found
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
