//! Webhooks, their events and deliveries.

use model::Secret;
use reqwest::Method;

use super::{Client, ClientError, decode};
use crate::wire::webhook::SECRET_HEADER;
use crate::wire::{Webhook, WebhookCreate, WebhookDelivery, WebhookEvent, WebhookUpdate};

impl Client {
    pub async fn webhooks(&self, app: &str) -> Result<Vec<Webhook>, ClientError> {
        self.get_all(&["apps", app, "webhooks"]).await
    }

    pub async fn webhook(&self, app: &str, id: &str) -> Result<Webhook, ClientError> {
        self.get(&["apps", app, "webhooks", id]).await
    }

    /// With what it signs, which is told this once.
    pub async fn add_webhook(
        &self,
        app: &str,
        create: &WebhookCreate,
    ) -> Result<(Webhook, Option<Secret<String>>), ClientError> {
        let request = self.request(Method::POST, &["apps", app, "webhooks"])?;
        let response = self.execute(request.json(create)).await?;
        let secret = response.headers().get(SECRET_HEADER);
        let secret = secret.and_then(|value| value.to_str().ok());
        let secret = secret.map(Secret::from);
        Ok((decode(response).await?, secret))
    }

    pub async fn update_webhook(
        &self,
        app: &str,
        id: &str,
        update: &WebhookUpdate,
    ) -> Result<Webhook, ClientError> {
        self.send(Method::PATCH, &["apps", app, "webhooks", id], update)
            .await
    }

    pub async fn remove_webhook(&self, app: &str, id: &str) -> Result<Webhook, ClientError> {
        self.delete(&["apps", app, "webhooks", id]).await
    }

    /// Oldest first.
    pub async fn webhook_deliveries(&self, app: &str) -> Result<Vec<WebhookDelivery>, ClientError> {
        self.get_all(&["apps", app, "webhook-deliveries"]).await
    }

    pub async fn webhook_delivery(
        &self,
        app: &str,
        id: &str,
    ) -> Result<WebhookDelivery, ClientError> {
        self.get(&["apps", app, "webhook-deliveries", id]).await
    }

    /// Oldest first.
    pub async fn webhook_events(&self, app: &str) -> Result<Vec<WebhookEvent>, ClientError> {
        self.get_all(&["apps", app, "webhook-events"]).await
    }

    pub async fn webhook_event(&self, app: &str, id: &str) -> Result<WebhookEvent, ClientError> {
        self.get(&["apps", app, "webhook-events", id]).await
    }
}
