//! What a team does with its apps: locks them, joins them, and is given them.

use model::access::counts;
use model::{Account, App, AppId, Owner, Permission, Role, TeamRole, Timestamp};
use store::{Committed, Store, Txn, key};

use super::collaborators::{self, Shared};
use super::transfers::{access_lost, former_member, gives_away, hand_over, must_know_it};
use super::{ActionError, Attempts, read_app, teams};
use crate::context::{Context, actor};
use crate::{find, owners};

/// Keeps others of the team from the app, or lets them see and join it.
pub(crate) async fn lock(
    context: &Context,
    by: &Account,
    app: AppId,
    locked: bool,
) -> Result<App, ActionError> {
    let store = context.store();
    let mut attempts = Attempts::default();
    loop {
        let seen = read_app(store, app).await?;
        if seen.value.owner.team().is_none() {
            return Err(ActionError::invalid(format!(
                "{} belongs to no team, so there is nobody to lock it for.",
                seen.value.name
            )));
        }
        if seen.value.locked == locked {
            return Ok(seen.value);
        }
        let changed = App {
            locked,
            updated_at: Timestamp::now(),
            ..seen.value.clone()
        };
        let txn = Txn::new().replace(&key::APPS, &seen, &changed);
        if let Committed::Done(_) = txn.commit(store).await? {
            let what = if locked { "Lock" } else { "Unlock" };
            context.tell(app, &actor(by), &format!("{what} app")).await;
            return Ok(changed);
        }
        attempts.lost().await?;
    }
}

/// Whoever manages an app shares it. Others of its team let themselves in, and may then do all but manage it.
pub(crate) async fn share(
    store: &dyn Store,
    app: &App,
    role: Role,
    account: &Account,
    user: &str,
    permission: Option<Permission>,
) -> Result<Shared, ActionError> {
    if role.may(Permission::Manage) {
        return collaborators::add(store, app, account, user, permission).await;
    }
    let is_oneself = find::account(store, user)
        .await?
        .is_some_and(|found| found.value.id == account.id);
    if !is_oneself {
        return Err(refused("You may let nobody but yourself into this app."));
    }
    if permission == Some(Permission::Manage) {
        return Err(refused("Managing this app is not for you to take."));
    }
    let permission = permission.unwrap_or(Permission::Operate);
    join(store, app.id, account, permission).await
}

fn refused(why: &str) -> ActionError {
    ActionError::Forbidden {
        message: format!("{why} Ask an administrator of the team: paas access:add"),
    }
}

/// What somebody was let do before, he may still.
async fn join(
    store: &dyn Store,
    app: AppId,
    account: &Account,
    permission: Permission,
) -> Result<Shared, ActionError> {
    let mut attempts = Attempts::default();
    loop {
        let app = read_app(store, app).await?;
        let member = owners::member(store, app.value.owner, account.id).await?;
        let member = member
            .filter(|member| member.role >= TeamRole::Member)
            .ok_or_else(|| refused("Only members of the app's team may join it."))?;
        if app.value.locked {
            return Err(refused("This app is locked."));
        }
        let place = key::collaborator(app.value.id, account.id);
        let there = key::COLLABORATORS.get(store, &place).await?;
        let fresh = collaborators::new(app.value.id, account.id, permission, Some(&member));
        // Not locked at the same time. Whoever is taken off the team meanwhile has joined by what counts no more.
        let txn = Txn::new().unchanged(&app);
        let (collaborator, txn) = match there {
            Some(seen) if counts(&seen.value, Some(&member)) => {
                return Ok(Shared {
                    collaborator: seen.value,
                    email: account.email.clone(),
                });
            }
            Some(seen) => {
                let txn = txn.replace(&key::COLLABORATORS, &seen, &fresh);
                (fresh, txn)
            }
            None => {
                let txn = txn.create(&key::COLLABORATORS, place, &fresh);
                (fresh, txn)
            }
        };
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(Shared {
                collaborator,
                email: account.email.clone(),
            });
        }
        attempts.lost().await?;
    }
}

/// Gives an app to a team, or a team's app to somebody, at once.
pub(crate) async fn give(
    context: &Context,
    by: &Account,
    app: AppId,
    to: &str,
) -> Result<App, ActionError> {
    let store = context.store();
    let mut attempts = Attempts::default();
    loop {
        let seen = read_app(store, app).await?;
        let from = &seen.value;
        // Of the app as it is now: it may have been given to somebody meanwhile.
        let role = find::role(store, by, from).await?;
        if !role.is_some_and(|role| gives_away(by, role)) {
            return Err(ActionError::Forbidden {
                message: format!("Only the owner of {} may give it to somebody.", from.name),
            });
        }
        let owner = owners::named(store, to).await?;
        let owner = owner.ok_or_else(|| teams::unknown(to))?;
        if owner == from.owner {
            return Err(ActionError::invalid(format!(
                "{} is theirs already.",
                from.name
            )));
        }
        match owner {
            Owner::Team { team } => {
                teams::must_add_to(store, by, team, to).await?;
            }
            Owner::Account(_) if from.owner.team().is_none() && !by.is_admin => {
                return Err(ActionError::invalid(
                    "They are asked first: offer the app with `paas apps:transfer`.",
                ));
            }
            Owner::Account(id) => {
                let to = key::ACCOUNTS.get(store, &key::account(id)).await?;
                let to = to.ok_or(ActionError::Gone {
                    resource: "account",
                })?;
                must_know_it(store, by, from, &to.value).await?;
            }
        }
        let lost = access_lost(store, from, owner).await?;
        let txn = teams::owned_by(store, Txn::new(), owner).await?;
        let former = former_member(store, from, owner).await?;
        let txn = hand_over(
            txn,
            &seen,
            (owner, former.as_ref()),
            &lost,
            Timestamp::now(),
        );
        if let Committed::Done(_) = txn.commit(store).await? {
            let to = owners::show(store, owner).await?;
            let to = to.map(|to| match to.team {
                Some(team) => team.name.to_string(),
                None => to.email.to_string(),
            });
            let text = format!("Transfer to {}", to.unwrap_or_default());
            context.tell(app, &actor(by), &text).await;
            return Ok(read_app(store, app).await?.value);
        }
        attempts.lost().await?;
    }
}
