//! The configuration: one file, read once, whole before anything starts.
//!
//! What is written here is what an operator may write; [`crate::roles`] turns it into each role's own `Config`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use controller::authority::CERTIFICATE_LIFETIME;
use ipnet::IpNet;
use model::{Email, HostRole, Hostname, SecondFactorRule, Secret};
use serde::{Deserialize, Serialize};

use crate::args::ConfigSource;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Apps are `<app>.<domain>`; the platform itself `api.<domain>` and `git.<domain>`.
    pub(crate) domain: Hostname,
    pub(crate) data_dir: PathBuf,
    pub(crate) roles: BTreeSet<HostRole>,
    /// Tells the containers of two installations on one Docker apart.
    pub(crate) instance: String,
    /// What to log: `info`, or a filter such as `info,router=debug`.
    pub(crate) log: String,
    /// `embedded`, `etcds://host:port,host:port` (TLS, this host's certificate), or `etcd://…` in the clear.
    pub(crate) store: StoreChoice,
    pub(crate) blobs: Blobs,
    pub(crate) stack: Stack,
    pub(crate) controller: Controller,
    pub(crate) builder: Builder,
    pub(crate) router: Router,
    pub(crate) acme: Acme,
    pub(crate) drains: Drains,
    pub(crate) webhooks: Webhooks,
    pub(crate) accounts: Accounts,
    pub(crate) oidc: Oidc,
    pub(crate) node: Node,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum StoreChoice {
    Embedded,
    Etcd {
        /// `http://10.0.0.1:2379`, or `https://…` for `etcds`.
        endpoints: Vec<String>,
    },
}

/// Where slugs and build output go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "lowercase")]
pub(crate) enum Blobs {
    /// In `<data_dir>/blobs`, which is this host's alone.
    Local,
    /// In `<data_dir>/blobs`, which every host that joins mounts there too.
    Shared,
    S3 {
        bucket: String,
        region: String,
        #[serde(default)]
        endpoint: Option<String>,
        #[serde(default)]
        prefix: String,
        access_key_id: String,
        #[serde(skip_serializing)]
        secret_access_key: Secret<String>,
        #[serde(default)]
        allow_http: bool,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Stack {
    /// What `STACK` says to buildpacks and apps.
    pub(crate) name: String,
    pub(crate) run_image: String,
    pub(crate) build_image: String,
    /// The host's CA certificates; builds and dynos get them, so that private CAs work there too.
    pub(crate) ca_bundle: PathBuf,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Controller {
    /// Where other hosts reach it; by default port 7400 of `node.address`, and any free port of the loopback address.
    pub(crate) listen: Option<SocketAddr>,
    /// How long a host's certificate is good for; it is renewed from a third of that on.
    pub(crate) host_certificate_secs: u64,
    /// How many of its newest slugs an app keeps to roll back to, besides those it runs.
    pub(crate) slugs_per_app: usize,
    /// What one account may ask of the API, as on Heroku; whoever has asked it all waits until more has come back.
    pub(crate) requests_per_hour: NonZeroU32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Builder {
    /// Where routers reach it; by default port 7401 of `node.address`, and any free port of the loopback address.
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) ssh_listen: SocketAddr,
    pub(crate) max_concurrent_builds: usize,
    pub(crate) build_memory_mb: u64,
    pub(crate) build_cpus: f64,
    pub(crate) build_pids: u32,
    pub(crate) build_timeout_secs: u64,
    pub(crate) build_output_mb: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Router {
    pub(crate) http: Vec<SocketAddr>,
    pub(crate) https: Vec<SocketAddr>,
    /// The ports people use, where they differ from those listened on.
    pub(crate) public_http_port: Option<u16>,
    pub(crate) public_https_port: Option<u16>,
    /// One by default for every core.
    pub(crate) workers: Option<usize>,
    pub(crate) http2_cleartext: bool,
    /// The platform's certificate; made by a local CA in `<data_dir>/tls` when none is given.
    pub(crate) tls_cert: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
    /// Load balancers and proxies in front: what they say of a request's client, in `X-Forwarded-…`, is believed.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Whether those begin each connection with the PROXY protocol, version 1 or 2.
    pub(crate) proxy_protocol: bool,
    /// Clients' connections from one address (IPv6: one network of 64 bits), or client of a proxy that speaks the PROXY
    /// protocol; beyond that, H22. By default 4096, or a quarter of all that open files allow, whichever is less.
    pub(crate) connections_per_address: Option<NonZeroUsize>,
    /// Where controllers ask how the router is; by default port 7402 of `node.address`, and any free port of the loopback
    /// address.
    pub(crate) listen: Option<SocketAddr>,
    /// Where metrics are scraped, in the clear: an address that only the operators' machines reach. None are served without.
    pub(crate) metrics: Option<SocketAddr>,
    /// Which share of the requests that bring no `traceparent` begins a trace: 0 none, 1 all.
    pub(crate) trace_sample: f64,
    /// Where spans are posted, by OTLP over HTTP: `http://collector:4318/v1/traces`. None are exported without.
    pub(crate) trace_endpoint: Option<String>,
    /// Where the ports of TCP routes are opened.
    pub(crate) tcp_address: IpAddr,
    /// Asked for the names of TCP routes' backends, instead of the host's own.
    pub(crate) name_servers: Vec<SocketAddr>,
}

/// Who issues certificates for apps' domains, by ACME.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Acme {
    /// The authority's directory, such as `https://acme-v02.api.letsencrypt.org/directory`; naming it is agreeing to the
    /// authority's terms. Without it no app can have certificates managed.
    pub(crate) directory: Option<String>,
    /// Where the authority writes about trouble.
    pub(crate) email: Option<Email>,
    /// PEM file of those who vouch for the directory, where the system's authorities do not.
    pub(crate) ca: Option<PathBuf>,
    /// New orders within an hour, of all apps.
    pub(crate) orders_per_hour: u32,
}

/// Where apps' log drains may lead.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Drains {
    /// Networks that drains may reach besides public addresses, such as `10.1.0.0/16`.
    pub(crate) allow_networks: Vec<IpNet>,
    /// PEM file of those who vouch for receivers, besides those whom the system trusts.
    pub(crate) ca: Option<PathBuf>,
}

/// Where apps' webhooks may lead, besides the internet over https.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Webhooks {
    /// Over plain http too, where anybody on the way can read what is told.
    pub(crate) allow_http: bool,
    /// Private networks that every member of an app may have the platform call into.
    pub(crate) allow_networks: Vec<IpNet>,
}

/// How people get in.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Accounts {
    /// Of whom a second factor is asked: `nobody`, `administrators` or `everybody`. Who lacks one may only get one.
    pub(crate) require_second_factor: SecondFactorRule,
}

