//! All that concerns the webhooks of one app, as the leader holds it in memory.

use std::collections::{BTreeMap, BTreeSet};

use model::route::Revision;
use model::{
    AppId, Webhook, WebhookDelivery, WebhookDeliveryId, WebhookEntity, WebhookEventId, WebhookFeed,
    WebhookId,
};
use serde_json::Value;
use store::{Event, StoreError, Versioned, key};

use super::queue::Waiting;
use super::records::{Records, Thing, Touched};
use crate::context::Context;

#[derive(Debug)]
pub(super) struct Feed {
    pub(super) app: AppId,
    pub(super) record: Versioned<WebhookFeed>,
    pub(super) webhooks: BTreeMap<WebhookId, Webhook>,
    pub(super) records: Records,
    /// As it was published last.
    pub(super) seen: BTreeMap<Thing, Value>,
    /// What is kept, oldest first, and the deliveries of each.
    pub(super) events: BTreeMap<WebhookEventId, Vec<WebhookDeliveryId>>,
    pub(super) deliveries: BTreeMap<WebhookDeliveryId, Versioned<WebhookDelivery>>,
    /// Those that are not over.
    open: BTreeSet<WebhookDeliveryId>,
    /// Everything above is of this revision or a later one.
    as_of: Revision,
}

impl Feed {
    /// `None` where there is no feed any more.
    pub(super) async fn load(context: &Context, app: AppId) -> Result<Option<Self>, StoreError> {
        let store = context.store();
        let listing = store.list(&key::webhooks_of(app)).await?;
        let as_of = listing.revision;
        let mut webhooks = BTreeMap::new();
        for entry in &listing.entries {
            let webhook = key::WEBHOOKS.decode(entry)?.value;
            webhooks.insert(webhook.id, webhook);
        }
        let Some(record) = key::WEBHOOK_FEEDS
            .get(store, &key::webhook_feed(app))
            .await?
        else {
            return Ok(None);
        };
        let records = Records::load(store, app).await?;
        let prefix = key::webhook_seen_of(app, record.value.epoch);
        let seen = key::WEBHOOK_SEEN.list(store, &prefix).await?;
        let seen = seen.into_iter().filter_map(|seen| {
            let rest = seen.key.as_str().strip_prefix(prefix.as_str())?;
            let (entity, id) = rest.split_once('/')?;
            let thing = Thing {
                entity: entity.parse().ok()?,
                id: id.to_owned(),
            };
            Some((thing, seen.value))
        });
        let seen = seen.collect();
        let mut events: BTreeMap<WebhookEventId, Vec<WebhookDeliveryId>> = BTreeMap::new();
        for entry in store.list(&key::webhook_events_of(app)).await?.entries {
            events.extend(entry.key.name().parse().ok().map(|id| (id, Vec::new())));
        }
        let mut feed = Self {
            app,
            record,
            webhooks,
            records,
            seen,
            events,
            deliveries: BTreeMap::new(),
            open: BTreeSet::new(),
            as_of,
        };
        let prefix = key::webhook_deliveries_of(app);
        for delivery in key::WEBHOOK_DELIVERIES.list(store, &prefix).await? {
            let event = delivery.value.event;
            feed.events
                .entry(event)
                .or_default()
                .push(delivery.value.id);
            feed.set(delivery);
        }
        Ok(Some(feed))
    }

    /// Takes a delivery in as it is now on record.
    pub(super) fn set(&mut self, delivery: Versioned<WebhookDelivery>) {
        let id = delivery.value.id;
        if delivery.value.status.is_over() {
            self.open.remove(&id);
        } else {
            self.open.insert(id);
        }
        self.deliveries.insert(id, delivery);
    }

    pub(super) fn forget_delivery(&mut self, id: WebhookDeliveryId) {
        self.open.remove(&id);
        self.deliveries.remove(&id);
    }

    pub(super) fn is_open(&self, id: WebhookDeliveryId) -> bool {
        self.open.contains(&id)
    }

    pub(super) fn everything(&self) -> Vec<Touched> {
        WebhookEntity::ALL.map(Touched::All).into()
    }

    /// Takes a change in; what is known already changes nothing. Webhooks change with their feed's record, which is loaded
    /// anew.
    pub(super) fn apply(&mut self, event: &Event) -> Vec<Touched> {
        if event.revision() <= self.as_of {
            return Vec::new();
        }
        self.records.apply(event)
    }

    /// The deliveries that are not over.
    pub(super) fn waiting(&self) -> impl Iterator<Item = Waiting> {
        self.open.iter().filter_map(|id| {
            let delivery = &self.deliveries.get(id)?.value;
            Some(Waiting {
                app: self.app,
                webhook: delivery.webhook,
                delivery: delivery.id,
                sequence: delivery.sequence,
                due: delivery.due_at()?,
            })
        })
    }

    pub(super) fn things(&self, touched: Touched) -> Vec<Thing> {
        match touched {
            Touched::One(thing) => vec![thing],
            Touched::All(entity) => {
                let known = self.seen.keys().filter(|thing| thing.entity == entity);
                let mut ids = self.records.ids(entity);
                ids.extend(known.map(|thing| thing.id.clone()));
                ids.into_iter().map(|id| Thing { entity, id }).collect()
            }
        }
    }
}
