//! Log drains.

use controller_api::wire;
use model::{Addon, App, DrainUrl, LogDrain};

use super::app_ref;

/// `addons`: those whose drains they may be.
pub(crate) fn log_drain(
    app: &App,
    drain: &LogDrain,
    url: &DrainUrl,
    addons: &[Addon],
) -> wire::LogDrain {
    let addon = addons.iter().find(|addon| Some(addon.id) == drain.addon);
    wire::LogDrain {
        addon: addon.map(|addon| wire::AttachedAddon {
            app: app_ref(app),
            id: addon.id,
            name: addon.name.clone(),
        }),
        app: app_ref(app),
        created_at: drain.created_at.into(),
        id: drain.id,
        token: drain.token.to_string(),
        updated_at: drain.updated_at.into(),
        url: url.expose().to_owned(),
    }
}
