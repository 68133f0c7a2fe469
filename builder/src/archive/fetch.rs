//! Fetching an archive from where a user says it is.
//!
//! The address is a stranger's word, and whoever fetches stands inside the platform. So what a build's own container could
//! not reach is not reached from here either: this machine, the link, the networks that operators have denied, and the
//! platform's hosts anywhere but at their front door. Every redirect is judged anew, and a name is asked once: the
//! connection goes to the address that was judged.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use futures::StreamExt as _;
use ipnet::IpNet;
use reqwest::header::LOCATION;
use reqwest::redirect::Policy;
use store::{Store, StoreError, key};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;
use url::{Host, Url};

use crate::config::Config;
use crate::words;

const MAX_REDIRECTS: usize = 5;
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// For names, for an answer's head, and between two pieces of its body.
const SILENCE: Duration = Duration::from_secs(30);
const FETCH_WITHIN: Duration = Duration::from_secs(10 * 60);

/// `Display` is fit for whoever named the address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("The source's address is no http or https URL")]
    NoUrl,
    #[error("The source is at {0}, and nothing is fetched from there")]
    Forbidden(String),
    #[error("The source could not be fetched from {host}: {why}")]
    Failed { host: String, why: String },
    #[error("The source is larger than {}", words::limit(*.0))]
    TooLarge(u64),
    #[error("could not ask which hosts there are")]
    Store(#[from] StoreError),
    #[error("could not keep the source")]
    Io(#[from] io::Error),
}

/// Where nothing is fetched from.
#[derive(Debug, Default)]
pub(crate) struct Fence {
    denied: Vec<IpNet>,
    /// The platform's hosts, and the port at which they may be called.
    hosts: BTreeSet<IpAddr>,
    front_door: u16,
}

impl Fence {
    pub(crate) async fn read(config: &Config, store: &dyn Store) -> Result<Self, StoreError> {
        let nodes = key::NODES.all(store).await?;
        let services = key::ALIVE_SERVICES.all(store).await?;
        let hosts = nodes.iter().map(|node| node.value.address);
        let hosts = hosts.chain(services.iter().map(|service| service.value.addr.ip()));
        Ok(Self {
            denied: config.denied_networks.clone(),
            hosts: hosts.collect(),
            front_door: config.app_urls.port,
        })
    }

    fn lets(&self, addr: SocketAddr) -> bool {
        let ip = addr.ip().to_canonical();
        let is_denied = self.denied.iter().any(|network| network.contains(&ip));
        let is_host = self.hosts.contains(&ip) || is_this_machine(ip);
        !is_denied && !is_special(ip) && (!is_host || addr.port() == self.front_door)
    }
}

/// Addresses that are no host of the world's: loopback, the link (and with it the metadata of clouds), groups, all.
fn is_special(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            ip.is_loopback()
                || ip.is_link_local()
                || ip.is_multicast()
                || ip.is_broadcast()
                || ip.octets()[0] == 0
        }
        IpAddr::V6(ip) => {
            let [first, ..] = ip.segments();
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_multicast()
                || first & 0xffc0 == 0xfe80
                // Unique local addresses of clouds' metadata, and IPv4 in another dress.
                || first == 0xfd00
                || first == 0x0064
                || first == 0x2002
        }
    }
}

/// Whether packets to this address would come from it. None is sent to find out.
fn is_this_machine(ip: IpAddr) -> bool {
    let any: IpAddr = match ip {
        IpAddr::V4(_) => [0; 4].into(),
        IpAddr::V6(_) => [0; 16].into(),
    };
    let own = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((ip, 9))?;
        socket.local_addr()
    });
    own.is_ok_and(|own| own.ip() == ip)
}

/// Writes what is at `url` to `to`, which holds some of it when this fails.
pub(crate) async fn fetch(
    config: &Config,
    fence: &Fence,
    url: &str,
    to: &Path,
) -> Result<(), FetchError> {
    let within = timeout(FETCH_WITHIN, follow(config, fence, url, to));
    within.await.unwrap_or_else(|_| {
        Err(FetchError::Failed {
            host: Url::parse(url).map(|url| host(&url)).unwrap_or_default(),
            why: format!("it takes longer than {}", words::duration(FETCH_WITHIN)),
        })
    })
}

async fn follow(config: &Config, fence: &Fence, url: &str, to: &Path) -> Result<(), FetchError> {
    let mut url = parse(url)?;
    for _ in 0..=MAX_REDIRECTS {
        let failed = |why: String| FetchError::Failed {
            host: host(&url),
            why,
        };
        let client = client(config, &url, &judged(fence, &url).await?)
            .map_err(|error| failed(error.to_string()))?;
        let answer = timeout(SILENCE, client.get(url.clone()).send()).await;
        let answer = answer
            .map_err(|_| failed("it does not answer".to_owned()))?
            .map_err(|error| failed(words_of(error)))?;
        if answer.status().is_redirection() {
            let next = answer.headers().get(LOCATION);
            let next = next.and_then(|next| url.join(next.to_str().ok()?).ok());
            let next = next.ok_or_else(|| failed("it leads nowhere".to_owned()))?;
            url = parse(next.as_str())?;
            continue;
        }
        if !answer.status().is_success() {
            return Err(failed(format!("it answered {}", answer.status())));
        }
        return keep(answer, config.limits.source_bytes, to, failed).await;
    }
    Err(FetchError::Failed {
        host: host(&url),
        why: format!("it led elsewhere more than {MAX_REDIRECTS} times"),
    })
}

