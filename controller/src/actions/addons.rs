//! Asking for add-ons, and what they are called. Their providers hear of it from whoever sees to add-ons.

use std::collections::BTreeMap;
use std::time::Duration;

use controller_api::wire::{AddonCreate, AddonUpdate};
use model::addon::{
    Addon, AddonDrain, AddonService, AddonState, MAX_ADDONS, Plan, Tries, Wish, free_name,
    name_in_app,
};
use model::{Actor, AddonConfig, AddonId, AddonName, App, AttachmentName, DrainToken, Timestamp};
use serde_json::Value;
use store::ledger::read_base;
use store::{Committed, Store, Txn, Versioned, key};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::{ActionError, Attempts, addon_plans, app_names};
use crate::addons::forget;
use crate::addons::lay::conflict;
use crate::addons::progress::read;
use crate::context::Context;

/// How long whoever asks is kept waiting for a provider; what takes longer goes on without him.
const SETTLED_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(500);
const MAX_OPTIONS: usize = 50;
const MAX_OPTION_BYTES: usize = 2_000;

/// By id or name.
pub(crate) async fn find(
    store: &dyn Store,
    identity: &str,
) -> Result<Option<Versioned<Addon>>, ActionError> {
    let id = match identity.parse::<AddonId>() {
        Ok(id) => id,
        Err(_) => {
            let Ok(name) = identity.parse::<AddonName>() else {
                return Ok(None);
            };
            let place = key::addon_name(&name);
            match key::ADDON_NAMES.get(store, &place).await? {
                Some(id) => id.value,
                None => return Ok(None),
            }
        }
    };
    Ok(key::ADDONS.get(store, &key::addon(id)).await?)
}

/// What an add-on's plan is called, by any of its names.
pub(crate) async fn find_plan(
    store: &dyn Store,
    identity: &str,
) -> Result<(Versioned<AddonService>, Plan), ActionError> {
    let all = key::ADDON_SERVICES.all(store).await?;
    let found = all.into_iter().find_map(|service| {
        // Without its service's name, a plan may be any's.
        let is_meant = identity.split(':').next() == Some(service.value.name.as_str());
        let by_id = || {
            let mut plans = service.value.plans.iter();
            plans.find(|plan| plan.id.to_string() == identity).cloned()
        };
        let plan = match is_meant {
            true => service.value.plan(identity).cloned(),
            false => by_id(),
        }?;
        Some((service, plan))
    });
    found.ok_or_else(|| no_plan(identity))
}

pub(super) fn no_plan(identity: &str) -> ActionError {
    ActionError::invalid(format!(
        "Couldn't find either the add-on service or the add-on plan of {:?}. See `paas addons:services` and `paas \
         addons:plans`.",
        identity.chars().take(100).collect::<String>()
    ))
}

/// Asks for one, and waits a while for what becomes of it.
pub(crate) async fn create(
    context: &Context,
    app: &App,
    by: &Actor,
    create: &AddonCreate,
) -> Result<Addon, ActionError> {
    let made = request(context, app, by, create, AddonId::new()).await?;
    let is_open = |addon: &Addon| matches!(addon.state, AddonState::Requested { .. });
    let Some(seen) = settled(context, made.id, is_open).await? else {
        return Err(ActionError::Gone { resource: "add_on" });
    };
    match &seen.value.state {
        AddonState::Failed { message } => {
            // Whoever asked knows it now.
            let message = message.clone();
            forget(context, &seen).await?;
            Err(ActionError::Invalid { message })
        }
        AddonState::Deprovisioning {
            failure: Some(message),
            ..
        } => Err(ActionError::invalid(message.clone())),
        _ => Ok(seen.value),
    }
}

