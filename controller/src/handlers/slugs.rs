//! Slugs.

use axum::Json;
use axum::extract::{Path, State};
use controller_api::wire;

use crate::context::Ctx;
use crate::error::{ApiError, ApiResult};
use crate::find;
use crate::guard::AppAccess;
use crate::views;

pub(crate) async fn show(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Json<wire::Slug>> {
    let slug = find::slug(context.store(), access.app.value.id, identity.parse().ok()).await?;
    Ok(Json(views::release::slug(
        &slug.ok_or_else(|| ApiError::not_found("slug"))?,
    )))
}
