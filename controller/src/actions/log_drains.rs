//! Adding, changing and removing log drains.

use model::{Actor, Addon, App, AppId, DrainId, DrainToken, DrainUrl, LogDrain, Timestamp};
use store::{Committed, Txn, Versioned, key};
use uuid::Uuid;

use super::{ActionError, Attempts, read_app, sentence};
use crate::context::Context;
use crate::drains::{MAX_DRAINS, url_of};
use crate::outbound::{Outbound, Refused};

const MAX_OF_APP: usize = 10;

/// A drain, and where it leads.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) drain: Versioned<LogDrain>,
    pub(crate) url: DrainUrl,
}

pub(crate) async fn list(context: &Context, app: AppId) -> Result<Vec<Known>, ActionError> {
    let drains = key::LOG_DRAINS
        .list(context.store(), &key::log_drains_of(app))
        .await?;
    let opened = drains.into_iter().map(|drain| {
        let url = url_of(&context.keyring, &drain)?;
        Ok(Known { drain, url })
    });
    opened.collect()
}

/// By id, token or URL.
pub(crate) async fn find(
    context: &Context,
    app: AppId,
    identity: &str,
) -> Result<Known, ActionError> {
    take(&mut list(context, app).await?, identity)
}

/// Out of the list.
fn take(drains: &mut Vec<Known>, identity: &str) -> Result<Known, ActionError> {
    let id = identity.parse::<DrainId>().ok();
    let token = identity.parse::<DrainToken>().ok();
    let url = identity.parse::<DrainUrl>().ok();
    let is_meant = |known: &Known| {
        let drain = &known.drain.value;
        Some(drain.id) == id || Some(drain.token) == token || Some(&known.url) == url.as_ref()
    };
    match drains.iter().position(is_meant) {
        Some(found) => Ok(drains.remove(found)),
        None => Err(none()),
    }
}

/// What was asked for is not said again: it may be a URL with a password.
fn none() -> ActionError {
    ActionError::NotFound {
        resource: "log_drain",
        message: "Couldn't find that drain. See `paas drains`.".to_owned(),
    }
}

pub(crate) async fn add(
    context: &Context,
    app: AppId,
    by: &Actor,
    url: &str,
) -> Result<(LogDrain, DrainUrl), ActionError> {
    let url = parse(context, url)?;
    let store = context.store();
    let mut attempts = Attempts::default();
    loop {
        let seen = read_app(store, app).await?;
        let drains = list(context, app).await?;
        refuse_duplicate(&drains, &url)?;
        let by_users = drains
            .iter()
            .filter(|known| known.drain.value.addon.is_none());
        if by_users.count() >= MAX_OF_APP {
            return Err(ActionError::invalid(format!(
                "An app may have at most {MAX_OF_APP} drains."
            )));
        }
        if key::LOG_DRAINS.all(store).await?.len() >= MAX_DRAINS {
            return Err(ActionError::invalid(format!(
                "The platform has {MAX_DRAINS} drains, which is as many as there may be."
            )));
        }
        let now = Timestamp::now();
        let id = DrainId::new();
        let place = key::log_drain(app, id);
        let drain = LogDrain {
            id,
            app,
            token: DrainToken(Uuid::new_v4()),
            url: context.keyring.seal(&place, &url.expose())?,
            addon: None,
            created_at: now,
            updated_at: now,
        };
        let txn = one_at_a_time(&seen).create(&key::LOG_DRAINS, place, &drain);
        if let Committed::Done(_) = txn.commit(store).await? {
            let text = format!("Add drain {} to {}", drain.token, url.origin());
            context.tell(app, by, &text).await;
            return Ok((drain, url));
        }
        attempts.lost().await?;
    }
}

