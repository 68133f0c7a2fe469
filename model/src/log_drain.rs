//! Where an app's log lines go besides its log.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use crate::{AddonId, AppId, DrainId, Sealed, Timestamp};

const MAX_URL_BYTES: usize = 2_000;
const EXAMPLES: &str =
    "such as syslog+tls://logs.example.com:6514 or https://logs.example.com/drain";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogDrain {
    pub id: DrainId,
    pub app: AppId,
    pub token: DrainToken,
    /// A [`DrainUrl`]'s text: most hold a password.
    pub url: Sealed,
    /// Whose it is, if no user added it. It comes and goes with that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addon: Option<AddonId>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Names a drain to whoever receives from it: `d.<uuid>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DrainToken(pub Uuid);

impl fmt::Display for DrainToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d.{}", self.0)
    }
}

impl FromStr for DrainToken {
    type Err = InvalidDrainToken;

    fn from_str(text: &str) -> Result<Self, InvalidDrainToken> {
        let uuid = text.strip_prefix("d.").and_then(|uuid| uuid.parse().ok());
        uuid.map(Self).ok_or(InvalidDrainToken)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a drain's token is d. and a UUID")]
pub struct InvalidDrainToken;

/// How lines travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainTransport {
    /// Syslog over TCP.
    Syslog,
    /// Syslog over TLS.
    SyslogTls,
    /// Logplex's POSTs, over HTTP or HTTPS.
    Http,
}

/// Where lines are sent. Kept as it was given; two are the same when they mean the same.
#[derive(Clone)]
pub struct DrainUrl {
    text: String,
    url: Url,
    transport: DrainTransport,
    host: String,
    port: u16,
}

/// Why a text is no drain's URL; `Display` is fit for a user, and tells nothing of what the URL holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDrainUrl {
    #[error("a drain is a URL, {EXAMPLES}")]
    NoUrl,
    #[error("a drain's URL may have at most {MAX_URL_BYTES} bytes")]
    TooLong,
    #[error("a drain's URL begins with syslog://, syslog+tls://, https:// or http://, not {0}://")]
    Scheme(String),
    #[error("a drain's URL names a host, {EXAMPLES}")]
    NoHost,
    #[error("a drain's port is a number from 1 to 65535")]
    Port,
    #[error("syslog has no user and password; leave them out of the URL, or use https://")]
    Credentials,
}

impl DrainUrl {
    /// All of it, with what it holds of passwords.
    pub fn expose(&self) -> &str {
        &self.text
    }

    pub const fn url(&self) -> &Url {
        &self.url
    }

    pub const fn transport(&self) -> DrainTransport {
        self.transport
    }

    /// Without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What may be shown: a path or a query is a password as often as not.
    pub fn origin(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        format!("{}://{host}:{}", self.url.scheme(), self.port)
    }
}

impl PartialEq for DrainUrl {
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url
    }
}

impl Eq for DrainUrl {}

impl fmt::Debug for DrainUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin())
    }
}

impl FromStr for DrainUrl {
    type Err = InvalidDrainUrl;

