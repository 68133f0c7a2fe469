//! Certificates that routers show: an app's own (SNI endpoints), and the platform's.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{AppId, Checksum, EndpointId, Hostname, Sealed, Secret, Timestamp};

/// What a certificate says of itself, read once when it is taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFacts {
    /// DNS names it is for, wildcards of one label among them.
    pub names: BTreeSet<Hostname>,
    pub subject: String,
    pub issuer: String,
    pub starts_at: Timestamp,
    pub expires_at: Timestamp,
    /// SHA-256 of the leaf's DER.
    pub fingerprint: Checksum,
    pub is_self_signed: bool,
}

impl CertificateFacts {
    /// Whether a client that asked for `host` would accept it by name. A wildcard asked for is covered by the very same.
    pub fn covers(&self, host: &Hostname) -> bool {
        self.names.contains(host)
            || self
                .names
                .iter()
                .any(|name| name.is_wildcard() && stands_for(name.as_str(), host.as_str()))
    }

    /// When to get the next one: with a third of its time left, and up to a thirtieth sooner by `jitter` (0 to 1), so that
    /// those made together are not renewed together.
    pub fn renew_at(&self, jitter: f64) -> Timestamp {
        let lasts = self.expires_at.as_second() - self.starts_at.as_second();
        let thirtieth = lasts as f64 / 30.0 * jitter.clamp(0.0, 1.0);
        let ahead = lasts / 3 + thirtieth as i64;
        Timestamp::from_second(self.expires_at.as_second() - ahead).unwrap_or(self.starts_at)
    }
}

/// Whether the pattern `*.parent` stands for `host`: one label, and not a wildcard itself.
fn stands_for(pattern: &str, host: &str) -> bool {
    let Some(parent) = pattern.strip_prefix("*.") else {
        return false;
    };
    host.split_once('.')
        .is_some_and(|(label, rest)| !label.is_empty() && label != "*" && rest == parent)
}

/// A certificate of an app, its key, and the app's domains that are served with it. Routers follow these records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SniEndpoint {
    pub id: EndpointId,
    pub app: AppId,
    pub name: String,
    pub origin: EndpointOrigin,
    /// PEM: the leaf, then whoever issued it, and so on.
    pub chain: String,
    /// Sealed for this record's place.
    pub key: Sealed,
    pub facts: CertificateFacts,
    /// Domains of the app, each covered, each with no other endpoint.
    pub serves: BTreeSet<Hostname>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointOrigin {
    /// Somebody brought it; nobody but they renew it.
    Given,
    /// The platform had it issued (ACM), and renews it.
    Managed,
}

/// What is shown for the platform's own names, and wherever there is nothing better.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformCertificate {
    pub chain: String,
    /// Sealed for this record's place.
    pub key: Sealed,
    pub facts: CertificateFacts,
    pub origin: PlatformOrigin,
    /// SHA-256 of the DER of the authority, where the chain brings it along: by that clients know the platform.
    pub pin: Option<Checksum>,
    pub updated_at: Timestamp,
}

/// The better founded, the later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlatformOrigin {
    /// By the installation's own authority.
    Made,
    /// Named in a host's configuration.
    Configured,
    /// By an administrator, through the API.
    Set,
}

impl PlatformCertificate {
    /// Whether a certificate that a host finds in its files takes the place of this one. Several hosts may have old copies:
    /// so it is the better founded, then the later begun that stays; but not one for other names than the
    /// platform's, `*.<domain>`.
    pub fn gives_way_to(
        &self,
        other: &CertificateFacts,
        origin: PlatformOrigin,
        platform: &Hostname,
        now: Timestamp,
    ) -> bool {
        if self.facts.covers(platform) != other.covers(platform) {
            return other.covers(platform);
        }
        if self.facts.expires_at <= now {
            return other.expires_at > now;
        }
        other.fingerprint != self.facts.fingerprint
            && (origin, other.starts_at) > (self.origin, self.facts.starts_at)
    }
}

/// The answer to an authority's question whether a domain is ours (ACME, HTTP-01). Routers give it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    pub hostname: Hostname,
    /// The last segment of the path that is asked for.
    pub token: String,
    pub answer: String,
    pub created_at: Timestamp,
}

