//! Request bodies: JSON whatever the `Content-Type` says, unknown fields ignored, mistakes told in plain words.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::{FromRequest, Request};
use futures::StreamExt as _;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::audit;
use crate::error::{ApiError, ApiResult};

/// The most an API call may send.
pub(crate) const MAX_BODY_BYTES: usize = 1 << 20;
/// How much of what is too large is still taken, and for how long.
const MAX_DRAINED_BYTES: usize = 64 << 20;
const DRAIN_WITHIN: Duration = Duration::from_secs(10);

/// A JSON object; no body at all is an empty one.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> ApiResult<Self> {
        let bytes = read(request.into_body()).await?;
        audit::note(&bytes);
        parse(&bytes).map(Self)
    }
}

pub(super) async fn read(body: Body) -> ApiResult<Vec<u8>> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk =
            chunk.map_err(|_| ApiError::bad_request("The request body could not be read."))?;
        if bytes.len() + chunk.len() > MAX_BODY_BYTES {
            // In time or not, the answer is the same.
            let _ = timeout(DRAIN_WITHIN, drain(stream)).await;
            return Err(ApiError::too_large(format!(
                "The request body is too large; at most {MAX_BODY_BYTES} bytes are allowed."
            )));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// A connection that is closed with bytes unread is reset, and whoever is still sending never sees the answer.
async fn drain(mut stream: BodyDataStream) {
    let mut drained = 0;
    while let Some(Ok(chunk)) = stream.next().await {
        drained += chunk.len();
        if drained > MAX_DRAINED_BYTES {
            return;
        }
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> ApiResult<T> {
    let bytes = match bytes.trim_ascii() {
        b"" => b"{}",
        bytes => bytes,
    };
    // Serde would also read a list of the fields' values.
    if !bytes.starts_with(b"{") {
        return Err(ApiError::bad_request(
            "The request body must be a JSON object, such as {}.",
        ));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        if error.is_data() {
            ApiError::invalid(format!("The request body is not as expected: {error}"))
        } else {
            ApiError::bad_request(format!("The request body is not valid JSON: {error}"))
        }
    })
}
