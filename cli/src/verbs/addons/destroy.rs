//! addons:destroy: all is looked at and confirmed before the first is gone.

use std::collections::BTreeMap;

use anyhow::Result;
use controller_api::Client;
use controller_api::wire::{Addon, AddonDestroy, AddonState};

use super::super::confirm::Confirm;
use super::words::is_app;
use super::{resolve, wait, words};
use crate::args::AddonDestroyArgs;
use crate::context::Context;
use crate::failure::Failure;

pub(crate) async fn destroy(context: &Context, args: &AddonDestroyArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let app = context.app_if_any(&args.app)?;
    let by_app = found(&client, app.as_deref(), &args.addons).await?;
    for (app, addons) in &by_app {
        let names: Vec<&str> = addons.iter().map(|addon| addon.name.as_str()).collect();
        Confirm {
            name: app,
            given: args.confirm.as_deref(),
            warning: format!(
                "This will destroy {} of {}, with all that is in it.",
                names.join(", "),
                output.app(app)
            ),
            done: "destroyed",
        }
        .ask(output)?;
    }
    for addon in by_app.values().flatten() {
        one(context, &client, addon, args).await?;
    }
    Ok(())
}

/// By their apps, each once, however often it was named.
async fn found(
    client: &Client,
    app: Option<&str>,
    typed: &[String],
) -> Result<BTreeMap<String, Vec<Addon>>> {
    let mut by_app: BTreeMap<String, Vec<Addon>> = BTreeMap::new();
    for typed in typed {
        let addon = resolve::one(client, app, typed).await?;
        let owner = &addon.app;
        if let Some(app) = app
            && !is_app(owner, app)
        {
            return Err(Failure::new(format!(
                "{} is on {}, not on {app}: nothing was destroyed",
                addon.name, owner.name
            ))
            .advise(format!("If you mean it, say so with `-a {}`.", owner.name))
            .into());
        }
        let addons = by_app.entry(owner.name.to_string()).or_default();
        if !addons.iter().any(|other| other.id == addon.id) {
            addons.push(addon);
        }
    }
    Ok(by_app)
}

async fn one(
    context: &Context,
    client: &Client,
    addon: &Addon,
    args: &AddonDestroyArgs,
) -> Result<()> {
    let output = &context.output;
    let app = addon.app.name.as_str();
    let name = words::named(output.err_paint, addon.name.as_str());
    let action = output.action(format!("Destroying {name} on {}", output.app(app)));
    let wish = AddonDestroy {
        force: args.force.then_some(true),
    };
    let gone = client
        .destroy_addon(app, &addon.id.to_string(), &wish)
        .await?;
    match gone.state {
        AddonState::Deprovisioned => action.done(),
        AddonState::Deprovisioning if args.wait => {
            action.end("pending");
            wait::until_destroyed(context, &gone, wait::EVERY).await?;
        }
        AddonState::Deprovisioning => {
            action.end("pending");
            let info = format!("paas addons:info {}", addon.name);
            output.note(format!(
                "{name} is being destroyed in the background. See: {}",
                output.err_paint.command(&info)
            ))?;
        }
        state @ (AddonState::Provisioning | AddonState::Provisioned) => {
            return Err(wait::never_destroyed(addon, state).into());
        }
    }
    Ok(())
}
