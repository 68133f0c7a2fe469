//! Webhooks: who is told of what changes in an app, and how far the telling has come.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    Actor, AppId, Sealed, Secret, Timestamp, WebhookDeliveryId, WebhookEventId, WebhookId,
};

/// The most webhooks of one app.
pub const MAX_WEBHOOKS: usize = 10;
/// The most of an app's events that are kept, with their deliveries; the oldest go first.
pub const MAX_KEPT: usize = 500;
/// How long an event is kept, with its deliveries that are over.
pub const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// Tries of a delivery of level sync: some two days by [`pause_after`].
pub const MAX_ATTEMPTS: u32 = 10;
/// Between the first try and the second, unless configured otherwise.
pub const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(12 * 3600);

/// A receiver that an app's members have named. Written by the API alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    pub id: WebhookId,
    pub app: AppId,
    pub include: Vec<WebhookEntity>,
    pub level: WebhookLevel,
    /// Sealed for this record's place: of many, whoever knows it may use it.
    pub url: Sealed,
    /// [`WebhookCredentials`], sealed for this record's place.
    pub credentials: Sealed,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookCredentials {
    /// What bodies are signed with.
    pub secret: Secret<String>,
    /// The value of the `Authorization` header.
    pub authorization: Option<Secret<String>>,
}

/// There while an app has webhooks. Whatever changes them or publishes compares and sets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookFeed {
    pub app: AppId,
    /// Names the records of what was published last; those of another epoch are nobody's.
    pub epoch: Uuid,
    /// The next event's.
    pub next_sequence: u64,
}

/// What a webhook may be told of; Heroku's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookEntity {
    App,
    Build,
    Collaborator,
    Domain,
    Dyno,
    Formation,
    Release,
    SniEndpoint,
}

impl WebhookEntity {
    pub const ALL: [Self; 8] = [
        Self::App,
        Self::Build,
        Self::Collaborator,
        Self::Domain,
        Self::Dyno,
        Self::Formation,
        Self::Release,
        Self::SniEndpoint,
    ];

    /// As payloads name it: `release`.
    pub const fn resource(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Build => "build",
            Self::Collaborator => "collaborator",
            Self::Domain => "domain",
            Self::Dyno => "dyno",
            Self::Formation => "formation",
            Self::Release => "release",
            Self::SniEndpoint => "sni-endpoint",
        }
    }
}

/// `api:release`.
impl fmt::Display for WebhookEntity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "api:{}", self.resource())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is nothing that webhooks are told of")]
pub struct InvalidEntity(String);

impl FromStr for WebhookEntity {
    type Err = InvalidEntity;

    /// `api:release`, or `release` as older clients say.
    fn from_str(text: &str) -> Result<Self, InvalidEntity> {
        let resource = text.strip_prefix("api:").unwrap_or(text);
        let known = Self::ALL.into_iter().find(|e| e.resource() == resource);
        known.ok_or_else(|| InvalidEntity(text.chars().take(60).collect()))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WebhookLevel {
    /// Tried once.
    Notify,
    /// Tried again until the receiver has taken it, up to [`MAX_ATTEMPTS`] times.
    Sync,
}

impl WebhookLevel {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notify => "notify",
            Self::Sync => "sync",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WebhookAction {
    Create,
    Update,
    Destroy,
}

impl WebhookAction {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Destroy => "destroy",
        }
    }
}

/// Something that changed, as it is told. Written once, by the controller that leads in this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookEvent {
    pub id: WebhookEventId,
    pub app: AppId,
    /// Grows by one with each event of the app.
    pub sequence: u64,
    pub entity: WebhookEntity,
    pub action: WebhookAction,
    pub actor: Actor,
    /// The API's own view of the thing; of what is gone, the last one.
    pub data: Value,
    /// The fields of it that changed, as they were.
    pub previous_data: Map<String, Value>,
    pub created_at: Timestamp,
}

/// One event on its way to one webhook. Written by the controller that leads in this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookDelivery {
    pub id: WebhookDeliveryId,
    pub app: AppId,
    pub webhook: WebhookId,
    pub level: WebhookLevel,
    pub event: WebhookEventId,
    pub entity: WebhookEntity,
    pub sequence: u64,
    pub status: DeliveryStatus,
    pub num_attempts: u32,
    pub last_attempt: Option<WebhookAttempt>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// Not tried yet.
    Pending,
    Retrying {
        at: Timestamp,
    },
    Failed,
    Succeeded,
}

impl DeliveryStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Retrying { .. } => "retrying",
            Self::Failed => "failed",
            Self::Succeeded => "succeeded",
        }
    }

    pub const fn is_over(self) -> bool {
        matches!(self, Self::Failed | Self::Succeeded)
    }
}

/// One request and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookAttempt {
    pub id: Uuid,
    /// The status of the answer, if there was one.
    pub code: Option<u16>,
    /// Why there was none.
    pub error_class: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl WebhookAttempt {
    pub fn has_succeeded(&self) -> bool {
        self.code.is_some_and(|code| (200..300).contains(&code))
    }
}

