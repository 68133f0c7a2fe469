//! Did you mean: what is nearest to a name that the platform does not know. Asked only after something has failed, and not
//! waited for long.

use std::time::Duration;

use anyhow::Error;
use controller_api::{Client, ClientError};
use tokio::time::timeout;

use crate::context::Context;
use crate::failure::Failure;
use crate::nearest::nearest;

const WITHIN: Duration = Duration::from_secs(2);

/// The error with the app that may have been meant, if it is that an app was not found and there is one.
pub(super) async fn meant(context: &Context, error: Error) -> Error {
    let message = match error.downcast_ref() {
        Some(ClientError::Api(api)) if api.is_about_app() => api.message.clone(),
        _ => return error,
    };
    let (Some(app), Ok(client)) = (context.asked_for(), context.client()) else {
        return error;
    };
    match app_like(&client, app).await {
        Some(near) => Failure::new(message)
            .advise(format!(
                "Did you mean {near}? All of them: `paas apps --all`."
            ))
            .into(),
        None => error,
    }
}

pub(super) async fn app_like(client: &Client, typed: &str) -> Option<String> {
    let apps = timeout(WITHIN, client.apps()).await.ok()?.ok()?;
    nearest(typed, apps.iter().map(|app| app.name.to_string()))
}

/// The error of a change to a process type that the app does not have, with the one that may have been meant.
pub(super) async fn type_meant(
    client: &Client,
    app: &str,
    typed: &[String],
    error: ClientError,
) -> Error {
    let message = match &error {
        ClientError::Api(api) if api.id == "not_found" && !api.is_about_app() => {
            api.message.clone()
        }
        _ => return error.into(),
    };
    let Ok(Ok(formation)) = timeout(WITHIN, client.formation(app)).await else {
        return error.into();
    };
    let known: Vec<&str> = formation
        .iter()
        .map(|one| one.process_type.as_str())
        .collect();
    let unknown = typed.iter().find(|typed| !known.contains(&typed.as_str()));
    match unknown.and_then(|typed| nearest(typed, known)) {
        Some(near) => Failure::new(message)
            .advise(format!("Did you mean {near}?"))
            .into(),
        None => error.into(),
    }
}
