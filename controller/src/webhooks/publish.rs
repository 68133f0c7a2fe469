//! The commits of the one who publishes, each void once another does.

use std::collections::BTreeMap;

use model::webhook::MAX_KEPT;
use model::{
    Actor, AppId, DeliveryStatus, Timestamp, WebhookDelivery, WebhookDeliveryId, WebhookEntity,
    WebhookEvent, WebhookEventId, WebhookFeed,
};
use serde_json::Value;
use store::leader::Leadership;
use store::{Committed, Store, StoreError, Txn, Versioned, key};
use tracing::warn;
use uuid::Uuid;

use super::derive::{Change, derive, to_see};
use super::feed::Feed;
use super::records::{Records, Thing, Touched};
use crate::context::Context;

/// Both together are below the store's limit on one commit.
pub(super) const OPS: usize = 60;
const FORGET_OPS: usize = 50;
const BYTES: usize = 400_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Published {
    Done {
        app_is_gone: bool,
    },
    /// What the feed was thought to be it is not any more: load it anew.
    Conflict,
}

/// A thing of which something is told, and what to remember of it afterwards.
struct News {
    thing: Thing,
    changes: Vec<Change>,
    actor: Option<Actor>,
    see: Option<Value>,
}

/// Tells of what has changed since it was last told of.
pub(super) async fn publish(
    context: &Context,
    leadership: &Leadership,
    feed: &mut Feed,
    mut touched: Vec<Touched>,
) -> Result<Published, StoreError> {
    touched.sort();
    touched.dedup();
    feed.records.prepare(context.store()).await?;
    let app_is_gone = feed.records.app().is_none();
    let mut news = Vec::new();
    for thing in touched.into_iter().flat_map(|touched| feed.things(touched)) {
        // Of an app that goes, what goes with it is not told one by one.
        if !app_is_gone || thing.entity == WebhookEntity::App {
            news.extend(news_of(context, feed, thing)?);
        }
    }
    let mut group = Group::default();
    for one in news {
        if !group.has_room(feed, &one)
            && !commit(context, leadership, feed, std::mem::take(&mut group)).await?
        {
            return Ok(Published::Conflict);
        }
        group.add(feed, one);
    }
    if !group.news.is_empty() && !commit(context, leadership, feed, group).await? {
        return Ok(Published::Conflict);
    }
    Ok(Published::Done { app_is_gone })
}

fn news_of(context: &Context, feed: &Feed, thing: Thing) -> Result<Option<News>, StoreError> {
    let now = feed.records.view(context, &thing)?;
    let seen = feed.seen.get(&thing);
    if now.is_none() && feed.records.has(&thing) {
        // It cannot be shown just now: that is not its end.
        return Ok(None);
    }
    let changes = derive(thing.entity, seen, now.as_ref());
    if changes.is_empty() {
        return Ok(None);
    }
    let actor = feed.records.actor(&thing).or_else(|| owner(seen?));
    Ok(Some(News {
        see: now.map(|now| to_see(thing.entity, &now)),
        thing,
        changes,
        actor,
    }))
}

/// Of an app that is gone, as it was seen last.
fn owner(app: &Value) -> Option<Actor> {
    Some(Actor {
        account: app["owner"]["id"].as_str()?.parse().ok()?,
        email: app["owner"]["email"].as_str()?.parse().ok()?,
    })
}

/// What goes in one commit.
#[derive(Default)]
struct Group {
    news: Vec<News>,
    ops: usize,
    bytes: usize,
}

impl Group {
    fn has_room(&self, feed: &Feed, news: &News) -> bool {
        let (ops, bytes) = cost(feed, news);
        self.news.is_empty() || (self.ops + ops <= OPS && self.bytes + bytes <= BYTES)
    }

    fn add(&mut self, feed: &Feed, news: News) {
        let (ops, bytes) = cost(feed, &news);
        self.ops += ops;
        self.bytes += bytes;
        self.news.push(news);
    }
}

fn cost(feed: &Feed, news: &News) -> (usize, usize) {
    let told = 1 + feed.webhooks.len();
    let bytes = |change: &Change| change.data.to_string().len();
    let in_all: usize = news.changes.iter().map(bytes).sum();
    (1 + told * news.changes.len(), 2 * in_all)
}

