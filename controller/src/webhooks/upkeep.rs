//! Taking away what has no more use: old events, what belonged to webhooks and apps that are gone, and what somebody who
//! died has left.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use model::webhook::KEPT_FOR;
use model::{AppId, Timestamp, WebhookEntity};
use store::leader::Leadership;
use store::{Committed, Key, StoreError, Txn, key};
use tracing::info;
use uuid::Uuid;

use super::feed::Feed;
use super::publish::{OPS, forget_events, forgetting};
use crate::context::Context;

/// How long the deliveries of an app's end are tried.
const FAREWELL: Duration = Duration::from_secs(3600);
/// What was seen before there was a feed is somebody's for this long, who is about to make one.
const UNCLAIMED: Duration = Duration::from_secs(3600);

/// Takes away events that are old, deliveries of webhooks that are gone, and of an app that is gone all but the word of
/// it. `false`: that is said, or was tried for long enough, and nothing of the feed is needed any more.
pub(super) async fn tend(
    context: &Context,
    leadership: &Leadership,
    feed: &mut Feed,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let app_is_gone = feed.records.app().is_none();
    let is_older = |moment: Timestamp, than: Duration| {
        let age = now.duration_since(moment);
        !age.is_negative() && age.unsigned_abs() > than
    };
    let old: Vec<_> = (feed.events.keys().copied())
        .filter(|event| made_at(event.as_uuid()).is_some_and(|at| is_older(at, KEPT_FOR)))
        .collect();
    for event in old {
        let txn = forgetting(leadership.guard(Txn::new()), feed, &[event]);
        if txn.commit(context.store()).await? == Committed::Conflict {
            return Ok(true);
        }
        forget_events(feed, &[event]);
    }
    let useless: Vec<_> = (feed.deliveries.values().map(|seen| &seen.value))
        .filter(|delivery| {
            let is_said =
                delivery.entity != WebhookEntity::App || is_older(delivery.created_at, FAREWELL);
            !feed.webhooks.contains_key(&delivery.webhook)
                || (app_is_gone && !delivery.status.is_over() && is_said)
        })
        .map(|delivery| delivery.id)
        .collect();
    for chunk in useless.chunks(OPS) {
        let txn = chunk.iter().fold(leadership.guard(Txn::new()), |txn, id| {
            txn.delete(key::webhook_delivery(feed.app, *id))
        });
        if txn.commit(context.store()).await? == Committed::Conflict {
            return Ok(true);
        }
        for id in chunk {
            feed.forget_delivery(*id);
        }
    }
    Ok(!app_is_gone || feed.waiting().next().is_some())
}

/// The app's last webhook was removed.
pub(super) async fn forget(
    context: &Context,
    leadership: &Leadership,
    feed: &Feed,
) -> Result<(), StoreError> {
    let app = feed.app;
    for prefix in [
        // No further: there may be a new feed by now, with an epoch of its own.
        key::webhook_seen_of(app, feed.record.value.epoch),
        key::webhook_deliveries_of(app),
        key::webhook_events_of(app),
    ] {
        let listing = context.store().list(&prefix).await?;
        let keys = listing.entries.into_iter().map(|entry| entry.key);
        delete(context, leadership, keys.collect()).await?;
    }
    Ok(())
}

/// The app is gone, and that is said: the feed's record goes last, so that whoever takes over goes on with this.
pub(super) async fn bury(
    context: &Context,
    leadership: &Leadership,
    feed: &Feed,
) -> Result<(), StoreError> {
    forget(context, leadership, feed).await?;
    let webhooks = feed.webhooks.keys().map(|id| key::webhook(feed.app, *id));
    delete(context, leadership, webhooks.collect()).await?;
    delete(context, leadership, vec![feed.record.key.clone()]).await?;
    info!(app.id = %feed.app, "Removed the webhooks of an app that is gone");
    Ok(())
}

/// Takes away what hangs on no feed: left by whoever died in the middle of it.
pub(super) async fn sweep(
    context: &Context,
    leadership: &Leadership,
    feeds: &HashMap<AppId, Feed>,
    on_record: &HashSet<AppId>,
) -> Result<(), StoreError> {
    // A feed that could not be read may yet be mended.
    let is_unread = |app: &AppId| on_record.contains(app) && !feeds.contains_key(app);
    let epochs: HashSet<Key> = (feeds.values())
        .map(|feed| key::webhook_seen_of(feed.app, feed.record.value.epoch))
        .collect();
    let now = Timestamp::now();
    let mut useless = Vec::new();
    for entry in context
        .store()
        .list(&key::WEBHOOK_SEEN.prefix())
        .await?
        .entries
    {
        let place = entry.key.as_str();
        let segments = place.rsplit('/').nth(2).zip(entry.key.app());
        let Some((epoch, app)) = segments else {
            continue;
        };
        let Ok(epoch) = epoch.parse::<Uuid>() else {
            continue;
        };
        let age = made_at(epoch).map(|at| now.duration_since(at));
        let is_unclaimed = age.is_none_or(|age| age.unsigned_abs() > UNCLAIMED);
        if is_unclaimed && !is_unread(&app) && !epochs.contains(&key::webhook_seen_of(app, epoch)) {
            useless.push(entry.key);
        }
    }
    for prefix in [
        key::WEBHOOK_EVENTS.prefix(),
        key::WEBHOOK_DELIVERIES.prefix(),
    ] {
        let entries = context.store().list(&prefix).await?.entries;
        let keys = entries.into_iter().map(|entry| entry.key);
        let is_useless = |app| !feeds.contains_key(&app) && !is_unread(&app);
        useless.extend(keys.filter(|key| key.app().is_some_and(is_useless)));
    }
    delete(context, leadership, useless).await
}

async fn delete(
    context: &Context,
    leadership: &Leadership,
    keys: Vec<Key>,
) -> Result<(), StoreError> {
    for chunk in keys.chunks(OPS) {
        let txn = (chunk.iter().cloned()).fold(leadership.guard(Txn::new()), Txn::delete);
        if txn.commit(context.store()).await? == Committed::Conflict {
            // Another leads, and sweeps.
            return Ok(());
        }
    }
    Ok(())
}

/// When an id of version 7 was made.
fn made_at(id: Uuid) -> Option<Timestamp> {
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    Timestamp::new(seconds.try_into().ok()?, nanos.try_into().ok()?).ok()
}
