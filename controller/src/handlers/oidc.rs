//! To the identity provider and back.

use axum::extract::Path;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::browser_login::{identified, over};
use crate::actions::ActionError;
use crate::actions::browser_login;
use crate::actions::oidc::{self, Arrival};
use crate::context::Ctx;
use crate::error::{ApiError, ApiResult};
use crate::http::browser::Browser;
use crate::pages::{Text, page, see_other};

pub(crate) async fn depart(
    State(context): State<Ctx>,
    browser: Browser,
    Path(place): Path<String>,
) -> ApiResult<Response> {
    let Some(provider) = &context.provider else {
        return Err(ApiError::not_found("login"));
    };
    if browser_login::find(context.store(), &place)
        .await?
        .is_none()
    {
        return Ok(over());
    }
    match oidc::depart(&context, provider, &place, &browser.hash()).await {
        Ok(url) => Ok(browser.remember(&context.config, see_other(&url))),
        Err(ActionError::Gone { .. }) => Ok(over()),
        Err(ActionError::Internal(error)) => {
            tracing::error!(
                error = &*error as &dyn std::error::Error,
                "Nobody can log in at the identity provider"
            );
            Ok(failed("The identity provider cannot be reached just now."))
        }
        Err(error) => Err(error.into()),
    }
}

/// What the provider sends a browser back with.
#[derive(Deserialize)]
pub(crate) struct Back {
    #[serde(default)]
    state: String,
    code: Option<String>,
}

pub(crate) async fn arrive(
    State(context): State<Ctx>,
    browser: Browser,
    Query(back): Query<Back>,
) -> ApiResult<Response> {
    let Some(provider) = &context.provider else {
        return Err(ApiError::not_found("login"));
    };
    let arrival = Arrival {
        state: &back.state,
        code: back.code.as_deref(),
        browser: &browser.hash(),
    };
    match oidc::arrive(&context, provider, arrival).await {
        Ok((place, account)) => identified(&context, &place, &account).await,
        Err(ActionError::Gone { .. }) => Ok(over()),
        Err(ActionError::Forbidden { message }) => Ok(failed(&message)),
        Err(error) => Err(error.into()),
    }
}

fn failed(why: &str) -> Response {
    let body = format!(
        "<p class=\"error\" role=\"alert\">{}</p><p>Go back to try again, or begin anew in the terminal.</p>",
        Text(why)
    );
    page(StatusCode::FORBIDDEN, "Not logged in", &body)
}