/// Events, deliveries and what was seen, in one. `false`: the feed is another by now.
async fn commit(
    context: &Context,
    leadership: &Leadership,
    feed: &mut Feed,
    group: Group,
) -> Result<bool, StoreError> {
    let now = Timestamp::now();
    let (app, mut record) = (feed.app, feed.record.value.clone());
    let mut txn = leadership.guard(Txn::new());
    let (mut events, mut deliveries) = (Vec::new(), Vec::new());
    for News {
        thing,
        changes,
        actor,
        see,
    } in &group.news
    {
        let place = key::webhook_seen(app, record.epoch, thing.entity, &thing.id);
        txn = match see {
            Some(see) => txn.put(&key::WEBHOOK_SEEN, place, see),
            None => txn.delete(place),
        };
        let listeners = || (feed.webhooks.values()).filter(|w| w.include.contains(&thing.entity));
        let Some(actor) = actor.as_ref().filter(|_| listeners().next().is_some()) else {
            continue;
        };
        for change in changes {
            let event = WebhookEvent {
                id: WebhookEventId::new(),
                app,
                sequence: record.next_sequence,
                entity: thing.entity,
                action: change.action,
                actor: actor.clone(),
                data: change.data.clone(),
                previous_data: change.previous.clone(),
                created_at: now,
            };
            record.next_sequence += 1;
            deliveries.extend(listeners().map(|webhook| WebhookDelivery {
                id: WebhookDeliveryId::new(),
                app,
                webhook: webhook.id,
                level: webhook.level,
                event: event.id,
                entity: event.entity,
                sequence: event.sequence,
                status: DeliveryStatus::Pending,
                num_attempts: 0,
                last_attempt: None,
                created_at: now,
                updated_at: now,
            }));
            events.push(event);
        }
    }
    for event in &events {
        txn = txn.put(
            &key::WEBHOOK_EVENTS,
            key::webhook_event(app, event.id),
            event,
        );
    }
    for delivery in &deliveries {
        let place = key::webhook_delivery(app, delivery.id);
        txn = txn.put(&key::WEBHOOK_DELIVERIES, place, delivery);
    }
    let old = surplus(feed, events.len());
    txn = forgetting(txn, feed, &old);
    txn = txn.replace(&key::WEBHOOK_FEEDS, &feed.record, &record);
    let Committed::Done(revision) = txn.commit(context.store()).await? else {
        return Ok(false);
    };
    feed.record.value = record;
    feed.record.revision = revision;
    forget_events(feed, &old);
    for News { thing, see, .. } in group.news {
        match see {
            Some(see) => feed.seen.insert(thing, see),
            None => feed.seen.remove(&thing),
        };
    }
    feed.events
        .extend(events.iter().map(|event| (event.id, Vec::new())));
    for delivery in deliveries {
        feed.events
            .entry(delivery.event)
            .or_default()
            .push(delivery.id);
        feed.set(Versioned {
            key: key::webhook_delivery(app, delivery.id),
            revision,
            value: delivery,
        });
    }
    Ok(true)
}

/// The events that make room for so many more, as far as one commit may forget them.
fn surplus(feed: &Feed, more: usize) -> Vec<WebhookEventId> {
    let surplus = (feed.events.len() + more).saturating_sub(MAX_KEPT);
    let mut ops = 0;
    let oldest = feed
        .events
        .iter()
        .take(surplus)
        .take_while(|(_, deliveries)| {
            ops += 1 + deliveries.len();
            ops <= FORGET_OPS
        });
    oldest.map(|(id, _)| *id).collect()
}

pub(super) fn forgetting(txn: Txn, feed: &Feed, events: &[WebhookEventId]) -> Txn {
    events.iter().fold(txn, |txn, event| {
        let deliveries = feed.events.get(event).into_iter().flatten();
        deliveries.fold(
            txn.delete(key::webhook_event(feed.app, *event)),
            |txn, id| txn.delete(key::webhook_delivery(feed.app, *id)),
        )
    })
}

pub(super) fn forget_events(feed: &mut Feed, events: &[WebhookEventId]) {
    let mut unsent = 0;
    for event in events {
        for delivery in feed.events.remove(event).unwrap_or_default() {
            unsent += usize::from(feed.is_open(delivery));
            feed.forget_delivery(delivery);
        }
    }
    if unsent > 0 {
        warn!(app.id = %feed.app, deliveries = unsent, "Webhooks whose receivers do not keep up lost deliveries");
    }
}

/// Writes down what came of a try. `false`: the delivery is another by now.
pub(super) async fn mark(
    context: &Context,
    leadership: &Leadership,
    feed: &mut Feed,
    delivery: WebhookDelivery,
) -> Result<bool, StoreError> {
    let Some(seen) = feed.deliveries.get(&delivery.id) else {
        return Ok(true);
    };
    let txn = leadership.guard(Txn::new());
    let txn = txn.replace(&key::WEBHOOK_DELIVERIES, seen, &delivery);
    let Committed::Done(revision) = txn.commit(context.store()).await? else {
        return Ok(false);
    };
    let key = seen.key.clone();
    feed.set(Versioned {
        key,
        revision,
        value: delivery,
    });
    Ok(true)
}

/// Remembers an app as it is, so that what changes from here on is told: the feed to be made with its first webhook.
pub(crate) async fn begin(context: &Context, app: AppId) -> Result<WebhookFeed, StoreError> {
    let store: &dyn Store = context.store();
    let records = Records::load(store, app).await?;
    let epoch = Uuid::now_v7();
    let mut seen = BTreeMap::new();
    for entity in WebhookEntity::ALL {
        for id in records.ids(entity) {
            let thing = Thing { entity, id };
            if let Some(view) = records.view(context, &thing)? {
                let place = key::webhook_seen(app, epoch, entity, &thing.id);
                seen.insert(place, to_see(entity, &view));
            }
        }
    }
    let seen: Vec<_> = seen.into_iter().collect();
    for chunk in seen.chunks(OPS) {
        let txn = chunk.iter().fold(Txn::new(), |txn, (place, view)| {
            txn.put(&key::WEBHOOK_SEEN, place.clone(), view)
        });
        txn.commit(store).await?;
    }
    Ok(WebhookFeed {
        app,
        epoch,
        next_sequence: 1,
    })
}