/// The same drain, with its token, to another place.
pub(crate) async fn replace(
    context: &Context,
    app: AppId,
    by: &Actor,
    identity: &str,
    url: &str,
) -> Result<(LogDrain, DrainUrl), ActionError> {
    let url = parse(context, url)?;
    let store = context.store();
    let mut attempts = Attempts::default();
    loop {
        let seen = read_app(store, app).await?;
        let mut others = list(context, app).await?;
        let Known {
            drain: found,
            url: before,
        } = take(&mut others, identity)?;
        must_be_by_a_user(&found.value)?;
        refuse_duplicate(&others, &url)?;
        if before.expose() == url.expose() {
            return Ok((found.value, url));
        }
        let now = Timestamp::now();
        let drain = LogDrain {
            url: context.keyring.seal(&found.key, &url.expose())?,
            updated_at: now,
            ..found.value.clone()
        };
        let txn = one_at_a_time(&seen).replace(&key::LOG_DRAINS, &found, &drain);
        if let Committed::Done(_) = txn.commit(store).await? {
            let text = format!("Lead drain {} to {}", drain.token, url.origin());
            context.tell(app, by, &text).await;
            return Ok((drain, url));
        }
        attempts.lost().await?;
    }
}

/// The same of an add-on's, by its provider.
pub(crate) async fn replace_of_addon(
    context: &Context,
    addon: &Addon,
    identity: &str,
    url: &str,
) -> Result<(LogDrain, DrainUrl), ActionError> {
    let url = parse(context, url)?;
    let mut attempts = Attempts::default();
    loop {
        let found = find(context, addon.app, identity).await?.drain;
        if found.value.addon != Some(addon.id) {
            return Err(none());
        }
        let drain = LogDrain {
            url: context.keyring.seal(&found.key, &url.expose())?,
            updated_at: Timestamp::now(),
            ..found.value.clone()
        };
        let txn = Txn::new().replace(&key::LOG_DRAINS, &found, &drain);
        if let Committed::Done(_) = txn.commit(context.store()).await? {
            return Ok((drain, url));
        }
        attempts.lost().await?;
    }
}

pub(crate) async fn remove(
    context: &Context,
    app: AppId,
    by: &Actor,
    identity: &str,
) -> Result<Known, ActionError> {
    let mut attempts = Attempts::default();
    loop {
        let found = find(context, app, identity).await?;
        must_be_by_a_user(&found.drain.value)?;
        let txn = Txn::new()
            .unchanged(&found.drain)
            .delete(found.drain.key.clone());
        if let Committed::Done(_) = txn.commit(context.store()).await? {
            let text = format!("Remove drain {}", found.drain.value.token);
            context.tell(app, by, &text).await;
            return Ok(found);
        }
        attempts.lost().await?;
    }
}

/// An address that drains may not reach is refused here already; where a name leads is seen when it is connected to.
fn parse(context: &Context, url: &str) -> Result<DrainUrl, ActionError> {
    let url: DrainUrl = url.parse().map_err(|error| {
        let error: model::InvalidDrainUrl = error;
        ActionError::invalid(sentence(&error.to_string()))
    })?;
    let outbound = Outbound::new(&context.config.drains.allow_networks);
    outbound
        .check_literal(url.url())
        .map_err(|Refused| ActionError::invalid("The URL of a drain must lead to the internet."))?;
    Ok(url)
}

fn must_be_by_a_user(drain: &LogDrain) -> Result<(), ActionError> {
    match drain.addon {
        None => Ok(()),
        Some(_) => Err(ActionError::invalid(
            "This drain is an add-on's, and goes with it. See `paas addons`.",
        )),
    }
}

fn refuse_duplicate(drains: &[Known], url: &DrainUrl) -> Result<(), ActionError> {
    if drains.iter().any(|known| known.url == *url) {
        return Err(ActionError::invalid("The app has this drain already."));
    }
    Ok(())
}

/// Of two who look at an app's drains and write one, the slower one looks again.
fn one_at_a_time(seen: &Versioned<App>) -> Txn {
    Txn::new().replace(&key::APPS, seen, &seen.value)
}
