//! Basic and Bearer credentials.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use model::{Account, Need, TokenId};

use crate::Builder;
use crate::access::account_of_token;

/// The account whose token the request carries, and which that is, if it is good for what is asked; else what to answer. Git tries without first, and asks its credential
/// helper when told 401.
pub(super) async fn account(
    builder: &Builder,
    headers: &HeaderMap,
    need: Need,
) -> Result<(Account, TokenId), Response> {
    // Told 401, git would send the token in the clear.
    if headers
        .get("x-forwarded-proto")
        .is_some_and(|proto| proto == "http")
    {
        return Err(super::plain(
            StatusCode::FORBIDDEN,
            " !     Git is served over HTTPS only: use https:// in the remote's address (paas git:remote does).\n",
        ));
    }
    let Some(given) = headers.get(header::AUTHORIZATION) else {
        return Err(unauthorized("Log in with: paas login\n"));
    };
    let token = given.to_str().ok().and_then(token_of);
    let account = match &token {
        Some(token) => account_of_token(&*builder.store, token, Timestamp::now())
            .await
            .map_err(|e| super::unavailable(&e))?,
        None => None,
    };
    let (account, token) = account.ok_or_else(|| {
        unauthorized(
            " !     Invalid credentials: the password is an API token (see: paas auth:token).\n",
        )
    })?;
    if builder.config.second_factor.is_broken_by(&account) {
        return Err(super::plain(
            StatusCode::FORBIDDEN,
            crate::words::NO_SECOND_FACTOR,
        ));
    }
    match token.grants(need) {
        true => Ok((account, token.id)),
        false => Err(super::plain(
            StatusCode::FORBIDDEN,
            &crate::words::token_too_narrow(need),
        )),
    }
}

/// The token is Basic's password, whatever the user name, or the bearer token.
fn token_of(given: &str) -> Option<String> {
    let (scheme, rest) = given.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    pair.split_once(':')
        .map(|(_, password)| password.to_owned())
}

fn unauthorized(text: &str) -> Response {
    let headers = [
        (
            header::WWW_AUTHENTICATE,
            "Basic realm=\"paas\", charset=\"UTF-8\"",
        ),
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
    ];
    (StatusCode::UNAUTHORIZED, headers, text.to_owned()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_the_password_or_the_bearer() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(
            token_of(&basic("me@example.com:secret:x")).as_deref(),
            Some("secret:x")
        );
        assert_eq!(token_of(&basic(":secret")).as_deref(), Some("secret"));
        assert_eq!(token_of("bearer secret").as_deref(), Some("secret"));
        for bad in ["", "Basic", "Basic !!", "Digest x", &basic("nothing")] {
            assert_eq!(token_of(bad), None, "{bad}");
        }
    }
}
