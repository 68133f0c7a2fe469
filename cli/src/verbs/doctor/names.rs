//! Where domains lead, by this machine's DNS.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use controller_api::is_localhost;
use controller_api::wire::Domain;
use tokio::net::lookup_host;
use tokio::time::timeout;

const WITHIN: Duration = Duration::from_secs(3);
/// More are not looked up: each may take its time.
const MOST: usize = 50;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leads {
    Here,
    Elsewhere,
    Nowhere,
}

/// By host name; what is not there is not known.
pub(super) async fn look(domains: &[Domain]) -> BTreeMap<String, Leads> {
    let custom = domains.iter().filter(|domain| domain.kind == "custom");
    let each = custom.take(MOST).map(|domain| async move {
        let name = domain.hostname.to_string();
        let target = domain.cname.as_deref().unwrap_or_default();
        let (found, wanted) = futures::join!(addresses(&name), addresses(target));
        Some((name, leads(&found?, &wanted.unwrap_or_default())))
    });
    let all = futures::future::join_all(each).await;
    all.into_iter().flatten().collect()
}

/// Without knowing where it should lead, that it leads somewhere has to do.
fn leads(found: &[IpAddr], wanted: &[IpAddr]) -> Leads {
    if found.is_empty() {
        Leads::Nowhere
    } else if wanted.is_empty() || found.iter().any(|address| wanted.contains(address)) {
        Leads::Here
    } else {
        Leads::Elsewhere
    }
}

/// `None`: whoever is to know did not answer in time.
async fn addresses(name: &str) -> Option<Vec<IpAddr>> {
    // Any name does for a wildcard.
    let name = name
        .strip_prefix("*.")
        .map_or_else(|| name.to_owned(), |rest| format!("paas-doctor.{rest}"));
    if is_localhost(&name) {
        return Some(vec![IpAddr::from([127, 0, 0, 1])]);
    }
    match timeout(WITHIN, lookup_host((name.as_str(), 0))).await {
        Ok(Ok(found)) => Some(found.map(|address| address.ip()).collect()),
        Ok(Err(_)) => Some(Vec::new()),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_leads_here_if_one_of_its_addresses_does() {
        let ip = |last| IpAddr::from([192, 0, 2, last]);
        assert_eq!(leads(&[], &[ip(1)]), Leads::Nowhere);
        assert_eq!(leads(&[ip(2), ip(1)], &[ip(1)]), Leads::Here);
        assert_eq!(leads(&[ip(2)], &[ip(1)]), Leads::Elsewhere);
        assert_eq!(leads(&[ip(2)], &[]), Leads::Here);
    }
}
