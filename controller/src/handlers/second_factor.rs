//! An account's second factor.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName};
use controller_api::wire;
use model::Secret;

use super::{Created, created};
use crate::actions;
use crate::actions::second_factor::Proof;
use crate::auth::Session;
use crate::context::Ctx;
use crate::error::{ApiError, ApiResult};
use crate::find;
use crate::guard::AppAccess;
use crate::http::body::JsonBody;
use crate::views;

/// In which clients send a code, as to Heroku.
const CODE: HeaderName = HeaderName::from_static("heroku-two-factor-code");

pub(crate) fn code(headers: &HeaderMap) -> Option<&str> {
    let code = headers.get(CODE)?.to_str().ok()?.trim();
    (!code.is_empty()).then_some(code)
}

pub(crate) async fn show(State(context): State<Ctx>, session: Session) -> Json<wire::SecondFactor> {
    let rule = context.config.second_factor;
    Json(views::account::second_factor(&session.account, rule))
}

pub(crate) async fn enrol(
    State(context): State<Ctx>,
    session: Session,
    JsonBody(body): JsonBody<wire::SecondFactorEnrol>,
) -> ApiResult<Created<wire::SecondFactorEnrolment>> {
    let begun = actions::second_factor::enrol(&context, &session.account, body.password).await?;
    Ok(created(wire::SecondFactorEnrolment {
        otpauth_url: begun.url,
        secret: begun.secret,
    }))
}

pub(crate) async fn confirm(
    State(context): State<Ctx>,
    session: Session,
    JsonBody(body): JsonBody<wire::SecondFactorConfirm>,
) -> ApiResult<Json<wire::RecoveryCodes>> {
    let codes =
        actions::second_factor::confirm(&context, &session.account, body.code.expose()).await?;
    Ok(recovery_codes(codes))
}

pub(crate) async fn renew_recovery_codes(
    State(context): State<Ctx>,
    session: Session,
    JsonBody(body): JsonBody<wire::SecondFactorProof>,
) -> ApiResult<Json<wire::RecoveryCodes>> {
    let codes =
        actions::second_factor::renew_recovery_codes(&context, &session.account, proof(body))
            .await?;
    Ok(recovery_codes(codes))
}

pub(crate) async fn disable(
    State(context): State<Ctx>,
    session: Session,
    JsonBody(body): JsonBody<wire::SecondFactorProof>,
) -> ApiResult<Json<wire::SecondFactor>> {
    let account = actions::second_factor::disable(&context, &session.account, proof(body)).await?;
    let rule = context.config.second_factor;
    Ok(Json(views::account::second_factor(&account, rule)))
}

pub(crate) async fn reset(
    State(context): State<Ctx>,
    session: Session,
    Path(account): Path<String>,
) -> ApiResult<Json<wire::Account>> {
    let account = find::account(context.store(), &account)
        .await?
        .ok_or_else(|| ApiError::not_found("account"))?;
    let (by, account) = (session.account.id, account.value.id);
    let account = actions::second_factor::reset(context.store(), by, account).await?;
    Ok(Json(views::account::account(&account)))
}

/// Nothing here asks for a code once one is logged in; clients may send one ahead all the same.
pub(crate) async fn pre_authorize(
    State(context): State<Ctx>,
    access: AppAccess,
    headers: HeaderMap,
) -> ApiResult<Json<wire::Empty>> {
    let account = &access.session.account;
    if account.has_second_factor() {
        let code = code(&headers).ok_or_else(|| {
            ApiError::two_factor("A two-factor code is needed to authorize this app ahead.")
        })?;
        actions::second_factor::take_of_device(&context, account, code).await?;
    }
    Ok(Json(wire::Empty {}))
}

fn proof(body: wire::SecondFactorProof) -> Proof {
    Proof {
        password: body.password,
        code: body.code,
    }
}

fn recovery_codes(codes: Vec<Secret<String>>) -> Json<wire::RecoveryCodes> {
    Json(wire::RecoveryCodes {
        recovery_codes: codes,
    })
}
