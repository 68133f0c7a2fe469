//! Those who provide add-ons: what operators say of them.

use model::{AddonService, AddonServiceId, Timestamp};
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
    for addon in key::ADDONS.all(store).await? {
        let addon = addon.value;
        if addon.service == before.name
            && !manifest.plans.iter().any(|plan| plan.name == addon.plan)
        {
            return Err(ActionError::invalid(format!(
                "The add-on {} has the plan {}, which the manifest has no more.",
                addon.name, addon.plan
            )));
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

/// One whose add-ons are all gone: else nobody would tell its provider to take them away.
pub(crate) async fn remove(
    context: &Context,
    seen: Versioned<AddonService>,
) -> Result<AddonService, ActionError> {
    let store = context.store();
    let mut attempts = Attempts::default();
    loop {
        let Some(seen) = service_of(store, &seen.value.name).await? else {
            return Ok(seen.value);
        };
        let addons = key::ADDONS.all(store).await?;
        let ours = addons
            .iter()
            .filter(|addon| addon.value.service == seen.value.name);
        let names: Vec<_> = ours.map(|addon| addon.value.name.as_str()).collect();
        if !names.is_empty() {
            return Err(ActionError::invalid(format!(
                "{} has add-ons still: {}. Destroy them first: paas addons:destroy",
                seen.value.name,
                names.into_iter().take(10).collect::<Vec<_>>().join(", ")
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
