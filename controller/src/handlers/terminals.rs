//! Logging a terminal in by way of a browser: what the terminal asks.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Extensions, HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use controller_api::wire::{self, BrowserLoginResult};
use futures::stream::unfold;
use model::{Secret, Timestamp};
use store::Follower;
use tokio::time::Instant;

use super::{Created, created};
use crate::actions::ActionError;
use crate::actions::browser_login::{self, Progress};
use crate::audit;
use crate::auth::{self, Credentials};
use crate::context::Ctx;
use crate::error::{ApiError, ApiResult};
use crate::http::body::JsonBody;
use crate::terminals::Turn;

/// So often something is sent to a terminal that waits, lest somebody between takes it for dead.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

pub(crate) async fn begin(
    State(context): State<Ctx>,
    extensions: Extensions,
    headers: HeaderMap,
    JsonBody(body): JsonBody<wire::BrowserLoginCreate>,
) -> ApiResult<Created<wire::BrowserLogin>> {
    let address = audit::caller(&extensions, &headers);
    let begun = browser_login::begin(&context, address, body).await?;
    let place = begun.place.expose();
    Ok(created(wire::BrowserLogin {
        // Heroku's command line shows nothing of ours but this address: the code is at its end.
        browser_url: Secret::new(format!("/auth/browser/{place}#{}", begun.login.code)),
        cli_url: Secret::new(format!("/auth/cli/{place}")),
        token: begun.token,
        code: begun.login.code,
        expires_in: browser_login::LASTS.as_secs(),
    }))
}

/// Answers once it is decided; until then a blank now and then, which is no part of the JSON.
pub(crate) async fn wait(
    State(context): State<Ctx>,
    extensions: Extensions,
    headers: HeaderMap,
    Path(place): Path<String>,
) -> ApiResult<Response> {
    let login = browser_login::find(context.store(), &place)
        .await?
        .ok_or_else(|| ApiError::not_found("login"))?;
    let Some(Credentials::Token(token)) = Credentials::from_headers(&headers) else {
        return Err(ApiError::unauthorized());
    };
    // Hashes are compared: how many of their bytes agree says nothing about the tokens.
    if auth::token_hash(token.expose()) != login.value.terminal {
        return Err(ApiError::unauthorized());
    }
    let address = audit::caller(&extensions, &headers);
    let turn = context.terminals.wait(&login.key, address).ok_or_else(|| {
        ApiError::busy("Too many terminals wait to be logged in. Try again in a minute.")
    })?;
    let lasts = login.value.expires_at.duration_since(Timestamp::now());
    let waiting = Waiting {
        until: Instant::now() + lasts.unsigned_abs(),
        follower: Follower::new(context.store.clone(), vec![login.key]),
        context,
        place,
        turn,
    };
    let parts = unfold(Some(waiting), |waiting| async {
        let mut waiting = waiting?;
        Some(match waiting.part().await {
            None => (Ok::<_, Infallible>(Bytes::from_static(b" ")), Some(waiting)),
            Some(result) => (Ok(in_json(&result)), None),
        })
    });
    let mut response = Response::new(Body::from_stream(parts));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

struct Waiting {
    context: Ctx,
    place: String,
    follower: Follower,
    until: Instant,
    turn: Turn,
}

impl Waiting {
    /// What has come of it, or nothing yet.
    async fn part(&mut self) -> Option<BrowserLoginResult> {
        let alive = tokio::time::sleep(SIGN_OF_LIFE);
        tokio::pin!(alive);
        loop {
            tokio::select! {
                () = &mut alive => return None,
                () = tokio::time::sleep_until(self.until) => return Some(failed("It took too long. Log in again.")),
                () = self.context.shutdown.cancelled() => {
                    return Some(failed("The platform was started anew meanwhile. Log in again."));
                }
                () = self.turn.displaced.cancelled() => {
                    return Some(failed("Somebody else asks how this login goes, with its token. Log in again."));
                }
                _ = self.follower.next() => {}
            }
            match browser_login::progress(self.context.store(), &self.place).await {
                Ok(Progress::Waiting) => {}
                Ok(Progress::LoggedIn(token)) => {
                    return Some(BrowserLoginResult::AccessToken(token));
                }
                Ok(Progress::Refused) => {
                    return Some(failed("The login was refused in the browser."));
                }
                Ok(Progress::Over) => {
                    return Some(failed(
                        "The login is over: it took too long, or was ended elsewhere. Log in again.",
                    ));
                }
                Err(ActionError::Invalid { message } | ActionError::Forbidden { message }) => {
                    return Some(failed(&message));
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "Could not log a terminal in"
                    );
                    return Some(failed(
                        "Something went wrong inside the platform. Log in again.",
                    ));
                }
            }
        }
    }
}

fn failed(why: &str) -> BrowserLoginResult {
    BrowserLoginResult::Error(why.to_owned())
}

fn in_json(result: &BrowserLoginResult) -> Bytes {
    serde_json::to_vec(result).unwrap_or_default().into()
}
