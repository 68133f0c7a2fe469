//! Log drains.

use axum::Json;
use axum::extract::{Path, State};
use controller_api::wire;

use super::{Created, created};
use crate::actions;
use crate::context::{Ctx, actor};
use crate::error::ApiResult;
use crate::guard::AppAccess;
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::views::log_drain::log_drain;

pub(crate) async fn list(
    State(context): State<Ctx>,
    access: AppAccess,
    range: PageRange,
) -> ApiResult<Page> {
    let app = &access.app.value;
    let drains = actions::log_drains::list(&context, app.id).await?;
    range.page(
        drains
            .iter()
            .map(|known| log_drain(app, &known.drain.value, &known.url)),
    )
}

pub(crate) async fn create(
    State(context): State<Ctx>,
    access: AppAccess,
    JsonBody(body): JsonBody<wire::LogDrainCreate>,
) -> ApiResult<Created<wire::LogDrain>> {
    let (app, by) = (&access.app.value, actor(&access.session.account));
    let (drain, url) = actions::log_drains::add(&context, app.id, &by, &body.url).await?;
    Ok(created(log_drain(app, &drain, &url)))
}

pub(crate) async fn show(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Json<wire::LogDrain>> {
    let app = &access.app.value;
    let found = actions::log_drains::find(&context, app.id, &identity).await?;
    Ok(Json(log_drain(app, &found.drain.value, &found.url)))
}

pub(crate) async fn replace(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
    JsonBody(body): JsonBody<wire::LogDrainCreate>,
) -> ApiResult<Json<wire::LogDrain>> {
    let (app, by) = (&access.app.value, actor(&access.session.account));
    let changed = actions::log_drains::replace(&context, app.id, &by, &identity, &body.url);
    let (drain, url) = changed.await?;
    Ok(Json(log_drain(app, &drain, &url)))
}

pub(crate) async fn remove(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Json<wire::LogDrain>> {
    let (app, by) = (&access.app.value, actor(&access.session.account));
    let removed = actions::log_drains::remove(&context, app.id, &by, &identity).await?;
    Ok(Json(log_drain(app, &removed.drain.value, &removed.url)))
}
