//! Adding, changing and removing webhooks. Each takes its turn at the app's feed, as whoever publishes does.

use controller_api::wire::{WebhookCreate, WebhookUpdate};
use model::webhook::MAX_WEBHOOKS;
use model::{
    App, AppId, Secret, Timestamp, Webhook, WebhookCredentials, WebhookEntity, WebhookFeed,
    WebhookId, WebhookLevel,
};
use reqwest::header::HeaderValue;
use store::{Committed, Store, Txn, Versioned, key};
use url::Url;

use super::{ActionError, Attempts};
use crate::auth::random_hex;
use crate::context::Context;
use crate::outbound::{Outbound, Refused};
use crate::webhooks;

const SECRET_BYTES: usize = 32;
/// Of a URL, a secret, an `Authorization`.
const MAX_TEXT: usize = 2000;

/// With what it signs, which is told this once.
pub(crate) async fn add(
    context: &Context,
    app: &App,
    create: WebhookCreate,
) -> Result<(Webhook, Secret<String>), ActionError> {
    let (store, id, now) = (context.store(), WebhookId::new(), Timestamp::now());
    let secret = match create.secret.filter(|secret| !secret.expose().is_empty()) {
        Some(secret) => checked_secret(secret)?,
        None => Secret::new(random_hex::<SECRET_BYTES>()),
    };
    let credentials = WebhookCredentials {
        secret: secret.clone(),
        authorization: create
            .authorization
            .map(checked_authorization)
            .transpose()?
            .flatten(),
    };
    let place = key::webhook(app.id, id);
    let webhook = Webhook {
        id,
        app: app.id,
        include: entities(&create.include)?,
        level: level(&create.level)?,
        url: context
            .keyring
            .seal(&place, &checked_url(context, &create.url)?)?,
        credentials: context.keyring.seal(&place, &credentials)?,
        created_at: now,
        updated_at: now,
    };
    let mut attempts = Attempts::default();
    loop {
        let feed = feed(store, app.id).await?;
        if list(store, app.id).await?.len() >= MAX_WEBHOOKS {
            return Err(ActionError::invalid(format!(
                "An app may have at most {MAX_WEBHOOKS} webhooks; remove one first."
            )));
        }
        let txn = Txn::new().exists(key::app(app.id));
        let txn = match &feed {
            Some(feed) => touch(txn, feed),
            None => {
                let feed = webhooks::begin(context, app.id).await?;
                txn.create(&key::WEBHOOK_FEEDS, key::webhook_feed(app.id), &feed)
            }
        };
        let txn = txn.create(&key::WEBHOOKS, place.clone(), &webhook);
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok((webhook, secret));
        }
        super::read_app(store, app.id).await?;
        attempts.lost().await?;
    }
}

/// By id; oldest first.
pub(crate) async fn list(
    store: &dyn Store,
    app: AppId,
) -> Result<Vec<Versioned<Webhook>>, ActionError> {
    Ok(key::WEBHOOKS.list(store, &key::webhooks_of(app)).await?)
}

pub(crate) async fn find(
    store: &dyn Store,
    app: &App,
    identity: &str,
) -> Result<Versioned<Webhook>, ActionError> {
    let found = match identity.parse() {
        Ok(id) => key::WEBHOOKS.get(store, &key::webhook(app.id, id)).await?,
        Err(_) => None,
    };
    found.ok_or_else(|| ActionError::NotFound {
        resource: "webhook",
        message: format!(
            "{} has no webhook {}. See `paas webhooks`.",
            app.name,
            identity.chars().take(100).collect::<String>()
        ),
    })
}

pub(crate) async fn update(
    context: &Context,
    app: &App,
    identity: &str,
    update: WebhookUpdate,
) -> Result<Webhook, ActionError> {
    let store = context.store();
    let include = update.include.as_deref().map(entities).transpose()?;
    let level = update.level.as_deref().map(level).transpose()?;
    let url = (update.url.as_deref())
        .map(|url| checked_url(context, url))
        .transpose()?;
    let secret = update.secret.map(checked_secret).transpose()?;
    let authorization = update
        .authorization
        .map(checked_authorization)
        .transpose()?;
    let mut attempts = Attempts::default();
    loop {
        let feed = feed(store, app.id).await?;
        let seen = find(store, app, identity).await?;
        let mut changed = seen.value.clone();
        let mut credentials: WebhookCredentials = match (
            context.keyring.open(&seen.key, &changed.credentials),
            &secret,
        ) {
            (Ok(known), _) => known,
            // Sealed with a master key that is lost: a new secret mends it.
            (Err(_), Some(secret)) => WebhookCredentials {
                secret: secret.clone(),
                authorization: None,
            },
            (Err(error), None) => return Err(error.into()),
        };
        credentials.secret = secret.clone().unwrap_or(credentials.secret);
        credentials.authorization = authorization.clone().unwrap_or(credentials.authorization);
        changed.include = include.clone().unwrap_or(changed.include);
        changed.level = level.unwrap_or(changed.level);
        if let Some(url) = &url {
            let is_same = webhooks::url_of(&context.keyring, &changed)
                .is_ok_and(|before| origin(&before) == origin(url));
            // It is for whoever it was given for: nobody leads a webhook to himself to read it.
            if !is_same && authorization.is_none() {
                credentials.authorization = None;
            }
            changed.url = context.keyring.seal(&seen.key, url)?;
        }
        changed.credentials = context.keyring.seal(&seen.key, &credentials)?;
        changed.updated_at = Timestamp::now();
        if let Some(feed) = feed {
            let txn = touch(Txn::new(), &feed).replace(&key::WEBHOOKS, &seen, &changed);
            if let Committed::Done(_) = txn.commit(store).await? {
                return Ok(changed);
            }
        }
        attempts.lost().await?;
    }
}

