//! Entity tags for what is read, and 304 for whoever has it already.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http_body::Body as _;
use sha2::{Digest as _, Sha256};

use crate::error::ApiError;

/// Larger answers go out without a tag; streams have no length and so none either.
const MAX_TAGGED_BYTES: u64 = 4 << 20;

pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let wanted = request.method() == Method::GET;
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    let (parts, body) = response.into_parts();
    let length = body
        .size_hint()
        .exact()
        .filter(|length| *length <= MAX_TAGGED_BYTES);
    let (true, true, Some(_)) = (
        wanted,
        parts.status.is_success() && is_json(&parts.headers),
        length,
    ) else {
        return Response::from_parts(parts, body);
    };
    let bytes = match to_bytes(body, usize::MAX).await {
        Ok(bytes) => bytes,
        Err(error) => return ApiError::internal(error).into_response(),
    };
    let tag = format!("\"{}\"", hex::encode(&Sha256::digest(&bytes)[..16]));
    let mut response = if known.is_some_and(|known| names(&known, &tag)) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        *response.headers_mut() = parts.headers;
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response
    } else {
        Response::from_parts(parts, Body::from(bytes))
    };
    if let Ok(value) = HeaderValue::try_from(tag) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"))
}

fn names(if_none_match: &HeaderValue, tag: &str) -> bool {
    let Ok(list) = if_none_match.to_str() else {
        return false;
    };
    list.split(',')
        .map(|entry| entry.trim().trim_start_matches("W/"))
        .any(|entry| entry == tag || entry == "*")
}
