//! Who is in a team. Each change of it touches the team's record, so that of two at the same time none is made on what the
//! other has changed: a team keeps an administrator.

use model::team::MAX_MEMBERS;
use model::{Account, AccountId, Team, TeamId, TeamMember, TeamRole, Timestamp};
use store::{Committed, Store, Txn, Versioned, key};
use uuid::Uuid;

use super::{ActionError, Attempts, teams};
use crate::find;

/// Whether one has to be in the team already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Either,
    No,
    Yes,
}

/// Somebody who is in a team.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) member: TeamMember,
    pub(crate) account: Account,
}

pub(crate) async fn all(store: &dyn Store, team: TeamId) -> Result<Vec<Joined>, ActionError> {
    let mut joined = Vec::new();
    for member in records(store, team).await? {
        let place = key::account(member.value.account);
        if let Some(account) = key::ACCOUNTS.get(store, &place).await? {
            joined.push(Joined {
                member: member.value,
                account: account.value,
            });
        }
    }
    Ok(joined)
}

async fn records(
    store: &dyn Store,
    team: TeamId,
) -> Result<Vec<Versioned<TeamMember>>, ActionError> {
    let of_team = key::team_members_of(team);
    Ok(key::TEAM_MEMBERS.list(store, &of_team).await?)
}

pub(crate) async fn set(
    store: &dyn Store,
    team: TeamId,
    email: &str,
    role: &str,
    known: Known,
) -> Result<Joined, ActionError> {
    let role: TeamRole = role.parse()?;
    let account = find::account(store, email).await?.ok_or_else(|| {
        ActionError::invalid(format!(
            "There is no account for {}. An administrator of the platform can invite them: paas accounts:invite",
            email.chars().take(300).collect::<String>()
        ))
    })?;
    let account = account.value;
    let mut attempts = Attempts::default();
    loop {
        let seen = teams::read(store, team).await?;
        let all = records(store, team).await?;
        let now = Timestamp::now();
        let touched = Txn::new().replace(&key::TEAMS, &seen, &seen.value);
        let there = all.iter().find(|seen| seen.value.account == account.id);
        let (member, txn) = match there {
            Some(_) if known == Known::No => {
                return Err(ActionError::invalid(format!(
                    "{} is in the team {} already.",
                    account.email, seen.value.name
                )));
            }
            Some(there) => {
                if role < TeamRole::Admin {
                    must_not_be_last(store, &seen.value, &all, account.id).await?;
                }
                // What he joined he joined as a member, which a viewer is no more.
                let is_put_back = role == TeamRole::Viewer && there.value.role > role;
                let member = TeamMember {
                    id: match is_put_back {
                        true => Uuid::now_v7(),
                        false => there.value.id,
                    },
                    role,
                    updated_at: now,
                    ..there.value.clone()
                };
                let txn = touched.replace(&key::TEAM_MEMBERS, there, &member);
                (member, txn)
            }
            None if known == Known::Yes => return Err(not_in(&seen.value, email)),
            None => {
                if all.len() >= MAX_MEMBERS {
                    return Err(ActionError::invalid(format!(
                        "A team may have at most {MAX_MEMBERS} members."
                    )));
                }
                let member = TeamMember {
                    id: Uuid::now_v7(),
                    team,
                    account: account.id,
                    role,
                    created_at: now,
                    updated_at: now,
                };
                let place = key::team_member(team, account.id);
                let txn = touched.exists(key::account(account.id));
                (
                    member.clone(),
                    txn.create(&key::TEAM_MEMBERS, place, &member),
                )
            }
        };
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(Joined { member, account });
        }
        attempts.lost().await?;
    }
}

/// By e-mail address, account id or own id.
pub(crate) async fn find(
    store: &dyn Store,
    team: &Team,
    identity: &str,
) -> Result<Joined, ActionError> {
    let own_id = identity.parse::<Uuid>().ok();
    let account = find::account(store, identity).await?;
    let account = account.map(|account| account.value.id);
    let found = (records(store, team.id).await?.into_iter())
        .map(|seen| seen.value)
        .find(|member| Some(member.id) == own_id || Some(member.account) == account);
    let member = found.ok_or_else(|| not_in(team, identity))?;
    let account = key::ACCOUNTS
        .get(store, &key::account(member.account))
        .await?;
    let account = account.ok_or_else(|| not_in(team, identity))?.value;
    Ok(Joined { member, account })
}

/// With this commit ends all that they were let do as a member. What is on record of that is swept up.
pub(crate) async fn remove(
    store: &dyn Store,
    team: TeamId,
    account: AccountId,
) -> Result<(), ActionError> {
    let mut attempts = Attempts::default();
    loop {
        let seen = teams::read(store, team).await?;
        let all = records(store, team).await?;
        must_not_be_last(store, &seen.value, &all, account).await?;
        let Some(member) = all.iter().find(|member| member.value.account == account) else {
            return Ok(());
        };
        let txn = Txn::new()
            .replace(&key::TEAMS, &seen, &seen.value)
            .unchanged(member)
            .delete(member.key.clone());
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(());
        }
        attempts.lost().await?;
    }
}

/// One who is suspended is no help to the others.
async fn must_not_be_last(
    store: &dyn Store,
    team: &Team,
    members: &[Versioned<TeamMember>],
    account: AccountId,
) -> Result<(), ActionError> {
    let is_admin = |member: &&Versioned<TeamMember>| member.value.role == TeamRole::Admin;
    let admins: Vec<AccountId> = (members.iter().filter(is_admin))
        .map(|member| member.value.account)
        .collect();
    if !admins.contains(&account) {
        return Ok(());
    }
    for other in admins.into_iter().filter(|admin| *admin != account) {
        let other = key::ACCOUNTS.get(store, &key::account(other)).await?;
        if other.is_some_and(|other| !other.value.is_suspended()) {
            return Ok(());
        }
    }
    Err(ActionError::invalid(format!(
        "This is the last administrator of the team {}; make somebody else one first: paas members:set",
        team.name
    )))
}

fn not_in(team: &Team, identity: &str) -> ActionError {
    ActionError::NotFound {
        resource: "team member",
        message: format!(
            "{} is not in the team {}. See `paas members`.",
            identity.chars().take(300).collect::<String>(),
            team.name
        ),
    }
}
