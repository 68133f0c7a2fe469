//! Opening and closing ports for what is not HTTP.

use controller_api::wire::TcpRouteCreate;
use model::tcp_route::MAX_TCP_ROUTES;
use model::{AccountId, NamedTarget, TcpRoute, TcpTarget, Timestamp};
use store::{Committed, Store, Txn, Versioned, key};

use super::ActionError;
use crate::context::Context;
use crate::find;

/// Reserved ports are those of the platform as this controller's host is configured; a router refuses those of its own.
pub(crate) async fn add(
    context: &Context,
    by: AccountId,
    wanted: TcpRouteCreate,
) -> Result<TcpRoute, ActionError> {
    let store = context.store();
    if wanted.port == 0 {
        return Err(ActionError::invalid("A port is a number from 1 to 65535."));
    }
    if let Some(whose) = context.config.reserved_ports.get(&wanted.port) {
        return Err(ActionError::invalid(format!(
            "Port {} is the platform's own ({whose}); choose another.",
            wanted.port
        )));
    }
    let target = target(store, &wanted.target).await?;
    if key::TCP_ROUTES.all(store).await?.len() >= MAX_TCP_ROUTES {
        return Err(ActionError::invalid(format!(
            "There may be at most {MAX_TCP_ROUTES} TCP routes."
        )));
    }
    let route = TcpRoute {
        port: wanted.port,
        target,
        proxy_protocol: wanted.proxy_protocol,
        allow: wanted.allow,
        created_at: Timestamp::now(),
        created_by: by,
    };
    let place = key::tcp_route(route.port);
    let txn = Txn::new().create(&key::TCP_ROUTES, place, &route);
    // Nothing of the route hangs on an app but its end: should the app go in this moment, the route is swept after it.
    match txn.commit(store).await? {
        Committed::Done(_) => Ok(route),
        Committed::Conflict => Err(ActionError::invalid(format!(
            "Port {} has a TCP route already; remove that first.",
            route.port
        ))),
    }
}

async fn target(store: &dyn Store, text: &str) -> Result<TcpTarget, ActionError> {
    let named = text.parse().map_err(|error| {
        let error: model::tcp_route::InvalidTarget = error;
        ActionError::invalid(super::sentence(&error.to_string()))
    })?;
    match named {
        NamedTarget::Host { host, port } => Ok(TcpTarget::Host { host, port }),
        NamedTarget::App(name) => match find::app(store, &name).await? {
            Some(app) => Ok(TcpTarget::App(app.value.id)),
            None => Err(ActionError::invalid(format!("There is no app {name}."))),
        },
    }
}

/// Connections that are open go on until one side ends them.
pub(crate) async fn remove(store: &dyn Store, port: &str) -> Result<TcpRoute, ActionError> {
    let seen = match port.parse() {
        Ok(port) => key::TCP_ROUTES.get(store, &key::tcp_route(port)).await?,
        Err(_) => None,
    };
    let seen: Versioned<TcpRoute> = seen.ok_or_else(|| ActionError::NotFound {
        resource: "tcp_route",
        message: format!("Port {port} has no TCP route."),
    })?;
    // Whoever else removes it does the same.
    Txn::new().delete(seen.key).commit(store).await?;
    Ok(seen.value)
}
