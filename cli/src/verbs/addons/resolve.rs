//! Which add-on somebody means, who may have typed its name, its attachment's, or its service's.

use anyhow::Result;
use controller_api::wire::{Addon, AddonAttachment, AddonAttachmentResolve, AddonResolve};
use controller_api::{Client, ClientError};

use crate::failure::Failure;

/// What the app has by that name counts before what others have.
pub(super) async fn one(client: &Client, app: Option<&str>, typed: &str) -> Result<Addon> {
    let mut found = addons(client, app, typed).await?;
    if found.is_empty() && app.is_some() {
        found = addons(client, None, typed).await?;
    }
    if found.len() > 1 {
        let mut names: Vec<&str> = found.iter().map(|addon| addon.name.as_str()).collect();
        names.sort_unstable();
        return Err(
            Failure::new(format!("{typed} may be any of {}", names.join(", ")))
                .advise("Say which one by its name.")
                .into(),
        );
    }
    found.pop().ok_or_else(|| {
        Failure::new("Couldn't find that add-on.")
            .advise("List those that you may see with `paas addons --all`.")
            .into()
    })
}

async fn addons(
    client: &Client,
    app: Option<&str>,
    typed: &str,
) -> Result<Vec<Addon>, ClientError> {
    let resolve = AddonResolve {
        addon: typed.to_owned(),
        addon_service: None,
        app: app.map(str::to_owned),
    };
    or_none(client.resolve_addons(&resolve).await)
}

/// `None` unless it is clear which one is meant.
pub(super) async fn attachment(
    client: &Client,
    app: Option<&str>,
    typed: &str,
) -> Result<Option<AddonAttachment>> {
    let resolve = AddonAttachmentResolve {
        addon_attachment: typed.to_owned(),
        addon_service: None,
        app: app.map(str::to_owned),
    };
    let mut found = or_none(client.resolve_attachments(&resolve).await)?;
    Ok(match found.len() {
        1 => found.pop(),
        _ => None,
    })
}

/// That there is nothing of a name may be an answer of its own.
fn or_none<T>(answer: Result<Vec<T>, ClientError>) -> Result<Vec<T>, ClientError> {
    match answer {
        Err(ClientError::Api(error)) if error.status == 404 && !error.is_about_app() => {
            Ok(Vec::new())
        }
        answer => answer,
    }
}