impl WebhookDelivery {
    /// From when on it is to be tried; `None` once it is over.
    pub const fn due_at(&self) -> Option<Timestamp> {
        match self.status {
            DeliveryStatus::Pending => Some(self.created_at),
            DeliveryStatus::Retrying { at } => Some(at),
            DeliveryStatus::Failed | DeliveryStatus::Succeeded => None,
        }
    }

    /// The delivery once `attempt` was made. `first_pause` and `jitter`: see [`pause_after`].
    #[must_use]
    pub fn after(mut self, attempt: WebhookAttempt, first_pause: Duration, jitter: f64) -> Self {
        self.num_attempts = self.num_attempts.saturating_add(1);
        self.updated_at = attempt.updated_at;
        let may_go_on = self.level == WebhookLevel::Sync && self.num_attempts < MAX_ATTEMPTS;
        self.status = if attempt.has_succeeded() {
            DeliveryStatus::Succeeded
        } else if may_go_on {
            let pause = pause_after(first_pause, self.num_attempts, jitter);
            let at = attempt.updated_at.checked_add(pause);
            DeliveryStatus::Retrying {
                at: at.unwrap_or(Timestamp::MAX),
            }
        } else {
            DeliveryStatus::Failed
        };
        self.last_attempt = Some(attempt);
        self
    }

    /// Given up without another try.
    #[must_use]
    pub fn given_up(mut self, now: Timestamp) -> Self {
        self.status = DeliveryStatus::Failed;
        self.updated_at = now;
        self
    }
}

/// How long to leave a receiver alone after so many failures, a tenth more at most by `jitter` (0 to 1).
pub fn pause_after(first: Duration, failures: u32, jitter: f64) -> Duration {
    let grown = first.saturating_mul(1 << (2 * failures.saturating_sub(1).min(15)));
    grown
        .min(LONGEST_PAUSE)
        .mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn delivery(level: WebhookLevel) -> WebhookDelivery {
        WebhookDelivery {
            id: WebhookDeliveryId::new(),
            app: AppId::new(),
            webhook: WebhookId::new(),
            level,
            event: WebhookEventId::new(),
            entity: WebhookEntity::Release,
            sequence: 1,
            status: DeliveryStatus::Pending,
            num_attempts: 0,
            last_attempt: None,
            created_at: at(0),
            updated_at: at(0),
        }
    }

    fn attempt(code: Option<u16>) -> WebhookAttempt {
        WebhookAttempt {
            id: Uuid::now_v7(),
            code,
            error_class: None,
            created_at: at(100),
            updated_at: at(100),
        }
    }

    #[test]
    fn entities_read_back_as_they_print_and_older_names_are_known() {
        for entity in WebhookEntity::ALL {
            assert_eq!(entity.to_string().parse(), Ok(entity));
            assert_eq!(entity.resource().parse(), Ok(entity));
        }
        assert!("api:addon".parse::<WebhookEntity>().is_err());
        assert!("api:".parse::<WebhookEntity>().is_err());
    }

    #[test]
    fn pauses_grow_fourfold_to_half_a_day_and_make_two_days_in_all() {
        let seconds = |failures| pause_after(FIRST_PAUSE, failures, 0.0).as_secs();
        assert_eq!(
            [1, 2, 3, 4, 5, 6, 7].map(seconds),
            [30, 120, 480, 1920, 7680, 30_720, 43_200]
        );
        assert_eq!([8, 40, u32::MAX].map(seconds), [43_200; 3]);
        let in_all: u64 = (1..MAX_ATTEMPTS).map(seconds).sum();
        assert!((40 * 3600..72 * 3600).contains(&in_all), "{in_all}");
        assert_eq!(pause_after(FIRST_PAUSE, 1, 1.0).as_secs(), 33);
    }

    #[test]
    fn notify_is_tried_once_and_sync_until_it_is_taken_or_given_up() {
        let pause = Duration::from_secs(10);
        let (notify, sync) = (delivery(WebhookLevel::Notify), delivery(WebhookLevel::Sync));
        let failed = notify.clone().after(attempt(Some(500)), pause, 0.0);
        assert_eq!(failed.status, DeliveryStatus::Failed);
        for code in [200, 204, 299] {
            let taken = notify.clone().after(attempt(Some(code)), pause, 0.0);
            assert_eq!(taken.status, DeliveryStatus::Succeeded);
        }
        for code in [None, Some(199), Some(302), Some(404), Some(503)] {
            let again = sync.clone().after(attempt(code), pause, 0.0);
            assert_eq!(again.status, DeliveryStatus::Retrying { at: at(110) });
            assert_eq!(again.due_at(), Some(at(110)));
        }
        let mut delivery = sync;
        for _ in 1..MAX_ATTEMPTS {
            delivery = delivery.after(attempt(Some(500)), pause, 0.0);
            assert!(!delivery.status.is_over());
        }
        delivery = delivery.after(attempt(Some(500)), pause, 0.0);
        assert_eq!(
            (delivery.status, delivery.num_attempts, delivery.due_at()),
            (DeliveryStatus::Failed, MAX_ATTEMPTS, None)
        );
    }
}
