//! What becomes of an add-on's record: each a commit that is compared with what it starts from.

use model::addon::{Addon, AddonDrain, AddonState, Attachment, Part, Tries, Wish};
use model::{
    Actor, AddonConfig, AddonId, AppId, AttachmentId, AttachmentName, LogDrain, Timestamp,
};
use store::ledger::AppendError;
use store::{Committed, StoreError, Txn, Versioned, key};
use tracing::warn;

use super::answer::Given;
use super::lay::{Refusal, lay_somewhere};
use super::release::{self, Change};
use super::service_of;
use crate::actions::{ActionError, Attempts};
use crate::context::Context;

/// What a provider said of an add-on is noted, whatever became of it meanwhile. `false` when nobody knows of it any more.
pub(super) async fn note_given(
    context: &Context,
    id: AddonId,
    given: &Given,
    is_ready: bool,
) -> Result<bool, ActionError> {
    let mut attempts = Attempts::default();
    loop {
        let Some(seen) = read(context, id).await? else {
            return Ok(false);
        };
        if let Some(known) = &seen.value.provider_id {
            if *known != given.provider_id {
                warn!(addon.name = %seen.value.name, "A provider gave an add-on a second id; the first one counts");
            }
            return Ok(true);
        }
        let mut changed = with_new_config(context, &seen, &given.config)?;
        changed.provider_id = Some(given.provider_id.clone());
        changed.message.clone_from(&given.message);
        // Whoever takes no logs has no drain.
        if let (Some(drain), Some(url)) = (&mut changed.drain, &given.drain) {
            let place = key::log_drain(seen.value.app, seen.value.drain_id());
            drain.url = Some(context.keyring.seal(&place, &url.expose())?);
        }
        // It may have said that all is done, or somebody have changed his mind, while the answer was on its way.
        if let AddonState::Requested { wish, .. } = &seen.value.state {
            let wish = wish.clone();
            if is_ready {
                if provisioned(context, &seen, changed, &wish).await? {
                    return Ok(true);
                }
                attempts.lost().await?;
                continue;
            }
            let tries = Tries::default();
            changed.state = AddonState::Provisioning { wish, tries };
        }
        if replace(context, &seen, &changed).await? {
            return Ok(true);
        }
        attempts.lost().await?;
    }
}

/// What is of no use is to be taken away, by the name that its provider has for it if that is known.
pub(super) async fn note_spoiled(
    context: &Context,
    id: AddonId,
    provider_id: Option<String>,
    why: &str,
) -> Result<(), ActionError> {
    let mut attempts = Attempts::default();
    loop {
        let Some(seen) = read(context, id).await? else {
            return Ok(());
        };
        let mut changed = seen.value.clone();
        changed.provider_id = changed.provider_id.or_else(|| provider_id.clone());
        if matches!(changed.state, AddonState::Requested { .. }) {
            changed.state = AddonState::Deprovisioning {
                failure: Some(why.to_owned()),
                tries: Tries::default(),
            };
        }
        changed.updated_at = Timestamp::now();
        if replace(context, &seen, &changed).await? {
            return Ok(());
        }
        attempts.lost().await?;
    }
}

/// It is there: attached, and a release made with it, in one commit. `false` when somebody else was quicker.
pub(crate) async fn provisioned(
    context: &Context,
    seen: &Versioned<Addon>,
    addon: Addon,
    wish: &Wish,
) -> Result<bool, ActionError> {
    let config = config_of(context, &addon)?;
    let service = service_of(context.store(), &addon.service).await?;
    let declared = service.map(|service| service.value.config_vars);
    let declared = declared.unwrap_or_default();
    let now = Timestamp::now();
    let addon = Addon {
        state: AddonState::Provisioned,
        options: None,
        updated_at: now,
        ..addon
    };
    let by = addon.actor.clone();
    let appended = release::append(context, addon.app, &by, |base| {
        let part = |name: &_| Part::new(name, &addon, &config, &declared);
        let laid = lay_somewhere(base, part, wish)?;
        let attachment = new_attachment(&addon, addon.app, &laid.name, &by, now);
        let place = key::attachment(addon.app, &laid.name);
        let also = with_drain(Txn::new().replace(&key::ADDONS, seen, &addon), &addon, now);
        Ok::<_, Refusal>(Change {
            description: format!("Attach {} (@ref:{})", laid.name, addon.name),
            attached: laid.attached,
            config: laid.config,
            also: also.put(&key::ATTACHMENTS, place, &attachment),
        })
    });
    match appended.await {
        Ok(()) => Ok(true),
        Err(AppendError::Refused(refusal)) => give_up(context, seen, Some(refusal.words())).await,
        // Whoever looks for add-ons without an app finds it.
        Err(AppendError::NoSuchApp) => Ok(true),
        Err(AppendError::Store(StoreError::Contended { .. })) => Ok(false),
        Err(AppendError::Store(error)) => Err(error.into()),
    }
}

