//! How the authority is spoken to: by the client that all else uses, with a limit on all it may take.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use controller_api::tls::client_config;
use http::Request;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

use super::account::AccountError;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const MAX_REQUEST: usize = 1 << 20;
const MAX_ANSWER: usize = 1 << 20;

#[derive(Debug, Clone)]
pub(super) struct Http(reqwest::Client);

impl Http {
    /// `ca`: PEM of those who vouch for the authority's own server, if not those whom the system trusts.
    pub(super) fn new(ca: Option<&str>) -> Result<Self, AccountError> {
        let tls = client_config(ca).map_err(AccountError::Tls)?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            .https_only(true)
            .build()
            .map_err(AccountError::Client)?;
        Ok(Self(client))
    }
}

fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Other(error.into())
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(axum::body::Body::new(body), MAX_REQUEST)
                .await
                .map_err(other)?;
            let request = reqwest::Request::try_from(Request::from_parts(parts, body));
            let mut response = client
                .execute(request.map_err(other)?)
                .await
                .map_err(other)?;
            let mut bytes = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(other)? {
                if bytes.len() + chunk.len() > MAX_ANSWER {
                    return Err(Error::Str("the answer is too long"));
                }
                bytes.extend_from_slice(&chunk);
            }
            let mut answer = http::Response::new(());
            *answer.status_mut() = response.status();
            *answer.headers_mut() = response.headers().clone();
            Ok(BytesResponse {
                parts: answer.into_parts().0,
                body: Box::new(Bytes::from(bytes)),
            })
        })
    }
}
