//! Who may do what with an app.

use serde::{Deserialize, Serialize};

use crate::{AccountId, App, Collaborator};

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

/// What an account is to an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A platform administrator; may do everything with every app.
    Admin,
    Owner,
    Collaborator,
}

impl Role {
    pub fn may(self, permission: Permission) -> bool {
        match self {
            Self::Admin | Self::Owner => true,
            Self::Collaborator => permission <= Permission::Operate,
        }
    }
}

/// The role of an account on an app, or `None` for a stranger, to whom the app does not exist.
pub fn role(
    account: AccountId,
    is_admin: bool,
    app: &App,
    collaborator: Option<&Collaborator>,
) -> Option<Role> {
    if app.owner == account {
        Some(Role::Owner)
    } else if is_admin {
        Some(Role::Admin)
    } else if collaborator.is_some_and(|c| c.app == app.id && c.account == account) {
        Some(Role::Collaborator)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collaborators_may_do_all_but_manage() {
        for permission in [Permission::View, Permission::Deploy, Permission::Operate] {
            assert!(Role::Collaborator.may(permission));
        }
        assert!(!Role::Collaborator.may(Permission::Manage));
        assert!(Role::Owner.may(Permission::Manage));
    }
}
