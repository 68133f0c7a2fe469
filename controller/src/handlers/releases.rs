//! Releases.

use axum::Json;
use axum::extract::{Path, State};
use controller_api::wire;
use model::{Release, ReleaseStatus};
use store::key;
use store::ledger::read_config;

use super::{Created, created};
use crate::actions;
use crate::context::{Context, Ctx, actor};
use crate::error::{ApiError, ApiResult};
use crate::find;
use crate::guard::AppAccess;
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::views::release::release;

pub(crate) async fn list(
    State(context): State<Ctx>,
    access: AppAccess,
    range: PageRange,
) -> ApiResult<Page> {
    let app = &access.app.value;
    let releases = key::RELEASES
        .list(context.store(), &key::releases_of(app.id))
        .await?;
    range.page(releases.iter().map(|found| release(app, &found.value)))
}

/// A rollback, or a slug released again.
pub(crate) async fn create(
    State(context): State<Ctx>,
    access: AppAccess,
    JsonBody(body): JsonBody<wire::ReleaseCreate>,
) -> ApiResult<Created<wire::Release>> {
    let by = actor(&access.session.account);
    let (app, new) = actions::releases::create(&context, access.app.value.id, &by, &body).await?;
    Ok(created(release(&app, &new)))
}

pub(crate) async fn show(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Json<wire::Release>> {
    let found = find(&context, &access, &identity).await?;
    Ok(Json(release(&access.app.value, &found)))
}

pub(crate) async fn config_vars(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Json<wire::ConfigVars>> {
    let found = find(&context, &access, &identity).await?;
    let config = read_config(context.store(), &context.keyring, found.app, found.version).await?;
    Ok(Json(super::config_vars::view(
        config.ok_or_else(|| ApiError::not_found("release"))?,
    )))
}

/// Why it failed; ours, since the schema of a release has no place for it.
pub(crate) async fn failure(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Json<wire::ReleaseFailure>> {
    let found = find(&context, &access, &identity).await?;
    match found.status {
        ReleaseStatus::Failed(failure) => Ok(Json(wire::ReleaseFailure {
            reason: failure.reason,
            log_tail: failure.log_tail,
        })),
        _ => Err(ApiError::not_found_because(
            "failure",
            format!("{} did not fail.", found.version),
        )),
    }
}

async fn find(context: &Context, access: &AppAccess, identity: &str) -> ApiResult<Release> {
    let found = find::release(context.store(), access.app.value.id, identity).await?;
    Ok(found.ok_or_else(|| ApiError::not_found("release"))?.value)
}
