//! Domains.

use axum::Json;
use axum::extract::{Path, State};
use controller_api::wire;

use super::{Created, created};
use crate::actions;
use crate::context::Ctx;
use crate::error::{ApiError, ApiResult};
use crate::guard::AppAccess;
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::views::domain::{default_domain, domain};

pub(crate) async fn list(
    State(context): State<Ctx>,
    access: AppAccess,
    range: PageRange,
) -> ApiResult<Page> {
    let (config, app) = (&context.config, &access.app.value);
    let custom = actions::domains::list(context.store(), app).await?;
    range.page(
        default_domain(config, app)
            .into_iter()
            .chain(custom.iter().map(|d| domain(config, app, &d.value))),
    )
}

pub(crate) async fn create(
    State(context): State<Ctx>,
    access: AppAccess,
    JsonBody(body): JsonBody<wire::DomainCreate>,
) -> ApiResult<Created<wire::Domain>> {
    let (by, app) = (&access.session.account, &access.app.value);
    let added = actions::domains::add(&context, by, app, &body.hostname).await?;
    Ok(created(domain(&context.config, app, &added)))
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
    Ok(Json(domain(config, app, &found.value)))
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
    let found = actions::domains::find(context.store(), app, &identity).await?;
    actions::domains::remove(context.store(), &found).await?;
    Ok(Json(domain(config, app, &found.value)))
}

fn names(domain: &wire::Domain, identity: &str) -> bool {
    domain.id.to_string() == identity || domain.hostname.as_str().eq_ignore_ascii_case(identity)
}