/// An identity provider that people log in at, by OpenID Connect.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Oidc {
    /// Such as `https://accounts.google.com`; without it there is none. The provider is to send browsers back to
    /// `https://api.<domain>/auth/callback`.
    pub(crate) issuer: Option<String>,
    pub(crate) client_id: String,
    #[serde(skip_serializing)]
    pub(crate) client_secret: Secret<String>,
    /// What it is asked for besides `openid`.
    pub(crate) scopes: Vec<String>,
    /// The claim that names somebody's groups.
    pub(crate) groups_claim: String,
    /// Domains of e-mail addresses that are let in; all by default.
    pub(crate) allowed_domains: Vec<String>,
    /// Groups of which one is enough to be let in; by default none is needed.
    pub(crate) allowed_groups: Vec<String>,
    /// Who is in it when he logs in is an administrator; who is not in it then is none, unless he has a password here.
    pub(crate) admin_group: Option<String>,
    /// Whether accounts are made for those who are let in, besides for those who were invited.
    pub(crate) create_accounts: bool,
    /// PEM file of those who vouch for the provider, besides those whom the system trusts.
    pub(crate) ca: Option<PathBuf>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Node {
    /// The host's name; the machine's own when empty.
    pub(crate) name: String,
    /// Where the platform's other hosts reach this one. The loopback address says that there are none.
    pub(crate) address: IpAddr,
    pub(crate) zone: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
    /// Memory dynos may reserve; by default what the machine has, less 1 GiB.
    pub(crate) memory_mb: Option<u64>,
    pub(crate) docker_socket: PathBuf,
    pub(crate) network: String,
    pub(crate) bridge: String,
    pub(crate) boot_timeout_secs: u64,
    pub(crate) slug_cache_mb: u64,
    /// Networks, besides the platform's own, that no dyno may reach.
    pub(crate) deny_networks: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            domain: DEFAULT_DOMAIN.clone(),
            data_dir: "/var/lib/paas".into(),
            roles: HostRole::ALL.into(),
            instance: "paas".to_owned(),
            log: "info".to_owned(),
            store: StoreChoice::Embedded,
            blobs: Blobs::Local,
            stack: Stack::default(),
            controller: Controller::default(),
            builder: Builder::default(),
            router: Router::default(),
            acme: Acme::default(),
            drains: Drains::default(),
            webhooks: Webhooks::default(),
            accounts: Accounts::default(),
            oidc: Oidc::default(),
            node: Node::default(),
        }
    }
}

