//! How the platform is, for its operators.

use axum::Json;
use axum::extract::State;
use controller_api::wire;
use model::{ServiceRole, Timestamp};
use store::key;

use crate::context::Ctx;
use crate::error::ApiResult;
use crate::platform_certificate;
use crate::views::platform_status::{Seen, status};

pub(crate) async fn show(State(context): State<Ctx>) -> ApiResult<Json<wire::PlatformStatus>> {
    let store = context.store();
    let controllers = key::alive_services_of(ServiceRole::Controller);
    let builders = key::alive_services_of(ServiceRole::Builder);
    let seen = Seen {
        store: store.status().await?,
        hosts: key::NODES.all(store).await?,
        alive: key::ALIVE_NODES.all(store).await?,
        routes: key::ROUTES.all(store).await?,
        routers: key::ALIVE_ROUTERS.all(store).await?,
        controllers: key::ALIVE_SERVICES.list(store, &controllers).await?,
        builders: key::ALIVE_SERVICES.list(store, &builders).await?,
        leader: key::LEADERS.get(store, &key::leader("scheduler")).await?,
        certificate: platform_certificate::current(store).await?,
        now: Timestamp::now(),
    };
    Ok(Json(status(&seen)))
}
