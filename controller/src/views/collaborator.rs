//! Collaborators, the owner among them.

use controller_api::wire;
use model::{App, Collaborator, Email, Permission, Role};

use super::{app_ref, id_of};

const PERMISSIONS: [(Permission, &str, &str); 4] = [
    (
        Permission::View,
        "view",
        "Can view the app, its releases and logs.",
    ),
    (Permission::Deploy, "deploy", "Can deploy and roll back."),
    (
        Permission::Operate,
        "operate",
        "Can change config, scale, restart, run and add domains.",
    ),
    (
        Permission::Manage,
        "manage",
        "Can destroy the app and share it.",
    ),
];

pub(crate) fn collaborator(
    app: &App,
    collaborator: &Collaborator,
    email: Email,
) -> wire::Collaborator {
    wire::Collaborator {
        app: app_ref(app),
        created_at: collaborator.created_at.into(),
        id: collaborator.id,
        permissions: permissions(Role::Collaborator(collaborator.permission)),
        role: Some("collaborator".to_owned()),
        updated_at: collaborator.updated_at.into(),
        user: wire::CollaboratorUser {
            email,
            federated: false,
            id: collaborator.account,
        },
    }
}

/// The owner has no record as a collaborator, but is listed as one.
pub(crate) fn owner(app: &App, email: Email) -> wire::Collaborator {
    wire::Collaborator {
        app: app_ref(app),
        created_at: app.created_at.into(),
        id: id_of("owner", &format!("{} {}", app.id, app.owner.as_user())),
        permissions: permissions(Role::Owner),
        role: Some("owner".to_owned()),
        updated_at: app.created_at.into(),
        user: wire::CollaboratorUser {
            email,
            federated: false,
            id: app.owner.as_user(),
        },
    }
}

pub(crate) fn permissions(role: Role) -> Vec<wire::CollaboratorPermission> {
    PERMISSIONS
        .into_iter()
        .filter(|(permission, _, _)| role.may(*permission))
        .map(|(_, name, description)| wire::CollaboratorPermission {
            name: name.to_owned(),
            description: description.to_owned(),
        })
        .collect()
}
