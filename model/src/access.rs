//! Who may do what with an app.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{AccountId, App, Collaborator, InvalidName, TeamRole};

/// What an operation needs. Ordered: each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// Read everything but config vars; clone the source.
    View,
    /// Push, release, roll back.
    Deploy,
    /// Config, scale, restart, run, domains, maintenance.
    Operate,
    /// Destroy, rename, transfer, and share.
    Manage,
}

impl Permission {
    pub const ALL: [Self; 4] = [Self::View, Self::Deploy, Self::Operate, Self::Manage];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Deploy => "deploy",
            Self::Operate => "operate",
            Self::Manage => "manage",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Permission {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::ALL
            .into_iter()
            .find(|permission| permission.as_str() == text)
            .ok_or_else(|| InvalidName {
                kind: "permission",
                text: text.chars().take(40).collect(),
                rule: "must be view, deploy, operate or manage",
            })
    }
}

/// What an account is to an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A platform administrator; may do everything with every app.
    Admin,
    /// Or an administrator of the team that owns it.
    Owner,
    /// Up to this.
    Collaborator(Permission),
}

impl Role {
    pub fn may(self, permission: Permission) -> bool {
        match self {
            Self::Admin | Self::Owner => true,
            Self::Collaborator(most) => permission <= most,
        }
    }
}

/// The role of an account on an app, or `None` for a stranger, to whom the app does not exist. `in_team`: what it is to the
/// team that owns the app.
pub fn role(
    account: AccountId,
    is_admin: bool,
    app: &App,
    in_team: Option<TeamRole>,
    collaborator: Option<&Collaborator>,
) -> Option<Role> {
    let in_team = in_team.filter(|_| app.owner.team().is_some());
    if app.owner == account || in_team == Some(TeamRole::Admin) {
        Some(Role::Owner)
    } else if is_admin {
        Some(Role::Admin)
    } else {
        let own = collaborator
            .filter(|c| c.app == app.id && c.account == account)
            .map(|c| c.permission);
        let of_team = in_team.filter(|_| !app.locked).map(|_| Permission::View);
        own.max(of_team).map(Role::Collaborator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Owner;

    #[test]
    fn collaborators_may_do_what_they_were_given_and_all_below_it() {
        for most in Permission::ALL {
            for permission in Permission::ALL {
                let may = Role::Collaborator(most).may(permission);
                assert_eq!(may, permission <= most, "{most} {permission}");
            }
        }
        assert!(Role::Owner.may(Permission::Manage) && Role::Admin.may(Permission::Manage));
    }

    fn app(owner: Owner, locked: bool) -> App {
        let now = crate::Timestamp::UNIX_EPOCH;
        let none = crate::ReleaseVersion(0);
        App {
            id: crate::AppId::new(),
            name: "ticks".parse().unwrap(),
            owner,
            locked,
            created_at: now,
            updated_at: now,
            released_at: None,
            stack: "heroku-24".to_owned(),
            maintenance: false,
            routing: Default::default(),
            buildpacks: Vec::new(),
            formation: Default::default(),
            placement: Default::default(),
            latest: none,
            target: none,
            current: none,
            repo_size: None,
            slug_size: None,
        }
    }

    #[test]
    fn a_team_sees_its_apps_unless_they_are_locked_and_its_administrators_own_them() {
        use TeamRole::{Admin, Member, Viewer};
        let account = AccountId::new();
        let owner = Owner::Team {
            team: crate::TeamId::new(),
        };
        let (open, locked) = (app(owner, false), app(owner, true));
        let of = |app: &App, in_team, shared: Option<Permission>| {
            let shared = shared.map(|permission| Collaborator {
                id: uuid::Uuid::nil(),
                app: app.id,
                account,
                permission,
                created_at: app.created_at,
                updated_at: app.updated_at,
            });
            role(account, false, app, in_team, shared.as_ref())
        };
        let view = Some(Role::Collaborator(Permission::View));
        let operate = Some(Role::Collaborator(Permission::Operate));
        for team in [Viewer, Member] {
            assert_eq!(of(&open, Some(team), None), view);
            assert_eq!(of(&locked, Some(team), None), None);
            for app in [&open, &locked] {
                assert_eq!(of(app, Some(team), Some(Permission::Operate)), operate);
            }
        }
        for app in [&open, &locked] {
            assert_eq!(of(app, Some(Admin), None), Some(Role::Owner));
            assert_eq!(of(app, None, None), None);
            assert_eq!(of(app, None, Some(Permission::Operate)), operate);
        }
        // Of whose team is asked, the caller says; an app of nobody's team is nothing to any.
        let personal = app(Owner::Account(AccountId::new()), false);
        assert_eq!(of(&personal, Some(Admin), None), None);
    }

    #[test]
    fn permissions_are_named_as_heroku_does() {
        for permission in Permission::ALL {
            assert_eq!(permission.as_str().parse(), Ok(permission));
        }
        let error = "all".parse::<Permission>().unwrap_err().to_string();
        assert!(error.contains("view, deploy, operate or manage"), "{error}");
    }
}
