//! Webhooks, their events and deliveries.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::HeaderValue;
use axum::response::{IntoResponse as _, Response};
use controller_api::wire;
use controller_api::wire::webhook::SECRET_HEADER;
use model::{App, Webhook};
use store::key;

use super::created;
use crate::actions;
use crate::context::{Ctx, actor};
use crate::error::{ApiError, ApiResult};
use crate::guard::AppAccess;
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::views::webhook as views;
use crate::webhooks::url_of;

/// One that was sealed with another master key leads nowhere; it can still be led somewhere, or removed.
fn view(context: &Ctx, app: &App, webhook: &Webhook) -> wire::Webhook {
    let url = url_of(&context.keyring, webhook).unwrap_or_default();
    views::webhook(app, webhook, url)
}

pub(crate) async fn list(
    State(context): State<Ctx>,
    access: AppAccess,
    range: PageRange,
) -> ApiResult<Page> {
    let app = &access.app.value;
    let found = actions::webhooks::list(context.store(), app.id).await?;
    range.page(found.iter().map(|seen| view(&context, app, &seen.value)))
}

pub(crate) async fn create(
    State(context): State<Ctx>,
    access: AppAccess,
    JsonBody(body): JsonBody<wire::WebhookCreate>,
) -> ApiResult<Response> {
    let app = &access.app.value;
    let (webhook, secret) = actions::webhooks::add(&context, app, body).await?;
    let by = actor(&access.session.account);
    context
        .tell(app.id, &by, &format!("Add webhook {}", webhook.id))
        .await;
    let mut response = created(view(&context, app, &webhook)).into_response();
    let mut secret = HeaderValue::try_from(secret.expose()).map_err(ApiError::internal)?;
    secret.set_sensitive(true);
    response.headers_mut().insert(SECRET_HEADER, secret);
    Ok(response)
}

pub(crate) async fn show(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Json<wire::Webhook>> {
    let app = &access.app.value;
    let found = actions::webhooks::find(context.store(), app, &identity).await?;
    Ok(Json(view(&context, app, &found.value)))
}

pub(crate) async fn update(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
    JsonBody(body): JsonBody<wire::WebhookUpdate>,
) -> ApiResult<Json<wire::Webhook>> {
    let app = &access.app.value;
    let changed = actions::webhooks::update(&context, app, &identity, body).await?;
    let by = actor(&access.session.account);
    context
        .tell(app.id, &by, &format!("Update webhook {}", changed.id))
        .await;
    Ok(Json(view(&context, app, &changed)))
}

pub(crate) async fn remove(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Json<wire::Webhook>> {
    let app = &access.app.value;
    let removed = actions::webhooks::remove(context.store(), app, &identity).await?;
    let by = actor(&access.session.account);
    context
        .tell(app.id, &by, &format!("Remove webhook {}", removed.id))
        .await;
    Ok(Json(view(&context, app, &removed)))
}

/// `?eq[status]=failed` leaves out the others.
pub(crate) async fn deliveries(
    State(context): State<Ctx>,
    access: AppAccess,
    Query(query): Query<HashMap<String, String>>,
    range: PageRange,
) -> ApiResult<Page> {
    let prefix = key::webhook_deliveries_of(access.app.value.id);
    let found = key::WEBHOOK_DELIVERIES
        .list(context.store(), &prefix)
        .await?;
    let views = found.iter().map(|seen| views::delivery(&seen.value));
    let status = query.get("eq[status]");
    // The official CLI orders by a field that is not in the schema.
    let range = range.reading("seq", "id");
    range.page(views.filter(|delivery| status.is_none_or(|status| *status == delivery.status)))
}

pub(crate) async fn delivery(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Json<wire::WebhookDelivery>> {
    let not_found = || ApiError::not_found("delivery");
    let id = identity.parse().map_err(|_| not_found())?;
    let place = key::webhook_delivery(access.app.value.id, id);
    let found = key::WEBHOOK_DELIVERIES.get(context.store(), &place).await?;
    Ok(Json(views::delivery(&found.ok_or_else(not_found)?.value)))
}

pub(crate) async fn events(
    State(context): State<Ctx>,
    access: AppAccess,
    range: PageRange,
) -> ApiResult<Page> {
    let prefix = key::webhook_events_of(access.app.value.id);
    let found = key::WEBHOOK_EVENTS.list(context.store(), &prefix).await?;
    range.page(found.iter().map(|seen| views::event(&seen.value)))
}

pub(crate) async fn event(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Json<wire::WebhookEvent>> {
    let not_found = || ApiError::not_found("event");
    let id = identity.parse().map_err(|_| not_found())?;
    let place = key::webhook_event(access.app.value.id, id);
    let found = key::WEBHOOK_EVENTS.get(context.store(), &place).await?;
    Ok(Json(views::event(&found.ok_or_else(not_found)?.value)))
}
