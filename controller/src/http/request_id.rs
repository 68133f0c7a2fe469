//! Every answer has a `Request-Id` of our own; what went wrong inside is logged under it, here and only here.

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;
use tracing::{debug, error};
use uuid::Uuid;

use crate::error::Cause;

pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let id = Uuid::new_v4();
    let started = Instant::now();
    let (method, path) = (
        request.method().clone(),
        loggable(request.uri().path()).to_owned(),
    );
    let mut response = next.run(request).await;
    let status = response.status().as_u16();
    if let Some(Cause(cause)) = response.extensions().get::<Cause>() {
        let error: &dyn std::error::Error = &**cause;
        error!(request.id = %id, http.method = %method, http.path = path, http.status = status, error, "Request failed");
    } else {
        let duration_ms = started.elapsed().as_millis();
        debug!(request.id = %id, http.method = %method, http.path = path, http.status = status, duration_ms, "Answered");
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::try_from(id.to_string()) {
        headers.insert("request-id", value);
    }
    response
}

/// Paths that end in a secret are cut before it.
fn loggable(path: &str) -> &str {
    for prefix in [
        "/streams/",
        "/attach/",
        "/internal/attach/",
        "/sources/",
        "/auth/",
    ] {
        if path.starts_with(prefix) {
            return prefix;
        }
    }
    path
}
