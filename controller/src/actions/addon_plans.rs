//! Another plan for an add-on.

use model::addon::{Addon, AddonState};
use model::{Actor, AddonId, PlanName, Timestamp};
use tracing::warn;

use super::addon_provided::set_config_vars;
use super::addons::no_plan;
use super::{ActionError, Attempts};
use crate::addons::answer::{Changed, changed};
use crate::addons::progress::{read, replace};
use crate::addons::provider::Provider;
use crate::addons::service_of;
use crate::context::Context;

/// The provider is asked first, and asked again by whoever does not hear how it went.
pub(super) async fn change(
    context: &Context,
    addon: Addon,
    by: &Actor,
    identity: &str,
) -> Result<Addon, ActionError> {
    let store = context.store();
    let service = service_of(store, &addon.service).await?;
    let service = service.ok_or(ActionError::Gone {
        resource: "add_on service",
    })?;
    let plan = service.value.plan(identity);
    let plan = plan.ok_or_else(|| no_plan(identity))?.name.clone();
    if !matches!(addon.state, AddonState::Provisioned) {
        return Err(ActionError::invalid(format!(
            "{} is not there yet, or on its way out; its plan cannot be changed now.",
            addon.name
        )));
    }
    // Where it is not known which one it has, it is asked again.
    if plan == addon.plan && addon.changing_to.is_none() {
        return Ok(addon);
    }
    let addon = note_change(context, addon.id, &plan).await?;
    let secrets = context.keyring.open(&service.key, &service.value.secrets)?;
    let provider = Provider {
        service: &service.value,
        secrets: &secrets,
    };
    let heard = context
        .addons
        .providers
        .change_plan(provider, &addon, &plan);
    let (config, message, complaint) = match changed(heard.await, &service.value.config_vars) {
        Changed::Done {
            config,
            message,
            complaint,
        } => (config, message, complaint),
        Changed::Refused(message) => {
            note_plan(context, addon.id, |addon| addon.changing_to = None).await?;
            return Err(ActionError::Invalid { message });
        }
        Changed::Unknown(why) => {
            return Err(ActionError::Provider {
                message: format!(
                    "Nobody knows whether {} has the plan {plan} now: {why}. Ask for it once more.",
                    addon.name
                ),
            });
        }
    };
    let changed = note_plan(context, addon.id, |addon| {
        addon.plan = plan.clone();
        addon.changing_to = None;
        addon.message.clone_from(&message);
    })
    .await?;
    let text = format!("Change add-on {} to {}", changed.name, changed.full_plan());
    context.tell(changed.app, by, &text).await;
    let given: Vec<_> = (config.0.into_iter())
        .map(|(name, value)| (name.to_string(), Some(value)))
        .collect();
    let complaint = match set_config_vars(context, addon.id, &given).await {
        Ok(_) => complaint,
        Err(ActionError::Invalid { message }) => Some(message),
        Err(error) => return Err(error),
    };
    // The plan is what it is, whatever came with it.
    if let Some(complaint) = complaint {
        warn!(addon.name = %addon.name, "With another plan, config vars came that are not taken: {complaint}");
    }
    Ok(changed)
}

/// That its provider may give it that plan from now on.
async fn note_change(
    context: &Context,
    id: AddonId,
    plan: &PlanName,
) -> Result<Addon, ActionError> {
    note_plan(context, id, |addon| addon.changing_to = Some(plan.clone())).await
}

async fn note_plan(
    context: &Context,
    id: AddonId,
    change: impl Fn(&mut Addon) + Send,
) -> Result<Addon, ActionError> {
    let mut attempts = Attempts::default();
    loop {
        let seen = read(context, id).await?;
        let seen = seen.ok_or(ActionError::Gone { resource: "add_on" })?;
        let mut changed = seen.value.clone();
        change(&mut changed);
        changed.updated_at = Timestamp::now();
        if replace(context, &seen, &changed).await? {
            return Ok(changed);
        }
        attempts.lost().await?;
    }
}
