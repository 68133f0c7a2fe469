//! What a provider says of its add-ons: what they give, and whether they are there.

use std::collections::{BTreeMap, BTreeSet};

use model::addon::{Addon, AddonState, Part};
use model::{AddonConfig, AddonId, Timestamp};
use store::ledger::read_base;

use super::{ActionError, Attempts, sentence};
use crate::addons::answer::{check, declared_name};
use crate::addons::lay::fits;
use crate::addons::progress::{self, read, replace, set_config};
use crate::addons::{attachments_of, service_of};
use crate::context::Context;

/// What its provider says it gives from now on; `None` for what it gives no more.
pub(crate) async fn set_config_vars(
    context: &Context,
    id: AddonId,
    given: &[(String, Option<model::Secret<String>>)],
) -> Result<AddonConfig, ActionError> {
    let store = context.store();
    let mut attempts = Attempts::default();
    loop {
        let seen = read(context, id).await?;
        let seen = seen.ok_or(ActionError::Gone { resource: "add_on" })?;
        let service = service_of(store, &seen.value.service).await?;
        let declared = service.map(|service| service.value.config_vars);
        let declared = declared.unwrap_or_default();
        let mut config = progress::config_of(context, &seen.value)?;
        for (name, value) in given {
            let name = declared_name(name, &declared)
                .map_err(|why| ActionError::invalid(sentence(&why)))?;
            match value {
                Some(value) => config.0.insert(name, value.clone()),
                None => config.0.remove(&name),
            };
        }
        check(&config).map_err(|why| ActionError::invalid(sentence(&why)))?;
        if !fits_everywhere(context, id, &config).await? {
            return Err(ActionError::invalid(
                "With that, the config vars of an app that has the add-on would be too large.",
            ));
        }
        let changed = set_config(context, &seen.value, &config)?;
        if replace(context, &seen, &changed).await? {
            return Ok(config);
        }
        attempts.lost().await?;
    }
}

/// Whether every app that has an add-on could have these of it.
async fn fits_everywhere(
    context: &Context,
    id: AddonId,
    config: &AddonConfig,
) -> Result<bool, ActionError> {
    let (store, keyring) = (context.store(), &context.keyring);
    let Some(addon) = read(context, id).await? else {
        return Ok(true);
    };
    let mut apps: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for attachment in attachments_of(store, id).await? {
        let attachment = attachment.value;
        apps.entry(attachment.app)
            .or_default()
            .push(attachment.name);
    }
    for (app, names) in apps {
        let Some(base) = read_base(store, keyring, app).await? else {
            continue;
        };
        let mut attached = base.attached;
        for name in names {
            attached.add(Part::new(&name, &addon.value, config, &BTreeSet::new()));
        }
        if !fits(&attached, &base.config) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Its provider says that it is there.
pub(crate) async fn provisioned(context: &Context, id: AddonId) -> Result<Addon, ActionError> {
    let mut attempts = Attempts::default();
    loop {
        let seen = read(context, id).await?;
        let seen = seen.ok_or(ActionError::Gone { resource: "add_on" })?;
        let wish = match &seen.value.state {
            AddonState::Requested { wish, .. } | AddonState::Provisioning { wish, .. } => {
                wish.clone()
            }
            AddonState::Provisioned => return Ok(seen.value),
            AddonState::Deprovisioning { .. } | AddonState::Failed { .. } => {
                return Err(on_its_way_out(&seen.value));
            }
        };
        // What was said of it while it was made is of no use any more.
        let addon = Addon {
            message: None,
            ..seen.value.clone()
        };
        progress::provisioned(context, &seen, addon, &wish).await?;
        attempts.lost().await?;
    }
}

/// Its provider says that there will be none.
pub(crate) async fn not_provisioned(context: &Context, id: AddonId) -> Result<Addon, ActionError> {
    let mut attempts = Attempts::default();
    loop {
        let seen = read(context, id).await?;
        let seen = seen.ok_or(ActionError::Gone { resource: "add_on" })?;
        match &seen.value.state {
            AddonState::Requested { .. } | AddonState::Provisioning { .. } => {}
            AddonState::Provisioned => {
                return Err(ActionError::invalid(format!(
                    "{} is provisioned; it ends when whoever has it destroys it.",
                    seen.value.name
                )));
            }
            AddonState::Deprovisioning { .. } | AddonState::Failed { .. } => {
                return Ok(seen.value);
            }
        }
        let changed = Addon {
            state: AddonState::Failed {
                message: "Its provider could not make it.".to_owned(),
            },
            updated_at: Timestamp::now(),
            ..seen.value.clone()
        };
        if replace(context, &seen, &changed).await? {
            return Ok(changed);
        }
        attempts.lost().await?;
    }
}

pub(crate) fn on_its_way_out(addon: &Addon) -> ActionError {
    ActionError::Ended {
        message: format!("{} is wanted no more.", addon.name),
    }
}
