//! Accounts.

use axum::Json;
use axum::extract::{Path, State};
use controller_api::wire;
use model::AccountId;

use super::{Created, created};
use crate::actions;
use crate::auth::Session;
use crate::context::{Context, Ctx};
use crate::error::{ApiError, ApiResult};
use crate::find;
use crate::http::body::JsonBody;
use crate::views;

pub(crate) async fn create(
    State(context): State<Ctx>,
    JsonBody(body): JsonBody<wire::AccountCreate>,
) -> ApiResult<Created<wire::AccountCreated>> {
    let (account, password) = actions::accounts::create(&context, body).await?;
    let account = views::account::account(&account);
    Ok(created(wire::AccountCreated {
        account,
        password: password.into_exposed(),
    }))
}

pub(crate) async fn show(session: Session) -> Json<wire::Account> {
    Json(views::account::account(&session.account))
}

pub(crate) async fn show_user(
    session: Session,
    Path(user): Path<String>,
) -> ApiResult<Json<wire::Account>> {
    require_self(&session, &user)?;
    Ok(Json(views::account::account(&session.account)))
}

pub(crate) async fn update(
    State(context): State<Ctx>,
    session: Session,
    JsonBody(body): JsonBody<wire::AccountUpdate>,
) -> ApiResult<Json<wire::Account>> {
    let account = actions::accounts::update(&context, &session, body).await?;
    Ok(Json(views::account::account(&account)))
}

pub(crate) async fn update_user(
    State(context): State<Ctx>,
    session: Session,
    Path(user): Path<String>,
    JsonBody(body): JsonBody<wire::AccountUpdate>,
) -> ApiResult<Json<wire::Account>> {
    require_self(&session, &user)?;
    let account = actions::accounts::update(&context, &session, body).await?;
    Ok(Json(views::account::account(&account)))
}

/// Of whom an account is at an identity provider.
pub(crate) async fn unlink(
    State(context): State<Ctx>,
    Path(account): Path<String>,
) -> ApiResult<Json<wire::Account>> {
    let account = named(&context, &account).await?;
    let account = actions::oidc::unlink(context.store(), account).await?;
    Ok(Json(views::account::account(&account)))
}

/// All accounts of those whom an issuer knew.
pub(crate) async fn unlink_issuer(
    State(context): State<Ctx>,
    JsonBody(body): JsonBody<wire::IssuerUnlink>,
) -> ApiResult<Json<Vec<wire::Account>>> {
    let unlinked = actions::oidc::unlink_issuer(context.store(), &body.issuer).await?;
    Ok(Json(unlinked.iter().map(views::account::account).collect()))
}

pub(crate) async fn suspend(
    State(context): State<Ctx>,
    session: Session,
    Path(account): Path<String>,
) -> ApiResult<Json<wire::Account>> {
    let account = named(&context, &account).await?;
    let by = session.account.id;
    let account = actions::accounts::suspend(context.store(), by, account).await?;
    Ok(Json(views::account::account(&account)))
}

pub(crate) async fn resume(
    State(context): State<Ctx>,
    Path(account): Path<String>,
) -> ApiResult<Json<wire::Account>> {
    let account = named(&context, &account).await?;
    let account = actions::accounts::resume(context.store(), account).await?;
    Ok(Json(views::account::account(&account)))
}

async fn named(context: &Context, account: &str) -> ApiResult<AccountId> {
    let account = find::account(context.store(), account).await?;
    let account = account.ok_or_else(|| ApiError::not_found("account"))?;
    Ok(account.value.id)
}

pub(crate) async fn rate_limit(
    State(context): State<Ctx>,
    session: Session,
) -> Json<wire::RateLimit> {
    Json(wire::RateLimit {
        remaining: context.requests.left(session.account.id),
    })
}

/// `~` or one's own id or e-mail address; other people are nobody's business.
pub(super) fn require_self(session: &Session, user: &str) -> ApiResult<()> {
    let account = &session.account;
    if user == "~"
        || user == account.id.to_string()
        || user.eq_ignore_ascii_case(account.email.as_str())
    {
        return Ok(());
    }
    Err(ApiError::not_found("user"))
}
