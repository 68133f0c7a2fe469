//! config, config:get, config:set, config:unset.

use std::collections::BTreeMap;

use anyhow::Result;
use controller_api::Client;
use controller_api::wire::{ConfigVars, ConfigVarsUpdate};

use crate::args::{AppArgs, ConfigArgs, ConfigGetArgs, ConfigSetArgs, ConfigUnsetArgs, WaitArgs};
use crate::context::Context;
use crate::failure::Failure;
use crate::follow;
use crate::git::shell_quoted;
use crate::output::{Action, Colour, Output, Table};

pub(crate) async fn list(context: &Context, args: &ConfigArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let vars = context.client()?.config_vars(&app).await?;
    let output = &context.output;
    if args.json.json {
        return Ok(output.json(&vars)?);
    }
    if args.shell {
        return vars
            .iter()
            .try_for_each(|(name, value)| shell_line(output, name, value.expose()));
    }
    if vars.is_empty() {
        output.note(format!("{} has no config vars.", output.app(&app)))?;
        return Ok(());
    }
    output.heading(format!("{app} Config Vars"))?;
    show(output, &vars)
}

/// `NAME: value`, lined up.
pub(super) fn show(output: &Output, vars: &ConfigVars) -> Result<()> {
    let mut table = Table::new();
    for (name, value) in vars {
        let name = output.paint.in_colour(Colour::Green, &format!("{name}:"));
        table.row([name, value.expose().clone()]);
    }
    Ok(output.table(&table)?)
}

fn shell_line(output: &Output, name: &str, value: &str) -> Result<()> {
    Ok(output.line(format!("{name}={}", shell_quoted(value)))?)
}

/// A var that is not set prints an empty line, as Heroku's does: scripts rely on it.
pub(crate) async fn get(context: &Context, args: &ConfigGetArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let vars = context.client()?.config_vars(&app).await?;
    let output = &context.output;
    if args.json.json {
        let found: BTreeMap<&String, _> = args
            .names
            .iter()
            .map(|name| (name, vars.get(name)))
            .collect();
        return Ok(output.json(&found)?);
    }
    for name in &args.names {
        let value = vars.get(name).map_or("", |value| value.expose().as_str());
        if args.shell {
            shell_line(output, name, value)?;
        } else {
            output.line(value)?;
        }
    }
    Ok(())
}

pub(crate) async fn set(context: &Context, args: &ConfigSetArgs) -> Result<()> {
    let pairs = args
        .vars
        .iter()
        .map(|var| split_pair(var))
        .collect::<Result<Vec<_>, _>>()?;
    let update = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Some((*value).into())))
        .collect();
    change(context, &args.app, args.wait, "Setting", &update).await
}

pub(super) fn split_pair(pair: &str) -> Result<(&str, &str), Failure> {
    pair.split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| {
            // What stands there may be a value that was torn off by a blank: it is not repeated.
            Failure::usage("Config vars are set as NAME=VALUE")
                .advise("Quote values with blanks: paas config:set A='b c'")
        })
}

pub(crate) async fn unset(context: &Context, args: &ConfigUnsetArgs) -> Result<()> {
    if let Some(name) = args.names.iter().find(|name| name.contains('=')) {
        let name = name.split('=').next().unwrap_or_default();
        return Err(Failure::usage("Config vars are unset by name alone")
            .advise(format!("Try `paas config:unset {name}`."))
            .into());
    }
    let update = args.names.iter().map(|name| (name.clone(), None)).collect();
    change(context, &args.app, args.wait, "Unsetting", &update).await
}

/// Changes the config, and follows the release that it makes.
async fn change(
    context: &Context,
    app: &AppArgs,
    wait: WaitArgs,
    doing: &str,
    update: &ConfigVarsUpdate,
) -> Result<()> {
    let app = context.app(app)?;
    let output = &context.output;
    let names: Vec<&str> = update.keys().map(String::as_str).collect();
    let names = output.err_paint.in_colour(Colour::Green, &names.join(", "));
    let action = output.action(format!(
        "{doing} {names} and restarting {}",
        output.app(&app)
    ));
    let vars = release(context, &app, update, wait, action).await?;
    echo(output, update, vars)
}

/// Changes the config, and says with the action how it goes with the release that it makes.
pub(super) async fn release(
    context: &Context,
    app: &str,
    update: &ConfigVarsUpdate,
    wait: WaitArgs,
    action: Action,
) -> Result<ConfigVars> {
    let (client, output) = (context.client()?, &context.output);
    let before = version(&client, app).await?;
    let vars = client.update_config_vars(app, update).await?;
    match version(&client, app).await? {
        // The values were so already: no release came of it.
        after if after == before => action.end("nothing changed"),
        after if wait.no_wait => action.end(&format!("v{after} is on its way")),
        after => follow::release(output, &client, app, after, action).await?,
    }
    Ok(vars)
}

/// Shows what was set, as Heroku's does.
fn echo(output: &Output, update: &ConfigVarsUpdate, mut vars: ConfigVars) -> Result<()> {
    vars.retain(|name, _| matches!(update.get(name), Some(Some(_))));
    show(output, &vars)
}

async fn version(client: &Client, app: &str) -> Result<u64> {
    Ok(follow::newest_release(client, app)
        .await?
        .map_or(0, |release| release.version))
}
