//! Credentials are not taken over plain HTTP, so that nobody goes on sending them that way; nor are the pages shown there
//! that ask for them.

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;

use crate::config::Scheme;
use crate::context::Ctx;
use crate::error::{ApiError, ApiResult};

/// A router says in `X-Forwarded-Proto` how it was reached, whatever the client wrote there; calls that came through
/// none are from within the platform.
pub(crate) async fn layer(
    State(context): State<Ctx>,
    request: Request,
    next: Next,
) -> ApiResult<Response> {
    let headers = request.headers();
    let in_the_clear = headers
        .get("x-forwarded-proto")
        .is_some_and(|proto| proto == "http");
    if in_the_clear
        && context.config.api.scheme == Scheme::Https
        && (headers.contains_key(header::AUTHORIZATION) || is_secret(request.uri().path()))
    {
        return Err(ApiError::sent_in_the_clear());
    }
    Ok(next.run(request).await)
}

/// What is sent there, or is in the path itself, is a secret.
fn is_secret(path: &str) -> bool {
    path.starts_with("/auth")
        || path == "/account-invitations/actions/accept"
        // The token of a host that joins.
        || path == "/nodes"
}
