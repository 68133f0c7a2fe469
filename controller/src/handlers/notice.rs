//! What operators want everybody to know.

use axum::Json;
use axum::extract::State;
use controller_api::wire;

use crate::context::Ctx;
use crate::error::ApiResult;
use crate::http::body::JsonBody;
use crate::notice;

pub(crate) async fn show(State(context): State<Ctx>) -> ApiResult<Json<wire::Notice>> {
    let message = notice::read(&context).await?;
    Ok(Json(wire::Notice { message }))
}

pub(crate) async fn say(
    State(context): State<Ctx>,
    JsonBody(body): JsonBody<wire::Notice>,
) -> ApiResult<Json<wire::Notice>> {
    notice::say(&context, body.message.as_deref().unwrap_or_default()).await?;
    show(State(context)).await
}

pub(crate) async fn withdraw(State(context): State<Ctx>) -> ApiResult<Json<wire::Notice>> {
    notice::withdraw(&context).await?;
    show(State(context)).await
}
