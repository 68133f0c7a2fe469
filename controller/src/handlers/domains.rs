//! Domains.

use axum::Json;
use axum::extract::{Path, State};
use controller_api::wire;
use model::App;
use store::key;

use super::{Created, created};
use crate::actions;
use crate::context::{Context, Ctx};
use crate::error::{ApiError, ApiResult};
use crate::guard::AppAccess;
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::views::domain::{Certificates, default_domain, domain};

pub(crate) async fn list(
    State(context): State<Ctx>,
    access: AppAccess,
    range: PageRange,
) -> ApiResult<Page> {
    let (config, app) = (&context.config, &access.app.value);
    let custom = actions::domains::list(context.store(), app).await?;
    let certificates = certificates(&context, app).await?;
    let custom = custom
        .iter()
        .map(|d| domain(config, app, &d.value, &certificates));
    // What Heroku has called it once, and heroku3 still does.
    let range = range.reading("domain", "hostname");
    range.page(default_domain(config, app).into_iter().chain(custom))
}

pub(crate) async fn create(
    State(context): State<Ctx>,
    access: AppAccess,
    JsonBody(body): JsonBody<wire::DomainCreate>,
) -> ApiResult<Created<wire::Domain>> {
    let (by, app) = (&access.session.account, &access.app.value);
    let endpoint = body.sni_endpoint.as_deref();
    let added = actions::domains::add(&context, by, app, &body.hostname, endpoint).await?;
    let certificates = certificates(&context, app).await?;
    Ok(created(domain(&context.config, app, &added, &certificates)))
}

pub(crate) async fn show(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Json<wire::Domain>> {
    let (config, app) = (&context.config, &access.app.value);
    if let Some(default) = default_domain(config, app).filter(|d| names(d, &identity)) {
        return Ok(Json(default));
    }
    let found = actions::domains::find(context.store(), app, &identity).await?;
    let certificates = certificates(&context, app).await?;
    Ok(Json(domain(config, app, &found.value, &certificates)))
}

pub(crate) async fn update(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
    JsonBody(body): JsonBody<wire::DomainUpdate>,
) -> ApiResult<Json<wire::Domain>> {
    let (config, app) = (&context.config, &access.app.value);
    if default_domain(config, app).is_some_and(|d| names(&d, &identity)) {
        return Err(ApiError::invalid(
            "The app's own domain is served with the platform's certificate.",
        ));
    }
    let found = actions::domains::find(context.store(), app, &identity).await?;
    let endpoint = body.sni_endpoint.as_deref();
    actions::certificates::assign(&context, app, &found.value, endpoint).await?;
    let certificates = certificates(&context, app).await?;
    Ok(Json(domain(config, app, &found.value, &certificates)))
}

pub(crate) async fn remove(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Json<wire::Domain>> {
    let (config, app) = (&context.config, &access.app.value);
    if default_domain(config, app).is_some_and(|d| names(&d, &identity)) {
        return Err(ApiError::invalid(
            "The app's own domain cannot be removed; it goes with the app's name.",
        ));
    }
    let removed = actions::domains::remove(&context, app, &identity).await?;
    Ok(Json(domain(
        config,
        app,
        &removed,
        &Certificates::default(),
    )))
}

async fn certificates(context: &Context, app: &App) -> ApiResult<Certificates> {
    let store = context.store();
    let endpoints = actions::certificates::list(store, app.id).await?;
    let acm = key::ACM.get(store, &key::acm(app.id)).await?;
    let progress = key::ACM_PROGRESS
        .get(store, &key::acm_progress(app.id))
        .await?;
    Ok(Certificates {
        endpoints: endpoints.into_iter().map(|seen| seen.value).collect(),
        acm: acm.map(|seen| seen.value),
        progress: progress.map(|seen| seen.value),
    })
}

fn names(domain: &wire::Domain, identity: &str) -> bool {
    domain.id.to_string() == identity || domain.hostname.as_str().eq_ignore_ascii_case(identity)
}
