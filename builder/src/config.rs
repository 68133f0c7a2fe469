//! What a builder is told before it starts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use model::{BuildId, NodeId, SecondFactorRule};
use rustls::ClientConfig;

/// Complete before anything starts; made by `server/`.
#[derive(Debug, Clone)]
pub struct Config {
    /// Apps answer at `<app>.<domain>`.
    pub domain: String,
    /// How the world reaches an app: the line `<scheme>://<app>.<domain>[:port]/ deployed to paas` is made of it.
    pub app_urls: AppUrls,
    /// `<data_dir>/{repos,cache,builds,hooks}` are the builder's own.
    pub data_dir: PathBuf,
    /// Whose room builds take.
    pub host: NodeId,
    /// What this builder publishes as its address for git over HTTP.
    pub address: SocketAddr,
    /// How other builders are called: they prove who they are, and so does this one. Plain HTTP where it is absent.
    pub peer_tls: Option<ClientConfig>,
    /// The executable that git runs as its pre-receive hook: `<hook_binary> hook pre-receive` must call
    /// [`crate::hook::main_pre_receive`].
    pub hook_binary: PathBuf,
    pub container: ContainerConfig,
    /// From which no code is fetched, as builds and dynos do not reach them.
    pub denied_networks: Vec<IpNet>,
    pub limits: Limits,
    /// Of whom a second factor is asked: who lacks it has no way in here.
    pub second_factor: SecondFactorRule,
    /// Builds that run at the same time on this builder; more of them wait.
    pub max_concurrent_builds: usize,
    /// How long work in progress may go on once the builder is told to stop.
    pub drain_timeout: Duration,
}

/// Scheme and port of the routers' front door.
#[derive(Debug, Clone)]
pub struct AppUrls {
    pub scheme: Scheme,
    pub port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

/// Where builds run.
#[derive(Debug, Clone)]
pub struct ContainerConfig {
    /// The stack's build image, `paas/stack:24-build`.
    pub image: String,
    /// What `STACK` says: `heroku-24`.
    pub stack: String,
    /// The network of builds; made if there is none.
    pub network: runtime::NetworkSpec,
    /// Label of everything this installation makes.
    pub instance: String,
    /// The host's CA certificates, shown to builds so that private CAs work.
    pub ca_bundle: Option<PathBuf>,
}

/// What one build may use. Each limit that is hit ends the build with a sentence that names it.
#[derive(Debug, Clone)]
pub struct Limits {
    pub memory_bytes: u64,
    /// CPUs' worth of time: 2.0 is two CPUs.
    pub cpus: f64,
    pub pids: u32,
    pub build_time: Duration,
    /// Bytes of output before the build is ended.
    pub output_bytes: u64,
    /// Bytes of output the pusher is shown; the rest is in the build's log.
    pub shown_bytes: u64,
    /// Bytes of source, build directory and temporary files together.
    pub disk_bytes: u64,
    /// Bytes of the compressed slug.
    pub slug_bytes: u64,
    /// Bytes of the compressed slug that earn a warning.
    pub slug_warning_bytes: u64,
    /// Bytes of one push's pack.
    pub push_bytes: u64,
    /// Bytes of an archive that is to be built; with all in it, [`Limits::disk_bytes`] count.
    pub source_bytes: u64,
    /// Bytes of all apps' build caches together; the least recently used go first.
    pub cache_bytes: u64,
    /// Bytes of this builder's copies of repositories together; the least recently used go first.
    pub repository_bytes: u64,
    /// Builds are refused when the data directory's file system is fuller than this.
    pub max_disk_percent: u8,
    /// How long a push waits for its turn.
    pub queue_time: Duration,
    /// Pushes of one app that may wait at a time.
    pub queue_length: usize,
    /// How long a push follows its release before it leaves it to itself.
    pub verify_time: Duration,
    /// The same for a release with a release command.
    pub release_phase_time: Duration,
}

impl Limits {
    /// Heroku's limits where it states them.
    pub const fn heroku() -> Self {
        const MIB: u64 = 1 << 20;
        const GIB: u64 = 1 << 30;
        Self {
            memory_bytes: 2 * GIB,
            cpus: 2.0,
            pids: 1024,
            build_time: Duration::from_secs(15 * 60),
            output_bytes: 32 * MIB,
            shown_bytes: 10 * MIB,
            disk_bytes: 8 * GIB,
            slug_bytes: 500 * MIB,
            slug_warning_bytes: 300 * MIB,
            push_bytes: 4 * GIB,
            source_bytes: GIB,
            cache_bytes: 20 * GIB,
            repository_bytes: 20 * GIB,
            max_disk_percent: 92,
            queue_time: Duration::from_secs(20 * 60),
            queue_length: 4,
            verify_time: Duration::from_secs(10 * 60),
            release_phase_time: Duration::from_secs(70 * 60),
        }
    }
}

impl Limits {
    /// Thousandths of a core.
    pub(crate) fn cpu_millis(&self) -> u64 {
        // Saturates, and a negative number is nothing.
        (self.cpus * 1000.0) as u64
    }
}

impl Config {
    /// Where an app answers: `https://ticks.paas.localhost:8443/`.
    pub fn app_url(&self, app: &model::AppName) -> String {
        let (scheme, default_port) = match self.app_urls.scheme {
            Scheme::Http => ("http", 80),
            Scheme::Https => ("https", 443),
        };
        let domain = &self.domain;
        if self.app_urls.port == default_port {
            format!("{scheme}://{app}.{domain}/")
        } else {
            format!("{scheme}://{app}.{domain}:{}/", self.app_urls.port)
        }
    }

    pub(crate) fn builds_dir(&self) -> PathBuf {
        self.data_dir.join("builds")
    }

    pub(crate) fn build_dir(&self, build: BuildId) -> PathBuf {
        self.builds_dir().join(build.to_string())
    }

    /// Objects that a build needs and the repository does not have yet.
    pub(crate) fn objects_dir(&self, build: BuildId) -> PathBuf {
        self.builds_dir().join(format!("{build}.objects"))
    }

    pub(crate) fn cache_dir(&self) -> PathBuf {
        self.data_dir.join("cache")
    }

    pub(crate) fn repos_dir(&self) -> PathBuf {
        self.data_dir.join("repos")
    }
}