/// On record from here on, and asked for by whoever sees to add-ons. `id`: unless there is one of that id.
pub(crate) async fn request(
    context: &Context,
    app: &App,
    by: &Actor,
    create: &AddonCreate,
    id: AddonId,
) -> Result<Addon, ActionError> {
    let (store, app) = (context.store(), app.id);
    let given: Option<AddonName> = parsed(create.name.as_deref())?;
    let attachment = create.attachment.as_ref().and_then(|a| a.name.as_deref());
    let attachment: Option<AttachmentName> = parsed(attachment)?;
    let options = options(create.config.clone().unwrap_or_default())?;
    let mut attempts = Attempts::default();
    loop {
        let (service, plan) = find_plan(store, &create.plan.0).await?;
        let base = read_base(store, &context.keyring, app).await?;
        let base = base.ok_or(ActionError::Gone { resource: "app" })?;
        must_be_room(store, &base.app.value, &service.value).await?;
        let is_taken = |name: &AttachmentName| base.attached.has(name);
        let attachment = match &attachment {
            Some(name) => name.clone(),
            None => free_name(&service.value.prefix, is_taken)
                .ok_or_else(|| ActionError::invalid("Name the attachment: --as NAME"))?,
        };
        let confirmed = create.confirm.as_deref() == Some(base.app.value.name.as_str());
        let vars = service.value.config_vars.iter();
        let vars = vars.filter_map(|var| name_in_app(var, &service.value.prefix, &attachment));
        if !confirmed && let Some(message) = conflict(&base, &attachment, &vars.collect()) {
            return Err(ActionError::ConfirmationRequired { message });
        }
        let name = match &given {
            Some(name) => name.clone(),
            None => made_up(&service.value)?,
        };
        let now = Timestamp::now();
        let place = key::addon(id);
        let addon = Addon {
            id,
            name: name.clone(),
            app,
            service: service.value.name.clone(),
            plan: plan.name,
            changing_to: None,
            actor: by.clone(),
            state: AddonState::Requested {
                wish: Wish {
                    attachment,
                    confirmed,
                },
                tries: Tries::default(),
            },
            asked: false,
            provider_id: None,
            message: None,
            prefix: service.value.prefix.clone(),
            config: context.keyring.seal(&place, &AddonConfig::default())?,
            config_version: 0,
            drain: service.value.takes_logs.then(|| AddonDrain {
                token: DrainToken(Uuid::new_v4()),
                url: None,
            }),
            options: Some(context.keyring.seal(&place, &options)?),
            created_at: now,
            updated_at: now,
        };
        // Of two who ask for the same app, or of the same service while it is removed, the slower one looks again.
        let txn = Txn::new()
            .replace(&key::APPS, &base.app, &base.app.value)
            .replace(&key::ADDON_SERVICES, &service, &service.value)
            .create(&key::ADDON_NAMES, key::addon_name(&name), &id)
            .create(&key::ADDONS, place, &addon);
        if let Committed::Done(_) = txn.commit(store).await? {
            let text = format!("Create add-on {} ({})", addon.name, addon.full_plan());
            context.tell(app, by, &text).await;
            return Ok(addon);
        }
        must_be_free(store, given.as_ref()).await?;
        attempts.lost().await?;
    }
}

async fn must_be_room(
    store: &dyn Store,
    app: &App,
    service: &AddonService,
) -> Result<(), ActionError> {
    let all = key::ADDONS.all(store).await?;
    let ours = all.iter().filter(|addon| addon.value.app == app.id);
    let ours: Vec<_> = ours.filter(|addon| addon.value.state.is_wanted()).collect();
    if ours.len() >= MAX_ADDONS {
        return Err(ActionError::invalid(format!(
            "An app may have at most {MAX_ADDONS} add-ons."
        )));
    }
    let same = ours
        .iter()
        .find(|addon| addon.value.service == service.name && addon.value.state.is_wanted());
    match same {
        Some(same) if !service.many_per_app => Err(ActionError::invalid(format!(
            "{} has an add-on of {} already, {}, and may have one only. To have another plan: paas addons:upgrade",
            app.name, service.name, same.value.name
        ))),
        _ => Ok(()),
    }
}

