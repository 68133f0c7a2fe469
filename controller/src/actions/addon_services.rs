//! Those who provide add-ons: what operators say of them.

use model::{Addon, AddonService, AddonServiceId, Timestamp};
use serde_json::Value;
use store::{Committed, Txn, Versioned, key};

use super::{ActionError, Attempts};
use crate::addons::manifest::{self, Manifest};
use crate::addons::service_of;
use crate::context::Context;

const MAX_SERVICES: usize = 200;

pub(crate) async fn add(context: &Context, given: &Value) -> Result<AddonService, ActionError> {
    let store = context.store();
    let manifest = manifest::parse(given).map_err(ActionError::invalid)?;
    if key::ADDON_SERVICES.all(store).await?.len() >= MAX_SERVICES {
        return Err(ActionError::invalid(format!(
            "There may be at most {MAX_SERVICES} add-on services."
        )));
    }
    let now = Timestamp::now();
    let (name, place) = (manifest.name.clone(), key::addon_service(&manifest.name));
    let service = record(context, manifest, AddonServiceId::new(), now, now)?;
    let txn = Txn::new().create(&key::ADDON_SERVICES, place, &service);
    match txn.commit(store).await? {
        Committed::Done(_) => Ok(service),
        Committed::Conflict => Err(ActionError::invalid(format!(
            "There is an add-on service {name} already. To change it: paas addon-services:update"
        ))),
    }
}

/// The same service by another manifest. Its add-ons stay as they are, so none of them may lose its plan.
pub(crate) async fn replace(
    context: &Context,
    seen: &Versioned<AddonService>,
    given: &Value,
) -> Result<AddonService, ActionError> {
    let store = context.store();
    let mut manifest = manifest::parse(given).map_err(ActionError::invalid)?;
    let before = &seen.value;
    if manifest.name != before.name {
        return Err(ActionError::invalid(format!(
            "The manifest is of {}, not of {}; a service keeps its name.",
            manifest.name, before.name
        )));
    }
    manifest::keep_ids(&mut manifest.plans, &before.plans);
    let loses_vars =
        manifest.prefix != before.prefix || !manifest.config_vars.is_superset(&before.config_vars);
    for addon in key::ADDONS.all(store).await? {
        let addon = addon.value;
        if addon.service != before.name {
            continue;
        }
        if loses_vars {
            return Err(ActionError::invalid(format!(
                "There is an add-on, {}: api.config_vars_prefix must stay {}, and api.config_vars may only gain names.",
                addon.name, before.prefix
            )));
        }
        for plan in [Some(&addon.plan), addon.changing_to.as_ref()]
            .into_iter()
            .flatten()
        {
            if !manifest.plans.iter().any(|kept| kept.name == *plan) {
                return Err(ActionError::invalid(format!(
                    "The add-on {} has the plan {plan}, which the manifest has no more.",
                    addon.name
                )));
            }
        }
    }
    let now = Timestamp::now();
    let changed = record(context, manifest, before.id, before.created_at, now)?;
    let txn = Txn::new().replace(&key::ADDON_SERVICES, seen, &changed);
    match txn.commit(store).await? {
        Committed::Done(_) => Ok(changed),
        Committed::Conflict => Err(super::contended()),
    }
}

/// One whose add-ons are all gone: else nobody would tell its provider to take them away. `force`: though it did not take
/// all away that it was told to, and will not be told again.
pub(crate) async fn remove(
    context: &Context,
    seen: Versioned<AddonService>,
    force: bool,
) -> Result<AddonService, ActionError> {
    let store = context.store();
    let mut attempts = Attempts::default();
    loop {
        let Some(seen) = service_of(store, &seen.value.name).await? else {
            return Ok(seen.value);
        };
        let addons = key::ADDONS.all(store).await?;
        let ours = addons.iter().map(|addon| &addon.value);
        let ours = ours.filter(|addon| addon.service == seen.value.name);
        let (wanted, leaving): (Vec<_>, Vec<_>) = ours.partition(|addon| addon.state.is_wanted());
        if !wanted.is_empty() {
            return Err(ActionError::invalid(format!(
                "{} has add-ons still: {}. Destroy them first: paas addons:destroy",
                seen.value.name,
                names(&wanted)
            )));
        }
        if !leaving.is_empty() && !force {
            return Err(ActionError::invalid(format!(
                "The provider of {} has not taken away yet: {}. It is told again and again; if it is no more, remove the service \
                 with --force, and it is told nothing.",
                seen.value.name,
                names(&leaving)
            )));
        }
        // Whoever asks for an add-on writes the service's record.
        let txn = Txn::new().unchanged(&seen).delete(seen.key.clone());
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(seen.value);
        }
        attempts.lost().await?;
    }
}

fn names(addons: &[&Addon]) -> String {
    let names = addons.iter().map(|addon| addon.name.as_str());
    names.take(10).collect::<Vec<_>>().join(", ")
}

fn record(
    context: &Context,
    manifest: Manifest,
    id: AddonServiceId,
    created_at: Timestamp,
    updated_at: Timestamp,
) -> Result<AddonService, ActionError> {
    let place = key::addon_service(&manifest.name);
    let secrets = context.keyring.seal(&place, &manifest.secrets)?;
    Ok(AddonService {
        id,
        name: manifest.name,
        human_name: manifest.human_name,
        base_url: manifest.base_url,
        sso_url: manifest.sso_url,
        secrets,
        prefix: manifest.prefix,
        config_vars: manifest.config_vars,
        many_per_app: manifest.many_per_app,
        attachable: manifest.attachable,
        takes_logs: manifest.takes_logs,
        tells_status: manifest.tells_status,
        plans: manifest.plans,
        created_at,
        updated_at,
    })
}
