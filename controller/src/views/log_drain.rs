//! Log drains.

use controller_api::wire;
use model::{App, DrainUrl, LogDrain};

use super::app_ref;

pub(crate) fn log_drain(app: &App, drain: &LogDrain, url: &DrainUrl) -> wire::LogDrain {
    wire::LogDrain {
        addon: None,
        app: app_ref(app),
        created_at: drain.created_at.into(),
        id: drain.id,
        token: drain.token.to_string(),
        updated_at: drain.updated_at.into(),
        url: url.expose().to_owned(),
    }
}
