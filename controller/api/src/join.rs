//! What a host that joins is given to begin with: one word that holds where to go, whom to trust there, and the secret.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::{Checksum, Secret};
use serde::{Deserialize, Serialize};
use url::Url;

const PREFIX: &str = "paasj_";

/// `paasj_…`, as `paas nodes:token` prints it and `paasd join` takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// The platform's API.
    #[serde(rename = "u")]
    pub url: Url,
    /// Routers that answer for it, for hosts that cannot resolve its name.
    #[serde(rename = "a")]
    pub addresses: Vec<SocketAddr>,
    /// SHA-256 of the DER of the authority that the API's certificate must be signed by; `None`: one that the host
    /// trusts anyway.
    #[serde(rename = "p", skip_serializing_if = "Option::is_none", default)]
    pub pin: Option<Checksum>,
    #[serde(rename = "s")]
    pub secret: Secret<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a join token; `paas nodes:token` prints one, which begins with {PREFIX}")]
pub struct InvalidJoinToken;

/// The token itself, secret and all: for the one answer that gives it out.
impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_vec(self).map_err(|_| fmt::Error)?;
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(json))
    }
}

impl FromStr for JoinToken {
    type Err = InvalidJoinToken;

    fn from_str(text: &str) -> Result<Self, InvalidJoinToken> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(InvalidJoinToken)?;
        let json = URL_SAFE_NO_PAD
            .decode(encoded)
            .map_err(|_| InvalidJoinToken)?;
        serde_json::from_slice(&json).map_err(|_| InvalidJoinToken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_back_as_they_print_and_nothing_else_is_one() {
        let token = JoinToken {
            url: "https://api.example.com:8443".parse().unwrap(),
            addresses: vec!["10.0.0.1:8443".parse().unwrap()],
            pin: Some("ab".repeat(32).parse().unwrap()),
            secret: Secret::from("hunter2"),
        };
        assert_eq!(token.to_string().parse(), Ok(token.clone()));
        let printed = format!(" {token}\n");
        assert_eq!(printed.parse(), Ok(token.clone()), "as it is pasted");
        assert!(!format!("{token:?}").contains("hunter2"));
        for bad in ["", "paasj_", "paasj_%%", "paasj_e30", "paas_0123"] {
            assert_eq!(bad.parse::<JoinToken>(), Err(InvalidJoinToken), "{bad}");
        }
    }
}
