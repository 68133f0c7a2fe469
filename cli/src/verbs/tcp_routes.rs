//! tcp-routes, tcp-routes:add, tcp-routes:remove: ports for what is not HTTP.

use anyhow::Result;
use controller_api::wire::{TcpRoute, TcpRouteCreate};

use crate::args::{JsonArgs, TcpRouteAddArgs, TcpRouteArgs};
use crate::context::Context;
use crate::output::{Colour, Table};

pub(crate) async fn list(context: &Context, args: JsonArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let routes = client.tcp_routes().await?;
    if args.json {
        return Ok(output.json(&routes)?);
    }
    if routes.is_empty() {
        output.note("There are no TCP routes. Add one with `paas tcp-routes:add`.")?;
        return Ok(());
    }
    let mut table = Table::new();
    let titles = ["Port", "Target", "Allowed", "PROXY protocol"];
    table.row(titles.map(|title| output.paint.in_colour(Colour::Bold, title)));
    for route in routes {
        let proxy_protocol = if route.proxy_protocol { "yes" } else { "no" };
        table.row([
            route.port.to_string(),
            route.target.clone(),
            allowed(&route),
            proxy_protocol.to_owned(),
        ]);
    }
    Ok(output.table(&table)?)
}

fn allowed(route: &TcpRoute) -> String {
    if route.allow.is_empty() {
        return "anybody".to_owned();
    }
    let networks: Vec<_> = route.allow.iter().map(ToString::to_string).collect();
    networks.join(", ")
}

pub(crate) async fn add(context: &Context, args: &TcpRouteAddArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!("Routing port {} to {}", args.port, args.target));
    let create = TcpRouteCreate {
        allow: args.allow.clone(),
        port: args.port,
        proxy_protocol: args.proxy_protocol,
        target: args.target.clone(),
    };
    let route = client.add_tcp_route(&create).await?;
    action.done();
    if args.json.json {
        return Ok(output.json(&route)?);
    }
    output.hint("See whether every router could open it: paas router:status")?;
    Ok(())
}

pub(crate) async fn remove(context: &Context, args: &TcpRouteArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!("Removing the route of port {}", args.port));
    let route = client.remove_tcp_route(args.port).await?;
    action.done();
    if args.json.json {
        output.json(&route)?;
    }
    Ok(())
}
