//! What can be done: each action is one commit of intent, tried again while others are quicker.

pub(crate) mod accounts;
pub(crate) mod acm;
pub(crate) mod addon_end;
pub(crate) mod addon_provided;
pub(crate) mod addon_services;
pub(crate) mod addons;
pub(crate) mod app_setups;
pub(crate) mod apps;
pub(crate) mod attachments;
pub(crate) mod browser_login;
pub(crate) mod buildpacks;
pub(crate) mod builds;
pub(crate) mod certificates;
pub(crate) mod collaborators;
pub(crate) mod config_vars;
pub(crate) mod domains;
pub(crate) mod dynos;
pub(crate) mod formation;
pub(crate) mod inside;
pub(crate) mod invitations;
pub(crate) mod joining;
pub(crate) mod keys;
pub(crate) mod log_drains;
pub(crate) mod log_in;
pub(crate) mod nodes;
pub(crate) mod oidc;
pub(crate) mod pipelines;
pub(crate) mod placement;
pub(crate) mod promotions;
pub(crate) mod rebalance;
pub(crate) mod releases;
pub(crate) mod review_apps;
pub(crate) mod routing;
pub(crate) mod second_factor;
pub(crate) mod sources;
pub(crate) mod tcp_routes;
pub(crate) mod team_apps;
pub(crate) mod team_members;
pub(crate) mod teams;
pub(crate) mod tokens;
pub(crate) mod transfers;
pub(crate) mod webhooks;

mod addon_plans;
mod app_names;
mod turn;

use std::time::Duration;

use model::config_vars::InvalidConfig;
use model::{App, AppId, InvalidName, Timestamp};
pub(crate) use store::Attempts;
use store::ledger::AppendError;
use store::{Committed, Store, StoreError, Txn, Versioned, key};

use crate::audit::NotOnRecord;

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ActionError {
    /// It was there when the request came.
    #[error("the {resource} does not exist any more")]
    Gone { resource: &'static str },
    #[error("{message}")]
    NotFound {
        resource: &'static str,
        message: String,
    },
    #[error("{message}")]
    Invalid { message: String },
    #[error("{message}")]
    Forbidden { message: String },
    /// It would overwrite something; whoever asks is to say the app's name once more.
    #[error("{message}")]
    ConfirmationRequired { message: String },
    /// It was there, and is to be no more.
    #[error("{message}")]
    Ended { message: String },
    /// Whoever provides an add-on.
    #[error("{message}")]
    Provider { message: String },
    #[error("too many wrong passwords or codes")]
    TooManyGuesses { wait: Duration },
    #[error("too many terminals were to be logged in")]
    TooManyLogins { wait: Duration },
    #[error("the e-mail address or the password is wrong")]
    WrongCredentials,
    /// Clients ask for a code and try again.
    #[error("{message}")]
    SecondFactor { message: String },
    #[error("it could not be put on record")]
    NotOnRecord(#[from] NotOnRecord),
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("the platform failed")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ActionError {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid {
            message: message.into(),
        }
    }

    pub(crate) fn internal(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Internal(Box::new(source))
    }
}

impl From<InvalidName> for ActionError {
    fn from(error: InvalidName) -> Self {
        Self::Invalid {
            message: sentence(&error.to_string()),
        }
    }
}

impl From<InvalidConfig> for ActionError {
    fn from(error: InvalidConfig) -> Self {
        Self::Invalid {
            message: sentence(&error.to_string()),
        }
    }
}

impl<E: Into<Self>> From<AppendError<E>> for ActionError {
    fn from(error: AppendError<E>) -> Self {
        match error {
            AppendError::NoSuchApp => Self::Gone { resource: "app" },
            AppendError::Refused(error) => error.into(),
            AppendError::Store(source) => Self::Store(source),
        }
    }
}

/// An error's words as a sentence for people.
pub(crate) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars
        .next()
        .map(|c| c.to_uppercase().to_string())
        .unwrap_or_default();
    format!("{first}{}.", chars.as_str().trim_end_matches('.'))
}

/// How long what is given out lasts, in words that say the most.
fn lasting(
    seconds: Option<i64>,
    default: Duration,
    longest: Duration,
    words: &str,
) -> Result<Duration, ActionError> {
    let Some(seconds) = seconds else {
        return Ok(default);
    };
    u64::try_from(seconds)
        .ok()
        .map(Duration::from_secs)
        .filter(|lasts| !lasts.is_zero() && *lasts <= longest)
        .ok_or_else(|| {
            ActionError::invalid(format!(
                "expires_in must be a positive number of seconds, {words} at most."
            ))
        })
}

/// Somebody else has changed, at the same moment, what was to be changed.
const fn contended() -> ActionError {
    ActionError::Store(StoreError::Contended { attempts: 1 })
}

async fn read_app(store: &dyn Store, app: AppId) -> Result<Versioned<App>, ActionError> {
    key::APPS
        .get(store, &key::app(app))
        .await?
        .ok_or(ActionError::Gone { resource: "app" })
}

/// Changes the app record alone. `change` says what is to be done to its newest state; a change that changes nothing
/// writes nothing.
async fn update_app(
    store: &dyn Store,
    app: AppId,
    mut change: impl FnMut(&mut App) -> Result<(), ActionError> + Send,
) -> Result<App, ActionError> {
    let mut attempts = Attempts::default();
    loop {
        let seen = read_app(store, app).await?;
        let mut changed = seen.value.clone();
        change(&mut changed)?;
        if changed == seen.value {
            return Ok(changed);
        }
        changed.updated_at = Timestamp::now();
        let txn = Txn::new().replace(&key::APPS, &seen, &changed);
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(changed);
        }
        attempts.lost().await?;
    }
}