/// Its app's log goes to it from then on.
fn with_drain(txn: Txn, addon: &Addon, now: Timestamp) -> Txn {
    let Some(AddonDrain {
        token,
        url: Some(url),
    }) = &addon.drain
    else {
        return txn;
    };
    let drain = LogDrain {
        id: addon.drain_id(),
        app: addon.app,
        token: *token,
        url: url.clone(),
        addon: Some(addon.id),
        created_at: now,
        updated_at: now,
    };
    let place = key::log_drain(addon.app, drain.id);
    txn.put(&key::LOG_DRAINS, place, &drain)
}

pub(crate) fn new_attachment(
    addon: &Addon,
    app: AppId,
    name: &AttachmentName,
    by: &Actor,
    now: Timestamp,
) -> Attachment {
    Attachment {
        id: AttachmentId::new(),
        app,
        addon: addon.id,
        name: name.clone(),
        actor: by.clone(),
        released: addon.config_version,
        created_at: now,
        updated_at: now,
    }
}

/// From here on the provider is told to take it away, until it has.
pub(super) async fn give_up(
    context: &Context,
    seen: &Versioned<Addon>,
    failure: Option<String>,
) -> Result<bool, ActionError> {
    let tries = Tries::default();
    let state = AddonState::Deprovisioning { failure, tries };
    into_state(context, seen, state).await
}

pub(super) async fn into_state(
    context: &Context,
    seen: &Versioned<Addon>,
    state: AddonState,
) -> Result<bool, ActionError> {
    let is_wanted = state.is_wanted();
    let changed = Addon {
        state,
        options: seen.value.options.clone().filter(|_| is_wanted),
        updated_at: Timestamp::now(),
        ..seen.value.clone()
    };
    replace(context, seen, &changed).await
}

pub(crate) async fn replace(
    context: &Context,
    seen: &Versioned<Addon>,
    changed: &Addon,
) -> Result<bool, ActionError> {
    let txn = Txn::new().replace(&key::ADDONS, seen, changed);
    Ok(txn.commit(context.store()).await? != Committed::Conflict)
}

/// As it is with that; nothing when somebody else was quicker.
pub(super) async fn replaced(
    context: &Context,
    seen: &Versioned<Addon>,
    changed: Addon,
) -> Result<Option<Versioned<Addon>>, ActionError> {
    let txn = Txn::new().replace(&key::ADDONS, seen, &changed);
    Ok(match txn.commit(context.store()).await? {
        Committed::Done(revision) => Some(Versioned {
            key: seen.key.clone(),
            revision,
            value: changed,
        }),
        Committed::Conflict => None,
    })
}

pub(crate) async fn read(
    context: &Context,
    id: AddonId,
) -> Result<Option<Versioned<Addon>>, StoreError> {
    key::ADDONS.get(context.store(), &key::addon(id)).await
}

pub(crate) fn config_of(context: &Context, addon: &Addon) -> Result<AddonConfig, StoreError> {
    context.keyring.open(&key::addon(addon.id), &addon.config)
}

/// With what a provider gave in an answer, under what it has said by itself meanwhile.
fn with_new_config(
    context: &Context,
    seen: &Versioned<Addon>,
    given: &AddonConfig,
) -> Result<Addon, StoreError> {
    let mut config = given.clone();
    config.0.extend(config_of(context, &seen.value)?.0);
    set_config(context, &seen.value, &config)
}

/// With what a provider gave now over what it gave before.
pub(crate) fn with_config(
    context: &Context,
    seen: &Versioned<Addon>,
    given: &AddonConfig,
) -> Result<Addon, StoreError> {
    let mut config = config_of(context, &seen.value)?;
    config.0.extend(given.0.clone());
    set_config(context, &seen.value, &config)
}

/// With this for all that its provider gives.
pub(crate) fn set_config(
    context: &Context,
    addon: &Addon,
    config: &AddonConfig,
) -> Result<Addon, StoreError> {
    if config_of(context, addon)? == *config {
        return Ok(addon.clone());
    }
    Ok(Addon {
        config: context.keyring.seal(&key::addon(addon.id), config)?,
        config_version: addon.config_version + 1,
        updated_at: Timestamp::now(),
        ..addon.clone()
    })
}
