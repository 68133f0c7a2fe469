//! TCP routes.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, State};
use controller_api::wire::{self, TcpRouteCreate};
use model::{AppId, TcpRoute, TcpTarget};
use store::{Store, StoreError, key};

use super::{Created, created};
use crate::actions;
use crate::auth::Session;
use crate::context::Ctx;
use crate::error::ApiResult;
use crate::http::body::JsonBody;

/// By port.
pub(crate) async fn list(State(context): State<Ctx>) -> ApiResult<Json<Vec<wire::TcpRoute>>> {
    let store = context.store();
    let routes = key::TCP_ROUTES.all(store).await?;
    let mut routes: Vec<_> = routes.into_iter().map(|seen| seen.value).collect();
    routes.sort_by_key(|route| route.port);
    let names = names(store, &routes).await?;
    Ok(Json(
        routes.iter().map(|route| view(route, &names)).collect(),
    ))
}

pub(crate) async fn create(
    State(context): State<Ctx>,
    session: Session,
    JsonBody(body): JsonBody<TcpRouteCreate>,
) -> ApiResult<Created<wire::TcpRoute>> {
    let route = actions::tcp_routes::add(&context, session.account.id, body).await?;
    Ok(created(one(context.store(), route).await?))
}

pub(crate) async fn remove(
    State(context): State<Ctx>,
    Path(port): Path<String>,
) -> ApiResult<Json<wire::TcpRoute>> {
    let route = actions::tcp_routes::remove(context.store(), &port).await?;
    Ok(Json(one(context.store(), route).await?))
}

async fn one(store: &dyn Store, route: TcpRoute) -> Result<wire::TcpRoute, StoreError> {
    let route = [route];
    let names = names(store, &route).await?;
    Ok(view(&route[0], &names))
}

/// Of the apps that routes lead to.
async fn names(
    store: &dyn Store,
    routes: &[TcpRoute],
) -> Result<HashMap<AppId, String>, StoreError> {
    let mut names = HashMap::new();
    for route in routes {
        if let TcpTarget::App(id) = route.target
            && let Some(app) = key::APPS.get(store, &key::app(id)).await?
        {
            names.insert(id, app.value.name.to_string());
        }
    }
    Ok(names)
}

fn view(route: &TcpRoute, names: &HashMap<AppId, String>) -> wire::TcpRoute {
    wire::TcpRoute {
        allow: route.allow.clone(),
        created_at: route.created_at.into(),
        port: route.port,
        proxy_protocol: route.proxy_protocol,
        target: match &route.target {
            TcpTarget::Host { host, port } => format!("{host}:{port}"),
            TcpTarget::App(id) => match names.get(id) {
                Some(name) => format!("app:{name}"),
                None => format!("app:{id}"),
            },
        },
    }
}
