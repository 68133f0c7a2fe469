//! Those to whom apps and pipelines belong, accounts and teams, and what somebody is to a team.

use std::collections::HashMap;

use model::{Account, Email, Owner, Team, TeamId, TeamName, TeamRole};
use store::{Store, StoreError, Versioned, key};

use crate::find;

/// An owner as clients see it.
#[derive(Debug, Clone)]
pub(crate) struct Owned {
    pub(crate) email: Email,
    pub(crate) team: Option<Team>,
}

/// By id, name, or the address that clients know it by.
pub(crate) async fn team(
    store: &dyn Store,
    identity: &str,
) -> Result<Option<Versioned<Team>>, StoreError> {
    let id = match identity.parse::<TeamId>() {
        Ok(id) => id,
        Err(_) => {
            let name = TeamName::of_email(identity).or_else(|| identity.parse().ok());
            let Some(name) = name else { return Ok(None) };
            let Some(id) = key::TEAM_NAMES.get(store, &key::team_name(&name)).await? else {
                return Ok(None);
            };
            id.value
        }
    };
    key::TEAMS.get(store, &key::team(id)).await
}

/// A team, or an account by its e-mail address or id.
pub(crate) async fn named(store: &dyn Store, identity: &str) -> Result<Option<Owner>, StoreError> {
    if let Some(team) = team(store, identity).await? {
        return Ok(Some(Owner::Team {
            team: team.value.id,
        }));
    }
    let account = find::account(store, identity).await?;
    Ok(account.map(|account| Owner::Account(account.value.id)))
}

/// What an account is to a team; `None` for a stranger. Administrators of the platform are of every team.
pub(crate) async fn role_in(
    store: &dyn Store,
    account: &Account,
    team: TeamId,
) -> Result<Option<TeamRole>, StoreError> {
    if account.is_admin {
        return Ok(Some(TeamRole::Admin));
    }
    member_role(store, account, team).await
}

/// The same, of those who are in the team.
pub(crate) async fn member_role(
    store: &dyn Store,
    account: &Account,
    team: TeamId,
) -> Result<Option<TeamRole>, StoreError> {
    let member = key::TEAM_MEMBERS
        .get(store, &key::team_member(team, account.id))
        .await?;
    Ok(member.map(|member| member.value.role))
}

/// The teams an account is in.
pub(crate) async fn memberships(
    store: &dyn Store,
    account: &Account,
) -> Result<HashMap<TeamId, TeamRole>, StoreError> {
    let all = key::TEAM_MEMBERS.all(store).await?.into_iter();
    Ok(all
        .map(|member| member.value)
        .filter(|member| member.account == account.id)
        .map(|member| (member.team, member.role))
        .collect())
}

/// How clients see them; those that are gone are left out.
pub(crate) async fn shown(
    store: &dyn Store,
    owners: Vec<Owner>,
) -> Result<HashMap<Owner, Owned>, StoreError> {
    let mut shown = HashMap::new();
    for owner in owners {
        if !shown.contains_key(&owner)
            && let Some(owned) = show(store, owner).await?
        {
            shown.insert(owner, owned);
        }
    }
    Ok(shown)
}

pub(crate) async fn show(store: &dyn Store, owner: Owner) -> Result<Option<Owned>, StoreError> {
    Ok(match owner {
        Owner::Account(id) => {
            let account = key::ACCOUNTS.get(store, &key::account(id)).await?;
            account.map(|account| Owned {
                email: account.value.email,
                team: None,
            })
        }
        Owner::Team { team } => {
            let team = key::TEAMS.get(store, &key::team(team)).await?;
            team.and_then(|team| {
                Some(Owned {
                    email: team.value.name.as_email().ok()?,
                    team: Some(team.value),
                })
            })
        }
    })
}
