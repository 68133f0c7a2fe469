//! Buildpack installations.

use axum::Json;
use axum::extract::State;
use controller_api::wire;

use crate::actions;
use crate::context::Ctx;
use crate::error::ApiResult;
use crate::guard::AppAccess;
use crate::http::body::JsonBody;
use crate::views::build::buildpack_installations;

pub(crate) async fn list(access: AppAccess) -> Json<Vec<wire::BuildpackInstallation>> {
    Json(buildpack_installations(&access.app.value.buildpacks))
}

pub(crate) async fn replace(
    State(context): State<Ctx>,
    access: AppAccess,
    JsonBody(body): JsonBody<wire::BuildpackInstallationsUpdate>,
) -> ApiResult<Json<Vec<wire::BuildpackInstallation>>> {
    let app = actions::buildpacks::replace(&context, access.app.value.id, &body).await?;
    Ok(Json(buildpack_installations(&app.buildpacks)))
}
