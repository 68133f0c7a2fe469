//! SSH keys.

use axum::Json;
use axum::extract::{Path, State};
use controller_api::wire;

use super::{Created, created};
use crate::actions;
use crate::auth::Session;
use crate::context::Ctx;
use crate::error::ApiResult;
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::views::account::key;

pub(crate) async fn list(
    State(context): State<Ctx>,
    session: Session,
    range: PageRange,
) -> ApiResult<Page> {
    let keys = actions::keys::list(context.store(), &session.account).await?;
    range.page(keys.iter().map(|found| key(&session.account, &found.value)))
}

pub(crate) async fn create(
    State(context): State<Ctx>,
    session: Session,
    JsonBody(body): JsonBody<wire::KeyCreate>,
) -> ApiResult<Created<wire::Key>> {
    let added = actions::keys::add(context.store(), &session.account, &body.public_key).await?;
    Ok(created(key(&session.account, &added)))
}

pub(crate) async fn show(
    State(context): State<Ctx>,
    session: Session,
    Path(identity): Path<String>,
) -> ApiResult<Json<wire::Key>> {
    let found = actions::keys::find(context.store(), &session.account, &identity).await?;
    Ok(Json(key(&session.account, &found.value)))
}

pub(crate) async fn remove(
    State(context): State<Ctx>,
    session: Session,
    Path(identity): Path<String>,
) -> ApiResult<Json<wire::Key>> {
    let found = actions::keys::find(context.store(), &session.account, &identity).await?;
    actions::keys::remove(context.store(), &found).await?;
    Ok(Json(key(&session.account, &found.value)))
}
