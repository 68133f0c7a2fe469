//! drains, drains:add, drains:remove.

use anyhow::Result;
use controller_api::wire::LogDrainCreate;

use crate::args::{AppJson, DrainAddArgs, DrainArgs};
use crate::context::Context;
use crate::output::{Colour, Table};

pub(crate) async fn list(context: &Context, args: &AppJson) -> Result<()> {
    let app = context.app(&args.app)?;
    let output = &context.output;
    let mut drains = context.client()?.log_drains(&app).await?;
    drains.sort_by(|a, b| a.url.cmp(&b.url));
    if args.json.json {
        return Ok(output.json(&drains)?);
    }
    if drains.is_empty() {
        return Ok(output.line(format!("{app} has no drains."))?);
    }
    output.heading(format!("{app} Drains"))?;
    let mut table = Table::new();
    for drain in drains {
        let url = output.paint.in_colour(Colour::Cyan, &drain.url);
        let of = drain
            .addon
            .map(|addon| format!("of the add-on {}", addon.name));
        table.row([url, drain.token, of.unwrap_or_default()]);
    }
    Ok(output.table(&table)?)
}

pub(crate) async fn add(context: &Context, args: &DrainAddArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!("Adding drain {} to {}", args.url, output.app(&app)));
    let create = LogDrainCreate {
        url: args.url.clone(),
    };
    let drain = client.add_log_drain(&app, &create).await?;
    action.done();
    output.hint(format!("Its token is {}", drain.token))?;
    Ok(())
}

pub(crate) async fn remove(context: &Context, args: &DrainArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!(
        "Removing drain {} from {}",
        args.drain,
        output.app(&app)
    ));
    client.remove_log_drain(&app, &args.drain).await?;
    action.done();
    Ok(())
}