/// How long a ticket at least opens after it was given: it is what clients are told.
pub const TICKETS_LAST: Duration = Duration::from_secs(24 * 3600);

/// Keys that session tickets are sealed with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketKeys {
    pub made_at: Timestamp,
    /// Sealed for this record's place: a list of [`TicketKey`], newest first. The newest seals, all open.
    pub keys: Sealed,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TicketKey {
    /// 16 bytes, hex: what a ticket begins with.
    pub name: String,
    /// 32 bytes, hex.
    pub key: Secret<String>,
    pub made_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(names: &[&str], starts_at: i64, expires_at: i64) -> CertificateFacts {
        CertificateFacts {
            names: names.iter().map(|name| name.parse().unwrap()).collect(),
            subject: "CN=a".to_owned(),
            issuer: "CN=b".to_owned(),
            starts_at: Timestamp::from_second(starts_at).unwrap(),
            expires_at: Timestamp::from_second(expires_at).unwrap(),
            fingerprint: format!("{starts_at:064x}").parse().unwrap(),
            is_self_signed: false,
        }
    }

    #[test]
    fn a_certificate_covers_its_names_and_one_label_for_a_wildcard() {
        let facts = facts(&["example.com", "*.example.com"], 0, 1);
        for (host, covered) in [
            ("example.com", true),
            ("www.example.com", true),
            ("*.example.com", true),
            ("a.www.example.com", false),
            ("*.www.example.com", false),
            ("notexample.com", false),
            ("com", false),
        ] {
            assert_eq!(facts.covers(&host.parse().unwrap()), covered, "{host}");
        }
    }

    #[test]
    fn a_wildcard_domain_is_not_covered_by_a_plain_name() {
        let facts = facts(&["www.example.com"], 0, 1);
        assert!(!facts.covers(&"*.example.com".parse().unwrap()));
    }

    #[test]
    fn the_next_is_due_with_a_third_left_or_a_little_sooner() {
        let facts = facts(&["a.com"], 0, 90_000);
        assert_eq!(facts.renew_at(0.0).as_second(), 60_000);
        assert_eq!(facts.renew_at(1.0).as_second(), 57_000);
        assert_eq!(facts.renew_at(7.0).as_second(), 57_000);
    }

    #[test]
    fn the_platforms_certificate_gives_way_to_a_better_founded_or_later_one_only() {
        use PlatformOrigin::{Configured, Made, Set};
        let now = |second| Timestamp::from_second(second).unwrap();
        let domain: Hostname = "*.paas.test".parse().unwrap();
        let names = ["paas.test", "*.paas.test"];
        let current = |origin, starts_at| PlatformCertificate {
            chain: String::new(),
            key: Sealed::from_bytes(Vec::new()),
            facts: facts(&names, starts_at, 100),
            origin,
            pin: None,
            updated_at: Timestamp::UNIX_EPOCH,
        };
        for (have, other, gives_way) in [
            ((Made, 5), (Made, 6), true),
            ((Made, 5), (Made, 4), false),
            ((Made, 5), (Configured, 4), true),
            ((Configured, 5), (Made, 6), false),
            ((Configured, 5), (Configured, 6), true),
            ((Configured, 5), (Configured, 5), false),
            ((Set, 5), (Configured, 6), false),
        ] {
            let other_facts = facts(&names, other.1, 100);
            assert_eq!(
                current(have.0, have.1).gives_way_to(&other_facts, other.0, &domain, now(50)),
                gives_way,
                "{have:?} {other:?}"
            );
        }
        let elsewhere: Hostname = "*.other.test".parse().unwrap();
        let other = facts(&["*.other.test"], 1, 100);
        assert!(current(Set, 5).gives_way_to(&other, Made, &elsewhere, now(50)));
        let other = facts(&["*.other.test"], 9, 100);
        assert!(!current(Made, 5).gives_way_to(&other, Configured, &domain, now(50)));
        let later = facts(&names, 2, 200);
        assert!(current(Set, 5).gives_way_to(&later, Made, &domain, now(100)));
    }
}
