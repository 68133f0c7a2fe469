//! Who may do what with an app.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{AccountId, App, Collaborator, InvalidName, TeamMember, TeamRole};

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

/// The role of an account on an app, or `None` for a stranger, to whom the app does not exist. `member`: its membership of
/// the team that owns the app.
pub fn role(
    account: AccountId,
    is_admin: bool,
    app: &App,
    member: Option<&TeamMember>,
    collaborator: Option<&Collaborator>,
) -> Option<Role> {
    let member = member.filter(|m| m.account == account && app.owner.team() == Some(m.team));
    if app.owner == account || member.is_some_and(|m| m.role == TeamRole::Admin) {
        Some(Role::Owner)
    } else if is_admin {
        Some(Role::Admin)
    } else {
        let own = collaborator
            .filter(|c| c.app == app.id && c.account == account && counts(c, member))
            .map(|c| c.permission);
        let of_team = member.filter(|_| !app.locked).map(|_| Permission::View);
        own.max(of_team).map(Role::Collaborator)
    }
}

/// Whether what a collaborator was let do is so still. `member`: their membership of the team that owns the app.
pub fn counts(collaborator: &Collaborator, member: Option<&TeamMember>) -> bool {
    match collaborator.as_member {
        None => true,
        Some(id) => member.is_some_and(|m| m.id == id),
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
        let people = People::new();
        let (open, locked) = (people.app(false), people.app(true));
        let view = Some(Role::Collaborator(Permission::View));
        let operate = Some(Role::Collaborator(Permission::Operate));
        for team in [TeamRole::Viewer, TeamRole::Member] {
            let member = people.member(team);
            assert_eq!(people.role(&open, Some(&member), None), view);
            assert_eq!(people.role(&locked, Some(&member), None), None);
            for app in [&open, &locked] {
                let by_name = people.shared(app, None);
                assert_eq!(people.role(app, Some(&member), Some(&by_name)), operate);
            }
        }
        let admin = people.member(TeamRole::Admin);
        for app in [&open, &locked] {
            assert_eq!(people.role(app, Some(&admin), None), Some(Role::Owner));
            assert_eq!(people.role(app, None, None), None);
        }
        // A membership of another team, or somebody else's, is none.
        let others = People::new();
        assert_eq!(people.role(&others.app(false), Some(&admin), None), None);
        let somebody = others.member(TeamRole::Admin);
        let theirs = TeamMember {
            team: admin.team,
            ..somebody
        };
        assert_eq!(people.role(&open, Some(&theirs), None), None);
        let personal = app(Owner::Account(AccountId::new()), false);
        assert_eq!(people.role(&personal, Some(&admin), None), None);
    }

    #[test]
    fn who_was_let_in_as_a_member_is_in_while_that_membership_lasts() {
        let people = People::new();
        let (member, locked) = (people.member(TeamRole::Member), people.app(true));
        let joined = people.shared(&locked, Some(member.id));
        let operate = Some(Role::Collaborator(Permission::Operate));
        let role = |member| people.role(&locked, member, Some(&joined));
        assert_eq!(role(Some(&member)), operate);
        assert_eq!(role(None), None);
        // Taken off the team and let in anew, one starts anew.
        assert_eq!(role(Some(&people.member(TeamRole::Member))), None);
        // The app's next owner has nothing to do with it.
        let given = App {
            owner: Owner::Account(AccountId::new()),
            ..locked.clone()
        };
        assert_eq!(people.role(&given, Some(&member), Some(&joined)), None);
    }

    struct People {
        account: AccountId,
        team: crate::TeamId,
    }

    impl People {
        fn new() -> Self {
            Self {
                account: AccountId::new(),
                team: crate::TeamId::new(),
            }
        }

        fn app(&self, locked: bool) -> App {
            app(Owner::Team { team: self.team }, locked)
        }

        fn member(&self, role: TeamRole) -> TeamMember {
            let now = crate::Timestamp::UNIX_EPOCH;
            TeamMember {
                id: uuid::Uuid::now_v7(),
                team: self.team,
                account: self.account,
                role,
                created_at: now,
                updated_at: now,
            }
        }

        fn shared(&self, app: &App, as_member: Option<uuid::Uuid>) -> Collaborator {
            Collaborator {
                id: uuid::Uuid::nil(),
                app: app.id,
                account: self.account,
                permission: Permission::Operate,
                as_member,
                created_at: app.created_at,
                updated_at: app.updated_at,
            }
        }

        fn role(
            &self,
            app: &App,
            member: Option<&TeamMember>,
            shared: Option<&Collaborator>,
        ) -> Option<Role> {
            role(self.account, false, app, member, shared)
        }
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
