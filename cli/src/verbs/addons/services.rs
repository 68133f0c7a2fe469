//! addons:services, addons:plans, addon-services:*: who provides add-ons, and at what price.

use anyhow::Result;
use controller_api::wire::{AddonDestroy, AddonService};

use super::super::confirm::Confirm;
use super::manifest::Manifest;
use super::words;
use crate::args::{AddonManifestArgs, AddonPlansArgs, AddonServiceRemoveArgs, JsonArgs};
use crate::context::Context;
use crate::output::Table;

pub(crate) async fn list(context: &Context, args: JsonArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let mut services = client.addon_services().await?;
    services.sort_by(|a, b| a.name.cmp(&b.name));
    if args.json {
        return Ok(output.json(&services)?);
    }
    if services.is_empty() {
        output.note(
            "There are no add-on services here. An administrator adds one with: paas addon-services:add",
        )?;
        return Ok(());
    }
    let mut table = Table::new();
    table.row(["Slug", "Name", "State"].map(|title| words::title(output.paint, title)));
    for service in services {
        let name = words::named(output.paint, service.name.as_str());
        table.row([name, service.human_name, service.state]);
    }
    output.table(&table)?;
    output.hint("See plans with: paas addons:plans SERVICE")?;
    Ok(())
}

pub(crate) async fn plans(context: &Context, args: &AddonPlansArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let mut plans = client.plans(&args.service).await?;
    plans.sort_by_key(|plan| (plan.price.contract, plan.price.cents));
    if args.json.json {
        return Ok(output.json(&plans)?);
    }
    let mut table = Table::new();
    table.row(["", "Slug", "Name", "Price"].map(|title| words::title(output.paint, title)));
    for plan in plans {
        let default = if plan.default { "default" } else { "" };
        table.row([
            default.to_owned(),
            plan.name,
            plan.human_name,
            words::price(&plan.price),
        ]);
    }
    Ok(output.table(&table)?)
}

pub(crate) async fn add(context: &Context, args: &AddonManifestArgs) -> Result<()> {
    let manifest = Manifest::read(&args.manifest)?;
    let (client, output) = (context.client()?, &context.output);
    let action = output.action("Adding an add-on service");
    let service = client.add_addon_service(&manifest.content).await?;
    action.done_with(&service.name);
    told(context, &service, args.json)
}

pub(crate) async fn update(context: &Context, args: &AddonManifestArgs) -> Result<()> {
    let manifest = Manifest::read(&args.manifest)?;
    let name = manifest.id()?;
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!("Updating the add-on service {name}"));
    let service = client
        .replace_addon_service(name, &manifest.content)
        .await?;
    action.done();
    told(context, &service, args.json)
}

fn told(context: &Context, service: &AddonService, json: JsonArgs) -> Result<()> {
    if json.json {
        return Ok(context.output.json(service)?);
    }
    context.output.hint(format!(
        "See its plans with: paas addons:plans {}",
        service.name
    ))?;
    Ok(())
}

pub(crate) async fn remove(context: &Context, args: &AddonServiceRemoveArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let name = client.addon_service(&args.service).await?.name.to_string();
    Confirm {
        name: &name,
        given: args.confirm.as_deref(),
        warning: format!("This will remove {name}: apps get no more add-ons of it."),
        done: "removed",
    }
    .ask(output)?;
    let action = output.action(format!("Removing the add-on service {name}"));
    let destroy = AddonDestroy {
        force: args.force.then_some(true),
    };
    client.remove_addon_service(&name, &destroy).await?;
    action.done();
    Ok(())
}
