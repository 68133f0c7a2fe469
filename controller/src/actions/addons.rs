//! Asking for add-ons, changing them and giving them up. Their providers hear of it from whoever sees to add-ons.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use controller_api::wire::{AddonCreate, AddonUpdate};
use model::addon::{
    Addon, AddonDrain, AddonService, AddonState, Attachment, MAX_ADDONS, Part, Plan, Tries, Wish,
    free_name, name_in_app,
};
use model::{
    Actor, AddonConfig, AddonId, AddonName, App, AttachmentName, DrainToken, PlanName, Timestamp,
};
use serde_json::Value;
use store::ledger::read_base;
use store::{Committed, Store, Txn, Versioned, key};
use tokio::time::{Instant, timeout_at};
use tracing::warn;
use uuid::Uuid;

use super::{ActionError, Attempts, app_names};
use crate::addons::answer::{Changed, changed};
use crate::addons::lay::{conflict, fits};
use crate::addons::progress::{read, replace, set_config};
use crate::addons::provider::Provider;
use crate::addons::release::{self, Change};
use crate::addons::{attachments_of, forget, service_of};
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

fn no_plan(identity: &str) -> ActionError {
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
async fn settled(
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
        Some(plan) => change_plan(context, addon, by, &plan.0).await,
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

/// The provider is asked first, and asked again by whoever does not hear how it went.
async fn change_plan(
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

/// Out of its app in one commit; its provider is told to take it away, and waited for a while.
pub(crate) async fn destroy(
    context: &Context,
    seen: &Versioned<Addon>,
    by: &Actor,
    force: bool,
) -> Result<Addon, ActionError> {
    let id = seen.value.id;
    let mut attempts = Attempts::default();
    let leaving = loop {
        let Some(seen) = read(context, id).await? else {
            return Ok(gone(seen.value.clone()));
        };
        if matches!(seen.value.state, AddonState::Failed { .. }) {
            forget(context, &seen).await?;
            return Ok(seen.value);
        }
        if !seen.value.state.is_wanted() {
            break seen.value;
        }
        let attachments = attachments_of(context.store(), id).await?;
        if !force {
            must_be_alone(context.store(), &seen.value, &attachments).await?;
        }
        match take_out(context, &seen, &attachments, by).await {
            Ok(leaving) => break leaving,
            Err(ActionError::Store(store::StoreError::Contended { .. })) => {
                attempts.lost().await?;
            }
            Err(error) => return Err(error),
        }
    };
    let text = format!("Destroy add-on {}", leaving.name);
    context.tell(leaving.app, by, &text).await;
    let is_open = |addon: &Addon| !matches!(addon.state, AddonState::Failed { .. });
    Ok(match settled(context, id, is_open).await? {
        Some(seen) => seen.value,
        None => gone(leaving),
    })
}

/// As clients see one of which nothing is left.
fn gone(addon: Addon) -> Addon {
    let message = "It is gone.".to_owned();
    Addon {
        state: AddonState::Failed { message },
        ..addon
    }
}

async fn must_be_alone(
    store: &dyn Store,
    addon: &Addon,
    attachments: &[Versioned<Attachment>],
) -> Result<(), ActionError> {
    let mut others = Vec::new();
    for attachment in attachments {
        if attachment.value.app != addon.app
            && let Some(app) = key::APPS
                .get(store, &key::app(attachment.value.app))
                .await?
        {
            others.push(app.value.name.to_string());
        }
    }
    if others.is_empty() {
        return Ok(());
    }
    others.sort();
    others.dedup();
    Err(ActionError::invalid(format!(
        "{} is attached to other apps, too: {}. Detach it there, or take it from them with --force",
        addon.name,
        others.join(", ")
    )))
}

/// Its own app loses it with this; others as it goes.
async fn take_out(
    context: &Context,
    seen: &Versioned<Addon>,
    attachments: &[Versioned<Attachment>],
    by: &Actor,
) -> Result<Addon, ActionError> {
    let now = Timestamp::now();
    let gone = Addon {
        state: AddonState::Deprovisioning {
            failure: None,
            tries: Tries::default(),
        },
        updated_at: now,
        ..seen.value.clone()
    };
    let own: Vec<_> = attachments
        .iter()
        .filter(|attachment| attachment.value.app == gone.app)
        .collect();
    if own.is_empty() {
        return match replace(context, seen, &gone).await? {
            true => Ok(gone),
            false => Err(super::contended()),
        };
    }
    let names: Vec<_> = own.iter().map(|own| own.value.name.as_str()).collect();
    let description = format!("Detach {} (@ref:{})", names.join(", "), gone.name);
    release::append(context, gone.app, by, |base| {
        let mut attached = base.attached.clone();
        let mut also = Txn::new().replace(&key::ADDONS, seen, &gone);
        for attachment in &own {
            attached.remove(&attachment.value.name);
            also = also.unchanged(attachment).delete(attachment.key.clone());
        }
        Ok::<_, ActionError>(Change {
            description: description.clone(),
            attached,
            config: base.config.clone(),
            also,
        })
    })
    .await?;
    Ok(gone)
}

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
        let mut config = crate::addons::progress::config_of(context, &seen.value)?;
        for (name, value) in given {
            let name = crate::addons::answer::declared_name(name, &declared)
                .map_err(|why| ActionError::invalid(super::sentence(&why)))?;
            match value {
                Some(value) => config.0.insert(name, value.clone()),
                None => config.0.remove(&name),
            };
        }
        crate::addons::answer::check(&config)
            .map_err(|why| ActionError::invalid(super::sentence(&why)))?;
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
        crate::addons::progress::provisioned(context, &seen, addon, &wish).await?;
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
