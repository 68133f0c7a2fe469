//! Which addresses drains may reach, and getting there.
//!
//! Whoever has an app names any host he likes, and controllers stand where the platform's own services are. So only
//! public addresses are connected to, and others where the operators say so; what counts is the address that is connected
//! to, not what a name led to before.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Each of several addresses of a name; all of it has [`CONNECT_WITHIN`].
const ADDRESS_WITHIN: Duration = Duration::from_secs(4);
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Each takes a thread for as long as a name server is silent.
const MAX_LOOKUPS: usize = 32;

/// Where drains may lead.
#[derive(Debug, Clone, Default)]
pub struct DrainsConfig {
    /// Networks that drains may reach though they are not public.
    pub allow_networks: Vec<IpNet>,
    /// PEM of those who vouch for drains, besides those whom the system trusts.
    pub ca: Option<String>,
}

impl DrainsConfig {
    pub(crate) fn admits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address) || self.allow_networks.iter().any(|net| net.contains(&address))
    }
}

/// IANA's special-purpose registries: what is not "globally reachable" there.
const RESERVED_V4: [Ipv4Net; 15] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
];
/// All that is given out as public.
const PUBLIC_V6: Ipv6Net = v6([0x2000, 0], 3);
/// Of that: protocols' own (Teredo among them), documentation, and 6to4, which leads to an IPv4 address.
const RESERVED_V6: [Ipv6Net; 4] = [
    v6([0x2001, 0], 23),
    v6([0x2001, 0x0db8], 32),
    v6([0x2002, 0], 16),
    v6([0x3fff, 0], 20),
];
/// A gateway leads from there to the IPv4 address in the last four bytes.
const NAT64: Ipv6Net = v6([0x0064, 0xff9b], 96);

const fn v4([a, b, c, d]: [u8; 4], bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

const fn v6([a, b]: [u16; 2], bits: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), bits)
}

fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => !RESERVED_V4.iter().any(|net| net.contains(&address)),
        IpAddr::V6(address) if NAT64.contains(&address) => {
            let [.., a, b, c, d] = address.octets();
            is_public(Ipv4Addr::new(a, b, c, d).into())
        }
        IpAddr::V6(address) => {
            PUBLIC_V6.contains(&address) && !RESERVED_V6.iter().any(|net| net.contains(&address))
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ReachError {
    #[error("the name {0} leads nowhere")]
    NoAddress(String),
    #[error("{0} is not a public address")]
    NotPublic(String),
    #[error("no connection within {} s", CONNECT_WITHIN.as_secs())]
    TimedOut,
    #[error("no connection: {0}")]
    Connect(String),
}

/// Finds and connects to where drains may lead; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    config: Arc<DrainsConfig>,
    lookups: Arc<Semaphore>,
}

impl Reach {
    pub(super) fn new(config: DrainsConfig) -> Self {
        Self {
            config: Arc::new(config),
            lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
        }
    }

    /// Whether it is no address, or one that may be reached.
    pub(super) fn check_literal(&self, host: &str) -> Result<(), ReachError> {
        match host.parse() {
            Ok(address) if !self.config.admits(address) => {
                Err(ReachError::NotPublic(host.to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// The addresses that may be reached; one at least.
    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ReachError> {
        let nowhere = || ReachError::NoAddress(host.to_owned());
        let permit = self.lookups.clone().acquire_owned().await;
        let name = host.to_owned();
        // Whoever waits for it may go; the thread cannot, and keeps its permit.
        let found = tokio::task::spawn_blocking(move || {
            let found = (name.as_str(), port).to_socket_addrs();
            drop(permit);
            found
        });
        let found: Vec<_> = found
            .await
            .map_err(|_| nowhere())?
            .map_err(|_| nowhere())?
            .collect();
        if found.is_empty() {
            return Err(nowhere());
        }
        let admitted: Vec<_> = found
            .into_iter()
            .filter(|addr| self.config.admits(addr.ip()))
            .collect();
        if admitted.is_empty() {
            // Which address it is, is nobody's business: names inside tell of what is there.
            return Err(ReachError::NotPublic(host.to_owned()));
        }
        Ok(admitted)
    }

    pub(super) async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, ReachError> {
        let connecting = async {
            let mut last = ReachError::TimedOut;
            for addr in self.resolve(host, port).await? {
                match timeout(ADDRESS_WITHIN, TcpStream::connect(addr)).await {
                    Ok(Ok(stream)) => return Ok(stream),
                    Ok(Err(error)) => last = ReachError::Connect(words(&error)),
                    Err(_) => last = ReachError::TimedOut,
                }
            }
            Err(last)
        };
        timeout(CONNECT_WITHIN, connecting)
            .await
            .map_err(|_| ReachError::TimedOut)?
    }
}

/// An I/O error in few words, such as `connection refused`.
pub(super) fn words(error: &io::Error) -> String {
    error.kind().to_string()
}

impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.clone();
        Box::pin(async move {
            // Port 0 stands for the URL's.
            let found = Self::resolve(&reach, name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(address: &str) -> bool {
        DrainsConfig::default().admits(address.parse().unwrap())
    }

    #[test]
    fn only_public_addresses_are_reached() {
        for public in [
            "8.8.8.8",
            "172.32.0.1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert!(admits(public), "{public}");
        }
        for other in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.168.1.1",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
        ] {
            assert!(!admits(other), "{other}");
        }
    }

    #[test]
    fn operators_may_let_drains_into_a_network() {
        let config = DrainsConfig {
            allow_networks: vec!["10.1.0.0/16".parse().unwrap()],
            ca: None,
        };
        assert!(config.admits("10.1.2.3".parse().unwrap()));
        assert!(
            config.admits("::ffff:10.1.2.3".parse().unwrap()),
            "the same address"
        );
        assert!(!config.admits("10.2.0.1".parse().unwrap()));
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_connected_to() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let strict = Reach::new(DrainsConfig::default());
        for host in ["localhost", "127.0.0.1", "0x7f.1"] {
            let refused = strict.connect(host, port).await;
            assert!(matches!(refused, Err(ReachError::NotPublic(_))), "{host}");
        }
        let lenient = Reach::new(DrainsConfig {
            allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
            ca: None,
        });
        lenient.connect("localhost", port).await.unwrap();
    }
}
