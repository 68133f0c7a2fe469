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

/// The error of an add-on plan that there is not, with the one that may have been meant.
pub(super) async fn plan_meant(client: &Client, typed: &str, error: Error) -> Error {
    let message = match error.downcast_ref() {
        Some(ClientError::Api(api))
            if matches!(api.status, 404 | 422)
                && !api.is_about_app()
                && api.id != "confirmation_required" =>
        {
            api.message.clone()
        }
        _ => return error,
    };
    match timeout(WITHIN, plan_like(client, typed)).await {
        Ok(Ok(Some(advice))) => Failure::new(message).advise(advice).into(),
        _ => error,
    }
}

/// What to say of a plan, as `acme-pg:dev`; nothing of one that there is.
async fn plan_like(client: &Client, typed: &str) -> Result<Option<String>, ClientError> {
    let (service, plan) = match typed.split_once(':') {
        Some((service, _)) => (service, Some(typed)),
        None => (typed, None),
    };
    let services = client.addon_services().await?;
    let services: Vec<&str> = services.iter().map(|one| one.name.as_str()).collect();
    if !services.contains(&service) {
        let all = "`paas addons:services`".to_owned();
        return Ok(Some(told(nearest(service, services), &all)));
    }
    let Some(plan) = plan else {
        return Ok(None);
    };
    let plans = client.plans(service).await?;
    let plans: Vec<&str> = plans.iter().map(|one| one.name.as_str()).collect();
    if plans.contains(&plan) {
        return Ok(None);
    }
    let all = format!("`paas addons:plans {service}`");
    Ok(Some(told(nearest(plan, plans), &all)))
}

fn told(near: Option<&str>, all: &str) -> String {
    match near {
        Some(near) => format!("Did you mean {near}? All of them: {all}."),
        None => format!("See what there is with {all}."),
    }
}
