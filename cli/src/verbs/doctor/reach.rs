//! The way to the platform: its name, its port, its certificate; and what it says of itself.

use std::net::SocketAddr;
use std::time::Duration;

use controller_api::{Client, ClientError, Greeting, is_localhost};
use jiff::Timestamp;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::rustls::{CertificateError, Error as TlsError};
use url::Host;

use super::finding::Finding;
use crate::session::Session;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const NAME_WITHIN: Duration = Duration::from_secs(5);
const PORT_WITHIN: Duration = Duration::from_secs(5);
/// Clocks that differ by more have certificates and tokens begin and end at other times.
const SKEW_SECONDS: i64 = 60;

/// And whether it answers.
pub(super) async fn look(
    session: &Session,
    client: &Client,
    now: Timestamp,
) -> (Vec<Finding>, bool) {
    let greeted = timeout(ANSWER_WITHIN, client.greet()).await;
    match greeted {
        Ok(Ok(greeting)) => {
            let mut findings = vec![Finding::ok("api", format!("{} answers", origin(session)))];
            findings.extend(skew(&greeting, now));
            findings.extend(version(&greeting));
            (findings, true)
        }
        Ok(Err(error)) => (vec![why_not(session, Some(error), now).await], false),
        Err(_) => (vec![why_not(session, None, now).await], false),
    }
}

fn origin(session: &Session) -> String {
    session.api.as_str().trim_end_matches('/').to_owned()
}

fn skew(greeting: &Greeting, now: Timestamp) -> Option<Finding> {
    let off = now.as_second() - greeting.clock?.as_second();
    let way = if off > 0 { "ahead of" } else { "behind" };
    (off.abs() > SKEW_SECONDS).then(|| {
        Finding::warning(
            "clock",
            format!(
                "This machine's clock is {} s {way} the platform's",
                off.abs()
            ),
            "Set it, best by NTP: certificates and tokens go by it.",
        )
    })
}

fn version(greeting: &Greeting) -> Option<Finding> {
    let (theirs, ours) = (greeting.version.as_deref()?, env!("CARGO_PKG_VERSION"));
    if line_of(theirs) == line_of(ours) {
        return Some(Finding::ok(
            "version",
            format!("This paas is {ours}, the platform {theirs}"),
        ));
    }
    Some(Finding::warning(
        "version",
        format!("This paas is {ours}, but the platform is {theirs}"),
        "Take paas from the same version as the platform: what one of them is new to, it may misunderstand.",
    ))
}

/// What changes when something may be incompatible: `1` of 1.2.3, and `0.4` of 0.4.5.
fn line_of(version: &str) -> Vec<&str> {
    let parts = if version.starts_with("0.") { 2 } else { 1 };
    version.split('.').take(parts).collect()
}

/// The client's own words are right, but what comes first on the way is what has to be mended first.
async fn why_not(session: &Session, error: Option<ClientError>, now: Timestamp) -> Finding {
    let host = session.api.host_str().unwrap_or_default().to_owned();
    if let Some(error) = &error
        && let Some(trouble) = error.certificate_trouble()
    {
        return about_certificate(&host, trouble, now);
    }
    let port = session.api.port_or_known_default().unwrap_or(443);
    let addresses = match addresses(session, port).await {
        Ok(addresses) => addresses,
        Err(finding) => return finding,
    };
    if let Some(finding) = closed(&host, port, &addresses).await {
        return finding;
    }
    match error {
        Some(error) => Finding::error("api", &error.into()),
        None => Finding::problem(
            "api",
            format!("{} takes connections but does not answer", origin(session)),
            "Ask an administrator of the platform whether a controller is up; `paasd doctor --running` on its host tells more.",
        ),
    }
}

