//! Logging a terminal in by way of a browser: what the terminal asks, and the pages for whoever it belongs to.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use controller_api::wire::{self, BrowserLoginResult};
use futures::stream::unfold;
use model::{Account, BrowserLogin, Secret, Timestamp, TokenId};
use store::Follower;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::{Created, created};
use crate::actions::ActionError;
use crate::actions::browser_login::{self, Progress};
use crate::actions::log_in::{Attempt, log_in};
use crate::audit;
use crate::auth::{self, Credentials};
use crate::context::{Context, Ctx};
use crate::error::{ApiError, ApiResult};
use crate::http::body::JsonBody;
use crate::http::browser::{Browser, Fields};
use crate::pages::{Text, page, see_other};

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
    let turn = context
        .waiting_terminals
        .clone()
        .try_acquire_owned()
        .map_err(|_| {
            ApiError::busy("Too many terminals wait to be logged in. Try again in a minute.")
        })?;
    let lasts = login.value.expires_at.duration_since(Timestamp::now());
    let waiting = Waiting {
        until: Instant::now() + lasts.unsigned_abs(),
        follower: Follower::new(context.store.clone(), vec![login.key]),
        context,
        place,
        _turn: turn,
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
    _turn: OwnedSemaphorePermit,
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

/// Asks who is there, or, once that is known, whether the terminal is his.
pub(crate) async fn show(
    State(context): State<Ctx>,
    browser: Browser,
    Path(place): Path<String>,
) -> ApiResult<Response> {
    let Some(login) = browser_login::find(context.store(), &place).await? else {
        return Ok(over());
    };
    let login = login.value;
    if login.is_decided() {
        return Ok(over());
    }
    let account = browser_login::identified(context.store(), &login, &browser.hash()).await?;
    let shown = match account {
        Some(account) => ask_whether(&login, &browser, &place, &account.value),
        None => ask_who(&context, &login, &browser, &place, None),
    };
    Ok(browser.remember(&context.config, shown))
}

pub(crate) async fn identify(
    State(context): State<Ctx>,
    browser: Browser,
    Path(place): Path<String>,
    extensions: Extensions,
    headers: HeaderMap,
    fields: Fields,
) -> ApiResult<Response> {
    let login = browser_login::find(context.store(), &place).await?;
    let Some(login) = login.filter(|login| !login.value.is_decided()) else {
        return Ok(over());
    };
    let again = |why: &str| {
        let shown = ask_who(&context, &login.value, &browser, &place, Some(why));
        Ok(browser.remember(&context.config, shown))
    };
    if !browser.sent(fields.get("form"), &place) {
        return again("The form was too old. Try again; cookies must be allowed.");
    }
    let code = Some(fields.get("code").trim()).filter(|code| !code.is_empty());
    let attempt = Attempt {
        address: audit::caller(&extensions, &headers),
        email: fields.get("email").trim(),
        password: Secret::from(fields.get("password")),
        code,
    };
    match log_in(&context, attempt).await {
        Ok(account) => identified(&context, &place, &account).await,
        Err(ActionError::WrongCredentials) => again("The e-mail address or the password is wrong."),
        Err(ActionError::SecondFactor { message }) => again(&message),
        Err(error @ ActionError::TooManyGuesses { .. }) => again(&ApiError::from(error).message),
        Err(error) => Err(error.into()),
    }
}

/// From here on the browser is another: nobody can have given it its secret beforehand.
pub(super) async fn identified(
    context: &Context,
    place: &str,
    account: &Account,
) -> ApiResult<Response> {
    let browser = Browser::new();
    match browser_login::identify(context.store(), place, &browser.hash(), account).await {
        Ok(()) => {
            let to = format!("/auth/browser/{place}");
            Ok(browser.remember(&context.config, see_other(&to)))
        }
        Err(ActionError::Gone { .. }) => Ok(over()),
        Err(error) => Err(error.into()),
    }
}

pub(crate) async fn decide(
    State(context): State<Ctx>,
    browser: Browser,
    Path(place): Path<String>,
    extensions: Extensions,
    headers: HeaderMap,
    fields: Fields,
) -> ApiResult<Response> {
    if !browser.sent(fields.get("form"), &place) {
        return Ok(see_other(&format!("/auth/browser/{place}")));
    }
    let approved = (fields.get("decision") == "approve").then(TokenId::new);
    let hash = browser.hash();
    let Some(login) = browser_login::find(context.store(), &place).await? else {
        return Ok(over());
    };
    let account = browser_login::identified(context.store(), &login.value, &hash).await?;
    let Some(account) = account else {
        return Ok(over());
    };
    let deed = audit::without_token(
        &account.value,
        audit::caller(&extensions, &headers),
        "POST /auth/browser/{login}/decision",
    );
    let act = browser_login::decide(context.store(), &place, &hash, approved);
    let status = |done: &Result<_, _>| if done.is_ok() { 200 } else { 404 };
    match context.audit.of(deed, act, status).await? {
        Ok(()) => {}
        Err(ActionError::Gone { .. }) => return Ok(over()),
        Err(error) => return Err(error.into()),
    }
    Ok(match approved.is_some() {
        true => page(
            StatusCode::OK,
            "The terminal is logged in",
            "<p>You may close this window, and go on there.</p>",
        ),
        false => page(
            StatusCode::OK,
            "The terminal is not logged in",
            "<p>Whoever asked got nothing. You may close this window.</p>",
        ),
    })
}

pub(super) fn over() -> Response {
    page(
        StatusCode::NOT_FOUND,
        "This login is over",
        "<p>It was decided, or took too long. Begin anew in the terminal.</p>",
    )
}

fn ask_who(
    context: &Context,
    login: &BrowserLogin,
    browser: &Browser,
    place: &str,
    error: Option<&str>,
) -> Response {
    let status = match error {
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
        None => StatusCode::OK,
    };
    let error = error.map_or_else(String::new, |error| {
        format!("<p class=\"error\" role=\"alert\">{}</p>", Text(error))
    });
    let elsewhere = context.provider.as_ref().map_or_else(String::new, |provider| {
        format!(
            "<p>Or at {issuer}:</p><p><a class=\"button\" href=\"/auth/browser/{place}/provider\">Single sign-on</a></p>",
            issuer = Text(&provider.config().issuer),
            place = Text(place),
        )
    });
    let body = format!(
        "{terminal}<p>If yours shows another code, or you did not ask for this, close this window.</p>{error}\
         <form method=\"post\" action=\"/auth/browser/{place}\"><input type=\"hidden\" name=\"form\" value=\"{form}\">\
         <label>E-mail address<input name=\"email\" type=\"email\" autocomplete=\"username\" required autofocus></label>\
         <label>Password<input name=\"password\" type=\"password\" autocomplete=\"current-password\" required></label>\
         <label>Two-factor code, if you have one\
         <input name=\"code\" autocomplete=\"one-time-code\" autocapitalize=\"none\"></label>\
         <button>Log in</button></form>{elsewhere}",
        terminal = terminal(login),
        place = Text(place),
        form = browser.form_token(place),
    );
    page(status, "Log in a terminal", &body)
}

fn ask_whether(
    login: &BrowserLogin,
    browser: &Browser,
    place: &str,
    account: &Account,
) -> Response {
    let body = format!(
        "{terminal}<p>Is it yours, and does it show this code? Then it may act as <b>{email}</b>.</p>\
         <form method=\"post\" action=\"/auth/browser/{place}/decision\">\
         <input type=\"hidden\" name=\"form\" value=\"{form}\">\
         <button name=\"decision\" value=\"approve\">Yes, log it in</button>\
         <button class=\"other\" name=\"decision\" value=\"refuse\">No</button></form>",
        terminal = terminal(login),
        email = Text(account.email.as_str()),
        place = Text(place),
        form = browser.form_token(place),
    );
    page(StatusCode::OK, "Log in this terminal?", &body)
}

fn terminal(login: &BrowserLogin) -> String {
    let from = login.address.map_or_else(String::new, |address| {
        format!(", from {}", address.to_canonical())
    });
    format!(
        "<p>{}{from}, asks to be logged in, and shows this code:</p><p class=\"code\">{}</p>",
        Text(&login.description),
        Text(&login.code)
    )
}
