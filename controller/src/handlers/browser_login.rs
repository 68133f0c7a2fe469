//! Logging a terminal in by way of a browser: the pages for whoever it belongs to.

use std::net::IpAddr;

use axum::extract::{Path, State};
use axum::http::{Extensions, HeaderMap, StatusCode};
use axum::response::Response;
use model::audit::Deed;
use model::{Account, BrowserLogin, Secret, TokenId};

use super::to_its_end;
use crate::actions::ActionError;
use crate::actions::log_in::{Attempt, log_in};
use crate::actions::{browser_login, oidc};
use crate::audit;
use crate::context::{Context, Ctx};
use crate::error::{ApiError, ApiResult};
use crate::http::browser::{Browser, Fields};
use crate::limits::network;
use crate::oidc::Admitted;
use crate::pages::{Text, alert, page, see_other};

/// What a page about a login has to know.
struct Shown<'a> {
    login: &'a BrowserLogin,
    browser: &'a Browser,
    place: &'a str,
    /// Where the browser is.
    from: Option<IpAddr>,
}

/// Asks who is there, or, once that is known, whether the terminal is his.
pub(crate) async fn show(
    State(context): State<Ctx>,
    browser: Browser,
    Path(place): Path<String>,
    extensions: Extensions,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let Some(login) = browser_login::find(context.store(), &place).await? else {
        return Ok(over());
    };
    if login.value.is_decided() {
        return Ok(over());
    }
    let hash = browser.hash();
    let account = browser_login::identified(context.store(), &login.value, &hash).await?;
    let shown = Shown {
        login: &login.value,
        browser: &browser,
        place: &place,
        from: audit::caller(&extensions, &headers),
    };
    let page = match account {
        Some(account) => ask_whether(&shown, &account.value),
        None => match oidc::arrived(&context, &login, &hash)? {
            Some(admitted) => ask_password(&shown, &admitted, None),
            None => ask_who(&context, &shown, None),
        },
    };
    Ok(browser.remember(&context.config, page))
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
    let from = audit::caller(&extensions, &headers);
    let arrived = oidc::arrived(&context, &login, &browser.hash())?;
    let again = |why: &str| {
        let shown = Shown {
            login: &login.value,
            browser: &browser,
            place: &place,
            from,
        };
        let page = match &arrived {
            Some(admitted) => ask_password(&shown, admitted, Some(why)),
            None => ask_who(&context, &shown, Some(why)),
        };
        Ok(browser.remember(&context.config, page))
    };
    if !browser.sent(fields.get("form"), &place) {
        return again("The form was too old. Try again; cookies must be allowed.");
    }
    let code = Some(fields.get("code").trim()).filter(|code| !code.is_empty());
    let email = match &arrived {
        Some(admitted) => admitted.email.as_str(),
        None => fields.get("email").trim(),
    };
    let attempt = Attempt {
        address: from,
        email,
        password: Secret::from(fields.get("password")),
        code,
    };
    let account = match log_in(&context, attempt).await {
        Ok(account) => account,
        Err(error) => return again(&why_not(error, arrived.is_some())?),
    };
    let account = match arrived.clone() {
        None => account,
        Some(admitted) => {
            let context = context.clone();
            let linking = async move { oidc::link(&context, &admitted, &account, from).await };
            match to_its_end(linking).await? {
                Ok(account) => account,
                Err(ActionError::Gone { .. }) => return Ok(over()),
                Err(ActionError::Forbidden { message }) => return again(&message),
                Err(error) => return Err(error.into()),
            }
        }
    };
    identified(&context, &place, &account).await
}

