//! How routers treat an app's requests.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{AppId, Hostname};

/// An app's wishes. By default its requests are passed on, whoever sends them and however they come.
///
/// Who may come, how, to which app, and whether a client stays with a dyno is decided by the app that has the request's host
/// name; all else by the app whose dynos answer, which is another one where there are path routes or a canary.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Routing {
    /// Plain HTTP is redirected.
    #[serde(skip_serializing_if = "is_default")]
    pub https_only: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub hsts: Option<Hsts>,
    /// Requests for any other name of the app are redirected here.
    #[serde(skip_serializing_if = "is_default")]
    pub canonical_host: Option<Hostname>,
    /// Unless empty, nobody else may come.
    #[serde(skip_serializing_if = "is_default")]
    pub allow: Vec<IpNet>,
    /// They may not come, though they be allowed.
    #[serde(skip_serializing_if = "is_default")]
    pub deny: Vec<IpNet>,
    #[serde(skip_serializing_if = "is_default")]
    pub rate_limit: Option<ClientLimit>,
    /// Where other apps answer.
    #[serde(skip_serializing_if = "is_default")]
    pub paths: Vec<PathRoute>,
    #[serde(skip_serializing_if = "is_default")]
    pub canary: Option<Canary>,

    /// Requests are held until this is off again, or for as long as routers hold any.
    #[serde(skip_serializing_if = "is_default")]
    pub paused: bool,
    /// A client's requests go to the dyno that answered its first.
    #[serde(skip_serializing_if = "is_default")]
    pub session_affinity: bool,
    /// Text is compressed (zstd or gzip) for clients that take it, where the app has not done it.
    #[serde(skip_serializing_if = "is_default")]
    pub compression: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub dyno_protocol: DynoProtocol,
    /// Requests that one router has under way for one web dyno, in place of the platform's number.
    #[serde(skip_serializing_if = "is_default")]
    pub requests_per_dyno: Option<u32>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// `Strict-Transport-Security` (RFC 6797), said over HTTPS only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hsts {
    /// Seconds for which browsers use HTTPS and nothing else.
    pub max_age: u64,
    #[serde(default)]
    pub include_subdomains: bool,
    #[serde(default)]
    pub preload: bool,
}

/// What one client's address (an IPv6 network of 64 bits counts as one) may ask of an app, at each router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientLimit {
    /// In the long run.
    pub requests: u32,
    pub per_seconds: u32,
    /// At once, after a while of silence. Without it `requests`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Whoever goes beyond is answered nothing but refusals for so long. 0: until it has slowed down.
    #[serde(default)]
    pub block_seconds: u32,
}

/// Requests for a path go to another app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathRoute {
    /// `/api` stands for `/api`, `/api/…` and `/api?…`; never for `/apis`.
    pub prefix: String,
    pub app: AppId,
}

/// A share of an app's requests goes to another app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    pub app: AppId,
    /// Of a hundred requests. With session affinity, of clients that are new.
    pub percent: u8,
}

/// What web dynos speak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DynoProtocol {
    #[default]
    Http1,
    /// Without TLS, and without asking first (RFC 9113, 3.3): what gRPC servers do.
    Http2,
}

impl Routing {
    pub fn is_default(&self) -> bool {
        is_default(self)
    }

    /// By its address alone.
    pub fn admits(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        let is_in = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&client));
        !is_in(&self.deny) && (self.allow.is_empty() || is_in(&self.allow))
    }

    /// Where a path (with or without a query) leads, if not to the app itself: the longest prefix has it.
    pub fn at_path(&self, path: &[u8]) -> Option<&PathRoute> {
        let matching = self.paths.iter().filter(|route| route.matches(path));
        matching.max_by_key(|route| route.prefix.len())
    }

    /// All other apps it sends requests to.
    pub fn others(&self) -> impl Iterator<Item = AppId> {
        let canary = self.canary.map(|canary| canary.app);
        self.paths.iter().map(|route| route.app).chain(canary)
    }
}

impl PathRoute {
    fn matches(&self, path: &[u8]) -> bool {
        path.strip_prefix(self.prefix.as_bytes())
            .is_some_and(|rest| matches!(rest.first(), None | Some(b'/' | b'?')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_goes_to_the_longest_prefix_that_ends_where_a_segment_does() {
        let (api, v2) = (AppId::new(), AppId::new());
        let route = |prefix: &str, app| PathRoute {
            prefix: prefix.to_owned(),
            app,
        };
        let routing = Routing {
            paths: vec![route("/api", api), route("/api/v2", v2)],
            ..Routing::default()
        };
        for (path, app) in [
            ("/", None),
            ("/apis", None),
            ("/ap", None),
            ("/x/api", None),
            ("*", None),
            ("/api", Some(api)),
            ("/api?x", Some(api)),
            ("/api/", Some(api)),
            ("/api/v22", Some(api)),
            ("/api/v2/x?y", Some(v2)),
        ] {
            let found = routing.at_path(path.as_bytes()).map(|route| route.app);
            assert_eq!(found, app, "{path}");
        }
    }

    #[test]
    fn who_is_denied_is_not_let_in_by_being_allowed() {
        let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let routing = Routing {
            allow: networks(&["10.0.0.0/8", "2001:db8::/32"]),
            deny: networks(&["10.6.6.0/24"]),
            ..Routing::default()
        };
        for (client, admitted) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("10.6.6.6", false),
            ("11.1.2.3", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(
                routing.admits(client.parse().unwrap()),
                admitted,
                "{client}"
            );
        }
        assert!(Routing::default().admits("10.6.6.6".parse().unwrap()));
    }

    #[test]
    fn a_record_without_wishes_says_nothing_and_one_of_before_has_none() {
        assert_eq!(serde_json::to_string(&Routing::default()).unwrap(), "{}");
        assert!(serde_json::from_str::<Routing>("{}").unwrap().is_default());
    }
}
