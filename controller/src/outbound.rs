//! Where the platform may be led to when its users name the address: the internet, and not what is behind it.
//!
//! A name is looked at once it has become addresses, and the connection goes to the very addresses that were looked at:
//! a name that means something else a moment later changes nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Which addresses may be connected to.
#[derive(Debug, Clone)]
pub(crate) struct Outbound {
    /// Allowed whatever they are; an operator's word.
    allowed: Arc<[IpNet]>,
}

/// Not a word of what the address is: whoever asks is not to learn the platform's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it leads to an address that is not the internet's")]
pub(crate) struct Refused;

impl Outbound {
    pub(crate) fn new(allowed: &[IpNet]) -> Self {
        Self {
            allowed: allowed.into(),
        }
    }

    pub(crate) fn admits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allowed
            .iter()
            .any(|network| network.contains(&address))
            || is_global(address)
    }

    /// Looks at an address that needs no name server, which a [`Resolve`] is never asked for.
    pub(crate) fn check_literal(&self, url: &Url) -> Result<(), Refused> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        self.admits(address).then_some(()).ok_or(Refused)
    }
}

impl Resolve for Outbound {
    fn resolve(&self, name: Name) -> Resolving {
        let outbound = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let admitted: Vec<SocketAddr> = found
                .filter(|address| outbound.admits(address.ip()))
                .collect();
            if admitted.is_empty() {
                return Err(Refused.into());
            }
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_global_v4(address),
        IpAddr::V6(address) => is_global_v6(address),
    }
}

/// By the IANA's registry of special-purpose addresses.
fn is_global_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_documentation()
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b))
        || a >= 224)
}

/// Of the one block that is given out, 2000::/3, all but what embeds or stands for something else.
fn is_global_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, ..] = address.segments();
    let embedded = |high: u16, low: u16| {
        let [[w, x], [y, z]] = [high.to_be_bytes(), low.to_be_bytes()];
        is_global_v4(Ipv4Addr::new(w, x, y, z))
    };
    match (a, b) {
        // 6to4 and NAT64 lead to the IPv4 address in them.
        (0x2002, _) => embedded(b, c),
        (0x64, 0xff9b) if c == 0 && d == 0 => {
            let [.., high, low] = address.segments();
            embedded(high, low)
        }
        // Teredo and its neighbours, and documentation.
        (0x2001, 0..0x200) | (0x2001, 0xdb8) | (0x3fff, 0..0x1000) => false,
        _ => a & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_internets_addresses_are_admitted() {
        let outbound = Outbound::new(&[]);
        for (address, admitted) in [
            ("93.184.215.14", true),
            ("8.8.8.8", true),
            ("172.32.0.1", true),
            ("100.128.0.1", true),
            ("2606:4700::1111", true),
            ("0.0.0.0", false),
            ("10.1.2.3", false),
            ("100.64.0.1", false),
            ("127.0.0.1", false),
            ("169.254.169.254", false),
            ("172.16.0.1", false),
            ("192.0.0.192", false),
            ("192.168.1.1", false),
            ("198.18.0.1", false),
            ("203.0.113.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:8.8.8.8", true),
            ("::127.0.0.1", false),
            ("fd00:ec2::254", false),
            ("fe80::1", false),
            ("ff02::1", false),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b::808:808", true),
            ("64:ff9b:1::808:808", false),
            ("2002:7f00:1::", false),
            ("2002:808:808::", true),
            ("2001::1", false),
            ("2001:db8::1", false),
            ("3fff::1", false),
        ] {
            assert_eq!(
                outbound.admits(address.parse().unwrap()),
                admitted,
                "{address}"
            );
        }
    }

    #[test]
    fn a_network_that_is_configured_is_admitted_and_nothing_beside_it() {
        let outbound = Outbound::new(&["10.1.0.0/16".parse().unwrap()]);
        assert!(outbound.admits("10.1.2.3".parse().unwrap()));
        assert!(outbound.admits("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!outbound.admits("10.2.0.1".parse().unwrap()));
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
        ] {
            let url = refused.parse().unwrap();
            assert_eq!(outbound.check_literal(&url), Err(Refused), "{refused}");
        }
        for passed in ["https://8.8.8.8/", "https://example.com/"] {
            assert_eq!(outbound.check_literal(&passed.parse().unwrap()), Ok(()));
        }
    }

    #[tokio::test]
    async fn a_name_is_judged_by_where_it_leads() {
        let resolve = async |outbound: Outbound| {
            let resolved = outbound.resolve("localhost".parse().unwrap()).await;
            resolved.map(|found| found.count())
        };
        assert!(
            resolve(Outbound::new(&[]))
                .await
                .unwrap_err()
                .is::<Refused>()
        );
        let loopback = ["127.0.0.0/8", "::1/128"].map(|n| n.parse().unwrap());
        assert!(resolve(Outbound::new(&loopback)).await.unwrap() > 0);
    }
}