static DEFAULT_DOMAIN: std::sync::LazyLock<Hostname> = std::sync::LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "a constant")]
    "paas.localhost".parse().expect("is a host name")
});

impl Default for Stack {
    fn default() -> Self {
        Self {
            name: "heroku-24".to_owned(),
            run_image: "paas/stack:24".to_owned(),
            build_image: "paas/stack:24-build".to_owned(),
            ca_bundle: "/etc/ssl/certs/ca-certificates.crt".into(),
        }
    }
}

impl Default for Controller {
    fn default() -> Self {
        Self {
            listen: None,
            host_certificate_secs: CERTIFICATE_LIFETIME.as_secs(),
            slugs_per_app: 20,
            requests_per_hour: const { NonZeroU32::new(4500).unwrap() },
        }
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            listen: None,
            ssh_listen: SocketAddr::from(([0, 0, 0, 0], 2222)),
            max_concurrent_builds: 2,
            build_memory_mb: 2048,
            build_cpus: 2.0,
            build_pids: 1024,
            build_timeout_secs: 900,
            build_output_mb: 32,
        }
    }
}

impl Default for Router {
    fn default() -> Self {
        Self {
            http: vec![SocketAddr::from(([0, 0, 0, 0], 80))],
            https: vec![SocketAddr::from(([0, 0, 0, 0], 443))],
            public_http_port: None,
            public_https_port: None,
            workers: None,
            http2_cleartext: false,
            tls_cert: None,
            tls_key: None,
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            connections_per_address: None,
            listen: None,
            metrics: None,
            trace_sample: 0.0,
            trace_endpoint: None,
            tcp_address: IpAddr::from([0, 0, 0, 0]),
            name_servers: Vec::new(),
        }
    }
}

impl Default for Acme {
    fn default() -> Self {
        Self {
            directory: None,
            email: None,
            ca: None,
            // Let's Encrypt allows 300 in three hours.
            orders_per_hour: 90,
        }
    }
}

impl Default for Oidc {
    fn default() -> Self {
        Self {
            issuer: None,
            client_id: String::new(),
            client_secret: Secret::default(),
            scopes: vec!["email".to_owned(), "profile".to_owned()],
            groups_claim: "groups".to_owned(),
            allowed_domains: Vec::new(),
            allowed_groups: Vec::new(),
            admin_group: None,
            create_accounts: false,
            ca: None,
        }
    }
}

impl Default for Node {
    fn default() -> Self {
        Self {
            name: String::new(),
            address: IpAddr::from([127, 0, 0, 1]),
            zone: None,
            tags: BTreeMap::new(),
            memory_mb: None,
            docker_socket: "/var/run/docker.sock".into(),
            network: "paas".to_owned(),
            bridge: "paas0".to_owned(),
            boot_timeout_secs: 60,
            slug_cache_mb: 20 * 1024,
            deny_networks: Vec::new(),
        }
    }
}

impl TryFrom<String> for StoreChoice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "embedded" {
            return Ok(Self::Embedded);
        }
        let (scheme, hosts) = match text.split_once("://") {
            Some(("etcd", hosts)) if !hosts.is_empty() => ("http", hosts),
            Some(("etcds", hosts)) if !hosts.is_empty() => ("https", hosts),
            _ => {
                return Err(format!(
                    "store is {text:?}; it must be \"embedded\", \"etcds://host:port,host:port\" or \"etcd://…\""
                ));
            }
        };
        Ok(Self::Etcd {
            endpoints: hosts
                .split(',')
                .map(|host| format!("{scheme}://{host}"))
                .collect(),
        })
    }
}

impl StoreChoice {
    /// Whether this host needs a certificate before it can so much as open the store.
    pub(crate) fn is_over_tls(&self) -> bool {
        matches!(self, Self::Etcd { endpoints } if endpoints.iter().any(|e| e.starts_with("https://")))
    }
}

