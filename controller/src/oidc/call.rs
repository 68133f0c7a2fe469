//! How the provider is called: what it sends is bounded, and no redirect of its is followed.

use futures::StreamExt as _;
use futures::future::BoxFuture;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};

const MAX_ANSWER_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Http(pub(super) reqwest::Client);

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = CallError;
    type Future = BoxFuture<'c, Result<HttpResponse, CallError>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.execute(request))
    }
}

impl Http {
    async fn execute(&self, request: HttpRequest) -> Result<HttpResponse, CallError> {
        let request = request.map(reqwest::Body::from);
        let request = request.try_into().map_err(CallError::Http)?;
        let response = self.0.execute(request).await.map_err(CallError::Http)?;
        let mut answer = http::Response::builder().status(response.status());
        if let Some(headers) = answer.headers_mut() {
            headers.clone_from(response.headers());
        }
        let mut body = Vec::new();
        let mut parts = response.bytes_stream();
        while let Some(part) = parts.next().await {
            let part = part.map_err(CallError::Http)?;
            if body.len() + part.len() > MAX_ANSWER_BYTES {
                return Err(CallError::TooLarge);
            }
            body.extend_from_slice(&part);
        }
        answer.body(body).map_err(CallError::Malformed)
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("the call failed")]
    Http(#[source] reqwest::Error),
    #[error("the answer is too large")]
    TooLarge,
    #[error("the answer makes no sense")]
    Malformed(#[source] http::Error),
}
