//! Invitations, and the page where one is taken up.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{Extensions, HeaderMap, StatusCode};
use axum::response::Response;
use controller_api::wire;
use model::{Invitation, Secret};

use super::{Created, created};
use crate::actions::ActionError;
use crate::actions::invitations::{self, Newcomer};
use crate::audit;
use crate::auth::Session;
use crate::context::Ctx;
use crate::error::ApiResult;
use crate::http::body::JsonBody;
use crate::http::browser::{Browser, Fields};
use crate::http::range::{Page, PageRange};
use crate::pages::{Text, alert, page};
use crate::views;

pub(crate) async fn create(
    State(context): State<Ctx>,
    session: Session,
    JsonBody(body): JsonBody<wire::InvitationCreate>,
) -> ApiResult<Created<wire::InvitationCreated>> {
    let by = session.account.id;
    let (invitation, token) = invitations::create(context.store(), by, &body).await?;
    let path = format!("/auth/invitation/{}", token.expose());
    Ok(created(wire::InvitationCreated {
        invitation: views::account::invitation(&invitation),
        url: Secret::new(context.config.api_url(&path)),
        token,
    }))
}

pub(crate) async fn list(State(context): State<Ctx>, range: PageRange) -> ApiResult<Page> {
    let pending = invitations::list(context.store()).await?;
    range.page(
        pending
            .iter()
            .map(|invitation| views::account::invitation(&invitation.value)),
    )
}

pub(crate) async fn revoke(
    State(context): State<Ctx>,
    Path(invitation): Path<String>,
) -> ApiResult<Json<wire::Invitation>> {
    let gone = invitations::revoke(context.store(), &invitation).await?;
    Ok(Json(views::account::invitation(&gone)))
}

pub(crate) async fn accept(
    State(context): State<Ctx>,
    extensions: Extensions,
    headers: HeaderMap,
    JsonBody(body): JsonBody<wire::InvitationAccept>,
) -> ApiResult<Created<wire::Account>> {
    let newcomer = Newcomer {
        name: body.name,
        password: body.password,
        from: audit::caller(&extensions, &headers),
    };
    let account = invitations::accept(&context, body.token.expose(), newcomer).await?;
    Ok(created(views::account::account(&account)))
}

pub(crate) async fn show(
    State(context): State<Ctx>,
    browser: Browser,
    Path(token): Path<String>,
) -> ApiResult<Response> {
    let Some(invitation) = invitations::find(context.store(), &token).await? else {
        return Ok(over());
    };
    let shown = ask(&invitation.value, &browser, &token, None);
    Ok(browser.remember(&context.config, shown))
}

pub(crate) async fn take_up(
    State(context): State<Ctx>,
    browser: Browser,
    Path(token): Path<String>,
    extensions: Extensions,
    headers: HeaderMap,
    fields: Fields,
) -> ApiResult<Response> {
    let Some(invitation) = invitations::find(context.store(), &token).await? else {
        return Ok(over());
    };
    let again = |why: &str| {
        let shown = ask(&invitation.value, &browser, &token, Some(why));
        Ok(browser.remember(&context.config, shown))
    };
    if !browser.sent(fields.get("form"), &token) {
        return again("The form was too old. Try again; cookies must be allowed.");
    }
    if fields.get("password") != fields.get("again") {
        return again("The passwords differ.");
    }
    let newcomer = Newcomer {
        name: Some(fields.get("name").trim().to_owned()),
        password: Secret::from(fields.get("password")),
        from: audit::caller(&extensions, &headers),
    };
    match invitations::accept(&context, &token, newcomer).await {
        Ok(account) => Ok(welcome(&account.email, &context.config.api_url(""))),
        Err(ActionError::Invalid { message }) => again(&message),
        Err(ActionError::Gone { .. }) => Ok(over()),
        Err(error) => Err(error.into()),
    }
}

fn welcome(email: &model::Email, api: &str) -> Response {
    let body = format!(
        "<p>There is an account for <b>{}</b> now. In a terminal, log in with:</p><p><code>paas login --api {}</code></p>",
        Text(email.as_str()),
        Text(api)
    );
    page(StatusCode::CREATED, "Welcome", &body)
}

fn over() -> Response {
    page(
        StatusCode::NOT_FOUND,
        "There is no such invitation",
        "<p>It was taken up or taken back, or it is too old. Ask for another.</p>",
    )
}

fn ask(invitation: &Invitation, browser: &Browser, token: &str, error: Option<&str>) -> Response {
    let status = match error {
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
        None => StatusCode::OK,
    };
    let error = alert(error);
    let body = format!(
        "<p>An account for <b>{email}</b>:</p>{error}\
         <form method=\"post\" action=\"/auth/invitation/{token}\"><input type=\"hidden\" name=\"form\" value=\"{form}\">\
         <input type=\"hidden\" name=\"email\" autocomplete=\"username\" value=\"{email}\">\
         <label>Your name<input name=\"name\" autocomplete=\"name\"></label>\
         <label>A password of your own<input name=\"password\" type=\"password\" autocomplete=\"new-password\" \
         minlength=\"8\" required></label>\
         <label>The password again<input name=\"again\" type=\"password\" autocomplete=\"new-password\" required></label>\
         <button>Make the account</button></form>",
        email = Text(invitation.email.as_str()),
        token = Text(token),
        form = browser.form_token(token),
    );
    page(status, "You are invited", &body)
}
