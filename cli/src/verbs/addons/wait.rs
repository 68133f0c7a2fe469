//! addons:wait, and `--wait`: until a provider has made something, or taken it away.

use std::time::Duration;

use anyhow::Result;
use controller_api::ClientError;
use controller_api::wire::{Addon, AddonState};
use tokio::time::Instant;

use super::{create, resolve, words};
use crate::args::AddonWaitArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::printable;

pub(super) const EVERY: Duration = Duration::from_secs(1);

/// Providers may take their time, but not for ever.
const WITHIN: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) async fn wait(context: &Context, args: &AddonWaitArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let app = context.app_if_any(&args.app)?;
    let addons = match (&args.addon, &app) {
        (Some(typed), _) => vec![resolve::one(&client, app.as_deref(), typed).await?],
        (None, Some(app)) => client.addons(app).await?,
        (None, None) => client.all_addons().await?,
    };
    let every = Duration::from_secs(args.wait_interval);
    let mut waited = false;
    for addon in addons {
        match addon.state {
            AddonState::Provisioning => {
                let addon = until_created(context, &addon, every).await?;
                output.note(create::created(output, &addon))?;
            }
            AddonState::Deprovisioning => until_destroyed(context, &addon, every).await?,
            // Somebody waits for it, and it is too late.
            AddonState::Deprovisioned if args.addon.is_some() => {
                return Err(never_created(&addon).into());
            }
            AddonState::Provisioned | AddonState::Deprovisioned => continue,
        }
        waited = true;
    }
    if !waited {
        output.note("Nothing is being created or destroyed.")?;
    }
    Ok(())
}

/// The add-on as it is then.
pub(super) async fn until_created(
    context: &Context,
    addon: &Addon,
    every: Duration,
) -> Result<Addon> {
    until(context, "Creating", addon, every, |found| match found {
        None => Some(Err(Failure::new(format!(
            "{} is gone: it was destroyed before it was there",
            addon.name
        )))),
        Some(addon) => match addon.state {
            AddonState::Provisioning => None,
            AddonState::Provisioned => Some(Ok(addon)),
            AddonState::Deprovisioning | AddonState::Deprovisioned => {
                Some(Err(never_created(&addon)))
            }
        },
    })
    .await
}

pub(super) async fn until_destroyed(
    context: &Context,
    addon: &Addon,
    every: Duration,
) -> Result<()> {
    until(context, "Destroying", addon, every, |found| {
        let state = found.map_or(AddonState::Deprovisioned, |found| found.state);
        match state {
            AddonState::Deprovisioning => None,
            AddonState::Deprovisioned => Some(Ok(())),
            AddonState::Provisioning | AddonState::Provisioned => {
                Some(Err(never_destroyed(addon, state)))
            }
        }
    })
    .await
}

pub(super) fn never_created(addon: &Addon) -> Failure {
    let why = printable(&addon.provision_message);
    let why = match why.trim_end_matches('.') {
        "" => String::new(),
        why => format!(": {why}"),
    };
    Failure::new(format!("{} could not be created{why}", addon.name))
}

pub(super) fn never_destroyed(addon: &Addon, state: AddonState) -> Failure {
    Failure::new(format!(
        "{} could not be destroyed: it is {}",
        addon.name,
        words::state(state)
    ))
}

/// Looks again and again, until `judge` has something to say of the add-on; it gets `None` when there is none any more.
async fn until<T>(
    context: &Context,
    doing: &str,
    addon: &Addon,
    every: Duration,
    judge: impl Fn(Option<Addon>) -> Option<Result<T, Failure>>,
) -> Result<T> {
    let (client, output) = (context.client()?, &context.output);
    let (app, name) = (addon.app.name.as_str(), addon.name.as_str());
    // It may be renamed meanwhile.
    let id = addon.id.to_string();
    let action = output.action(format!("{doing} {}", words::named(output.err_paint, name)));
    let begun = Instant::now();
    loop {
        let found = match client.addon(app, &id).await {
            Err(ClientError::Api(error)) if error.status == 404 => None,
            found => Some(found?),
        };
        if let Some(judged) = judge(found) {
            let judged = judged?;
            action.done();
            return Ok(judged);
        }
        if begun.elapsed() >= WITHIN {
            return Err(
                Failure::new(format!("{name} is still not done after a day"))
                    .advise(format!(
                        "The platform goes on with it. See: paas addons:info {name}"
                    ))
                    .into(),
            );
        }
        action.progress(format!("({}s)", begun.elapsed().as_secs()));
        tokio::time::sleep(every).await;
    }
}