    fn from_str(text: &str) -> Result<Self, InvalidDrainUrl> {
        let text = text.trim();
        if text.len() > MAX_URL_BYTES {
            return Err(InvalidDrainUrl::TooLong);
        }
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(InvalidDrainUrl::NoUrl);
        }
        let mut url = Url::parse(text).map_err(|error| match error {
            url::ParseError::EmptyHost => InvalidDrainUrl::NoHost,
            url::ParseError::InvalidPort => InvalidDrainUrl::Port,
            _ => InvalidDrainUrl::NoUrl,
        })?;
        let (transport, usual_port) = match url.scheme() {
            "syslog" => (DrainTransport::Syslog, 514),
            "syslog+tls" => (DrainTransport::SyslogTls, 6514),
            "https" => (DrainTransport::Http, 443),
            "http" => (DrainTransport::Http, 80),
            other => return Err(InvalidDrainUrl::Scheme(other.chars().take(40).collect())),
        };
        let host = url
            .host_str()
            .map(|host| host.trim_matches(['[', ']']).to_owned())
            .filter(|host| !host.is_empty())
            .ok_or(InvalidDrainUrl::NoHost)?;
        let port = url.port().unwrap_or(usual_port);
        if port == 0 {
            return Err(InvalidDrainUrl::Port);
        }
        // Written out where it is syslog's usual one, for comparison; a URL of such a scheme has no usual one.
        let _ = url.set_port(Some(port));
        let has_credentials = !url.username().is_empty() || url.password().is_some();
        if transport != DrainTransport::Http && has_credentials {
            return Err(InvalidDrainUrl::Credentials);
        }
        Ok(Self {
            text: text.to_owned(),
            url,
            transport,
            host,
            port,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DrainUrl, InvalidDrainUrl> {
        text.parse()
    }

    #[test]
    fn a_drains_url_says_how_and_where_lines_go() {
        for (text, transport, host, port) in [
            (
                "syslog://logs.example.com",
                DrainTransport::Syslog,
                "logs.example.com",
                514,
            ),
            (
                "syslog://10.0.0.1:5140",
                DrainTransport::Syslog,
                "10.0.0.1",
                5140,
            ),
            (
                "syslog+tls://[2001:db8::7]",
                DrainTransport::SyslogTls,
                "2001:db8::7",
                6514,
            ),
            (
                "https://u:p@x.example/a?b=c",
                DrainTransport::Http,
                "x.example",
                443,
            ),
            (
                " http://x.example:8080 ",
                DrainTransport::Http,
                "x.example",
                8080,
            ),
        ] {
            let url = parse(text).unwrap();
            assert_eq!(
                (url.transport(), url.host(), url.port()),
                (transport, host, port),
                "{text}"
            );
            assert_eq!(url.expose(), text.trim());
        }
    }

    #[test]
    fn what_is_no_drain_is_refused_in_plain_words() {
        for (text, why) in [
            ("", InvalidDrainUrl::NoUrl),
            ("logs.example.com", InvalidDrainUrl::NoUrl),
            ("https://a b.example", InvalidDrainUrl::NoUrl),
            ("ftp://x.example", InvalidDrainUrl::Scheme("ftp".to_owned())),
            (
                "mailto:a@b.example",
                InvalidDrainUrl::Scheme("mailto".to_owned()),
            ),
            ("syslog:", InvalidDrainUrl::NoHost),
            ("syslog:///path", InvalidDrainUrl::NoHost),
            ("https://", InvalidDrainUrl::NoHost),
            ("syslog://x.example:0", InvalidDrainUrl::Port),
            ("syslog://x.example:99999", InvalidDrainUrl::Port),
            ("syslog+tls://u:p@x.example", InvalidDrainUrl::Credentials),
            (
                &format!("https://x.example/{}", "a".repeat(MAX_URL_BYTES)),
                InvalidDrainUrl::TooLong,
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn urls_that_mean_the_same_are_the_same_and_none_shows_its_secrets() {
        let url = parse("https://user:hunter2@X.example/key").unwrap();
        assert_eq!(
            url,
            parse("https://user:hunter2@x.example:443/key").unwrap()
        );
        let usual = parse("syslog+tls://x.example").unwrap();
        assert_eq!(usual, parse("syslog+tls://x.example:6514").unwrap());
        assert_ne!(usual, parse("syslog://x.example:6514").unwrap());
        assert_ne!(url, parse("https://user:hunter2@x.example/other").unwrap());
        assert_eq!(format!("{url:?}"), "https://x.example:443");
    }

    #[test]
    fn a_token_reads_back_as_it_was_written() {
        let token = DrainToken(Uuid::from_u128(7));
        assert_eq!(token.to_string().parse::<DrainToken>().unwrap(), token);
        assert!(token.0.to_string().parse::<DrainToken>().is_err());
    }
}