impl From<StoreChoice> for String {
    fn from(choice: StoreChoice) -> String {
        let StoreChoice::Etcd { endpoints } = &choice else {
            return "embedded".to_owned();
        };
        let scheme = if choice.is_over_tls() {
            "etcds"
        } else {
            "etcd"
        };
        let hosts: Vec<_> = endpoints
            .iter()
            .filter_map(|endpoint| endpoint.split_once("://"))
            .map(|(_, host)| host)
            .collect();
        format!("{scheme}://{}", hosts.join(","))
    }
}

/// Reads the file; a missing one at the default place means all defaults.
pub(crate) fn load(source: &ConfigSource) -> anyhow::Result<Config> {
    let default_place = source.config == Path::new("/etc/paas/paasd.toml");
    let config = match fs_err::read_to_string(&source.config) {
        Ok(text) => toml::from_str(&text)
            .with_context(|| format!("{} is not a valid configuration", source.config.display()))?,
        Err(error) if default_place && error.kind() == std::io::ErrorKind::NotFound => {
            Config::default()
        }
        Err(error) => {
            return Err(error)
                .context("could not read the configuration; name the file with --config");
        }
    };
    config.check()?;
    Ok(config)
}

impl Config {
    pub(crate) fn has(&self, role: HostRole) -> bool {
        self.roles.contains(&role)
    }

    /// Where the controller's listener goes: reached by other hosts only if there are any.
    pub(crate) fn controller_listen(&self) -> SocketAddr {
        self.controller
            .listen
            .unwrap_or_else(|| self.internal_listen(7400))
    }

    pub(crate) fn builder_listen(&self) -> SocketAddr {
        self.builder
            .listen
            .unwrap_or_else(|| self.internal_listen(7401))
    }

    pub(crate) fn router_listen(&self) -> SocketAddr {
        self.router
            .listen
            .unwrap_or_else(|| self.internal_listen(7402))
    }

