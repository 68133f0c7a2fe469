//! Webhooks: telling receivers of what changes in an app. One controller at a time, elected.
//!
//! Nobody who changes a record knows of them. The leader follows the store, compares what an app's things are with what
//! was published of them last, and commits the events, their deliveries and the new "last" as one: an event is there
//! exactly once, whoever dies. Deliveries are records that are sent and then marked, so a receiver may get one twice. See
//! docs/decisions/0018.

mod derive;
mod feed;
mod publish;
mod queue;
mod records;
mod send;
mod upkeep;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use model::{AppId, Timestamp, WebhookAttempt, WebhookDelivery, WebhookId};
use store::leader::{Leadership, campaign};
use store::{Event, Key, Keyring, StoreError, WatchBatch, WatchItem, key};
use tokio::task::{JoinError, JoinSet};
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use crate::context::Ctx;
use crate::views;
use feed::Feed;
use publish::Published;
pub(crate) use publish::begin;
use send::{Sender, SenderError};

const ELECTION: &str = "webhooks";
const RETRY: Duration = Duration::from_secs(1);
const TIDY_EVERY: Duration = Duration::from_secs(600);

#[derive(Debug, thiserror::Error)]
enum WebhookError {
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("receivers cannot be called")]
    Sender(#[from] SenderError),
    #[error("a try of a delivery did not end well")]
    Attempt(#[from] JoinError),
}

/// For as long as this controller runs.
pub(crate) async fn run(context: Ctx) {
    let candidate = context.addr.to_string();
    loop {
        let leadership = tokio::select! {
            () = context.shutdown.cancelled() => return,
            leadership = campaign(&context.store, ELECTION, &candidate) => leadership,
        };
        info!("This controller publishes to webhooks from now on");
        let lost = leadership.lost().clone();
        tokio::select! {
            () = context.shutdown.cancelled() => {}
            () = lost.cancelled() => warn!("Another controller publishes to webhooks from now on"),
            () = lead(&context, &leadership) => {}
        }
        leadership.resign().await;
        if context.shutdown.is_cancelled() {
            return;
        }
    }
}

/// Trouble of any kind ends in beginning anew from the records.
async fn lead(context: &Ctx, leadership: &Leadership) {
    loop {
        let mut publisher = Publisher {
            context,
            leadership,
            feeds: HashMap::new(),
            sender: None,
            attempts: JoinSet::new(),
            under_way: HashMap::new(),
        };
        if let Err(error) = publisher.publish_on().await {
            warn!(
                error = &error as &dyn std::error::Error,
                "Could not look after webhooks; will retry"
            );
            tokio::time::sleep(RETRY).await;
        }
    }
}

struct Publisher<'a> {
    context: &'a Ctx,
    leadership: &'a Leadership,
    /// Of the apps that have webhooks. Without any, a commit costs a look at its keys.
    feeds: HashMap<AppId, Feed>,
    /// Made for the first delivery.
    sender: Option<Arc<Sender>>,
    attempts: JoinSet<Tried>,
    under_way: HashMap<WebhookId, AppId>,
}

/// A delivery, and what came of a try of it: nothing, if its event is not kept any more.
struct Tried {
    delivery: WebhookDelivery,
    attempt: Result<Option<WebhookAttempt>, StoreError>,
}

