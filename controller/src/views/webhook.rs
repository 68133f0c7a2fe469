//! Webhooks, their events and deliveries, and what receivers are sent.

use controller_api::wire;
use controller_api::wire::webhook::{
    DeliveryEvent, DeliveryWebhook, EventActor, EventPayload, WebhookMetadata, WebhookPayload,
};
use model::{Actor, App, DeliveryStatus, Timestamp, Webhook, WebhookDelivery, WebhookEvent};
use uuid::Uuid;

use super::app_ref;

/// Of the API whose views the data are.
const VERSION: &str = "application/vnd.heroku+json; version=3";

pub(crate) fn webhook(app: &App, webhook: &Webhook, url: String) -> wire::Webhook {
    wire::Webhook {
        app: app_ref(app),
        created_at: webhook.created_at.into(),
        id: webhook.id,
        include: webhook.include.iter().map(ToString::to_string).collect(),
        level: webhook.level.as_str().to_owned(),
        updated_at: webhook.updated_at.into(),
        url,
    }
}

pub(crate) fn delivery(delivery: &WebhookDelivery) -> wire::WebhookDelivery {
    wire::WebhookDelivery {
        created_at: delivery.created_at.into(),
        event: DeliveryEvent {
            id: delivery.event,
            include: delivery.entity.to_string(),
        },
        id: delivery.id,
        last_attempt: (delivery.last_attempt.as_ref()).map(|attempt| wire::WebhookAttempt {
            code: attempt.code,
            created_at: attempt.created_at.into(),
            error_class: attempt.error_class.clone(),
            id: attempt.id,
            status: if attempt.has_succeeded() {
                "succeeded"
            } else {
                "failed"
            }
            .to_owned(),
            updated_at: attempt.updated_at.into(),
        }),
        next_attempt_at: match delivery.status {
            DeliveryStatus::Retrying { at } => Some(at.into()),
            DeliveryStatus::Pending | DeliveryStatus::Failed | DeliveryStatus::Succeeded => None,
        },
        num_attempts: delivery.num_attempts,
        status: delivery.status.as_str().to_owned(),
        updated_at: delivery.updated_at.into(),
        webhook: DeliveryWebhook {
            id: delivery.webhook,
            level: delivery.level.as_str().to_owned(),
        },
    }
}

pub(crate) fn event(event: &WebhookEvent) -> wire::WebhookEvent {
    wire::WebhookEvent {
        created_at: event.created_at.into(),
        id: event.id,
        include: event.entity.to_string(),
        payload: EventPayload {
            action: event.action.as_str().to_owned(),
            actor: actor(&event.actor),
            data: event.data.clone(),
            previous_data: event.previous_data.clone(),
            resource: event.entity.resource().to_owned(),
            version: VERSION.to_owned(),
        },
        updated_at: event.created_at.into(),
    }
}

pub(crate) fn payload(
    event: WebhookEvent,
    delivery: &WebhookDelivery,
    attempt: Uuid,
    now: Timestamp,
) -> WebhookPayload {
    WebhookPayload {
        action: event.action.as_str().to_owned(),
        actor: actor(&event.actor),
        created_at: event.created_at.into(),
        data: event.data,
        id: event.id,
        previous_data: event.previous_data,
        published_at: now.into(),
        resource: event.entity.resource().to_owned(),
        sequence: event.sequence,
        updated_at: event.created_at.into(),
        version: VERSION.to_owned(),
        webhook_metadata: WebhookMetadata {
            attempt: wire::IdRef { id: attempt },
            delivery: wire::IdRef { id: delivery.id },
            event: DeliveryEvent {
                id: event.id,
                include: event.entity.to_string(),
            },
            webhook: wire::IdRef {
                id: delivery.webhook,
            },
        },
    }
}

fn actor(actor: &Actor) -> EventActor {
    EventActor {
        email: actor.email.clone(),
        id: actor.account,
    }
}
