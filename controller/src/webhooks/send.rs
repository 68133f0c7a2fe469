//! One request to a receiver: signed, within a deadline, to the internet only, and not a redirect further.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use model::WebhookCredentials;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use sha2::Sha256;
use url::Url;

use crate::config::WebhookConfig;
use crate::outbound::{Outbound, Refused, Unreachable};

pub(super) const SIGNATURE: &str = "heroku-webhook-hmac-sha256";
const USER_AGENT: &str = concat!("paas-webhooks/", env!("CARGO_PKG_VERSION"));
/// Nobody reads what a receiver says besides its status; this much is taken so that it can say it.
const MAX_ANSWER: usize = 4096;

#[derive(Debug, thiserror::Error)]
pub(super) enum SenderError {
    #[error("whom to trust could not be read")]
    Tls(#[source] controller_api::tls::TlsError),
    #[error("no client could be made")]
    Client(#[source] reqwest::Error),
}

#[derive(Debug)]
pub(super) struct Sender {
    http: reqwest::Client,
    outbound: Outbound,
}

/// The answer's status, or in a word why there is none.
pub(super) type Outcome = Result<u16, &'static str>;

impl Sender {
    pub(super) fn new(config: &WebhookConfig) -> Result<Self, SenderError> {
        let outbound = Outbound::new(&config.allow_networks);
        let tls = controller_api::tls::client_config(None).map_err(SenderError::Tls)?;
        let http = outbound
            .http()
            .user_agent(USER_AGENT)
            .tls_backend_preconfigured(tls)
            .https_only(!config.allow_http)
            .timeout(config.attempt_within)
            // One app's connection is not another's.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(SenderError::Client)?;
        Ok(Self { http, outbound })
    }

    pub(super) async fn send(
        &self,
        url: &str,
        credentials: &WebhookCredentials,
        body: String,
    ) -> Outcome {
        let url: Url = url.parse().map_err(|_| "InvalidUrl")?;
        self.outbound
            .check_literal(&url)
            .map_err(|Refused| "AddressRefused")?;
        let mut request = self
            .http
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header(
                SIGNATURE,
                sign(credentials.secret.expose(), body.as_bytes()),
            );
        if let Some(authorization) = &credentials.authorization {
            let mut value = HeaderValue::try_from(authorization.expose())
                .map_err(|_| "InvalidAuthorization")?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let mut answer = request
            .body(body)
            .send()
            .await
            .map_err(|error| class(&error))?;
        let status = answer.status().as_u16();
        let mut read = 0;
        while read < MAX_ANSWER
            && let Ok(Some(chunk)) = answer.chunk().await
        {
            read += chunk.len();
        }
        Ok(status)
    }
}

/// `Heroku-Webhook-Hmac-SHA256`: base64 of the HMAC-SHA256 of the body.
pub(super) fn sign(secret: &str, body: &[u8]) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key will do");
    mac.update(body);
    STANDARD.encode(mac.finalize().into_bytes())
}

/// No more than this: the words of an error may name addresses of the platform's network.
fn class(error: &reqwest::Error) -> &'static str {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if matches!(error.downcast_ref(), Some(Unreachable::Refused(_))) {
            return "AddressRefused";
        }
        if is_of_tls(error) {
            return "TlsFailed";
        }
        cause = error.source();
    }
    if error.is_timeout() {
        "Timeout"
    } else if error.is_builder() {
        "InvalidUrl"
    } else if error.is_connect() {
        "ConnectionFailed"
    } else {
        "RequestFailed"
    }
}

/// What an error of the connection holds is not its source.
fn is_of_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let inner = error.downcast_ref().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>() || inner.is_some_and(|inner| is_of_tls(inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_anybody_elses_hmac() {
        // RFC 4231, test case 2.
        let signature = sign("Jefe", b"what do ya want for nothing?");
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature, STANDARD.encode(hex::decode(expected).unwrap()));
        // A key longer than a block, test case 6's kind: it is hashed, not cut.
        assert_ne!(sign(&"k".repeat(100), b"x"), sign(&"k".repeat(64), b"x"));
    }
}
