//! The client of the Platform API: one method per endpoint, typed both ways.
//!
//! Every call has a deadline and fails with words fit for a user. Calls that only read are tried again when the
//! connection could not be made or the platform said 503; calls that write are never repeated.

mod account;
mod addon;
mod app;
mod audit;
mod build;
mod certificate;
mod dyno;
mod error;
mod forward;
mod greeting;
#[cfg(feature = "hosts")]
pub mod join;
mod pipeline;
mod release;
mod resolve;
mod team;
mod transfer;
mod webhook;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::Secret;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

pub use error::{ApiError, ClientError};
pub use forward::keep_end_to_end;
pub use greeting::Greeting;
pub use release::ReleaseRange;
pub use resolve::is_localhost;

use crate::tls;

const ACCEPT_V3: &str = "application/vnd.heroku+json; version=3";
const RANGE: HeaderName = HeaderName::from_static("range");
const WARNING: HeaderName = HeaderName::from_static("x-heroku-warning");
const MAX_WARNINGS: usize = 10;
const NEXT_RANGE: HeaderName = HeaderName::from_static("next-range");

/// How long a call may take in all.
const DEADLINE: Duration = Duration::from_secs(30);
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// How often a read is tried, the pause growing from [`RETRY_PAUSE`].
const READ_ATTEMPTS: u32 = 3;
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// Where the platform is and who asks.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// `https://api.paas.localhost:8443`
    pub base_url: Url,
    /// Without one only logging in works.
    pub token: Option<Secret<String>>,
    /// A CA to trust besides the system's, PEM.
    pub ca_pem: Option<String>,
    /// `paas/0.1.0 (linux x86_64)`
    pub user_agent: String,
}

#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base_url: Url,
    authorization: Option<HeaderValue>,
    warnings: Warnings,
}

/// What the platform tells beside its answers, each once; whoever has made a client prints it.
#[derive(Debug, Clone, Default)]
pub struct Warnings(Arc<Mutex<BTreeSet<String>>>);

impl Warnings {
    fn note(&self, response: &Response) {
        let told = response.headers().get_all(WARNING).iter();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for text in told.filter_map(|value| value.to_str().ok()) {
            // Answers are many, and warnings few.
            if all.len() < MAX_WARNINGS {
                all.insert(text.to_owned());
            }
        }
    }

