//! Who we are there, and for how long.

use controller_api::{Client, ClientError};

use super::finding::Finding;
use crate::context::Context;

/// A token that ends within this is better renewed now.
const SOON_SECONDS: i64 = 7 * 24 * 3600;

/// And whether somebody is logged in.
pub(super) async fn look(context: &Context, client: &Client) -> (Vec<Finding>, bool) {
    if let Err(error) = context
        .session()
        .and_then(|session| session.token().map(drop))
    {
        return (vec![Finding::error("login", &error)], false);
    }
    let account = match client.account().await {
        Ok(account) => account,
        Err(ClientError::Api(error)) if error.status == 401 => {
            let finding = Finding::problem(
                "login",
                "The platform does not take the token: it has expired, or was revoked",
                "Log in again with `paas login`, or check PAAS_API_KEY.",
            );
            return (vec![finding], false);
        }
        // Somebody's wish: what it may not see is said where it is looked for.
        Err(ClientError::Api(error)) if error.status == 403 => {
            let message = "Logged in with a token that may not say whose it is";
            return (vec![Finding::ok("login", message)], true);
        }
        Err(error) => return (vec![Finding::error("login", &error.into())], false),
    };
    let mut findings = vec![Finding::ok(
        "login",
        format!("Logged in as {}", account.email),
    )];
    // Nothing depends on it: a platform that does not say is no trouble.
    if let Ok(authorization) = client.authorization("~").await {
        let left = authorization
            .access_token
            .and_then(|token| token.expires_in);
        findings.extend(left.and_then(ends_soon));
    }
    (findings, true)
}

fn ends_soon(left_seconds: i64) -> Option<Finding> {
    let hours = left_seconds / 3600;
    (left_seconds < SOON_SECONDS).then(|| {
        Finding::warning(
            "login",
            format!("The token is good for {hours} hours only"),
            "Log in again with `paas login`.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_ends_within_a_week_is_told() {
        assert_eq!(ends_soon(SOON_SECONDS), None);
        let finding = ends_soon(2 * 3600 + 5).unwrap();
        assert_eq!(finding.message, "The token is good for 2 hours only");
    }
}
