//! addons:upgrade, addons:downgrade: another plan for an add-on.

use anyhow::Result;
use controller_api::wire::AddonUpdate;
use controller_api::wire::app::Identity;

use super::super::suggest;
use super::{resolve, words};
use crate::args::AddonUpgradeArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::printable;

pub(crate) async fn upgrade(context: &Context, args: &AddonUpgradeArgs) -> Result<()> {
    let (typed, plan) = wanted(&args.addon, args.plan.as_deref())?;
    let (client, output) = (context.client()?, &context.output);
    let app = context.app_if_any(&args.app)?;
    let addon = resolve::one(&client, app.as_deref(), typed).await?;
    let plan = format!("{}:{plan}", addon.addon_service.name);
    let owner = addon.app.name.as_str();
    let action = output.action(format!(
        "Changing {} on {} from {} to {plan}",
        words::named(output.err_paint, addon.name.as_str()),
        output.app(owner),
        addon.plan.name
    ));
    let update = AddonUpdate {
        name: None,
        plan: Some(Identity(plan.clone())),
    };
    let id = addon.id.to_string();
    let changed = match client.update_addon(owner, &id, &update).await {
        Ok(changed) => changed,
        Err(error) => {
            drop(action);
            return Err(suggest::plan_meant(&client, &plan, error.into()).await);
        }
    };
    match &changed.billed_price {
        Some(price) => action.done_with(words::price(price)),
        None => action.done(),
    }
    if !changed.provision_message.is_empty() {
        output.note(printable(&changed.provision_message))?;
    }
    Ok(())
}

/// The add-on, and the plan without its service's name: an add-on does not change its service.
fn wanted<'a>(addon: &'a str, plan: Option<&'a str>) -> Result<(&'a str, &'a str), Failure> {
    let (addon, plan) = match (plan, addon.split_once(':')) {
        (Some(plan), _) => (addon, plan),
        (None, Some((addon, plan))) => (addon, plan),
        (None, None) => (addon, ""),
    };
    let plan = plan.split_once(':').map_or(plan, |(_, plan)| plan);
    if plan.is_empty() {
        return Err(Failure::usage(format!("No plan is given for {addon}"))
            .advise("Say which, as in `paas addons:upgrade acme-pg:standard-0`."));
    }
    Ok((addon, plan))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_said_behind_a_colon_or_after_a_blank() {
        for (addon, plan, expected) in [
            ("acme-pg:dev", None, Some(("acme-pg", "dev"))),
            ("db", Some("dev"), Some(("db", "dev"))),
            ("db", Some("acme-pg:dev"), Some(("db", "dev"))),
            ("db", None, None),
            ("db:", None, None),
        ] {
            assert_eq!(wanted(addon, plan).ok(), expected, "{addon} {plan:?}");
        }
    }
}
