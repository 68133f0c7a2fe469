//! Giving add-ons up.

use model::Actor;
use model::Timestamp;
use model::addon::{Addon, AddonState, Attachment, Tries};
use store::{Store, StoreError, Txn, Versioned, key};

use super::addons::settled;
use super::{ActionError, Attempts};
use crate::addons::progress::{read, replace};
use crate::addons::release::{self, Change};
use crate::addons::{attachments_of, forget};
use crate::context::Context;

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
            Err(ActionError::Store(StoreError::Contended { .. })) => {
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
