//! All the controller is told before it starts.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use model::{Checksum, Email, SecondFactorRule, Secret};
use rustls::ClientConfig;

use crate::logs::LogLimits;

#[derive(Debug, Clone)]
pub struct Config {
    /// Apps are `<app>.<domain>`, the API is `api.<domain>`, git is `git.<domain>`.
    pub domain: String,
    /// How the world reaches apps, the API and git: what URLs in answers say.
    pub web: PublicEndpoint,
    pub api: PublicEndpoint,
    pub git: PublicEndpoint,
    /// Logs are kept in `logs/` below it, and `uploads/` has what is being uploaded.
    pub data_dir: PathBuf,
    /// Ports that no TCP route may have, and which of the platform's settings has each.
    pub reserved_ports: BTreeMap<u16, String>,
    /// New apps get this stack.
    pub stack: String,
    /// Stacks an app may be set to besides [`Config::stack`].
    pub other_stacks: Vec<String>,
    /// Where other roles reach this one, when the listener is bound to all addresses.
    pub advertise: Option<IpAddr>,
    /// Calls of one account within an hour.
    pub requests_per_hour: u32,
    /// How many of its newest slugs an app keeps, besides those it runs.
    pub slugs_per_app: usize,
    pub logs: LogLimits,
    pub drains: DrainsConfig,
    /// How long the certificates of hosts are good for; they are renewed from a third of it on.
    pub certificate_lifetime: Duration,
    /// Who issues certificates for apps' domains; `None`: nobody.
    pub acme: Option<AcmeConfig>,
    /// How other controllers are called. Without it (in tests) over plain HTTP.
    pub peer_tls: Option<ClientConfig>,
    /// How routers are called, likewise.
    pub router_tls: Option<ClientConfig>,
    pub webhooks: WebhookConfig,
    /// How builders are called, likewise.
    pub builder_tls: Option<ClientConfig>,
    /// Of whom a second factor is asked.
    pub second_factor: SecondFactorRule,
    /// Whom people prove to who they are, besides by a password here.
    pub oidc: Option<OidcConfig>,
    /// What hosts that join are given, or why none can.
    pub joiners: Result<ForJoiners, String>,
}

/// Where drains may lead.
#[derive(Debug, Clone, Default)]
pub struct DrainsConfig {
    /// Networks they may lead into though those are not the internet's.
    pub allow_networks: Vec<IpNet>,
    /// PEM of those who vouch for drains, besides those whom the system trusts.
    pub ca: Option<String>,
}

/// Where webhooks may lead, and how patient they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookConfig {
    /// Over plain http too.
    pub allow_http: bool,
    /// Networks they may lead into though those are not the internet's.
    pub allow_networks: Vec<IpNet>,
    /// How long a try may take.
    pub attempt_within: Duration,
    /// Between the first try and the second.
    pub first_pause: Duration,
}

/// An authority that speaks ACME (RFC 8555), such as Let's Encrypt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeConfig {
    pub directory: String,
    /// Where the authority writes about trouble.
    pub email: Option<Email>,
    /// PEM of those who vouch for the directory, if not those whom the system trusts.
    pub ca: Option<String>,
    /// New orders within an hour, of all apps.
    pub orders_per_hour: u32,
}

/// An identity provider that speaks OpenID Connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcConfig {
    pub issuer: String,
    pub client_id: String,
    pub client_secret: Secret<String>,
    /// Asked for besides `openid`.
    pub scopes: Vec<String>,
    /// The claim that names somebody's groups.
    pub groups_claim: String,
    /// Domains of e-mail addresses that are let in; all where there is none.
    pub allowed_domains: Vec<String>,
    /// Groups of which one is enough to be let in; none is needed where there is none.
    pub allowed_groups: Vec<String>,
    /// Who is in it when he logs in is an administrator, and who is not in it then is none unless he has a password here.
    pub admin_group: Option<String>,
    /// Whether an account is made for whoever is let in and has none, and was not invited.
    pub create_accounts: bool,
    /// PEM of those who vouch for the provider, besides those whom the system trusts.
    pub ca: Option<String>,
}

/// What a new host needs besides what it finds in the store.
#[derive(Debug, Clone)]
pub struct ForJoiners {
    /// What the configurations of all hosts have in common, TOML.
    pub settings: Secret<String>,
    /// The same with what controllers alone need: the identity provider's secret.
    pub controller_settings: Secret<String>,
    /// Certificate and key of the platform's public names, for routers.
    pub public_certificate: (PathBuf, PathBuf),
    /// Why no host can join that reads slugs, if so.
    pub no_slugs: Option<String>,
    /// Where routers answer for the API.
    pub addresses: Vec<SocketAddr>,
    /// SHA-256 of the DER of the authority of [`ForJoiners::public_certificate`], where it is of our own making.
    pub pin: Option<Checksum>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicEndpoint {
    pub scheme: Scheme,
    pub port: u16,
}

impl PublicEndpoint {
    /// `https://host:8443/path`; the port is left out where it is the scheme's own.
    pub(crate) fn url(self, host: &str, path: &str) -> String {
        let (scheme, own_port) = match self.scheme {
            Scheme::Http => ("http", 80),
            Scheme::Https => ("https", 443),
        };
        if self.port == own_port {
            format!("{scheme}://{host}{path}")
        } else {
            format!("{scheme}://{host}:{}{path}", self.port)
        }
    }
}

impl Config {
    pub(crate) fn stacks(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.stack.as_str()).chain(self.other_stacks.iter().map(String::as_str))
    }

    pub(crate) fn api_host(&self) -> String {
        format!("api.{}", self.domain)
    }

    /// `https://api.<domain>/path`
    pub(crate) fn api_url(&self, path: &str) -> String {
        self.api.url(&self.api_host(), path)
    }

    pub(crate) fn web_url(&self, app: &str) -> String {
        self.web.url(&format!("{app}.{}", self.domain), "/")
    }

    pub(crate) fn git_url(&self, app: &str) -> String {
        self.git
            .url(&format!("git.{}", self.domain), &format!("/{app}.git"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_the_port_only_where_needed() {
        let url = |scheme, port| PublicEndpoint { scheme, port }.url("a.example.com", "/");
        assert_eq!(url(Scheme::Https, 443), "https://a.example.com/");
        assert_eq!(url(Scheme::Https, 8443), "https://a.example.com:8443/");
        assert_eq!(url(Scheme::Http, 80), "http://a.example.com/");
    }
}
