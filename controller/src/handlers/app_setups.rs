//! Setting apps up.

use axum::Json;
use axum::extract::{Path, State};
use controller_api::wire;
use model::{AppSetup, AppSetupId};
use store::key;

use super::{Created, accepted, builds};
use crate::actions;
use crate::auth::Session;
use crate::context::{Context, Ctx};
use crate::error::{ApiError, ApiResult};
use crate::find;
use crate::http::body::JsonBody;
use crate::views;

pub(crate) async fn create(
    State(context): State<Ctx>,
    session: Session,
    JsonBody(body): JsonBody<wire::AppSetupCreate>,
) -> ApiResult<Created<wire::AppSetup>> {
    let setup = actions::app_setups::create(&context, &session.account, body).await?;
    Ok(accepted(view(&context, &setup).await?))
}

/// For whoever may see the app.
pub(crate) async fn show(
    State(context): State<Ctx>,
    session: Session,
    Path(identity): Path<String>,
) -> ApiResult<Json<wire::AppSetup>> {
    let none = || ApiError::not_found("app setup");
    let id: AppSetupId = identity.parse().map_err(|_| none())?;
    let store = context.store();
    let setup = key::APP_SETUPS.get(store, &key::app_setup(id)).await?;
    let setup = setup.ok_or_else(none)?.value;
    let app = key::APPS.get(store, &key::app(setup.app)).await?;
    let app = app.ok_or_else(none)?.value;
    let role = find::role(store, &session.account, &app).await?;
    role.ok_or_else(none)?;
    Ok(Json(view(&context, &setup).await?))
}

async fn view(context: &Context, setup: &AppSetup) -> ApiResult<wire::AppSetup> {
    let build = match setup.build {
        Some(id) => {
            let place = key::build(setup.app, id);
            key::BUILDS.get(context.store(), &place).await?
        }
        None => None,
    };
    let build = match build {
        Some(build) => Some(builds::view(context, &build.value).await?),
        None => None,
    };
    let web_url = context.config.web_url(setup.app_name.as_str());
    Ok(views::app_setup::app_setup(setup, build, &web_url))
}
