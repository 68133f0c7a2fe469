//! addons:create: asks a provider for something, and says when it is there.

use anyhow::Result;
use controller_api::wire::app::Identity;
use controller_api::wire::{Addon, AddonCreate, AddonState, AttachmentNamed};

use super::super::{confirm, suggest};
use super::{options, wait, words};
use crate::args::AddonCreateArgs;
use crate::context::Context;
use crate::output::{Output, printable};

pub(crate) async fn create(context: &Context, args: AddonCreateArgs) -> Result<()> {
    let config = options::read(&args.options)?;
    let app = context.app(&args.app)?;
    let wish = AddonCreate {
        plan: Identity(args.plan),
        attachment: args
            .attachment
            .map(|name| AttachmentNamed { name: Some(name) }),
        config: (!config.is_empty()).then_some(config),
        confirm: args.confirm,
        name: args.name,
    };
    let mut addon = ask_for(context, &app, &wish).await?;
    if args.wait && addon.state == AddonState::Provisioning {
        addon = wait::until_created(context, &addon, wait::EVERY).await?;
    }
    tell(&context.output, &addon)?;
    match args.json.json {
        true => Ok(context.output.json(&addon)?),
        false => Ok(()),
    }
}

/// As `apps:create --addons` does.
pub(crate) async fn of_plan(context: &Context, app: &str, plan: String) -> Result<()> {
    let wish = AddonCreate {
        plan: Identity(plan),
        attachment: None,
        config: None,
        confirm: None,
        name: None,
    };
    let addon = ask_for(context, app, &wish).await?;
    tell(&context.output, &addon)
}

async fn ask_for(context: &Context, app: &str, wish: &AddonCreate) -> Result<Addon> {
    let (client, output) = (context.client()?, &context.output);
    let Identity(plan) = &wish.plan;
    let send = async |confirm: Option<&str>| {
        let action = output.action(format!("Creating {plan} on {}", output.app(app)));
        let wish = AddonCreate {
            confirm: confirm.map(str::to_owned),
            ..wish.clone()
        };
        let addon = client.create_addon(app, &wish).await?;
        match &addon.billed_price {
            Some(price) => action.end(&words::price(price)),
            None => action.done(),
        }
        Ok(addon)
    };
    let given = wish.confirm.as_deref();
    let addon = match confirm::when_required(output, app, given, "created", send).await {
        Ok(addon) => addon,
        Err(error) => return Err(suggest::plan_meant(&client, plan, error).await),
    };
    match addon.state {
        AddonState::Deprovisioned => Err(wait::never_created(&addon).into()),
        _ => Ok(addon),
    }
}

/// What the provider has to say, and how far it is.
fn tell(output: &Output, addon: &Addon) -> Result<()> {
    if !addon.provision_message.is_empty() {
        output.note(printable(&addon.provision_message))?;
    }
    let name = words::named(output.err_paint, addon.name.as_str());
    match addon.state {
        AddonState::Provisioning => {
            let info = format!("paas addons:info {}", addon.name);
            output.note(format!(
                "{name} is being created in the background. The app will restart when complete. See: {}",
                output.err_paint.command(&info)
            ))?;
        }
        _ => output.note(created(output, addon))?,
    }
    Ok(())
}

/// `Created acme-pg-calm-1234 as DATABASE_URL`
pub(super) fn created(output: &Output, addon: &Addon) -> String {
    let paint = output.err_paint;
    let name = words::named(paint, addon.name.as_str());
    let vars: Vec<String> = addon
        .config_vars
        .iter()
        .map(|var| words::attached(paint, var))
        .collect();
    match vars.is_empty() {
        true => format!("Created {name}"),
        false => format!("Created {name} as {}", vars.join(", ")),
    }
}
