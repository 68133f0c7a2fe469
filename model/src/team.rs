//! Teams: apps and pipelines that belong to several people at once.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{AccountId, Email, InvalidName, TeamId, TeamName, Timestamp};

/// The most members of one team, and the most teams that one account has made.
pub const MAX_MEMBERS: usize = 500;
pub const MAX_TEAMS: usize = 100;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Team {
    pub id: TeamId,
    pub name: TeamName,
    pub created_by: AccountId,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamMember {
    /// What one is let do as a member goes with it: it is another for whoever is let in anew, or made a viewer.
    pub id: uuid::Uuid,
    pub team: TeamId,
    pub account: AccountId,
    pub role: TeamRole,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// What an account is to a team. Ordered: each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TeamRole {
    /// Is not in it, and works on an app of it. Nobody is given it.
    Collaborator,
    /// Sees the apps that are not locked.
    Viewer,
    /// Makes apps for the team, and joins those that are not locked.
    Member,
    /// Everything with every app of the team, and says who is in it.
    Admin,
}

impl TeamRole {
    /// Those that somebody can be given.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Member, Self::Admin];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Collaborator => "collaborator",
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for TeamRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for TeamRole {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| InvalidName {
                kind: "role",
                text: text.chars().take(40).collect(),
                rule: "must be admin, member or viewer",
            })
    }
}

/// Whose an app or a pipeline is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Owner {
    Account(AccountId),
    Team { team: TeamId },
}

impl Owner {
    pub const fn team(self) -> Option<TeamId> {
        match self {
            Self::Account(_) => None,
            Self::Team { team } => Some(team),
        }
    }

    /// To clients every owner is a user: a team, too, is one to them.
    pub const fn as_user(self) -> AccountId {
        match self {
            Self::Account(account) => account,
            Self::Team { team } => AccountId::from_uuid(team.as_uuid()),
        }
    }
}

impl PartialEq<AccountId> for Owner {
    fn eq(&self, account: &AccountId) -> bool {
        matches!(self, Self::Account(owner) if owner == account)
    }
}

/// What teams' e-mail addresses end in, as Heroku's do: by it Heroku's clients know an app for a team's. Nobody gets mail
/// there.
pub const EMAIL_DOMAIN: &str = "herokumanager.com";

impl TeamName {
    /// As which clients see the owner of the team's apps.
    pub fn as_email(&self) -> Result<Email, InvalidName> {
        format!("{self}@{EMAIL_DOMAIN}").parse()
    }

    /// The team that has this address.
    pub fn of_email(email: &str) -> Option<Self> {
        let name = email.strip_suffix(EMAIL_DOMAIN)?.strip_suffix('@')?;
        name.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_from_before_there_were_teams_is_an_account() {
        let account = AccountId::new();
        let before = serde_json::to_string(&account).unwrap();
        let owner: Owner = serde_json::from_str(&before).unwrap();
        assert_eq!(owner, Owner::Account(account));
        assert_eq!(serde_json::to_string(&owner).unwrap(), before);
        let owner = Owner::Team {
            team: TeamId::new(),
        };
        let text = serde_json::to_string(&owner).unwrap();
        assert_eq!(serde_json::from_str::<Owner>(&text).unwrap(), owner);
    }

    #[test]
    fn a_team_is_found_by_its_address_and_nobody_else_by_such_a_one() {
        let name: TeamName = "acme-web".parse().unwrap();
        let email = name.as_email().unwrap();
        assert_eq!(TeamName::of_email(email.as_str()), Some(name));
        for other in [
            "ann@example.com",
            "acme@eherokumanager.com",
            "herokumanager.com",
            "@herokumanager.com",
        ] {
            assert_eq!(TeamName::of_email(other), None, "{other}");
        }
    }

    #[test]
    fn roles_are_named_as_heroku_does_and_grow() {
        for role in TeamRole::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert!(TeamRole::ALL.is_sorted() && TeamRole::Collaborator < TeamRole::ALL[0]);
        for none in ["owner", "collaborator"] {
            assert!(none.parse::<TeamRole>().is_err());
        }
    }
}
