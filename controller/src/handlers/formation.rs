//! Formations.

use axum::Json;
use axum::extract::{Path, State};
use controller_api::wire;

use crate::actions::formation::{Scaled, resolve, scale};
use crate::context::{Ctx, actor};
use crate::error::{ApiError, ApiResult};
use crate::find;
use crate::guard::AppAccess;
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::views;

pub(crate) async fn list(
    State(context): State<Ctx>,
    access: AppAccess,
    range: PageRange,
) -> ApiResult<Page> {
    let slug = find::target_slug(context.store(), &access.app.value).await?;
    range.page(views::formation::formations(
        &access.app.value,
        slug.as_ref(),
    ))
}

pub(crate) async fn show(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Json<wire::Formation>> {
    let app = &access.app.value;
    let slug = find::target_slug(context.store(), app).await?;
    let process_type = resolve(app, slug.as_ref(), &identity)?;
    Ok(Json(views::formation::formation(
        app,
        slug.as_ref(),
        &process_type,
    )))
}

/// Answers the formations that were named.
pub(crate) async fn update_all(
    State(context): State<Ctx>,
    access: AppAccess,
    JsonBody(body): JsonBody<wire::FormationBatch>,
) -> ApiResult<Json<Vec<wire::Formation>>> {
    let by = actor(&access.session.account);
    let scaled = scale(&context, access.app.value.id, &by, body).await?;
    Ok(Json(view(&scaled)))
}

pub(crate) async fn update(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, process_type)): Path<(String, String)>,
    JsonBody(change): JsonBody<wire::FormationChange>,
) -> ApiResult<Json<wire::Formation>> {
    let by = actor(&access.session.account);
    let update = wire::FormationUpdate {
        process_type,
        change,
    };
    let batch = wire::FormationBatch {
        updates: vec![update],
        ahead: false,
    };
    let scaled = scale(&context, access.app.value.id, &by, batch).await?;
    view(&scaled)
        .pop()
        .map(Json)
        .ok_or_else(|| ApiError::not_found("formation"))
}

fn view(scaled: &Scaled) -> Vec<wire::Formation> {
    let Scaled { app, slug, types } = scaled;
    types
        .iter()
        .map(|process_type| views::formation::formation(app, slug.as_ref(), process_type))
        .collect()
}