/// In words for whoever tried, if it is his to do something about it.
fn why_not(error: ActionError, knows_address: bool) -> ApiResult<String> {
    match error {
        ActionError::WrongCredentials if knows_address => Ok("The password is wrong.".to_owned()),
        ActionError::WrongCredentials => {
            Ok("The e-mail address or the password is wrong.".to_owned())
        }
        ActionError::SecondFactor { message } | ActionError::Forbidden { message } => Ok(message),
        error @ ActionError::TooManyGuesses { .. } => Ok(ApiError::from(error).message),
        error => Err(error.into()),
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
    let from = audit::caller(&extensions, &headers);
    let deed = deed(&login.value, &account.value, approved, from);
    let decided = to_its_end(async move {
        let act = browser_login::decide(context.store(), &place, &hash, approved);
        let status = |done: &Result<_, _>| if done.is_ok() { 200 } else { 404 };
        context.audit.of(deed, act, status).await
    });
    match decided.await?? {
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

/// What the audit log has of a decision.
fn deed(
    login: &BrowserLogin,
    account: &Account,
    approved: Option<TokenId>,
    from: Option<IpAddr>,
) -> Deed {
    let decision = if approved.is_some() {
        "approve"
    } else {
        "refuse"
    };
    let told = [
        ("decision", Some(decision.to_owned())),
        ("description", Some(audit::cut(&login.description))),
        ("terminal", login.address.map(|at| at.to_string())),
        ("token", approved.map(|id| id.to_string())),
    ];
    let told = told
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Deed {
        parameters: told.collect(),
        ..audit::without_token(account, from, "POST /auth/browser/{login}/decision")
    }
}

pub(super) fn over() -> Response {
    page(
        StatusCode::NOT_FOUND,
        "This login is over",
        "<p>It was decided, or took too long. Begin anew in the terminal.</p>",
    )
}

const NOT_MINE: &str =
    "If yours shows another code, or you did not ask for this, close this window.";

fn ask_who(context: &Context, shown: &Shown<'_>, error: Option<&str>) -> Response {
    let place = Text(shown.place);
    let elsewhere = context.provider.as_ref().map_or_else(String::new, |provider| {
        format!(
            "<p>Or at {issuer}:</p><p><a class=\"button\" href=\"/auth/browser/{place}/provider\">Single sign-on</a></p>",
            issuer = Text(&provider.config().issuer),
        )
    });
    let body = format!(
        "{terminal}<p>{NOT_MINE}</p>{error}\
         <form method=\"post\" action=\"/auth/browser/{place}\"><input type=\"hidden\" name=\"form\" value=\"{form}\">\
         <label>E-mail address<input name=\"email\" type=\"email\" autocomplete=\"username\" required autofocus></label>\
         {PASSWORD_AND_CODE}<button>Log in</button></form>{elsewhere}",
        terminal = terminal(shown),
        error = alert(error),
        form = shown.browser.form_token(shown.place),
    );
    page(status(error), "Log in a terminal", &body)
}

const PASSWORD_AND_CODE: &str = "\
    <label>Password<input name=\"password\" type=\"password\" autocomplete=\"current-password\" required></label>\
    <label>Two-factor code, if you have one\
    <input name=\"code\" autocomplete=\"one-time-code\" autocapitalize=\"none\"></label>";

/// Of somebody whom the provider has sent, and whose address is that of an account with a password.
fn ask_password(shown: &Shown<'_>, admitted: &Admitted, error: Option<&str>) -> Response {
    let body = format!(
        "{terminal}<p>{NOT_MINE}</p>\
         <p>There is an account for <b>{email}</b> here, which has a password. Give it this once: from then on, logging in at \
         {issuer} is enough, without password and code.</p>{error}\
         <form method=\"post\" action=\"/auth/browser/{place}\"><input type=\"hidden\" name=\"form\" value=\"{form}\">\
         <input type=\"hidden\" name=\"email\" autocomplete=\"username\" value=\"{email}\">\
         {PASSWORD_AND_CODE}<button>Link the account</button></form>",
        terminal = terminal(shown),
        email = Text(admitted.email.as_str()),
        issuer = Text(&admitted.identity.issuer),
        error = alert(error),
        place = Text(shown.place),
        form = shown.browser.form_token(shown.place),
    );
    page(status(error), "Link your account", &body)
}

const fn status(error: Option<&str>) -> StatusCode {
    match error {
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
        None => StatusCode::OK,
    }
}

fn ask_whether(shown: &Shown<'_>, account: &Account) -> Response {
    let admin = if account.is_admin {
        ", <b>an administrator of the platform</b>,"
    } else {
        ""
    };
    let body = format!(
        "{terminal}{warning}<p>Is it yours, and does it show this code? Then it may act as <b>{email}</b>{admin} for {lasts}. \
         If you did not ask for this, say no.</p>\
         <form method=\"post\" action=\"/auth/browser/{place}/decision\">\
         <input type=\"hidden\" name=\"form\" value=\"{form}\">\
         <button name=\"decision\" value=\"approve\">Yes, log it in</button>\
         <button class=\"other\" name=\"decision\" value=\"refuse\">No</button></form>",
        terminal = terminal(shown),
        warning = warning(shown),
        email = Text(account.email.as_str()),
        lasts = lasts(shown.login.token_secs),
        place = Text(shown.place),
        form = shown.browser.form_token(shown.place),
    );
    page(StatusCode::OK, "Log in this terminal?", &body)
}

/// Most terminals are where the browser is.
fn warning(shown: &Shown<'_>) -> String {
    match (shown.login.address, shown.from) {
        (Some(terminal), Some(browser)) if network(terminal) != network(browser) => {
            let text = format!(
                "It is in another network than this browser, which is at {}. If you do not know why, say no.",
                browser.to_canonical()
            );
            alert(Some(&text))
        }
        _ => String::new(),
    }
}

fn lasts(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..3600 => (seconds.div_ceil(60), "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// What the terminal calls itself is a stranger's word: in quotes, and by itself.
fn terminal(shown: &Shown<'_>) -> String {
    let login = shown.login;
    let from = login.address.map_or_else(String::new, |address| {
        format!(", at {},", address.to_canonical())
    });
    format!(
        "<p>A terminal{from} asks to be logged in. It calls itself</p><p>\u{201c}{}\u{201d}</p><p>and shows this code:</p>\
         <p class=\"code\">{}</p>",
        Text(&login.description),
        Text(&login.code)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_token_lasts_is_said_in_round_words() {
        for (seconds, said) in [
            (1, "1 minute"),
            (3599, "60 minutes"),
            (3600, "1 hour"),
            (86_400, "1 day"),
            (30 * 86_400, "30 days"),
        ] {
            assert_eq!(lasts(seconds), said);
        }
    }
}
