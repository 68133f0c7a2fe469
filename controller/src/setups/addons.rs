//! The add-ons that `app.json` wants: there before the first build, which may ask for their config vars.

use controller_api::wire::app::Identity;
use controller_api::wire::{AddonCreate, AttachmentNamed};
use model::{AddonId, AddonState, App, AppSetup};
use store::key;

use crate::actions::{self, ActionError};
use crate::addons::progress::read;
use crate::app_json::WantedAddon;
use crate::context::Context;
use crate::views::id_of;

/// How far they have come.
pub(super) enum Given {
    All,
    /// Some are on their way.
    Wait,
    /// So is the app.
    Gone,
    /// There will be none, and why.
    Refused(String),
}

/// Asks for those that nobody has asked for yet. Each is known by the setup and its place in the list, so whoever comes
/// after one that was killed asks for none twice.
pub(super) async fn give(
    context: &Context,
    setup: &AppSetup,
    wanted: &[WantedAddon],
) -> Result<Given, ActionError> {
    let app = key::APPS.get(context.store(), &key::app(setup.app)).await?;
    let Some(app) = app else {
        return Ok(Given::Gone);
    };
    let mut are_there = true;
    for (place, wanted) in wanted.iter().enumerate() {
        let name = format!("{}/{place}", setup.id);
        let id = AddonId::from_uuid(id_of("add-on of an app setup", &name));
        match read(context, id).await?.map(|addon| addon.value.state) {
            Some(AddonState::Provisioned) => {}
            Some(AddonState::Requested { .. } | AddonState::Provisioning { .. }) => {
                are_there = false;
            }
            Some(AddonState::Failed { message }) => {
                return Ok(Given::Refused(because(wanted, &message)));
            }
            Some(AddonState::Deprovisioning { failure, .. }) => {
                let why = failure.unwrap_or_else(|| "It was destroyed.".to_owned());
                return Ok(Given::Refused(because(wanted, &why)));
            }
            None => {
                are_there = false;
                match ask(context, setup, &app.value, wanted, id).await {
                    Ok(()) => {}
                    Err(
                        ActionError::Invalid { message }
                        | ActionError::ConfirmationRequired { message },
                    ) => return Ok(Given::Refused(because(wanted, &message))),
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(match are_there {
        true => Given::All,
        false => Given::Wait,
    })
}

async fn ask(
    context: &Context,
    setup: &AppSetup,
    app: &App,
    wanted: &WantedAddon,
    id: AddonId,
) -> Result<(), ActionError> {
    let create = AddonCreate {
        plan: Identity(wanted.plan.clone()),
        attachment: Some(AttachmentNamed {
            name: wanted.attached_as.clone(),
        }),
        config: Some(wanted.options.clone()),
        confirm: None,
        name: None,
    };
    actions::addons::request(context, app, &setup.actor, &create, id).await?;
    Ok(())
}

fn because(wanted: &WantedAddon, why: &str) -> String {
    format!("The add-on {} could not be had: {why}", wanted.plan)
}
