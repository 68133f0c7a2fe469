//! Where the platform may be led to when its users name the address, by drains and webhooks: to public addresses, and not to
//! what is behind them.
//!
//! Whoever has an app names any host he likes, and controllers stand where the platform's own services are. A name is
//! looked at once it has become [`addresses`], and the connection goes to the very addresses that were looked at: a name that
//! means something else a moment later changes nothing.

mod addresses;
mod names;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::{Host, Url};

use self::addresses::is_public;
use self::names::Names;

/// Each of several addresses of a name; all of it has [`CONNECT_WITHIN`].
const ADDRESS_WITHIN: Duration = Duration::from_secs(4);
/// With looking up the name.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Finds and connects to where it may lead; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Outbound {
    /// Allowed whatever they are; an operator's word.
    allowed: Arc<[IpNet]>,
    names: Arc<Names>,
}

/// Not a word of what the address is: whoever asks is not to learn the platform's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it leads to no public address")]
pub(crate) struct Refused;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreachable {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the name leads nowhere")]
    NoAddress,
    #[error("no connection within {} s", CONNECT_WITHIN.as_secs())]
    TimedOut,
    #[error("no connection: {}", words(.0))]
    Connect(io::Error),
}

impl Outbound {
    pub(crate) fn new(allowed: &[IpNet]) -> Self {
        Self {
            allowed: allowed.into(),
            names: Arc::default(),
        }
    }

    fn admits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address) || self.allowed.iter().any(|net| net.contains(&address))
    }

    /// Looks at an address that is written out, for which a [`Resolve`] is never asked. Names pass.
    pub(crate) fn check_literal(&self, url: &Url) -> Result<(), Refused> {
        match url.host_str().and_then(literal) {
            Some(address) if !self.admits(address) => Err(Refused),
            _ => Ok(()),
        }
    }

    /// The addresses that may be connected to; one at least.
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Unreachable> {
        let mut found = match literal(host) {
            Some(address) => vec![address],
            None => self.names.addresses(host).await,
        };
        if found.is_empty() {
            return Err(Unreachable::NoAddress);
        }
        found.retain(|address| self.admits(*address));
        if found.is_empty() {
            return Err(Refused.into());
        }
        Ok(found)
    }

    pub(crate) async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, Unreachable> {
        let connecting = async {
            let mut last = Unreachable::TimedOut;
            for address in self.resolve(host).await? {
                match timeout(ADDRESS_WITHIN, TcpStream::connect((address, port))).await {
                    Ok(Ok(stream)) => return Ok(stream),
                    Ok(Err(error)) => last = Unreachable::Connect(error),
                    Err(_) => last = Unreachable::TimedOut,
                }
            }
            Err(last)
        };
        timeout(CONNECT_WITHIN, connecting)
            .await
            .map_err(|_| Unreachable::TimedOut)?
    }

    /// A client that goes nowhere else: not by a proxy, which would look at addresses in our place, and not where it is
    /// sent on to, which could be anywhere. URLs are for [`Outbound::check_literal`] first.
    pub(crate) fn http(&self) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .dns_resolver(self.clone())
            .connect_timeout(CONNECT_WITHIN)
    }
}

impl Resolve for Outbound {
    fn resolve(&self, name: Name) -> Resolving {
        let outbound = self.clone();
        Box::pin(async move {
            let found = Self::resolve(&outbound, name.as_str()).await?;
            // Port 0 stands for the URL's.
            let found = found.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(found) as Addrs)
        })
    }
}

/// A host that is an address, in any spelling that URLs know: `127.1`, `0x7f.1`, `[::1]`.
fn literal(host: &str) -> Option<IpAddr> {
    let host = host.trim_matches(['[', ']']);
    host.parse().ok().or_else(|| match Host::parse(host) {
        Ok(Host::Ipv4(address)) => Some(address.into()),
        _ => None,
    })
}

/// An I/O error in few words, such as `connection refused`.
pub(crate) fn words(error: &io::Error) -> String {
    error.kind().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> Outbound {
        Outbound::new(&["127.0.0.0/8", "::1/128"].map(|net| net.parse().unwrap()))
    }

    #[test]
    fn a_network_that_is_allowed_is_admitted_and_nothing_beside_it() {
        let outbound = Outbound::new(&["10.1.0.0/16".parse().unwrap()]);
        assert!(outbound.admits("10.1.2.3".parse().unwrap()));
        let same = "::ffff:10.1.2.3".parse().unwrap();
        assert!(outbound.admits(same), "the same address");
        assert!(!outbound.admits("10.2.0.1".parse().unwrap()));
        assert!(outbound.admits("8.8.8.8".parse().unwrap()));
    }

    #[test]
    fn addresses_that_are_written_out_are_looked_at_in_every_spelling() {
        let outbound = Outbound::new(&[]);
        for refused in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "syslog://127.0.0.1",
            "syslog://0x7f.1:514",
            "syslog+tls://[fd00:ec2::254]",
        ] {
            let url = refused.parse().unwrap();
            assert_eq!(outbound.check_literal(&url), Err(Refused), "{refused}");
        }
        for passed in [
            "https://8.8.8.8/",
            "https://example.com/",
            "syslog://8.8.8.8",
        ] {
            let url = passed.parse().unwrap();
            assert_eq!(outbound.check_literal(&url), Ok(()), "{passed}");
        }
    }

    #[tokio::test]
    async fn a_name_is_judged_by_where_it_leads() {
        let resolve = async |outbound: Outbound| {
            let resolved = Resolve::resolve(&outbound, "localhost".parse().unwrap()).await;
            resolved.map(Iterator::count)
        };
        let error = resolve(Outbound::new(&[])).await.unwrap_err();
        assert!(matches!(
            error.downcast_ref(),
            Some(Unreachable::Refused(_))
        ));
        assert!(resolve(loopback()).await.unwrap() > 0);
    }

    #[tokio::test]
    async fn what_leads_inside_is_not_connected_to() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["localhost", "127.0.0.1", "0x7f.1"] {
            let refused = Outbound::new(&[]).connect(host, port).await;
            assert!(matches!(refused, Err(Unreachable::Refused(_))), "{host}");
            loopback().connect(host, port).await.unwrap();
        }
    }
}
