//! The platform itself, for administrators: others may not see it, and are not told so.

use controller_api::Client;
use controller_api::wire::{Node, PlatformCertificate, PlatformStatus, StoreKind};
use jiff::Timestamp;

use super::app::expiry;
use super::finding::Finding;
use crate::verbs::apps::bytes;

/// Of the memory that dynos may reserve; the next ones may find no room.
const FULL_PERCENT: u64 = 90;
/// Of the 4 GiB that provisioning/etcd lets it grow to, 85 %: when they are full it takes no writes.
const ETCD_FULL_BYTES: u64 = 4 * 1024 * 1024 * 1024 / 100 * 85;

pub(super) async fn look(client: &Client, now: Timestamp) -> Vec<Finding> {
    let status = match client.platform_status().await {
        Ok(status) => status,
        Err(error) if matches!(error.status(), Some(403 | 404)) => return Vec::new(),
        Err(error) => return vec![Finding::error("platform", &error.into())],
    };
    let mut findings = of_status(&status);
    match client.nodes().await {
        Ok(nodes) => findings.extend(of_nodes(&nodes)),
        Err(error) => findings.push(Finding::error("platform", &error.into())),
    }
    // A platform without one of its own has none to renew.
    if let Ok(certificate) = client.platform_certificate().await {
        findings.extend(of_certificate(&certificate, now));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("platform", "The platform is well"));
    }
    findings
}

/// It knows best what is wrong with it.
fn of_status(status: &PlatformStatus) -> Vec<Finding> {
    let told = status.problems.iter().map(|problem| {
        Finding::problem(
            "platform",
            format!("Platform: {problem}"),
            "See `paas platform:status`.",
        )
    });
    told.chain(etcd_filling(&status.store.kind)).collect()
}

fn etcd_filling(store: &StoreKind) -> Option<Finding> {
    let StoreKind::Etcd { members } = store else {
        return None;
    };
    let used = members
        .iter()
        .filter_map(|member| member.used_bytes)
        .max()?;
    (used >= ETCD_FULL_BYTES).then(|| {
        Finding::warning(
            "platform",
            format!(
                "etcd holds {}; it takes 4 GiB unless told otherwise",
                bytes(used)
            ),
            "Raise its --quota-backend-bytes before it is full.",
        )
    })
}

fn of_nodes(nodes: &[Node]) -> Vec<Finding> {
    let ours = env!("CARGO_PKG_VERSION");
    let mut findings = Vec::new();
    for node in nodes {
        if node.memory_bytes > 0
            && node.memory_reserved_bytes * 100 >= node.memory_bytes * FULL_PERCENT
        {
            findings.push(Finding::warning(
                "platform",
                format!(
                    "Host {} is nearly full: {} of {} of memory are reserved",
                    node.name,
                    bytes(node.memory_reserved_bytes),
                    bytes(node.memory_bytes)
                ),
                "Add a host (`paas nodes:token`), or move dynos with `paas nodes:rebalance`.",
            ));
        }
        if let Some(theirs) = node.version.as_deref().filter(|theirs| *theirs != ours) {
            findings.push(Finding::warning(
                "version",
                format!(
                    "Host {} runs paasd {theirs}; this paas is {ours}",
                    node.name
                ),
                "Bring hosts and paas to the same version.",
            ));
        }
    }
    findings
}

fn of_certificate(certificate: &PlatformCertificate, now: Timestamp) -> Option<Finding> {
    expiry(
        "The platform's own certificate",
        certificate.expires_at.0,
        now,
        "Put another in its place with `paas platform:certs:set CRT KEY`.".to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(reserved: u64, version: &str) -> Node {
        serde_json::from_value(json!({
            "address": "10.0.0.7", "builds": 0, "cordoned": false, "cpus": 4, "draining": false, "dynos": 3,
            "id": "01234567-89ab-4def-8123-456789abcdef", "joined_at": "2026-11-22T13:24:10Z", "memory_bytes": 100,
            "memory_reserved_bytes": reserved, "name": "node-1", "roles": ["node"], "state": "up", "tags": {},
            "version": version, "zone": null,
        }))
        .unwrap()
    }

    #[test]
    fn a_host_that_is_full_or_of_another_version_is_told() {
        let ours = env!("CARGO_PKG_VERSION");
        assert_eq!(of_nodes(&[node(89, ours)]), []);
        let full = of_nodes(&[node(90, ours)]);
        assert!(
            full[0].message.contains("node-1 is nearly full"),
            "{full:?}"
        );
        let old = of_nodes(&[node(0, "0.0.1")]);
        assert!(old[0].message.contains("runs paasd 0.0.1"), "{old:?}");
    }

    #[test]
    fn what_the_platform_says_of_itself_is_passed_on() {
        let status = serde_json::from_value(json!({
            "builders": [], "controllers": [], "hosts": [], "problems": ["etcd has no leader"], "routers": [],
            "scheduler_leader": null,
            "store": { "keys": 1, "kind": "etcd", "revision": 1, "members": [{
                "alarms": [], "error": null, "file_bytes": 1, "id": "a", "lag": 0, "leader": true, "learner": false,
                "name": "a", "urls": [], "used_bytes": 3_700_000_000_u64, "version": "3.5",
            }] },
        }))
        .unwrap();
        let findings = of_status(&status);
        assert_eq!(findings[0].message, "Platform: etcd has no leader");
        assert!(
            findings[1].message.starts_with("etcd holds 3.7 GB"),
            "{findings:?}"
        );
    }
}
