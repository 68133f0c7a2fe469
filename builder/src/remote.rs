//! Builds for other builders' pushes, and ours by other builders: over HTTP with both hosts' certificates.
//!
//! Only the build itself moves. The builder that has the push keeps the app's turn, the records and the pusher, so a host
//! that dies while it builds for another has nothing that must be saved; and a caller that goes away ends the build.

pub(crate) mod call;
pub(crate) mod serve;
mod wire;

use model::Secret;
use rustls::ClientConfig;
use std::time::Duration;

/// How other builders are called.
#[derive(Debug)]
pub(crate) struct Peers {
    /// `None` where it could not be set up: then nobody is.
    http: Option<reqwest::Client>,
    scheme: &'static str,
    token: Secret<String>,
}

/// A host that is down does not say so.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);

impl Peers {
    /// Without `tls` (in tests) over plain HTTP.
    pub(crate) fn new(token: Secret<String>, tls: Option<&ClientConfig>) -> Self {
        let (scheme, http) = controller_api::tls::between_hosts(tls, CONNECT_DEADLINE);
        Self {
            http,
            scheme,
            token,
        }
    }
}
