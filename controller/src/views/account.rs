//! Accounts, tokens and keys.

use controller_api::wire;
use model::{Account, Invitation, SecondFactorRule, Secret, SshKey, Timestamp, Token};

/// Stands for a token that is not shown again.
const HIDDEN: &str = "****";

pub(crate) fn account(account: &Account) -> wire::Account {
    wire::Account {
        allow_tracking: false,
        beta: false,
        country_of_residence: None,
        created_at: account.created_at.into(),
        default_organization: None,
        default_team: None,
        delinquent_at: None,
        email: account.email.clone(),
        federated: account.identity.is_some(),
        id: account.id,
        // In Heroku's shape it is a team's; here it is the platform's.
        identity_provider: None,
        last_login: account.last_login.map(Into::into),
        name: account.name.clone(),
        sms_number: None,
        suspended_at: account.suspended_at.map(Into::into),
        two_factor_authentication: account.has_second_factor(),
        updated_at: account.updated_at.into(),
        verified: true,
    }
}

pub(crate) fn second_factor(account: &Account, rule: SecondFactorRule) -> wire::SecondFactor {
    let confirmed = account
        .second_factor
        .as_ref()
        .filter(|factor| factor.confirmed_at.is_some());
    wire::SecondFactor {
        enabled: confirmed.is_some(),
        enabled_at: confirmed
            .and_then(|factor| factor.confirmed_at)
            .map(Into::into),
        recovery_codes: confirmed.map_or(0, |factor| factor.recovery_codes.len()),
        required: rule.asks(account),
    }
}

/// `secret` is known only when the token has just been made.
pub(crate) fn authorization(
    account: &Account,
    token: &Token,
    secret: Option<&Secret<String>>,
    now: Timestamp,
) -> wire::Authorization {
    let expires_in = token
        .expires_at
        .map(|at| at.duration_since(now).as_secs().max(0));
    wire::Authorization {
        access_token: Some(wire::AccessToken {
            expires_in,
            id: token.id,
            token: secret.cloned().unwrap_or_else(|| Secret::from(HIDDEN)),
        }),
        client: None,
        created_at: token.created_at.into(),
        description: token.description.clone(),
        grant: None,
        id: token.id,
        refresh_token: None,
        scope: token.scope.iter().map(ToString::to_string).collect(),
        session: None,
        updated_at: token.created_at.into(),
        user: wire::AuthorizationUser {
            id: account.id,
            email: account.email.clone(),
            full_name: account.name.clone(),
        },
    }
}

pub(crate) fn invitation(invitation: &Invitation) -> wire::Invitation {
    wire::Invitation {
        id: invitation.id,
        email: invitation.email.clone(),
        is_admin: invitation.is_admin,
        invited_by: wire::IdRef {
            id: invitation.invited_by,
        },
        created_at: invitation.created_at.into(),
        expires_at: invitation.expires_at.into(),
    }
}

pub(crate) fn key(account: &Account, key: &SshKey) -> wire::Key {
    wire::Key {
        comment: key.comment.clone(),
        created_at: key.created_at.into(),
        email: account.email.to_string(),
        fingerprint: key.fingerprint.clone(),
        id: key.id,
        public_key: key.public_key.clone(),
        updated_at: key.created_at.into(),
    }
}
