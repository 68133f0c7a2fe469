//! addons and addons:*: what others provide to apps, and reaches them as config vars.

pub(super) mod attach;
pub(super) mod create;
pub(super) mod destroy;
mod listed;
mod manifest;
mod options;
mod resolve;
pub(super) mod services;
pub(super) mod upgrade;
pub(super) mod wait;
mod words;

use anyhow::Result;
use controller_api::wire::{Addon, AddonAttachment, AddonUpdate};
use serde_json::json;

use super::teams;
use crate::args::{AddonInfoArgs, AddonOpenArgs, AddonRenameArgs, AddonsArgs, JsonArgs};
use crate::browser;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Colour, Output, Table, clock, printable};

pub(crate) async fn list(context: &Context, args: &AddonsArgs) -> Result<()> {
    let app = match args.all {
        true => None,
        false => context.app_if_any(&args.app)?,
    };
    match app {
        Some(app) => of_app(context, &app, args.json).await,
        None => of_all(context, args.json).await,
    }
}

async fn of_app(context: &Context, app: &str, json: JsonArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let listed = listed::of_app(&client, app).await?;
    if json.json {
        return Ok(output.json(&listed)?);
    }
    if listed.is_empty() {
        return none(output, &format!("{} has no add-ons.", output.app(app)));
    }
    let mut table = Table::new();
    table.row(["Add-on", "Plan", "Price", "State"].map(|title| words::title(output.paint, title)));
    for (number, one) in listed.iter().enumerate() {
        if number > 0 {
            table.row([""; 4].map(str::to_owned));
        }
        one.show(output.paint, app, &mut table);
    }
    Ok(output.table(&table)?)
}

async fn of_all(context: &Context, json: JsonArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let mut addons = client.all_addons().await?;
    addons.sort_by(|a, b| {
        (&a.app.name, &a.plan.name, &a.name).cmp(&(&b.app.name, &b.plan.name, &b.name))
    });
    if json.json {
        return Ok(output.json(&addons)?);
    }
    if addons.is_empty() {
        return none(output, "There are no add-ons.");
    }
    let mut table = Table::new();
    let titles = ["Owning App", "Add-on", "Plan", "Price", "State"];
    table.row(titles.map(|title| words::title(output.paint, title)));
    for addon in &addons {
        table.row([
            output.paint.app(addon.app.name.as_str()),
            words::named(output.paint, addon.name.as_str()),
            addon.plan.name.clone(),
            words::price_of(addon),
            output.paint.state(words::state(addon.state)),
        ]);
    }
    Ok(output.table(&table)?)
}

fn none(output: &Output, words: &str) -> Result<()> {
    Ok(output.note(format!(
        "{words} See what there is with: paas addons:services"
    ))?)
}

pub(crate) async fn info(context: &Context, args: &AddonInfoArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let app = context.app_if_any(&args.app)?;
    let addon = resolve::one(&client, app.as_deref(), &args.addon).await?;
    // Of another app's add-on one may be told less than its owner is.
    let id = addon.id.to_string();
    let attachments = teams::if_allowed(client.attachments_of_addon(&id).await)?;
    let attachments = attachments.unwrap_or_default();
    if args.json.json {
        return Ok(output.json(&json!({ "addon": addon, "attachments": attachments }))?);
    }
    output.heading(words::named(output.paint, addon.name.as_str()))?;
    let mut table = Table::new();
    for (label, value) in facts(output, &addon, &attachments) {
        table.row([format!("{label}:"), value]);
    }
    Ok(output.table(&table)?)
}

fn facts(
    output: &Output,
    addon: &Addon,
    attachments: &[AddonAttachment],
) -> Vec<(&'static str, String)> {
    let mut places: Vec<String> = attachments
        .iter()
        .map(|attachment| format!("{}::{}", attachment.app.name, attachment.name))
        .collect();
    places.sort();
    let mut facts = vec![
        ("Plan", addon.plan.name.clone()),
        ("Price", words::price_of(addon)),
        ("Attachments", places.join(", ")),
        ("Config vars", addon.config_vars.join(", ")),
        ("Owning app", output.paint.app(addon.app.name.as_str())),
        ("Installed at", clock(addon.created_at.0)),
        ("State", output.paint.state(words::state(addon.state))),
        ("Message", printable(&addon.provision_message)),
    ];
    facts.retain(|(_, value)| !value.is_empty());
    facts
}

pub(crate) async fn open(context: &Context, args: &AddonOpenArgs) -> Result<()> {
    let client = context.client()?;
    let app = context.app_if_any(&args.app)?;
    // The dashboard is told of which app somebody comes.
    let attachment = resolve::attachment(&client, app.as_deref(), &args.addon).await?;
    let (name, url) = match attachment {
        Some(attachment) => (attachment.addon.name, attachment.web_url),
        None => {
            let addon = resolve::one(&client, app.as_deref(), &args.addon).await?;
            (addon.name, addon.web_url)
        }
    };
    let url = url
        .ok_or_else(|| Failure::new(format!("{name} has no dashboard: its service offers none")))?;
    match args.show_url {
        true => Ok(context.output.line(url)?),
        false => browser::visit(context, &url),
    }
}

pub(crate) async fn rename(context: &Context, args: &AddonRenameArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let app = context.app_if_any(&args.app)?;
    let addon = resolve::one(&client, app.as_deref(), &args.addon).await?;
    let action = output.action(format!(
        "Renaming {} to {}",
        output
            .err_paint
            .in_colour(Colour::Yellow, addon.name.as_str()),
        args.new_name
    ));
    let update = AddonUpdate {
        name: Some(args.new_name.clone()),
        plan: None,
    };
    client
        .update_addon(addon.app.name.as_str(), &addon.id.to_string(), &update)
        .await?;
    action.done();
    Ok(())
}