/// What was on its way to it is not sent any more. The feed goes with the last one.
pub(crate) async fn remove(
    store: &dyn Store,
    app: &App,
    identity: &str,
) -> Result<Webhook, ActionError> {
    let mut attempts = Attempts::default();
    loop {
        let feed = feed(store, app.id).await?;
        let seen = find(store, app, identity).await?;
        let is_last = list(store, app.id).await?.len() == 1;
        if let Some(feed) = feed {
            let txn = Txn::new().unchanged(&seen).delete(seen.key.clone());
            let txn = if is_last {
                txn.unchanged(&feed).delete(feed.key.clone())
            } else {
                touch(txn, &feed)
            };
            if let Committed::Done(_) = txn.commit(store).await? {
                return Ok(seen.value);
            }
        }
        attempts.lost().await?;
    }
}

async fn feed(
    store: &dyn Store,
    app: AppId,
) -> Result<Option<Versioned<WebhookFeed>>, ActionError> {
    Ok(key::WEBHOOK_FEEDS
        .get(store, &key::webhook_feed(app))
        .await?)
}

/// Whoever publishes looks at the webhooks anew.
fn touch(txn: Txn, feed: &Versioned<WebhookFeed>) -> Txn {
    txn.replace(&key::WEBHOOK_FEEDS, feed, &feed.value)
}

fn entities(names: &[String]) -> Result<Vec<WebhookEntity>, ActionError> {
    let known = || {
        WebhookEntity::ALL
            .map(|entity| entity.to_string())
            .join(", ")
    };
    let mut entities = Vec::new();
    for name in names {
        let entity: WebhookEntity = name.trim().parse().map_err(|error| {
            let error: model::webhook::InvalidEntity = error;
            ActionError::invalid(format!("{error}; there is {}.", known()))
        })?;
        if !entities.contains(&entity) {
            entities.push(entity);
        }
    }
    if entities.is_empty() {
        let known = known();
        return Err(ActionError::invalid(format!(
            "Say what the webhook is to be told of: any of {known}."
        )));
    }
    Ok(entities)
}

fn level(text: &str) -> Result<WebhookLevel, ActionError> {
    match text {
        "notify" => Ok(WebhookLevel::Notify),
        "sync" => Ok(WebhookLevel::Sync),
        _ => Err(ActionError::invalid(
            "The level of a webhook is notify (tried once) or sync (tried again until it is taken).",
        )),
    }
}

fn checked_url(context: &Context, text: &str) -> Result<String, ActionError> {
    let config = &context.config.webhooks;
    let url: Url = text.trim().parse().map_err(|_| {
        ActionError::invalid("The URL of a webhook must look like https://example.com/hooks.")
    })?;
    let is_allowed = url.scheme() == "https" || (url.scheme() == "http" && config.allow_http);
    if !is_allowed {
        return Err(ActionError::invalid(
            "The URL of a webhook must begin with https://.",
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ActionError::invalid(
            "Leave user and password out of the URL; give the webhook an authorization instead.",
        ));
    }
    check_length("URL", text)?;
    let outbound = Outbound::new(&config.allow_networks);
    outbound.check_literal(&url).map_err(|Refused| {
        ActionError::invalid("The URL of a webhook must lead to the internet.")
    })?;
    Ok(url.into())
}

fn origin(url: &str) -> Option<String> {
    let url: Url = url.parse().ok()?;
    Some(url.origin().ascii_serialization())
}

fn checked_secret(secret: Secret<String>) -> Result<Secret<String>, ActionError> {
    check_length("secret", secret.expose())?;
    // It is answered in a header.
    let is_sound = !secret.expose().trim().is_empty()
        && secret
            .expose()
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte));
    if !is_sound {
        return Err(ActionError::invalid(
            "The secret of a webhook must be of printable ASCII characters.",
        ));
    }
    Ok(secret)
}

/// An empty one is none.
fn checked_authorization(text: Secret<String>) -> Result<Option<Secret<String>>, ActionError> {
    check_length("authorization", text.expose())?;
    if text.expose().is_empty() {
        return Ok(None);
    }
    HeaderValue::try_from(text.expose()).map_err(|_| {
        ActionError::invalid("The authorization of a webhook must be the value of a header.")
    })?;
    Ok(Some(text))
}

fn check_length(what: &str, text: &str) -> Result<(), ActionError> {
    if text.len() > MAX_TEXT {
        return Err(ActionError::invalid(format!(
            "The {what} of a webhook may have at most {MAX_TEXT} characters."
        )));
    }
    Ok(())
}
