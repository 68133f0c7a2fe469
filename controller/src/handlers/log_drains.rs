//! Log drains.

use axum::Json;
use axum::extract::{Path, State};
use controller_api::wire;
use model::Addon;
use store::key;

use super::{Created, created};
use crate::actions;
use crate::actions::log_drains::Known;
use crate::context::{Context, Ctx, actor};
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
    let addons = addons_of(&context, drains.iter()).await?;
    range.page(
        drains
            .iter()
            .map(|known| log_drain(app, &known.drain.value, &known.url, &addons)),
    )
}

/// Those whose drains these are.
async fn addons_of(
    context: &Context,
    drains: impl IntoIterator<Item = &Known>,
) -> ApiResult<Vec<Addon>> {
    let mut addons = Vec::new();
    for addon in drains
        .into_iter()
        .filter_map(|known| known.drain.value.addon)
    {
        let addon = key::ADDONS.get(context.store(), &key::addon(addon)).await?;
        addons.extend(addon.map(|addon| addon.value));
    }
    Ok(addons)
}

pub(crate) async fn create(
    State(context): State<Ctx>,
    access: AppAccess,
    JsonBody(body): JsonBody<wire::LogDrainCreate>,
) -> ApiResult<Created<wire::LogDrain>> {
    let (app, by) = (&access.app.value, actor(&access.session.account));
    let (drain, url) = actions::log_drains::add(&context, app.id, &by, &body.url).await?;
    Ok(created(log_drain(app, &drain, &url, &[])))
}

pub(crate) async fn show(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Json<wire::LogDrain>> {
    let app = &access.app.value;
    let found = actions::log_drains::find(&context, app.id, &identity).await?;
    let addons = addons_of(&context, [&found]).await?;
    Ok(Json(log_drain(
        app,
        &found.drain.value,
        &found.url,
        &addons,
    )))
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
    Ok(Json(log_drain(app, &drain, &url, &[])))
}

pub(crate) async fn remove(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Json<wire::LogDrain>> {
    let (app, by) = (&access.app.value, actor(&access.session.account));
    let removed = actions::log_drains::remove(&context, app.id, &by, &identity).await?;
    Ok(Json(log_drain(
        app,
        &removed.drain.value,
        &removed.url,
        &[],
    )))
}
