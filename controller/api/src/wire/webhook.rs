//! Webhooks, what they are told of, and how far the telling has come.

use model::{AccountId, Email, Secret, WebhookDeliveryId, WebhookEventId, WebhookId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{AppRef, IdRef};
use crate::WireTime;

/// The header in which the answer to a webhook's making tells what it signs with; it is told there only.
pub const SECRET_HEADER: &str = "heroku-webhook-secret";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    pub app: AppRef,
    pub created_at: WireTime,
    pub id: WebhookId,
    /// `api:release`, ….
    pub include: Vec<String>,
    /// `notify` or `sync`.
    pub level: String,
    pub updated_at: WireTime,
    pub url: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WebhookCreate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Secret<String>>,
    pub include: Vec<String>,
    pub level: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret<String>>,
    pub url: String,
}

/// What is absent stays as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct WebhookUpdate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Secret<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookDelivery {
    pub created_at: WireTime,
    pub event: DeliveryEvent,
    pub id: WebhookDeliveryId,
    pub last_attempt: Option<WebhookAttempt>,
    pub next_attempt_at: Option<WireTime>,
    pub num_attempts: u32,
    /// `pending`, `retrying`, `failed` or `succeeded`.
    pub status: String,
    pub updated_at: WireTime,
    pub webhook: DeliveryWebhook,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryEvent {
    pub id: WebhookEventId,
    pub include: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryWebhook {
    pub id: WebhookId,
    pub level: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookAttempt {
    pub code: Option<u16>,
    pub created_at: WireTime,
    pub error_class: Option<String>,
    pub id: Uuid,
    pub status: String,
    pub updated_at: WireTime,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookEvent {
    pub created_at: WireTime,
    pub id: WebhookEventId,
    pub include: String,
    pub payload: EventPayload,
    pub updated_at: WireTime,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventPayload {
    /// `create`, `update` or `destroy`.
    pub action: String,
    pub actor: EventActor,
    pub data: Value,
    pub previous_data: Map<String, Value>,
    pub resource: String,
    pub version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventActor {
    pub email: Email,
    pub id: AccountId,
}

/// What a receiver is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookPayload {
    pub action: String,
    pub actor: EventActor,
    pub created_at: WireTime,
    pub data: Value,
    pub id: WebhookEventId,
    pub previous_data: Map<String, Value>,
    pub published_at: WireTime,
    pub resource: String,
    /// Grows with each event of the app.
    pub sequence: u64,
    pub updated_at: WireTime,
    pub version: String,
    pub webhook_metadata: WebhookMetadata,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookMetadata {
    pub attempt: IdRef<Uuid>,
    pub delivery: IdRef<WebhookDeliveryId>,
    pub event: DeliveryEvent,
    pub webhook: IdRef<WebhookId>,
}
