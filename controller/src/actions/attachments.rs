//! Giving apps the config vars of add-ons, and taking them away.

use model::addon::{Addon, AddonState, MAX_ADDONS, Part, Wish, free_name};
use model::{Actor, App, Attachment, AttachmentId, AttachmentName, Timestamp};
use store::ledger::{AppendError, read_base};
use store::{Store, StoreError, Txn, Versioned, key};

use super::{ActionError, Attempts};
use crate::addons::lay::{Refusal, lay};
use crate::addons::progress::{config_of, new_attachment, read};
use crate::addons::release::{self, Change};
use crate::addons::{attachments_of, service_of};
use crate::context::Context;

pub(crate) async fn find(
    store: &dyn Store,
    id: AttachmentId,
) -> Result<Option<Versioned<Attachment>>, StoreError> {
    let all = key::ATTACHMENTS.all(store).await?;
    Ok(all.into_iter().find(|attachment| attachment.value.id == id))
}

/// `name`: as what it is attached; `confirm`: the app's name, if that may overwrite something.
pub(crate) async fn attach(
    context: &Context,
    app: &App,
    addon: &Addon,
    by: &Actor,
    (name, confirm): (Option<&str>, Option<&str>),
) -> Result<Attachment, ActionError> {
    let store = context.store();
    let given = name.filter(|name| !name.is_empty());
    let given: Option<AttachmentName> = given.map(str::parse).transpose()?;
    let mut attempts = Attempts::default();
    loop {
        let seen = read(context, addon.id).await?;
        let seen = seen.ok_or(ActionError::Gone { resource: "add_on" })?;
        may_be_attached(store, &seen.value, app).await?;
        let base = read_base(store, &context.keyring, app.id).await?;
        let base = base.ok_or(ActionError::Gone { resource: "app" })?;
        let is_taken = |name: &AttachmentName| base.attached.has(name);
        let name = match &given {
            Some(name) => name.clone(),
            None => free_name(&seen.value.prefix, is_taken)
                .ok_or_else(|| ActionError::invalid("Name the attachment: --as NAME"))?,
        };
        let wish = Wish {
            attachment: name,
            confirmed: confirm == Some(base.app.value.name.as_str()),
        };
        match append(context, app, &seen, by, &wish).await {
            Ok(made) => return Ok(made),
            Err(ActionError::Store(StoreError::Contended { .. })) => attempts.lost().await?,
            Err(error) => return Err(error),
        }
    }
}

async fn may_be_attached(store: &dyn Store, addon: &Addon, app: &App) -> Result<(), ActionError> {
    if !matches!(addon.state, AddonState::Provisioned) {
        return Err(ActionError::invalid(format!(
            "{} is not there yet, or on its way out. See how it goes: paas addons:info {}",
            addon.name, addon.name
        )));
    }
    let service = service_of(store, &addon.service).await?;
    if addon.app != app.id && !service.is_some_and(|service| service.value.attachable) {
        return Err(ActionError::invalid(format!(
            "Add-ons of {} cannot be attached to other apps than their own.",
            addon.service
        )));
    }
    if attachments_of(store, addon.id).await?.len() >= MAX_ADDONS {
        return Err(ActionError::invalid(format!(
            "An add-on may be attached {MAX_ADDONS} times at most."
        )));
    }
    Ok(())
}

async fn append(
    context: &Context,
    app: &App,
    seen: &Versioned<Addon>,
    by: &Actor,
    wish: &Wish,
) -> Result<Attachment, ActionError> {
    let (addon, now) = (&seen.value, Timestamp::now());
    let config = config_of(context, addon)?;
    let service = service_of(context.store(), &addon.service).await?;
    let declared = service.map(|service| service.value.config_vars);
    let declared = declared.unwrap_or_default();
    let attachment = new_attachment(addon, app.id, &wish.attachment, by, now);
    let appended = release::append(context, app.id, by, |base| {
        let part = Part::new(&wish.attachment, addon, &config, &declared);
        let laid = lay(base, part, wish.confirmed)?;
        let place = key::attachment(app.id, &laid.name);
        // Whoever destroys it meanwhile looks again at who has it.
        let also = Txn::new().replace(&key::ADDONS, seen, addon);
        Ok::<_, Refusal>(Change {
            description: format!("Attach {} (@ref:{})", laid.name, addon.name),
            attached: laid.attached,
            config: laid.config,
            also: also.put(&key::ATTACHMENTS, place, &attachment),
        })
    });
    match appended.await {
        Ok(()) => Ok(attachment),
        Err(AppendError::Refused(Refusal::Conflict(message))) => {
            Err(ActionError::ConfirmationRequired { message })
        }
        Err(AppendError::Refused(refusal)) => Err(ActionError::invalid(refusal.words())),
        Err(AppendError::NoSuchApp) => Err(ActionError::Gone { resource: "app" }),
        Err(AppendError::Store(error)) => Err(error.into()),
    }
}

/// The add-on stays, though no app may have it any more.
pub(crate) async fn detach(
    context: &Context,
    seen: &Versioned<Attachment>,
    by: &Actor,
) -> Result<(), ActionError> {
    let attachment = &seen.value;
    let addon = read(context, attachment.addon).await?;
    let addon = addon.map_or_else(
        || attachment.addon.to_string(),
        |addon| addon.value.name.to_string(),
    );
    let description = format!("Detach {} (@ref:{addon})", attachment.name);
    release::append(context, attachment.app, by, |base| {
        let mut attached = base.attached.clone();
        attached.remove(&attachment.name);
        Ok::<_, ActionError>(Change {
            description: description.clone(),
            attached,
            config: base.config.clone(),
            also: Txn::new().unchanged(seen).delete(seen.key.clone()),
        })
    })
    .await?;
    Ok(())
}