async fn must_be_free(store: &dyn Store, name: Option<&AddonName>) -> Result<(), ActionError> {
    if let Some(name) = name
        && key::ADDON_NAMES
            .get(store, &key::addon_name(name))
            .await?
            .is_some()
    {
        return Err(ActionError::invalid(format!(
            "There is an add-on {name} already; names are unique on the platform."
        )));
    }
    Ok(())
}

fn made_up(service: &AddonService) -> Result<AddonName, ActionError> {
    let name = app_names::random().map(|rest| format!("{}-{rest}", service.name));
    let name = name.and_then(|name| name.parse().ok());
    name.ok_or_else(|| ActionError::invalid("Name the add-on."))
}

/// As clients send them: text, numbers, or `true` for what stands alone.
fn options(given: BTreeMap<String, Value>) -> Result<BTreeMap<String, Value>, ActionError> {
    let is_long =
        |(name, value): (&String, &Value)| name.len() + value.to_string().len() > MAX_OPTION_BYTES;
    if given.len() > MAX_OPTIONS || given.iter().any(is_long) {
        return Err(ActionError::invalid(format!(
            "An add-on may be given at most {MAX_OPTIONS} options, each of at most {MAX_OPTION_BYTES} bytes."
        )));
    }
    Ok(given)
}

fn parsed<T>(given: Option<&str>) -> Result<Option<T>, ActionError>
where
    T: std::str::FromStr<Err = model::InvalidName>,
{
    let given = given.filter(|text| !text.is_empty());
    Ok(given.map(str::parse).transpose()?)
}

/// As it is once it is open no more, or when it has been waited for long enough; `None` when it is gone.
pub(super) async fn settled(
    context: &Context,
    id: AddonId,
    is_open: impl Fn(&Addon) -> bool,
) -> Result<Option<Versioned<Addon>>, ActionError> {
    let until = Instant::now() + SETTLED_WITHIN;
    loop {
        let seen = read(context, id).await?;
        match seen {
            Some(seen)
                if is_open(&seen.value)
                    && Instant::now() < until
                    && !context.shutdown.is_cancelled() => {}
            seen => return Ok(seen),
        }
        // Another controller may see to it, and a change come between the look and the wait.
        let look = until.min(Instant::now() + LOOK_EVERY);
        tokio::select! {
            _ = timeout_at(look, context.addons.changed()) => {}
            () = context.shutdown.cancelled() => {}
        }
    }
}

/// Another name, another plan, or both.
pub(crate) async fn update(
    context: &Context,
    seen: Versioned<Addon>,
    by: &Actor,
    update: &AddonUpdate,
) -> Result<Addon, ActionError> {
    let mut addon = seen.value.clone();
    if let Some(name) = parsed::<AddonName>(update.name.as_deref())?
        && name != addon.name
    {
        addon = rename(context, addon.id, &name).await?;
    }
    match &update.plan {
        Some(plan) => addon_plans::change(context, addon, by, &plan.0).await,
        None => Ok(addon),
    }
}

async fn rename(context: &Context, id: AddonId, name: &AddonName) -> Result<Addon, ActionError> {
    let store = context.store();
    let mut attempts = Attempts::default();
    loop {
        let seen = read(context, id).await?;
        let seen = seen.ok_or(ActionError::Gone { resource: "add_on" })?;
        must_be_free(store, Some(name)).await?;
        let changed = Addon {
            name: name.clone(),
            updated_at: Timestamp::now(),
            ..seen.value.clone()
        };
        let txn = Txn::new()
            .replace(&key::ADDONS, &seen, &changed)
            .create(&key::ADDON_NAMES, key::addon_name(name), &id)
            .delete(key::addon_name(&seen.value.name));
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(changed);
        }
        attempts.lost().await?;
    }
}