    /// Ports that no TCP route may have, and which setting each is of.
    pub(crate) fn reserved_ports(&self) -> BTreeMap<u16, String> {
        let router = &self.router;
        let one = |setting: &'static str, port: u16| [(port, setting)];
        let several = |setting: &'static str, addrs: &[SocketAddr]| {
            let ports = addrs.iter().map(|addr| (addr.port(), setting));
            ports.collect::<Vec<_>>()
        };
        let mut reserved = vec![
            (7400, "controller.listen"),
            (7401, "builder.listen"),
            (7402, "router.listen"),
        ];
        reserved.extend(several("router.http", &router.http));
        reserved.extend(several("router.https", &router.https));
        reserved.extend(one("router.public_http_port", self.http_port()));
        reserved.extend(one("router.public_https_port", self.https_port()));
        reserved.extend(one("router.listen", self.router_listen().port()));
        reserved.extend(router.metrics.map(|addr| (addr.port(), "router.metrics")));
        reserved.extend(one("controller.listen", self.controller_listen().port()));
        reserved.extend(one("builder.listen", self.builder_listen().port()));
        reserved.extend(one("builder.ssh_listen", self.builder.ssh_listen.port()));
        if matches!(self.store, StoreChoice::Etcd { .. }) {
            reserved.extend([(2379, "etcd"), (2380, "etcd")]);
        }
        let mut named = BTreeMap::new();
        for (port, setting) in reserved {
            // Port 0 is whichever is free.
            if port > 0 {
                named.entry(port).or_insert_with(|| setting.to_owned());
            }
        }
        named
    }

    pub(crate) const fn certificate_lifetime(&self) -> Duration {
        Duration::from_secs(self.controller.host_certificate_secs)
    }

    fn internal_listen(&self, port: u16) -> SocketAddr {
        // Several installations may share the loopback address.
        let port = if self.node.address.is_loopback() {
            0
        } else {
            port
        };
        SocketAddr::new(self.node.address, port)
    }

    pub(crate) fn to_toml(&self) -> anyhow::Result<String> {
        toml::to_string_pretty(self).context("could not print the configuration")
    }

    pub(crate) fn http_port(&self) -> u16 {
        self.router
            .public_http_port
            .or_else(|| self.router.http.first().map(SocketAddr::port))
            .unwrap_or(80)
    }

    pub(crate) fn https_port(&self) -> u16 {
        self.router
            .public_https_port
            .or_else(|| self.router.https.first().map(SocketAddr::port))
            .unwrap_or(443)
    }

    pub(crate) fn doctor_subject(
        &self,
        running: bool,
    ) -> anyhow::Result<provisioning::doctor::Subject> {
        let listens = self
            .router
            .http
            .iter()
            .chain(&self.router.https)
            .chain([&self.builder.ssh_listen]);
        Ok(provisioning::doctor::Subject {
            domain: self.domain.clone(),
            data_dir: self.data_dir.clone(),
            docker_socket: self.node.docker_socket.clone(),
            ports: listens.map(SocketAddr::port).collect(),
            running,
        })
    }

    fn check(&self) -> anyhow::Result<()> {
        if self.roles.is_empty() {
            bail!(
                "roles is empty; name at least one of controller, builder, scheduler, router, node"
            );
        }
        if self.router.tls_cert.is_some() != self.router.tls_key.is_some() {
            bail!("router.tls_cert and router.tls_key go together: give both or neither");
        }
        if self.router.proxy_protocol && self.router.trusted_proxies.is_empty() {
            bail!(
                "router.proxy_protocol needs router.trusted_proxies: name the networks of those who speak it, for anybody \
                 else could say whatever address it likes"
            );
        }
        let public = self.router.http.iter().chain(&self.router.https);
        if let Some(metrics) = self.router.metrics
            && public.clone().any(|addr| addr.port() == metrics.port())
        {
            bail!(
                "router.metrics is {metrics}, whose port is one of router.http and router.https; metrics need one of their own"
            );
        }
        if !(0.0..=1.0).contains(&self.router.trace_sample) {
            bail!(
                "router.trace_sample is {}; it must be from 0 (no request) to 1 (every request)",
                self.router.trace_sample
            );
        }
        if let Some(endpoint) = &self.router.trace_endpoint
            && !["http://", "https://"]
                .iter()
                .any(|scheme| endpoint.starts_with(scheme))
        {
            bail!(
                "router.trace_endpoint is {endpoint:?}; it must be the URL that takes spans, such as \
                 http://collector:4318/v1/traces"
            );
        }
        self.oidc.check()?;
        let others_reach_us = !self.node.address.is_loopback();
        for (setting, listen) in [
            ("controller.listen", self.controller_listen()),
            ("builder.listen", self.builder_listen()),
            ("router.listen", self.router_listen()),
        ] {
            if others_reach_us && listen.ip().is_loopback() {
                bail!(
                    "{setting} is {listen}, which other hosts cannot reach; leave it out, or name an address of this host"
                );
            }
        }
        if self.node.address.is_unspecified() {
            bail!(
                "node.address is {}; it must be the one address at which other hosts reach this one",
                self.node.address
            );
        }
        if self.data_dir.is_relative() {
            bail!(
                "data_dir is {}; it must be an absolute path",
                self.data_dir.display()
            );
        }
        Ok(())
    }
}

