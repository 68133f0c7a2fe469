//! The two calls of a host: to join, with a token, and to have its certificate renewed, with the certificate.

use std::net::SocketAddr;
use std::time::Duration;

use model::{Secret, ServiceRole};
use reqwest::Response;
use serde::de::DeserializeOwned;
use url::Url;

use super::error::from_response;
use super::{CONNECT_DEADLINE, ClientError, DEADLINE, decode, is_localhost};
use crate::host_tls::HostTls;
use crate::join::JoinToken;
use crate::tls;
use crate::wire::{CertificateRenewal, CertificateRenewed, JoinRequest, Joined};

/// Shows the token to the platform that it names, and to no other: the API must prove itself by what the token pins.
pub async fn join(token: &JoinToken, request: &JoinRequest) -> Result<Joined, ClientError> {
    let host = token.url.host_str().unwrap_or_default();
    let mut failed = None;
    // By name first; then by the addresses in the token, for hosts that cannot resolve it.
    if !is_localhost(host) {
        match join_at(token, None, request).await {
            Err(error @ ClientError::Unreachable { .. }) => failed = Some(error),
            done => return done,
        }
    }
    if !token.addresses.is_empty() || failed.is_none() {
        return join_at(token, Some(&token.addresses), request).await;
    }
    Err(failed.unwrap_or_else(|| ClientError::bad_url(&token.url)))
}

async fn join_at(
    token: &JoinToken,
    addresses: Option<&[SocketAddr]>,
    request: &JoinRequest,
) -> Result<Joined, ClientError> {
    let tls = match &token.pin {
        Some(pin) => tls::pinned(pin)?,
        None => tls::client_config(None)?,
    };
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .connect_timeout(CONNECT_DEADLINE)
        .timeout(DEADLINE)
        .tls_backend_preconfigured(tls)
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none());
    if let (Some(addresses), Some(host)) = (addresses, token.url.host_str()) {
        builder = builder.resolve_to_addrs(host, addresses);
    }
    let http = builder
        .build()
        .map_err(|source| ClientError::Setup { source })?;
    let url = token
        .url
        .join("/nodes")
        .map_err(|_| ClientError::bad_url(&token.url))?;
    let answer = http.post(url).json(request).send().await;
    finish(answer.map_err(|error| ClientError::unreachable(&token.url, error))?).await
}

/// The next certificate for a host's new key. The first controller that answers makes it.
pub async fn renew(
    controllers: &[SocketAddr],
    internal_token: &Secret<String>,
    identity: &HostTls,
    certificate_request: String,
) -> Result<String, ClientError> {
    const EACH: Duration = Duration::from_secs(10);
    let tls = identity.client(ServiceRole::Controller)?;
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(EACH)
        .tls_backend_preconfigured(tls)
        .build()
        .map_err(|source| ClientError::Setup { source })?;
    let body = CertificateRenewal {
        certificate_request,
    };
    let mut failed = None;
    for controller in controllers {
        let url = format!("https://{controller}/internal/certificates");
        let url: Url = url.parse().map_err(|_| ClientError::BadUrl { url })?;
        let asked = http
            .post(url.clone())
            .bearer_auth(internal_token.expose())
            .json(&body)
            .send()
            .await;
        match asked {
            Ok(answer) => {
                let renewed: CertificateRenewed = finish(answer).await?;
                return Ok(renewed.certificate);
            }
            Err(error) => failed = Some(ClientError::unreachable(&url, error)),
        }
    }
    Err(failed.unwrap_or(ClientError::NoController))
}

async fn finish<T: DeserializeOwned>(answer: Response) -> Result<T, ClientError> {
    if answer.status().is_success() {
        decode(answer).await
    } else {
        Err(from_response(answer).await)
    }
}
