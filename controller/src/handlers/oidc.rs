//! To the identity provider and back.

use axum::extract::{Path, Query, State};
use axum::http::{Extensions, HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use tokio::time::Instant;

use super::browser_login::{identified, over};
use super::to_its_end;
use crate::actions::ActionError;
use crate::actions::browser_login;
use crate::actions::oidc::{self, Arrival, Came, Who};
use crate::audit;
use crate::context::{Context, Ctx};
use crate::error::{ApiError, ApiResult};
use crate::http::browser::Browser;
use crate::oidc::Admitted;
use crate::pages::{alert, page, see_other};

pub(crate) async fn depart(
    State(context): State<Ctx>,
    browser: Browser,
    Path(place): Path<String>,
    extensions: Extensions,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let Some(provider) = &context.provider else {
        return Err(ApiError::not_found("login"));
    };
    if let Some(address) = audit::caller(&extensions, &headers) {
        let begun = context.guesses.begin_departure(address, Instant::now());
        if begun.is_err() {
            return Ok(failed(
                "Too many have gone to the identity provider from your address. Try again in some minutes.",
            ));
        }
    }
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
    extensions: Extensions,
    headers: HeaderMap,
    Query(back): Query<Back>,
) -> ApiResult<Response> {
    let arrival = Arrival {
        state: back.state,
        code: back.code,
        browser: browser.hash(),
        from: audit::caller(&extensions, &headers),
    };
    let arriving = {
        let context = context.clone();
        async move {
            match &context.provider {
                Some(provider) => Some(oidc::arrive(&context, provider, arrival).await),
                None => None,
            }
        }
    };
    let came = to_its_end(arriving).await?;
    match came.ok_or_else(|| ApiError::not_found("login"))? {
        Ok(Came { place, who }) => match who {
            Who::Known(account) => identified(&context, &place, &account).await,
            Who::ToProve(admitted) => ask(&context, &place, &admitted).await,
        },
        Err(ActionError::Gone { .. }) => Ok(over()),
        Err(ActionError::Forbidden { message }) => Ok(failed(&message)),
        Err(error) => Err(error.into()),
    }
}

/// For the password of the account that he is to be linked with: of this browser, and nobody can have given it its secret
/// beforehand.
async fn ask(context: &Context, place: &str, admitted: &Admitted) -> ApiResult<Response> {
    let browser = Browser::new();
    match oidc::keep(context, place, &browser.hash(), admitted).await {
        Ok(()) => {
            let to = format!("/auth/browser/{place}");
            Ok(browser.remember(&context.config, see_other(&to)))
        }
        Err(ActionError::Gone { .. }) => Ok(over()),
        Err(error) => Err(error.into()),
    }
}

fn failed(why: &str) -> Response {
    let body = format!(
        "{}<p>Go back to try again, or begin anew in the terminal.</p>",
        alert(Some(why))
    );
    page(StatusCode::FORBIDDEN, "Not logged in", &body)
}