impl Oidc {
    fn check(&self) -> anyhow::Result<()> {
        let Some(issuer) = &self.issuer else {
            return Ok(());
        };
        let is_local = ["http://127.0.0.1:", "http://localhost:"]
            .iter()
            .any(|local| issuer.starts_with(local));
        if !issuer.starts_with("https://") && !is_local {
            bail!("oidc.issuer is {issuer:?}; it must be an https:// address");
        }
        if self.client_id.is_empty() || self.client_secret.expose().is_empty() {
            bail!(
                "oidc.issuer needs oidc.client_id and oidc.client_secret, which the provider gives out"
            );
        }
        if self.create_accounts && self.allowed_domains.is_empty() && self.allowed_groups.is_empty()
        {
            bail!(
                "oidc.create_accounts needs oidc.allowed_domains or oidc.allowed_groups: anybody whom the provider knows \
                 would get an account"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_configuration_reads_back_as_itself() {
        let text = Config::default().to_toml().unwrap();
        let again: Config = toml::from_str(&text).unwrap();
        assert_eq!(again.to_toml().unwrap(), text);
    }

    #[test]
    fn a_misspelt_setting_is_refused() {
        let error = toml::from_str::<Config>("domian = \"a.b\"").unwrap_err();
        assert!(error.to_string().contains("domian"), "{error}");
    }

    #[test]
    fn an_identity_provider_is_named_whole_and_does_not_let_everybody_in() {
        let check = |text: &str| toml::from_str::<Config>(text).unwrap().check();
        let whole = "[oidc]\nissuer = \"https://id.example.com\"\nclient_id = \"paas\"\nclient_secret = \"s3cret\"\n";
        check(whole).unwrap();
        let limited = format!("{whole}create_accounts = true\nallowed_domains = [\"example.com\"]");
        check(&limited).unwrap();
        for bad in [
            whole.replace("https", "http"),
            whole.replace("s3cret", ""),
            format!("{whole}create_accounts = true"),
        ] {
            assert!(
                check(&bad).unwrap_err().to_string().contains("oidc."),
                "{bad}"
            );
        }
        let shown = toml::from_str::<Config>(whole).unwrap().to_toml().unwrap();
        assert!(shown.contains("id.example.com") && !shown.contains("s3cret"));
    }

    #[test]
    fn metrics_are_on_no_public_port() {
        let config = |text: &str| toml::from_str::<Config>(text).unwrap();
        let error = config("router.metrics = \"10.0.0.1:443\"").check();
        let error = error.unwrap_err().to_string();
        assert!(error.contains("one of their own"), "{error}");
        config("router.metrics = \"127.0.0.1:9180\"")
            .check()
            .unwrap();
    }

    #[test]
    fn traces_are_of_a_share_and_go_to_a_url() {
        for bad in [
            "router.trace_sample = 1.5",
            "router.trace_sample = nan",
            "router.trace_endpoint = \"collector:4318\"",
        ] {
            let config = toml::from_str::<Config>(bad).unwrap();
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains("router.trace_"), "{bad}: {error}");
        }
    }

    #[test]
    fn the_platforms_own_ports_are_reserved_by_their_settings() {
        let text = "store = \"etcds://10.0.0.1:2379\"\n[router]\nhttps = [\"0.0.0.0:8443\"]\npublic_https_port = 443";
        let reserved = toml::from_str::<Config>(text).unwrap().reserved_ports();
        for (port, setting) in [
            (80, "router.http"),
            (443, "router.public_https_port"),
            (8443, "router.https"),
            (2222, "builder.ssh_listen"),
            (2379, "etcd"),
            (7400, "controller.listen"),
            (7402, "router.listen"),
        ] {
            assert_eq!(
                reserved.get(&port).map(String::as_str),
                Some(setting),
                "{port}"
            );
        }
        assert!(!reserved.contains_key(&0) && !reserved.contains_key(&5432));
    }

    #[test]
    fn who_may_speak_the_proxy_protocol_must_be_said() {
        let config = |text: &str| toml::from_str::<Config>(text).unwrap();
        let error = config("[router]\nproxy_protocol = true")
            .check()
            .unwrap_err();
        assert!(
            error.to_string().contains("router.trusted_proxies"),
            "{error}"
        );
        let named =
            "[router]\nproxy_protocol = true\ntrusted_proxies = [\"10.0.0.0/8\", \"fd00::/8\"]";
        config(named).check().unwrap();
    }

    #[test]
    fn stores_are_named_in_one_word() {
        let etcd = StoreChoice::try_from("etcd://a:1,b:2".to_owned()).unwrap();
        assert_eq!(String::from(etcd), "etcd://a:1,b:2");
        let over_tls = StoreChoice::try_from("etcds://a:1,b:2".to_owned()).unwrap();
        assert!(over_tls.is_over_tls());
        assert_eq!(String::from(over_tls), "etcds://a:1,b:2");
        assert!(StoreChoice::try_from("sqlite".to_owned()).is_err());
    }

    #[test]
    fn with_an_address_of_its_own_a_host_listens_there() {
        let mut config = Config::default();
        assert_eq!(config.controller_listen().to_string(), "127.0.0.1:0");
        config.node.address = [10, 0, 0, 1].into();
        assert_eq!(config.controller_listen().to_string(), "10.0.0.1:7400");
        assert_eq!(config.builder_listen().to_string(), "10.0.0.1:7401");
        config.check().unwrap();
        config.controller.listen = Some("127.0.0.1:7".parse().unwrap());
        let error = config.check().unwrap_err();
        assert!(error.to_string().contains("controller.listen"), "{error}");
    }
}