impl Publisher<'_> {
    /// Until changes were missed.
    async fn publish_on(&mut self) -> Result<(), WebhookError> {
        let store = &self.context.store;
        let listing = store.list(&key::WEBHOOK_FEEDS.prefix()).await?;
        let mut watch = store.watch(&Key::root(), listing.revision).await?;
        let apps: HashSet<AppId> = (listing.entries.iter())
            .filter_map(|entry| entry.key.app())
            .collect();
        for app in &apps {
            self.load(*app).await?;
        }
        upkeep::sweep(self.context, self.leadership, &self.feeds, &apps).await?;
        let mut tidy = tokio::time::interval(TIDY_EVERY);
        let mut later = self.dispatch()?;
        loop {
            tokio::select! {
                item = watch.next() => match item {
                    Some(Ok(WatchItem::Batch(batch))) => {
                        if !self.take_in(batch).await? {
                            continue;
                        }
                    }
                    Some(Ok(WatchItem::Progress(_))) => continue,
                    Some(Ok(WatchItem::Resync)) | None => return Ok(()),
                    Some(Err(error)) => return Err(error.into()),
                },
                Some(tried) = self.attempts.join_next() => self.finish(tried?).await?,
                () = sleep_until(later) => {}
                _ = tidy.tick() => {
                    for app in self.feeds.keys().copied().collect::<Vec<_>>() {
                        self.tend(app).await?;
                    }
                }
            }
            later = self.dispatch()?;
        }
    }

    /// One commit's changes. Each is looked at by itself, so that what changes twice is told twice. Whether any concerned
    /// an app with webhooks.
    async fn take_in(&mut self, batch: WatchBatch) -> Result<bool, WebhookError> {
        let mut touched: HashMap<AppId, Vec<records::Touched>> = HashMap::new();
        let mut feeds_changed = false;
        for event in &batch.events {
            let place = event.key();
            if key::WEBHOOK_FEEDS.holds(place) {
                self.feed_changed(event).await?;
                feeds_changed = true;
            } else if key::DOMAINS.holds(place) {
                // The key does not say whose it is, or was.
                for (app, feed) in &mut self.feeds {
                    touched.entry(*app).or_default().extend(feed.apply(event));
                }
            } else if !self.feeds.is_empty()
                && let Some(app) = place.app()
                && let Some(feed) = self.feeds.get_mut(&app)
            {
                touched.entry(app).or_default().extend(feed.apply(event));
            }
        }
        touched.retain(|_, touched| !touched.is_empty());
        let any = feeds_changed || !touched.is_empty();
        for (app, touched) in touched {
            self.publish(app, touched).await?;
        }
        Ok(any)
    }

    async fn feed_changed(&mut self, event: &Event) -> Result<(), WebhookError> {
        let Some(app) = event.key().app() else {
            return Ok(());
        };
        let known = self.feeds.get(&app).map(|feed| feed.record.revision);
        if known.is_some_and(|known| event.revision() <= known) {
            return Ok(());
        }
        if matches!(event, Event::Delete { .. })
            && let Some(feed) = self.feeds.remove(&app)
        {
            return Ok(upkeep::forget(self.context, self.leadership, &feed).await?);
        }
        self.load(app).await
    }

    /// Reads all of an app's anew, and tells what nobody has told yet.
    async fn load(&mut self, app: AppId) -> Result<(), WebhookError> {
        self.feeds.remove(&app);
        let loaded = Feed::load(self.context, app).await;
        let Some(feed) = self.bear(app, loaded)?.flatten() else {
            return Ok(());
        };
        let all = feed.everything();
        self.feeds.insert(app, feed);
        self.publish(app, all).await?;
        self.tend(app).await
    }

    async fn publish(
        &mut self,
        app: AppId,
        touched: Vec<records::Touched>,
    ) -> Result<(), WebhookError> {
        let Some(feed) = self.feeds.get_mut(&app) else {
            return Ok(());
        };
        let published = publish::publish(self.context, self.leadership, feed, touched).await;
        match self.bear(app, published)? {
            None | Some(Published::Done { app_is_gone: false }) => Ok(()),
            Some(Published::Done { app_is_gone: true }) => self.tend(app).await,
            // Its webhooks were changed meanwhile. Boxed, for it may come here again.
            Some(Published::Conflict) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Box::pin(self.load(app)).await
            }
        }
    }

    /// What concerns one app only is borne without the others: it is told nothing until it changes, or another leads.
    fn bear<T>(
        &mut self,
        app: AppId,
        result: Result<T, StoreError>,
    ) -> Result<Option<T>, WebhookError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error @ StoreError::Unavailable { .. }) => Err(error.into()),
            Err(error) => {
                error!(error = &error as &dyn std::error::Error, app.id = %app, "An app's webhooks cannot be told anything");
                self.feeds.remove(&app);
                Ok(None)
            }
        }
    }

    /// Takes away what has no more use.
    async fn tend(&mut self, app: AppId) -> Result<(), WebhookError> {
        let Some(feed) = self.feeds.get_mut(&app) else {
            return Ok(());
        };
        if upkeep::tend(self.context, self.leadership, feed, Timestamp::now()).await? {
            return Ok(());
        }
        if let Some(feed) = self.feeds.remove(&app) {
            upkeep::bury(self.context, self.leadership, &feed).await?;
        }
        Ok(())
    }

    /// Begins the tries whose turn it is; when to look again.
    fn dispatch(&mut self) -> Result<Option<Timestamp>, WebhookError> {
        let waiting = self.feeds.values().flat_map(Feed::waiting);
        let queue::Turn { now, later } = queue::turn(waiting, &self.under_way, Timestamp::now());
        for one in now {
            let Some((webhook, delivery)) = (self.feeds.get(&one.app)).and_then(|feed| {
                Some((
                    feed.webhooks.get(&one.webhook)?,
                    feed.deliveries.get(&one.delivery)?,
                ))
            }) else {
                continue;
            };
            let sender = match &self.sender {
                Some(sender) => sender.clone(),
                None => {
                    let sender = Sender::new(&self.context.config.webhooks)?;
                    self.sender.insert(Arc::new(sender)).clone()
                }
            };
            self.under_way.insert(one.webhook, one.app);
            let (webhook, delivery) = (webhook.clone(), delivery.value.clone());
            let context = self.context.clone();
            self.attempts.spawn(async move {
                let attempt = attempt(&context, &sender, &webhook, &delivery).await;
                Tried { delivery, attempt }
            });
        }
        Ok(later)
    }

    async fn finish(&mut self, tried: Tried) -> Result<(), WebhookError> {
        let Tried { delivery, attempt } = tried;
        self.under_way.remove(&delivery.webhook);
        let Some(feed) = self.feeds.get_mut(&delivery.app) else {
            return Ok(());
        };
        let after = match attempt? {
            Some(attempt) => {
                debug!(app.id = %delivery.app, delivery.id = %delivery.id, code = attempt.code, error = attempt.error_class, "Tried to deliver to a webhook");
                let first_pause = self.context.config.webhooks.first_pause;
                delivery.after(attempt, first_pause, rand::random())
            }
            None => delivery.given_up(Timestamp::now()),
        };
        let app = after.app;
        if !publish::mark(self.context, self.leadership, feed, after).await? {
            return self.load(app).await;
        }
        if feed.records.app().is_none() {
            return self.tend(app).await;
        }
        Ok(())
    }
}

