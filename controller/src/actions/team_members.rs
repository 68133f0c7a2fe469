//! Who is in a team. Each change of it touches the team's record, so that of two at the same time none is made on what the
//! other has changed: a team keeps an administrator.

use model::team::{MAX_MEMBERS, MAX_TEAMS};
use model::{Account, AccountId, AppId, Owner, Team, TeamId, TeamMember, TeamRole, Timestamp};
use store::{Committed, Store, Txn, Versioned, key};
use uuid::Uuid;

use super::{ActionError, Attempts, teams};
use crate::{find, owners, sweep};

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
                    must_not_be_last(&seen.value, &all, account.id)?;
                }
                let member = TeamMember {
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
                if owners::memberships(store, &account).await?.len() >= MAX_TEAMS {
                    return Err(ActionError::invalid(format!(
                        "{} is in {MAX_TEAMS} teams, which is the most.",
                        account.email
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
    let found = all(store, team.id).await?.into_iter().find(|joined| {
        Some(joined.member.id) == own_id
            || Some(joined.account.id.as_uuid()) == own_id
            || joined.account.email.as_str().eq_ignore_ascii_case(identity)
    });
    found.ok_or_else(|| not_in(team, identity))
}

/// With all that they were let do with its apps. Killed halfway, it leaves one who may only look, and is asked for again.
pub(crate) async fn remove(
    store: &dyn Store,
    team: TeamId,
    account: AccountId,
) -> Result<(), ActionError> {
    // From here on they join nothing.
    take_away(store, team, account, |txn, seen| {
        let looks_on = TeamMember {
            role: TeamRole::Viewer,
            ..seen.value.clone()
        };
        txn.replace(&key::TEAM_MEMBERS, seen, &looks_on)
    })
    .await?;
    let owner = Owner::Team { team };
    let apps = key::APPS.all(store).await?;
    let apps: Vec<AppId> = (apps.iter().map(|app| &app.value))
        .filter(|app| app.owner == owner)
        .map(|app| app.id)
        .collect();
    let mut shares = key::COLLABORATORS.all(store).await?;
    shares.retain(|share| share.value.account == account && apps.contains(&share.value.app));
    sweep::delete_all(store, &shares).await?;
    take_away(store, team, account, |txn, seen| {
        txn.unchanged(seen).delete(seen.key.clone())
    })
    .await
}

async fn take_away(
    store: &dyn Store,
    team: TeamId,
    account: AccountId,
    change: impl Fn(Txn, &Versioned<TeamMember>) -> Txn,
) -> Result<(), ActionError> {
    let mut attempts = Attempts::default();
    loop {
        let seen = teams::read(store, team).await?;
        let all = records(store, team).await?;
        must_not_be_last(&seen.value, &all, account)?;
        let Some(member) = all.iter().find(|member| member.value.account == account) else {
            return Ok(());
        };
        let txn = change(Txn::new().replace(&key::TEAMS, &seen, &seen.value), member);
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(());
        }
        attempts.lost().await?;
    }
}

fn must_not_be_last(
    team: &Team,
    members: &[Versioned<TeamMember>],
    account: AccountId,
) -> Result<(), ActionError> {
    let mut admins = members
        .iter()
        .filter(|member| member.value.role == TeamRole::Admin);
    match (admins.next(), admins.next()) {
        (Some(last), None) if last.value.account == account => Err(ActionError::invalid(format!(
            "This is the last administrator of the team {}; make somebody else one first: paas members:set",
            team.name
        ))),
        _ => Ok(()),
    }
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
