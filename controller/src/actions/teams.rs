//! Making, renaming and destroying teams.

use model::team::MAX_TEAMS;
use model::{Account, Owner, Team, TeamId, TeamMember, TeamName, TeamRole, Timestamp};
use store::{Committed, Store, Txn, Versioned, key};
use uuid::Uuid;

use super::{ActionError, Attempts};
use crate::owners;

/// Whoever makes a team is its first administrator.
pub(crate) async fn create(
    store: &dyn Store,
    by: &Account,
    name: &str,
) -> Result<Team, ActionError> {
    let name: TeamName = name.parse()?;
    if owners::memberships(store, by).await?.len() >= MAX_TEAMS {
        return Err(ActionError::invalid(format!(
            "You are in {MAX_TEAMS} teams, which is the most; leave one first."
        )));
    }
    let now = Timestamp::now();
    let team = Team {
        id: TeamId::new(),
        name,
        created_at: now,
        updated_at: now,
    };
    let first = TeamMember {
        id: Uuid::now_v7(),
        team: team.id,
        account: by.id,
        role: TeamRole::Admin,
        created_at: now,
        updated_at: now,
    };
    let txn = Txn::new()
        .exists(key::account(by.id))
        .create(&key::TEAMS, key::team(team.id), &team)
        .create(&key::TEAM_NAMES, key::team_name(&team.name), &team.id)
        .create(&key::TEAM_MEMBERS, key::team_member(team.id, by.id), &first);
    match txn.commit(store).await? {
        Committed::Done(_) => Ok(team),
        Committed::Conflict => Err(taken(&team.name)),
    }
}

pub(crate) async fn rename(
    store: &dyn Store,
    id: TeamId,
    name: Option<&str>,
) -> Result<Team, ActionError> {
    let name: Option<TeamName> = name.map(str::parse).transpose()?;
    let mut attempts = Attempts::default();
    loop {
        let seen = read(store, id).await?;
        let name = match &name {
            Some(name) if *name != seen.value.name => name.clone(),
            _ => return Ok(seen.value),
        };
        let place = key::team_name(&name);
        if key::TEAM_NAMES.get(store, &place).await?.is_some() {
            return Err(taken(&name));
        }
        let changed = Team {
            name,
            updated_at: Timestamp::now(),
            ..seen.value.clone()
        };
        let txn = Txn::new()
            .create(&key::TEAM_NAMES, place, &id)
            .delete(key::team_name(&seen.value.name))
            .replace(&key::TEAMS, &seen, &changed);
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(changed);
        }
        attempts.lost().await?;
    }
}

/// Only of a team that owns nothing. Its members are swept up after it.
pub(crate) async fn destroy(store: &dyn Store, id: TeamId) -> Result<Team, ActionError> {
    let owner = Owner::Team { team: id };
    let mut attempts = Attempts::default();
    loop {
        let seen = read(store, id).await?;
        let apps = key::APPS.all(store).await?;
        let apps = apps.iter().filter(|app| app.value.owner == owner).count();
        let pipelines = key::PIPELINES.all(store).await?;
        let pipelines = pipelines.iter().filter(|p| p.value.owner == owner).count();
        if apps + pipelines > 0 {
            return Err(ActionError::invalid(format!(
                "The team {} owns {apps} apps and {pipelines} pipelines; destroy them or give them away first.",
                seen.value.name
            )));
        }
        let txn = Txn::new()
            .unchanged(&seen)
            .delete(seen.key.clone())
            .delete(key::team_name(&seen.value.name));
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(seen.value);
        }
        attempts.lost().await?;
    }
}

pub(crate) async fn read(store: &dyn Store, id: TeamId) -> Result<Versioned<Team>, ActionError> {
    let seen = key::TEAMS.get(store, &key::team(id)).await?;
    seen.ok_or(ActionError::Gone { resource: "team" })
}

fn taken(name: &TeamName) -> ActionError {
    ActionError::invalid(format!("Name {name} is already taken"))
}

/// For what is made for the owner: it must be there when that is, and of a team its record is touched, so that the team
/// cannot go at the same time.
pub(crate) async fn owned_by(
    store: &dyn Store,
    txn: Txn,
    owner: Owner,
) -> Result<Txn, ActionError> {
    Ok(match owner {
        Owner::Account(account) => txn.exists(key::account(account)),
        Owner::Team { team } => {
            let seen = read(store, team).await?;
            txn.replace(&key::TEAMS, &seen, &seen.value)
        }
    })
}

/// Whether the account may make something the team's.
pub(crate) async fn must_add_to(
    store: &dyn Store,
    by: &Account,
    team: &Team,
) -> Result<(), ActionError> {
    match owners::role_in(store, by, team.id).await? {
        Some(role) if role >= TeamRole::Member => Ok(()),
        Some(_) => Err(ActionError::Forbidden {
            message: format!(
                "You may look at what the team {} has, and add nothing to it. Its administrators can change that: paas \
                 members:set",
                team.name
            ),
        }),
        None => Err(none(team.name.as_str())),
    }
}

/// To strangers a team does not exist.
pub(crate) fn none(identity: &str) -> ActionError {
    ActionError::NotFound {
        resource: "team",
        message: format!(
            "There is no team {}, or you are not in it. See `paas teams`.",
            identity.chars().take(100).collect::<String>()
        ),
    }
}
