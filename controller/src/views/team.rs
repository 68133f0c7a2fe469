//! Teams and who is in them.

use controller_api::wire;
use model::{Team, TeamRole};

use super::id_of;
use crate::actions::team_members::Joined;

/// `role`: what whoever asks is to it.
pub(crate) fn team(team: &Team, role: Option<TeamRole>) -> wire::Team {
    wire::Team {
        created_at: team.created_at.into(),
        credit_card_collections: false,
        default: false,
        enterprise_account: None,
        id: team.id,
        identity_provider: None,
        membership_limit: Some(model::team::MAX_MEMBERS as u64),
        name: team.name.clone(),
        provisioned_licenses: false,
        role,
        kind: "team".to_owned(),
        updated_at: team.updated_at.into(),
    }
}

pub(crate) fn member(joined: &Joined) -> wire::TeamMember {
    let Joined { member, account } = joined;
    wire::TeamMember {
        created_at: member.created_at.into(),
        email: account.email.clone(),
        federated: account.identity.is_some(),
        id: member.id,
        identity_provider: None,
        role: member.role,
        two_factor_authentication: account.has_second_factor(),
        updated_at: member.updated_at.into(),
        user: wire::TeamMemberUser {
            email: account.email.clone(),
            id: account.id,
            name: account.name.clone(),
        },
    }
}

/// By it Heroku's clients know that a collaborator's permissions can be told one by one.
const ACCESS_CONTROLS: &str = "org-access-controls";

pub(crate) fn features(team: &Team) -> [wire::AppFeature; 1] {
    [wire::AppFeature {
        created_at: team.created_at.into(),
        description: "What each collaborator may do with an app is chosen; always so here"
            .to_owned(),
        display_name: ACCESS_CONTROLS.to_owned(),
        doc_url: String::new(),
        enabled: true,
        feedback_email: String::new(),
        id: id_of("team feature", ACCESS_CONTROLS),
        name: ACCESS_CONTROLS.to_owned(),
        state: "general".to_owned(),
        updated_at: team.updated_at.into(),
    }]
}
