//! What a router is told before it starts. Complete: nothing below reads the environment.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use model::{Hostname, NodeId, RouterId, Secret, ServiceRole};
use rustls::ClientConfig;
use store::Keyring;

use crate::{Tcp, TlsError, Tracing};

#[derive(Debug, Clone)]
pub struct Config {
    pub id: RouterId,
    /// The host it runs on, as the platform knows it.
    pub host: Option<NodeId>,
    /// Apps are `<app>.<domain>`; the platform itself is `api.<domain>` and `git.<domain>`.
    pub domain: Hostname,
    /// Threads, each with a runtime, listeners and backend connections of its own. See [`default_workers`].
    pub workers: NonZeroUsize,
    /// Where the last table is kept, so that a restarted router serves while the store is away.
    pub data_dir: PathBuf,
    /// `None`: no HTTPS listeners may be given.
    pub tls: Option<TlsConfig>,
    /// Opens the keys of the certificates in the store. Without it the configured one is shown for every name.
    pub keyring: Option<Keyring>,
    /// How controllers and builders are called. Without it (in tests) over plain HTTP.
    pub services: Option<ServicesTls>,
    pub public_ports: PublicPorts,
    /// Whether plain listeners also speak HTTP/2 to clients that begin with its preface.
    pub http2_cleartext: bool,
    pub proxies: Proxies,
    pub connections: Connections,
    /// Requests that this router has under way for one app, for each of its web dynos (H11). Upgraded connections do not
    /// count.
    pub backlog_per_dyno: u32,
    pub timeouts: Timeouts,
    pub tracing: Tracing,
    pub tcp: Tcp,
}

/// Load balancers and proxies between clients and us.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// Where they are. What comes from there is believed about the client: its address, whether it used TLS, and its port.
    pub trusted: Vec<IpNet>,
    /// Whether they begin each connection with the PROXY protocol. Nobody else may.
    pub speak_proxy_protocol: bool,
}

impl Proxies {
    pub(crate) fn are_trusted_at(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted
            .iter()
            .any(|network| network.contains(&address))
    }
}

/// How many clients' connections there may be at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// All of them; beyond that, H22.
    pub total: usize,
    /// Those from one address, or for IPv6 one network of 64 bits. Trusted proxies may have any number; clients that they
    /// name by the PROXY protocol may not.
    pub per_address: usize,
    /// TLS handshakes under way, for each worker; beyond that the oldest is given up.
    pub handshakes: usize,
}

impl Connections {
    /// Enough for an office or a carrier behind one address, and for a proxy that nobody has said is trusted.
    pub const PER_ADDRESS: usize = 4096;

    /// For a process that may have so many files open. Each client may need one more for its dyno, and an eighth is left for
    /// everything else. No address may have more than a quarter of the rest.
    pub fn for_files(files: usize) -> Self {
        let total = (files / 16 * 7).max(64);
        Self {
            total,
            per_address: Self::PER_ADDRESS.min(total / 4),
            handshakes: (total / 8).clamp(16, 1024),
        }
    }
}

/// The platform's certificate, for the domain and one label below it, while the store has none.
#[derive(Debug, Clone)]
pub enum TlsConfig {
    Files { cert: PathBuf, key: PathBuf },
    Pem { cert: String, key: Secret<String> },
}

impl TlsConfig {
    /// Whether a router could use it.
    ///
    /// # Errors
    /// What is the matter with it.
    pub fn check(&self) -> Result<(), TlsError> {
        crate::tls::check(self)
    }
}

/// TLS towards the platform's own services, by role.
#[derive(Debug, Clone)]
pub struct ServicesTls {
    pub controller: Arc<ClientConfig>,
    pub builder: Arc<ClientConfig>,
}

impl ServicesTls {
    pub(crate) const fn of(&self, role: ServiceRole) -> &Arc<ClientConfig> {
        match role {
            ServiceRole::Controller => &self.controller,
            ServiceRole::Builder => &self.builder,
        }
    }
}

/// The ports that clients use, as `X-Forwarded-Port` tells the app; behind a load balancer not the ones listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicPorts {
    pub http: u16,
    pub https: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// One try to connect to a dyno.
    pub connect: Duration,
    /// The same while there is another dyno to ask instead.
    pub connect_if_others: Duration,
    /// From the end of the request to the first byte of the response (H12).
    pub first_byte: Duration,
    /// Without a byte either way, once the response has begun or while the client still sends (H15, H28).
    pub idle: Duration,
    /// Of so much time spent on waiting for a client, it must have sent or taken 256 bytes a second: less is an attack that
    /// holds a dyno by a byte now and then (H28).
    pub pace: Duration,
    /// How long a request is held while no dyno is up yet (H20), or all are in quarantine (H99).
    pub boot: Duration,
    /// How long a dyno that could not be connected to is left alone.
    pub quarantine: Duration,
    /// How long an idle connection to a dyno is kept.
    pub backend_keep_alive: Duration,
    /// How long a client may take for a request's head; also how long its idle connection is kept.
    pub client_head: Duration,
    pub tls_handshake: Duration,
    /// First byte and idle for `api.` and `git.`: pushes, log tails and terminals may be silent for long.
    pub platform: Duration,
    /// One try to connect to the last controller or builder there is: when its host's `paasd` is replaced, whoever
    /// connects waits in a queue meanwhile.
    pub platform_connect: Duration,
    /// How long a request to `api.` or `git.` is held while no controller or builder is alive.
    pub platform_wait: Duration,
    /// How long requests in flight may take to end at shutdown.
    pub drain: Duration,
    /// How long upgraded connections and long answers may stay after another process has taken over.
    pub stay_after_hand_over: Duration,
}

impl Timeouts {
    /// Heroku's, where it has one.
    pub const HEROKU: Self = Self {
        connect: Duration::from_secs(5),
        connect_if_others: Duration::from_secs(1),
        first_byte: Duration::from_secs(30),
        idle: Duration::from_secs(55),
        pace: Duration::from_secs(60),
        boot: Duration::from_secs(75),
        quarantine: Duration::from_secs(5),
        backend_keep_alive: Duration::from_secs(90),
        client_head: Duration::from_secs(60),
        tls_handshake: Duration::from_secs(10),
        platform: Duration::from_secs(3600),
        platform_connect: Duration::from_secs(45),
        platform_wait: Duration::from_secs(10),
        drain: Duration::from_secs(30),
        stay_after_hand_over: Duration::from_secs(3600),
    };
}

/// Heroku's [`Config::backlog_per_dyno`].
pub const BACKLOG_PER_DYNO: u32 = 200;

/// One worker per core.
pub fn default_workers() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}
