//! How an app's requests are treated.

use axum::Json;
use axum::extract::State;
use controller_api::wire;
use serde_json::{Map, Value};

use crate::actions;
use crate::context::Ctx;
use crate::error::ApiResult;
use crate::guard::AppAccess;
use crate::http::body::JsonBody;
use crate::views;

pub(crate) async fn show(
    State(context): State<Ctx>,
    access: AppAccess,
) -> ApiResult<Json<wire::Routing>> {
    let routing = &access.app.value.routing;
    Ok(Json(views::routing::view(context.store(), routing).await?))
}

pub(crate) async fn update(
    State(context): State<Ctx>,
    access: AppAccess,
    JsonBody(patch): JsonBody<Map<String, Value>>,
) -> ApiResult<Json<wire::Routing>> {
    let (app, by) = (access.app.value.id, &access.session.account);
    let app = actions::routing::update(&context, app, by, &patch).await?;
    Ok(Json(
        views::routing::view(context.store(), &app.routing).await?,
    ))
}
