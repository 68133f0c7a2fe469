//! Request bodies: JSON whatever the `Content-Type` says, unknown fields ignored, mistakes told in plain words.

use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::error::{ApiError, ApiResult};

/// The most an API call may send.
pub(crate) const MAX_BODY_BYTES: usize = 1 << 20;

/// A JSON object; no body at all is an empty one.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> ApiResult<Self> {
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(rejected)?;
        parse(&bytes).map(Self)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> ApiResult<T> {
    let bytes = if bytes.trim_ascii().is_empty() {
        b"{}"
    } else {
        bytes
    };
    serde_json::from_slice(bytes).map_err(|error| {
        if error.is_data() {
            ApiError::invalid(format!("The request body is not as expected: {error}"))
        } else {
            ApiError::bad_request(format!("The request body is not valid JSON: {error}"))
        }
    })
}

fn rejected(rejection: BytesRejection) -> ApiError {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        ApiError::too_large(format!(
            "The request body is too large; at most {MAX_BODY_BYTES} bytes are allowed."
        ))
    } else {
        ApiError::bad_request("The request body could not be read.")
    }
}