async fn attempt(
    context: &Ctx,
    sender: &Sender,
    webhook: &model::Webhook,
    delivery: &WebhookDelivery,
) -> Result<Option<WebhookAttempt>, StoreError> {
    let place = key::webhook_event(delivery.app, delivery.event);
    let event = match key::WEBHOOK_EVENTS.get(context.store(), &place).await {
        Ok(Some(event)) => event.value,
        Ok(None) | Err(StoreError::Corrupt { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let (id, created_at) = (Uuid::now_v7(), Timestamp::now());
    let payload = views::webhook::payload(event, delivery, id, created_at);
    let place = key::webhook(webhook.app, webhook.id);
    let outcome = match (
        context.keyring.open(&place, &webhook.credentials),
        url_of(&context.keyring, webhook),
        serde_json::to_string(&payload),
    ) {
        (Ok(credentials), Ok(url), Ok(body)) => sender.send(&url, &credentials, body).await,
        // Sealed with another master key: whoever made it can set its secret anew.
        (Err(_), ..) | (_, Err(_), _) => Err("SecretUnreadable"),
        (_, _, Err(_)) => Err("EventUnreadable"),
    };
    Ok(Some(WebhookAttempt {
        id,
        code: outcome.ok(),
        error_class: outcome.err().map(str::to_owned),
        created_at,
        updated_at: Timestamp::now(),
    }))
}

/// Where a webhook leads.
pub(crate) fn url_of(keyring: &Keyring, webhook: &model::Webhook) -> Result<String, StoreError> {
    keyring.open(&key::webhook(webhook.app, webhook.id), &webhook.url)
}

async fn sleep_until(moment: Option<Timestamp>) {
    match moment {
        Some(moment) => {
            let wait = moment.duration_since(Timestamp::now());
            tokio::time::sleep(wait.try_into().unwrap_or(Duration::ZERO)).await;
        }
        None => std::future::pending().await,
    }
}
