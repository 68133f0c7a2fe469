//! routing, routing:set, routing:unset, routing:pause, routing:resume: how an app's requests are treated.

mod setting;

use anyhow::Result;
use controller_api::wire::Routing;
use serde_json::{Map, Value};

use crate::args::{AppJson, AppOnly, RoutingSetArgs, RoutingUnsetArgs};
use crate::context::Context;
use crate::output::{Colour, Output, Table};

pub(crate) async fn show(context: &Context, args: &AppJson) -> Result<()> {
    let app = context.app(&args.app)?;
    let routing = context.client()?.routing(&app).await?;
    let output = &context.output;
    if args.json.json {
        return Ok(output.json(&routing)?);
    }
    if routing == Routing::default() {
        output.note(format!(
            "{} has no settings of its own: requests are passed on, whoever sends them.",
            output.app(&app)
        ))?;
        return Ok(());
    }
    output.heading(format!("{app} Routing"))?;
    table(output, &routing)
}

fn table(output: &Output, routing: &Routing) -> Result<()> {
    let mut table = Table::new();
    for (name, value) in setting::listed(routing) {
        table.row([output.paint.in_colour(Colour::Green, &name), value]);
    }
    Ok(output.table(&table)?)
}

pub(crate) async fn set(context: &Context, args: &RoutingSetArgs) -> Result<()> {
    let settings = args.settings.iter().map(|text| setting::parse(text));
    let settings = settings.collect::<Result<Vec<_>, _>>()?;
    let names: Vec<&str> = args
        .settings
        .iter()
        .map(|text| setting::name(text))
        .collect();
    let app = context.app(&args.app)?;
    let patch = setting::patch(settings);
    change(context, &app, "Setting", &names, &patch, args.json.json).await
}

pub(crate) async fn unset(context: &Context, args: &RoutingUnsetArgs) -> Result<()> {
    let settings = args.names.iter().map(|name| setting::unset(name));
    let settings = settings.collect::<Result<Vec<_>, _>>()?;
    let names: Vec<&str> = args.names.iter().map(String::as_str).collect();
    let app = context.app(&args.app)?;
    let patch = setting::patch(settings);
    change(context, &app, "Unsetting", &names, &patch, args.json.json).await
}

async fn change(
    context: &Context,
    app: &str,
    doing: &str,
    names: &[&str],
    patch: &Map<String, Value>,
    as_json: bool,
) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let names = output.err_paint.in_colour(Colour::Green, &names.join(", "));
    let action = output.action(format!("{doing} {names} of {}", output.app(app)));
    let routing = client.update_routing(app, patch).await?;
    action.done();
    if as_json {
        return Ok(output.json(&routing)?);
    }
    table(output, &routing)
}

pub(crate) async fn pause(context: &Context, args: &AppOnly, paused: bool) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let doing = if paused { "Holding" } else { "Letting through" };
    let action = output.action(format!("{doing} requests for {}", output.app(&app)));
    let patch = setting::patch([setting::paused(paused)]);
    client.update_routing(&app, &patch).await?;
    action.done();
    if paused {
        output.note("Requests wait for routing:resume, each for up to 75 seconds.")?;
    }
    Ok(())
}