    /// Those that have come since this was asked last.
    pub fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Client {
    pub fn new(options: ClientOptions) -> Result<Self, ClientError> {
        let ClientOptions {
            base_url,
            token,
            ca_pem,
            user_agent,
        } = options;
        let secure = base_url.scheme() == "https";
        let host = base_url.host_str().unwrap_or_default();
        let tls = if secure {
            tls::client_config_for(host, ca_pem.as_deref())?
        } else {
            tls::no_roots()?
        };
        let mut builder = reqwest::Client::builder()
            .user_agent(user_agent)
            .connect_timeout(CONNECT_DEADLINE)
            .tls_backend_preconfigured(tls)
            .dns_resolver(resolve::LocalhostResolver)
            .redirect(reqwest::redirect::Policy::none());
        if resolve::is_loopback(&base_url) {
            builder = builder.no_proxy();
        }
        let http = builder
            .build()
            .map_err(|source| ClientError::Setup { source })?;
        let authorization = token.map(|token| bearer(&token)).transpose()?;
        Ok(Self {
            http,
            base_url,
            authorization,
            warnings: Warnings::default(),
        })
    }

    /// The same client, which notes what it is told there.
    #[must_use]
    pub fn telling(mut self, warnings: &Warnings) -> Self {
        self.warnings = warnings.clone();
        self
    }

    pub const fn base_url(&self) -> &Url {
        &self.base_url
    }

    pub(crate) const fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// The WebSocket address for the `attach_url` of a one-off dyno, and its `Authorization`-free secret in it.
    pub fn attach_endpoint(&self, attach_url: &str) -> Result<Url, ClientError> {
        let secret = attach_url.rsplit('/').next().unwrap_or_default();
        let mut url = self.url(&["attach", secret])?;
        let scheme = if self.base_url.scheme() == "https" {
            "wss"
        } else {
            "ws"
        };
        url.set_scheme(scheme)
            .map_err(|()| ClientError::bad_url(&self.base_url))?;
        Ok(url)
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, ClientError> {
        let response = self.read(path, None).await?;
        decode(response).await
    }

    /// All of a list, page by page.
    pub(crate) async fn get_all<T: DeserializeOwned>(
        &self,
        path: &[&str],
    ) -> Result<Vec<T>, ClientError> {
        let mut range = Some("id ..; max=1000".to_owned());
        let mut all = Vec::new();
        while let Some(wanted) = range.take() {
            let response = self.read(path, Some(&wanted)).await?;
            range = response
                .headers()
                .get(NEXT_RANGE)
                .and_then(|v| v.to_str().ok())
                .map(str::to_owned);
            all.append(&mut decode::<Vec<T>>(response).await?);
        }
        Ok(all)
    }

    /// One page of a list.
    pub(crate) async fn get_page<T: DeserializeOwned>(
        &self,
        path: &[&str],
        range: &str,
    ) -> Result<Vec<T>, ClientError> {
        decode(self.read(path, Some(range)).await?).await
    }

    pub(crate) async fn send<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: &B,
    ) -> Result<T, ClientError> {
        let request = self.request(method, path)?.json(body);
        decode(self.execute(request).await?).await
    }

    pub(crate) async fn delete<T: DeserializeOwned>(
        &self,
        path: &[&str],
    ) -> Result<T, ClientError> {
        decode(self.execute(self.request(Method::DELETE, path)?).await?).await
    }

    async fn read(&self, path: &[&str], range: Option<&str>) -> Result<Response, ClientError> {
        let mut attempt = 1;
        loop {
            let mut request = self.request(Method::GET, path)?;
            if let Some(range) = range {
                request = request.header(RANGE, range);
            }
            match self.execute(request).await {
                Err(error) if attempt < READ_ATTEMPTS && error.may_pass() => {
                    tokio::time::sleep(RETRY_PAUSE * attempt).await;
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    pub(crate) fn request(
        &self,
        method: Method,
        path: &[&str],
    ) -> Result<reqwest::RequestBuilder, ClientError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(ACCEPT_V3));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        Ok(self
            .http
            .request(method, self.url(path)?)
            .headers(headers)
            .timeout(DEADLINE))
    }

    pub(crate) async fn execute(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<Response, ClientError> {
        let response = request
            .send()
            .await
            .map_err(|source| ClientError::unreachable(&self.base_url, source))?;
        self.warnings.note(&response);
        if response.status().is_success() {
            return Ok(response);
        }
        Err(error::from_response(response).await)
    }

    /// Each segment is escaped, so that no name can reach another path.
    fn url(&self, path: &[&str]) -> Result<Url, ClientError> {
        let mut url = self.base_url.clone();
        url.path_segments_mut()
            .map_err(|()| ClientError::bad_url(&self.base_url))?
            .pop_if_empty()
            .extend(path);
        Ok(url)
    }
}

async fn decode<T: DeserializeOwned>(response: Response) -> Result<T, ClientError> {
    let status: StatusCode = response.status();
    let bytes = response
        .bytes()
        .await
        .map_err(|source| ClientError::Interrupted { source })?;
    // A 304 or 204 has no body; the types that are asked for there are empty ones.
    let bytes = if bytes.is_empty() {
        &b"{}"[..]
    } else {
        &bytes[..]
    };
    serde_json::from_slice(bytes).map_err(|source| ClientError::Decode { status, source })
}

fn bearer(token: &Secret<String>) -> Result<HeaderValue, ClientError> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose()))
        .map_err(|_| ClientError::BadToken)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(url: &str) -> Client {
        Client::new(ClientOptions {
            base_url: url.parse().unwrap(),
            token: Some(Secret::from("t")),
            ca_pem: None,
            user_agent: "paas/test".to_owned(),
        })
        .unwrap()
    }

    #[test]
    fn names_cannot_leave_their_path_segment() {
        let client = client("http://api.paas.localhost:8080/");
        let url = client.url(&["apps", "../account", "config vars"]).unwrap();
        assert_eq!(
            url.as_str(),
            "http://api.paas.localhost:8080/apps/..%2Faccount/config%20vars"
        );
    }

    #[test]
    fn attaching_goes_to_the_api_host() {
        let client = client("http://api.paas.localhost:8080");
        let url = client
            .attach_endpoint("rendezvous://api.paas.localhost:8080/0123abcd")
            .unwrap();
        assert_eq!(url.as_str(), "ws://api.paas.localhost:8080/attach/0123abcd");
    }

    #[test]
    fn tokens_do_not_show_in_debug() {
        assert!(!format!("{:?}", client("http://x")).contains("Bearer t"));
    }
}
