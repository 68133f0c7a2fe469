//! Names of backends, resolved when somebody connects. What a name server said is kept for as long as it said, at most.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{Resolver as Dns, TokioResolver};

/// Names that are remembered, on each worker.
const CACHE: u64 = 256;
/// One question to one server; asked twice.
const ASK_WITHIN: Duration = Duration::from_secs(2);
/// How long it is remembered that a name is none: whoever adds it should not have to wait.
const UNKNOWN_FOR: Duration = Duration::from_secs(5);
/// How often the host's settings and `/etc/hosts` are read again, while names are asked for.
const REREAD_AFTER: Duration = Duration::from_secs(60);

/// One worker's.
#[derive(Debug)]
pub(crate) struct Resolver {
    /// Instead of the host's.
    servers: Vec<SocketAddr>,
    made: RefCell<Option<(Instant, TokioResolver)>>,
}

impl Resolver {
    pub(crate) const fn new(servers: Vec<SocketAddr>) -> Self {
        Self {
            servers,
            made: RefCell::new(None),
        }
    }

    /// All of a name's addresses, in the order they came.
    ///
    /// # Errors
    /// When nobody knows it, or nobody answers.
    pub(crate) async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, NetError> {
        let dns = self.current()?;
        let found = dns.lookup_ip(name).await?;
        Ok(found.iter().collect())
    }

    fn current(&self) -> Result<TokioResolver, NetError> {
        let mut made = self.made.borrow_mut();
        if let Some((at, dns)) = &*made
            && at.elapsed() < REREAD_AFTER
        {
            return Ok(dns.clone());
        }
        let dns = self.make()?;
        *made = Some((Instant::now(), dns.clone()));
        Ok(dns)
    }

    fn make(&self) -> Result<TokioResolver, NetError> {
        let mut builder = match self.servers.as_slice() {
            [] => Dns::builder_tokio()?,
            servers => {
                let servers = servers.iter().map(server).collect();
                let config = ResolverConfig::from_parts(None, Vec::new(), servers);
                Dns::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        limit(builder.options_mut());
        builder.build()
    }
}

fn limit(options: &mut ResolverOpts) {
    options.cache_size = CACHE;
    options.timeout = ASK_WITHIN;
    options.attempts = 2;
    options.negative_max_ttl = Some(UNKNOWN_FOR);
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
}

fn server(addr: &SocketAddr) -> NameServerConfig {
    let at = |mut connection: ConnectionConfig| {
        connection.port = addr.port();
        connection
    };
    NameServerConfig::new(
        addr.ip(),
        true,
        vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())],
    )
}
