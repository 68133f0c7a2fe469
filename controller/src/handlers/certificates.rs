//! An app's certificates, and whether the platform gets them itself.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, State};
use controller_api::wire;
use model::{App, DomainId, Hostname, SniEndpoint};

use super::{Created, created};
use crate::actions::{self, certificates::Offered};
use crate::context::{Context, Ctx, actor};
use crate::error::ApiResult;
use crate::guard::AppAccess;
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::views;

pub(crate) async fn list(
    State(context): State<Ctx>,
    access: AppAccess,
    range: PageRange,
) -> ApiResult<Page> {
    let app = &access.app.value;
    let ids = ids(&context, app).await?;
    let endpoints = actions::certificates::list(context.store(), app.id).await?;
    let views = endpoints
        .iter()
        .map(|seen| views::certificate::endpoint(app, &seen.value, &ids));
    range.page(views)
}

pub(crate) async fn create(
    State(context): State<Ctx>,
    access: AppAccess,
    JsonBody(body): JsonBody<wire::CertificateUpload>,
) -> ApiResult<Created<wire::SniEndpoint>> {
    let app = &access.app.value;
    let offered = Offered::new(&body.certificate_chain, body.private_key)?;
    let added = actions::certificates::add(&context, app, &offered).await?;
    tell(
        &context,
        &access,
        &format!("Add certificate {}", added.name),
    )
    .await;
    Ok(created(view(&context, app, &added).await?))
}

pub(crate) async fn show(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Json<wire::SniEndpoint>> {
    let app = &access.app.value;
    let found = actions::certificates::find(context.store(), app.id, &identity).await?;
    Ok(Json(view(&context, app, &found.value).await?))
}

pub(crate) async fn update(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
    JsonBody(body): JsonBody<wire::CertificateUpload>,
) -> ApiResult<Json<wire::SniEndpoint>> {
    let app = &access.app.value;
    let offered = Offered::new(&body.certificate_chain, body.private_key)?;
    let changed = actions::certificates::update(&context, app, &identity, &offered).await?;
    tell(
        &context,
        &access,
        &format!("Update certificate {}", changed.name),
    )
    .await;
    Ok(Json(view(&context, app, &changed).await?))
}

pub(crate) async fn remove(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Json<wire::SniEndpoint>> {
    let app = &access.app.value;
    let removed = actions::certificates::remove(&context, app, &identity).await?;
    tell(
        &context,
        &access,
        &format!("Remove certificate {}", removed.name),
    )
    .await;
    Ok(Json(view(&context, app, &removed).await?))
}

pub(crate) async fn enable_acm(
    State(context): State<Ctx>,
    access: AppAccess,
) -> ApiResult<Json<wire::App>> {
    actions::acm::enable(&context, access.app.value.id).await?;
    tell(&context, &access, "Enable ACM").await;
    super::apps::show(State(context), access).await
}

pub(crate) async fn refresh_acm(
    State(context): State<Ctx>,
    access: AppAccess,
) -> ApiResult<Json<wire::App>> {
    actions::acm::refresh(&context, access.app.value.id).await?;
    super::apps::show(State(context), access).await
}

pub(crate) async fn disable_acm(
    State(context): State<Ctx>,
    access: AppAccess,
) -> ApiResult<Json<wire::App>> {
    actions::acm::disable(&context, access.app.value.id).await?;
    tell(&context, &access, "Disable ACM").await;
    super::apps::show(State(context), access).await
}

async fn tell(context: &Context, access: &AppAccess, text: &str) {
    let by = actor(&access.session.account);
    context.tell(access.app.value.id, &by, text).await;
}

async fn ids(context: &Context, app: &App) -> ApiResult<HashMap<Hostname, DomainId>> {
    let domains = actions::domains::list(context.store(), app).await?;
    let ids = domains
        .into_iter()
        .map(|domain| (domain.value.hostname, domain.value.id));
    Ok(ids.collect())
}

async fn view(
    context: &Context,
    app: &App,
    endpoint: &SniEndpoint,
) -> ApiResult<wire::SniEndpoint> {
    let ids = ids(context, app).await?;
    Ok(views::certificate::endpoint(app, endpoint, &ids))
}
