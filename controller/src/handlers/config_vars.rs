//! Config vars: of the release that the app should run.

use axum::Json;
use axum::extract::State;
use controller_api::wire;
use model::ConfigVars;
use store::ledger::read_base;

use crate::actions;
use crate::context::{Ctx, actor};
use crate::error::{ApiError, ApiResult};
use crate::guard::AppAccess;
use crate::http::body::JsonBody;

pub(crate) async fn show(
    State(context): State<Ctx>,
    access: AppAccess,
) -> ApiResult<Json<wire::ConfigVars>> {
    let base = read_base(context.store(), &context.keyring, access.app.value.id).await?;
    let base = base.ok_or_else(|| ApiError::not_found("app"))?;
    Ok(Json(view(base.all_config())))
}

pub(crate) async fn update(
    State(context): State<Ctx>,
    access: AppAccess,
    JsonBody(body): JsonBody<wire::ConfigVarsUpdate>,
) -> ApiResult<Json<wire::ConfigVars>> {
    let by = actor(&access.session.account);
    let config = actions::config_vars::update(&context, access.app.value.id, &by, body).await?;
    Ok(Json(view(config)))
}

pub(super) fn view(config: ConfigVars) -> wire::ConfigVars {
    config
        .0
        .into_iter()
        .map(|(name, value)| (name.to_string(), value))
        .collect()
}