async fn addresses(session: &Session, port: u16) -> Result<Vec<SocketAddr>, Finding> {
    let name = match session.api.host() {
        Some(Host::Ipv4(ip)) => return Ok(vec![(ip, port).into()]),
        Some(Host::Ipv6(ip)) => return Ok(vec![(ip, port).into()]),
        Some(Host::Domain(name)) if is_localhost(name) => {
            return Ok(vec![([127, 0, 0, 1], port).into()]);
        }
        Some(Host::Domain(name)) => name,
        None => "",
    };
    let found = match timeout(NAME_WITHIN, lookup_host((name, port))).await {
        Ok(Ok(found)) => found.collect(),
        _ => Vec::new(),
    };
    if found.is_empty() {
        return Err(Finding::problem(
            "dns",
            format!("The name {name} leads nowhere: DNS has no address for it"),
            "Is this machine online, and is the name right? Another platform is set with `paas login --api URL`.",
        ));
    }
    Ok(found)
}

async fn closed(host: &str, port: u16, addresses: &[SocketAddr]) -> Option<Finding> {
    let mut last = None;
    for address in addresses {
        last = match timeout(PORT_WITHIN, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return None,
            Ok(Err(error)) => Some((address.ip(), error.to_string())),
            Err(_) => Some((address.ip(), "no answer".to_owned())),
        };
    }
    last.map(|(address, error)| {
        Finding::problem(
            "tcp",
            format!("Port {port} of {host} ({address}) cannot be reached: {error}"),
            "Is the platform up, and is there a firewall between? Its address is set with `paas login --api URL`.",
        )
    })
}

fn about_certificate(host: &str, trouble: &CertificateError, now: Timestamp) -> Finding {
    let ask = "Ask an administrator of the platform to renew it (paas platform:certs:set).";
    let (message, advice) = match trouble {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            format!("The certificate of {host} has expired"),
            format!("{ask} Or is this machine's clock wrong? It says {now:.0}."),
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            format!("The certificate of {host} is not valid yet"),
            format!("This machine's clock is probably behind: it says {now:.0}."),
        ),
        CertificateError::UnknownIssuer => (
            format!("The certificate of {host} is from an authority that this machine does not trust"),
            "If the platform has an authority of its own, name its certificate: `paas login --ca-file FILE`, or PAAS_CA_FILE.".to_owned(),
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            format!("The certificate there is not for {host}"),
            "Is this the platform's address? Another is set with `paas login --api URL`.".to_owned(),
        ),
        other => (
            format!("The certificate of {host} is not good: {}", TlsError::InvalidCertificate(other.clone())),
            ask.to_owned(),
        ),
    };
    Finding::problem("tls", message, advice)
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn greeting(clock: i64, version: &str) -> Greeting {
        Greeting {
            clock: Some(at(clock)),
            version: Some(version.to_owned()),
        }
    }

    #[test]
    fn a_clock_that_is_off_is_told_with_its_direction() {
        assert_eq!(skew(&greeting(1000, ""), at(1060)), None);
        let ahead = skew(&greeting(1000, ""), at(1300)).unwrap();
        assert!(ahead.message.contains("300 s ahead"), "{ahead:?}");
        let behind = skew(&greeting(1000, ""), at(700)).unwrap();
        assert!(behind.message.contains("300 s behind"), "{behind:?}");
    }

    #[test]
    fn only_versions_that_may_not_understand_each_other_are_told() {
        assert_eq!(line_of("0.1.0"), line_of("0.1.9"));
        assert_ne!(line_of("0.1.0"), line_of("0.2.0"));
        assert_eq!(line_of("1.2.0"), line_of("1.9.3"));
        assert_ne!(line_of("1.2.0"), line_of("2.2.0"));
        let other = version(&greeting(0, "99.0.0")).unwrap();
        assert_eq!(other.state, State::Warning);
        let same = version(&greeting(0, env!("CARGO_PKG_VERSION"))).unwrap();
        assert_eq!(same.state, State::Ok);
    }

    #[test]
    fn each_trouble_with_a_certificate_has_its_own_advice() {
        let advice = |trouble| {
            about_certificate("api.example.com", &trouble, at(0))
                .advice
                .unwrap()
        };
        assert!(advice(CertificateError::UnknownIssuer).contains("--ca-file"));
        assert!(advice(CertificateError::Expired).contains("1970-01-01"));
        assert!(advice(CertificateError::NotValidYet).contains("clock"));
        assert!(advice(CertificateError::NotValidForName).contains("--api"));
        assert!(advice(CertificateError::Revoked).contains("renew"));
    }
}
