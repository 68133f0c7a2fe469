//! Logging in and out: tokens.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{Extensions, HeaderMap};
use controller_api::wire;
use model::{Need, Timestamp};
use tokio::time::Instant;

use super::{Created, created, second_factor};
use crate::actions;
use crate::actions::log_in::{Attempt, log_in};
use crate::audit;
use crate::auth::{Credentials, Session, authenticate};
use crate::context::Ctx;
use crate::error::{ApiError, ApiResult};
use crate::guard::{require_second_factor, too_narrow};
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::views;

/// With an e-mail address and password (Basic), or with a token, which makes another.
pub(crate) async fn create(
    State(context): State<Ctx>,
    extensions: Extensions,
    headers: HeaderMap,
    JsonBody(body): JsonBody<wire::AuthorizationCreate>,
) -> ApiResult<Created<wire::Authorization>> {
    let from = audit::caller(&extensions, &headers);
    let (account, by) = match Credentials::from_headers(&headers) {
        Some(Credentials::Basic { user, password }) if user.contains('@') => {
            let attempt = Attempt {
                address: from,
                email: &user,
                password,
                code: second_factor::code(&headers),
            };
            (log_in(&context, attempt).await?, None)
        }
        _ => {
            let session = authenticate(&context, &headers)
                .await?
                .ok_or_else(ApiError::unauthorized)?;
            // Else a token could make one that is good for more.
            if !session.token.value.grants(Need::Global) {
                return Err(too_narrow(&session.token.value, Need::Global));
            }
            require_second_factor(&context, &session)?;
            (session.account, Some(session.token.value.id))
        }
    };
    // Else those who may make tokens could fill the platform's records with them.
    let remaining = context.requests.take(account.id, Instant::now());
    remaining.ok_or_else(|| {
        ApiError::rate_limit("Your account reached the API rate limit. Please wait a few minutes.")
    })?;
    let deed = audit::login(&account, by, from);
    let act = actions::tokens::create(context.store(), &account, &body);
    let status = |made: &Result<_, _>| if made.is_ok() { 201 } else { 422 };
    let (token, secret) = context.audit.of(deed, act, status).await??;
    Ok(created(views::account::authorization(
        &account,
        &token,
        Some(&secret),
        Timestamp::now(),
    )))
}

pub(crate) async fn list(
    State(context): State<Ctx>,
    session: Session,
    range: PageRange,
) -> ApiResult<Page> {
    let now = Timestamp::now();
    let tokens = actions::tokens::list(context.store(), session.account.id).await?;
    range.page(
        tokens
            .iter()
            .map(|token| views::account::authorization(&session.account, &token.value, None, now)),
    )
}

pub(crate) async fn show(
    State(context): State<Ctx>,
    session: Session,
    Path(authorization): Path<String>,
) -> ApiResult<Json<wire::Authorization>> {
    let token = actions::tokens::find(context.store(), &session, &authorization).await?;
    let token = token.ok_or_else(|| ApiError::not_found("authorization"))?;
    Ok(Json(views::account::authorization(
        &session.account,
        &token.value,
        None,
        Timestamp::now(),
    )))
}

/// What it is called.
pub(crate) async fn update(
    State(context): State<Ctx>,
    session: Session,
    Path(authorization): Path<String>,
    JsonBody(body): JsonBody<wire::AuthorizationUpdate>,
) -> ApiResult<Json<wire::Authorization>> {
    let token = actions::tokens::find(context.store(), &session, &authorization).await?;
    let token = token.ok_or_else(|| ApiError::not_found("authorization"))?;
    let changed = actions::tokens::update(context.store(), &token, &body).await?;
    let (account, now) = (&session.account, Timestamp::now());
    Ok(Json(views::account::authorization(
        account, &changed, None, now,
    )))
}

/// Another secret for it; the one before is good for nothing from now on.
pub(crate) async fn rotate(
    State(context): State<Ctx>,
    session: Session,
    Path(authorization): Path<String>,
) -> ApiResult<Json<wire::Authorization>> {
    let token = actions::tokens::find(context.store(), &session, &authorization).await?;
    let token = token.ok_or_else(|| ApiError::not_found("authorization"))?;
    let secret = actions::tokens::rotate(context.store(), &token).await?;
    Ok(Json(views::account::authorization(
        &session.account,
        &token.value,
        Some(&secret),
        Timestamp::now(),
    )))
}

pub(crate) async fn revoke(
    State(context): State<Ctx>,
    session: Session,
    Path(authorization): Path<String>,
) -> ApiResult<Json<wire::Authorization>> {
    let token = actions::tokens::find(context.store(), &session, &authorization).await?;
    let token = token.ok_or_else(|| ApiError::not_found("authorization"))?;
    // Whoever holds a token may say that it is to end, whatever it is good for.
    let own = &session.token;
    if token.key != own.key && !own.value.grants(Need::Global) {
        return Err(too_narrow(&own.value, Need::Global));
    }
    actions::tokens::revoke(context.store(), &token).await?;
    Ok(Json(views::account::authorization(
        &session.account,
        &token.value,
        None,
        Timestamp::now(),
    )))
}

/// There are no sessions apart from tokens; the CLI's logout tries and then deletes its token.
pub(crate) async fn end_session(_: Session) -> ApiError {
    ApiError::not_found("session")
}
