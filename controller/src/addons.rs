//! Add-ons: the platform's side of Heroku's Add-on Partner API.
//!
//! What is wanted is on record before a provider hears of it, and whoever comes after a controller that was killed asks
//! again: providers know an add-on by the id that the platform gave it. See docs/decisions/0022.

pub(crate) mod answer;
mod drive;
pub(crate) mod grants;
pub(crate) mod lay;
pub(crate) mod manifest;
pub(crate) mod progress;
pub(crate) mod provider;
pub(crate) mod release;
pub(crate) mod sso;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use model::{Addon, AddonId, AddonService, AddonServiceName, Attachment, ServiceRole};
use store::{Follower, Store, StoreError, Versioned, key};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tracing::warn;

use crate::context::{Context, Ctx};
use drive::drive;
pub(crate) use drive::forget;
use provider::Providers;

/// Another controller may have left some.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How add-ons are seen to.
#[derive(Debug)]
pub(crate) struct Addons {
    pub(crate) providers: Providers,
    /// Wakes whoever waits for a change of any of them.
    news: Arc<Notify>,
}

impl Addons {
    pub(crate) fn new() -> Result<Self, provider::ProvidersError> {
        Ok(Self {
            providers: Providers::new()?,
            news: Arc::default(),
        })
    }

    /// Returns when one of them may have changed.
    pub(crate) async fn changed(&self) {
        self.news.notified().await;
    }
}

/// Until the controller ends.
pub(crate) async fn run(context: Ctx) {
    let prefixes = vec![key::ADDONS.prefix(), key::ATTACHMENTS.prefix()];
    let mut news = Follower::new(context.store.clone(), prefixes);
    let mut every = tokio::time::interval(LOOK_EVERY);
    let mut tasks = JoinSet::new();
    let mut driven: HashMap<AddonId, AbortHandle> = HashMap::new();
    loop {
        while tasks.try_join_next().is_some() {}
        driven.retain(|_, task| !task.is_finished());
        match left(&context).await {
            Ok(addons) => {
                for id in addons {
                    let drive = || tasks.spawn(drive(context.clone(), id));
                    driven.entry(id).or_insert_with(drive);
                }
            }
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                "Could not look for add-ons to see to; will retry"
            ),
        }
        context.addons.news.notify_waiters();
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            _ = news.next() => {}
            // One that has just ended may have missed what came last.
            Some(_) = tasks.join_next() => {}
            _ = every.tick() => {}
        }
    }
}

/// Those for whom there is something to do, if they are this controller's to see to.
async fn left(context: &Context) -> Result<Vec<AddonId>, StoreError> {
    let store = context.store();
    let addons = key::ADDONS.all(store).await?;
    if addons.is_empty() || !is_ours_to_see_to(context).await? {
        return Ok(Vec::new());
    }
    let attachments = key::ATTACHMENTS.all(store).await?;
    let apps = key::APPS.all(store).await?;
    let apps: HashSet<_> = apps.into_iter().map(|app| app.value.id).collect();
    let is_behind = |addon: &Addon| {
        attachments.iter().any(|attachment| {
            attachment.value.addon == addon.id && attachment.value.released < addon.config_version
        })
    };
    Ok(addons
        .into_iter()
        .map(|addon| addon.value)
        .filter(|addon| !addon.is_settled() || !apps.contains(&addon.app) || is_behind(addon))
        .map(|addon| addon.id)
        .collect())
}

/// The first of all controllers that live sees to add-ons.
async fn is_ours_to_see_to(context: &Context) -> Result<bool, StoreError> {
    let place = key::alive_services_of(ServiceRole::Controller);
    let controllers = key::ALIVE_SERVICES.list(context.store(), &place).await?;
    let first = controllers.iter().map(|service| service.value.addr).min();
    Ok(first.is_none_or(|first| first == context.addr))
}

pub(crate) async fn service_of(
    store: &dyn Store,
    name: &AddonServiceName,
) -> Result<Option<Versioned<AddonService>>, StoreError> {
    key::ADDON_SERVICES
        .get(store, &key::addon_service(name))
        .await
}

/// In all apps.
pub(crate) async fn attachments_of(
    store: &dyn Store,
    addon: AddonId,
) -> Result<Vec<Versioned<Attachment>>, StoreError> {
    let mut all = key::ATTACHMENTS.all(store).await?;
    all.retain(|attachment| attachment.value.addon == addon);
    Ok(all)
}