fn parse(text: &str) -> Result<Url, FetchError> {
    let url = Url::parse(text).map_err(|_| FetchError::NoUrl)?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err(FetchError::NoUrl),
    }
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// The addresses of a URL's host, if they are all fit to be called.
async fn judged(fence: &Fence, url: &Url) -> Result<Vec<SocketAddr>, FetchError> {
    let port = url.port_or_known_default().unwrap_or_default();
    let addrs = match url.host() {
        Some(Host::Ipv4(ip)) => vec![SocketAddr::from((ip, port))],
        Some(Host::Ipv6(ip)) => vec![SocketAddr::from((ip, port))],
        Some(Host::Domain(name)) => {
            let asked = timeout(SILENCE, tokio::net::lookup_host((name, port))).await;
            match asked {
                Ok(Ok(addrs)) => addrs.collect(),
                Ok(Err(_)) | Err(_) => Vec::new(),
            }
        }
        None => Vec::new(),
    };
    if addrs.is_empty() {
        return Err(FetchError::Failed {
            host: host(url),
            why: "its address cannot be found".to_owned(),
        });
    }
    if !addrs.iter().all(|addr| fence.lets(*addr)) {
        return Err(FetchError::Forbidden(host(url)));
    }
    Ok(addrs)
}

fn client(
    config: &Config,
    url: &Url,
    addrs: &[SocketAddr],
) -> Result<reqwest::Client, Box<dyn std::error::Error>> {
    let tls = if url.scheme() == "https" {
        let ca = config.container.ca_bundle.as_ref();
        let ca = ca.map(fs_err::read_to_string).transpose()?;
        controller_api::tls::client_config(ca.as_deref())?
    } else {
        controller_api::tls::no_roots()?
    };
    Ok(reqwest::Client::builder()
        .user_agent("paas")
        .no_proxy()
        .connect_timeout(CONNECT_WITHIN)
        .redirect(Policy::none())
        .tls_backend_preconfigured(tls)
        .resolve_to_addrs(&host(url), addrs)
        .build()?)
}

async fn keep(
    answer: reqwest::Response,
    max: u64,
    to: &Path,
    failed: impl Fn(String) -> FetchError,
) -> Result<(), FetchError> {
    if answer.content_length().is_some_and(|length| length > max) {
        return Err(FetchError::TooLarge(max));
    }
    let mut file = fs_err::tokio::File::create(to).await?;
    let (mut body, mut kept) = (answer.bytes_stream(), 0);
    loop {
        let chunk = timeout(SILENCE, body.next()).await;
        let chunk = chunk.map_err(|_| failed("it has fallen silent".to_owned()))?;
        let Some(chunk) = chunk else { break };
        let chunk = chunk.map_err(|error| failed(words_of(error)))?;
        kept += chunk.len() as u64;
        if kept > max {
            return Err(FetchError::TooLarge(max));
        }
        file.write_all(&chunk).await?;
    }
    file.flush().await?;
    Ok(())
}

/// The innermost reason says most, and an address may hold a secret.
fn words_of(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut innermost: &dyn std::error::Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_build_could_not_reach_is_not_fetched_from() {
        let fence = Fence {
            denied: vec!["10.9.0.0/16".parse().unwrap()],
            hosts: BTreeSet::from(["192.0.2.7".parse().unwrap()]),
            front_door: 443,
        };
        for (addr, lets) in [
            ("93.184.216.34:80", true),
            ("10.8.0.1:8080", true),
            ("[2606:2800:220:1::1]:443", true),
            ("10.9.1.1:80", false),
            ("127.0.0.1:80", false),
            ("127.8.8.8:443", false),
            ("0.0.0.0:80", false),
            ("0.1.2.3:80", false),
            ("169.254.169.254:80", false),
            ("224.0.0.1:80", false),
            ("255.255.255.255:80", false),
            ("[::1]:80", false),
            ("[::]:80", false),
            ("[fe80::1]:80", false),
            ("[fd00:ec2::254]:80", false),
            ("[ff02::1]:80", false),
            ("[::ffff:127.0.0.1]:80", false),
            ("[::ffff:10.9.0.1]:80", false),
            ("[64:ff9b::7f00:1]:80", false),
            ("192.0.2.7:2379", false),
            ("192.0.2.7:443", true),
        ] {
            assert_eq!(fence.lets(addr.parse().unwrap()), lets, "{addr}");
        }
    }

    #[tokio::test]
    async fn names_are_judged_by_where_they_lead() {
        for url in [
            "http://localhost/x.tgz",
            "http://127.0.0.1/x",
            "http://0x7f.1/x",
            "http://2130706433/x",
            "http://[::ffff:7f00:1]/x",
        ] {
            let judged = judged(&Fence::default(), &parse(url).unwrap()).await;
            assert!(matches!(judged, Err(FetchError::Forbidden(_))), "{url}");
        }
        for url in ["file:///etc/passwd", "ftp://host/x", "x.tgz", "http://"] {
            assert!(matches!(parse(url), Err(FetchError::NoUrl)), "{url}");
        }
    }
}
