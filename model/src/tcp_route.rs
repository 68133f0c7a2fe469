//! Routes for what is not HTTP: a port of every router, and where its connections go.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{AccountId, AppId, Hostname, Timestamp};

/// The most there may be: each is a socket for each core of each router.
pub const MAX_TCP_ROUTES: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpRoute {
    pub port: u16,
    pub target: TcpTarget,
    /// Whether the backend is told the client's address, by the PROXY protocol.
    #[serde(default)]
    pub proxy_protocol: bool,
    /// Who may connect; empty: anybody.
    #[serde(default)]
    pub allow: Vec<IpNet>,
    pub created_at: Timestamp,
    pub created_by: AccountId,
}

impl TcpRoute {
    pub fn admits(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.allow.is_empty() || self.allow.iter().any(|network| network.contains(&client))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TcpTarget {
    /// Resolved whenever somebody connects.
    Host { host: TcpHost, port: u16 },
    /// The app's web dynos.
    App(AppId),
}

/// A host's name or address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TcpHost {
    Address(IpAddr),
    Name(Hostname),
}

impl fmt::Display for TcpHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// Why a text names no target; `Display` is fit for a user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no target: it must be host:port, such as db.internal:5432 or [2001:db8::1]:53, or app:NAME"
)]
pub struct InvalidTarget(String);

/// A target as people write it: an app by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedTarget {
    Host { host: TcpHost, port: u16 },
    App(String),
}

impl FromStr for NamedTarget {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let invalid = || InvalidTarget(text.chars().take(300).collect());
        if let Some(app) = text.strip_prefix("app:") {
            return match app {
                "" => Err(invalid()),
                app => Ok(Self::App(app.to_owned())),
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        let port = port.parse().ok().filter(|port| *port > 0);
        let port = port.ok_or_else(invalid)?;
        let bracketed = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = match bracketed {
            Some(address) => address
                .parse()
                .ok()
                .map(|a| TcpHost::Address(IpAddr::V6(a))),
            None => match host.parse() {
                Ok(address) => Some(TcpHost::Address(IpAddr::V4(address))),
                Err(_) => {
                    let name: Option<Hostname> = host.parse().ok();
                    name.filter(|name| !name.is_wildcard()).map(TcpHost::Name)
                }
            },
        };
        let host = host.ok_or_else(invalid)?;
        Ok(Self::Host { host, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_people_write_them() {
        for (text, host) in [
            ("db.internal:5432", "db.internal"),
            ("DB.Internal.:5432", "db.internal"),
            ("localhost:5432", "localhost"),
            ("10.0.0.1:5432", "10.0.0.1"),
            ("[2001:db8::1]:5432", "[2001:db8::1]"),
        ] {
            match text.parse().unwrap() {
                NamedTarget::Host { host: read, port } => {
                    assert_eq!((read.to_string().as_str(), port), (host, 5432));
                }
                NamedTarget::App(_) => panic!("{text} is no app"),
            }
        }
        assert_eq!(
            "app:ticks".parse(),
            Ok(NamedTarget::App("ticks".to_owned()))
        );
        for bad in [
            "",
            ":",
            "db",
            "db:",
            "db:0",
            "db:70000",
            ":5432",
            "app:",
            "*.a.b:1",
            "a b:1",
            "2001:db8::1:5432",
            "[10.0.0.1]:1",
            "http://a.b:80",
        ] {
            let error = bad.parse::<NamedTarget>().unwrap_err().to_string();
            assert!(error.contains("host:port"), "{error}");
        }
    }

    #[test]
    fn only_those_in_an_allowed_network_are_admitted_where_any_is_named() {
        let mut route = TcpRoute {
            port: 5432,
            target: TcpTarget::App(AppId::new()),
            proxy_protocol: false,
            allow: Vec::new(),
            created_at: Timestamp::UNIX_EPOCH,
            created_by: AccountId::new(),
        };
        let (inside, outside) = ("10.1.2.3".parse().unwrap(), "11.1.2.3".parse().unwrap());
        assert!(route.admits(outside));
        route.allow = vec![
            "10.0.0.0/8".parse().unwrap(),
            "2001:db8::/32".parse().unwrap(),
        ];
        assert!(route.admits(inside) && !route.admits(outside));
        assert!(
            route.admits("::ffff:10.1.2.3".parse().unwrap()),
            "the same address"
        );
        assert!(route.admits("2001:db8::7".parse().unwrap()));
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        for host in [
            TcpHost::Name("db.internal".parse().unwrap()),
            TcpHost::Address("10.0.0.1".parse().unwrap()),
        ] {
            let target = TcpTarget::Host { host, port: 5432 };
            let text = serde_json::to_string(&target).unwrap();
            assert_eq!(
                serde_json::from_str::<TcpTarget>(&text).unwrap(),
                target,
                "{text}"
            );
        }
    }
}
