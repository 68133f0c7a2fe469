//! Whether a domain needs a certificate now. Pure.

use model::acm::MAX_FAILURES;
use model::{Acm, AcmProgress, AcmStatus, EndpointOrigin, Hostname, SniEndpoint, Timestamp};
use sha2::{Digest as _, Sha256};

/// An app that wants certificates, and what it has.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) acm: Acm,
    pub(super) progress: Option<AcmProgress>,
    pub(super) domains: Vec<Hostname>,
    pub(super) endpoints: Vec<SniEndpoint>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Order,
    /// It has a good one.
    Done,
    /// It failed, and is left alone for a while or until somebody asks; or it is served with what somebody brought.
    Later,
    /// It cannot be done, and why.
    Never(&'static str),
}

const NO_WILDCARDS: &str = "A certificate for a wildcard cannot be got automatically: its authority would have to be shown \
                            a DNS record. Bring one with `paas certs:add`.";

impl Wanted {
    fn serving(&self, name: &Hostname) -> Option<&SniEndpoint> {
        self.endpoints
            .iter()
            .find(|endpoint| endpoint.serves.contains(name))
    }

    /// Whether what is there now was got before.
    pub(super) fn has_managed(&self, name: &Hostname) -> bool {
        self.serving(name)
            .is_some_and(|endpoint| endpoint.origin == EndpointOrigin::Managed)
    }
}

pub(super) fn due(wanted: &Wanted, name: &Hostname, now: Timestamp) -> Due {
    match wanted.serving(name) {
        Some(given) if given.origin == EndpointOrigin::Given => return Due::Later,
        Some(managed) if managed.facts.renew_at(jitter(name)) > now => return Due::Done,
        _ if name.is_wildcard() => return Due::Never(NO_WILDCARDS),
        _ => {}
    }
    let known = wanted
        .progress
        .as_ref()
        .and_then(|progress| progress.names.get(name));
    match known {
        // Somebody asked since.
        Some(known) if known.updated_at < wanted.acm.asked_at => Due::Order,
        Some(known) if known.status == AcmStatus::Failed => Due::Later,
        Some(known) if known.next_try > now => Due::Later,
        _ => Due::Order,
    }
}

/// What a failure makes of it: one that the authority does not answer for, or that is to renew what still serves, is never
/// the last.
pub(super) const fn after_failure(failures: u32, is_renewal: bool) -> AcmStatus {
    if failures >= MAX_FAILURES && !is_renewal {
        AcmStatus::Failed
    } else {
        AcmStatus::Failing
    }
}

/// From 0 to 1, the same for a name every time.
pub(super) fn jitter(name: &Hostname) -> f64 {
    f64::from(Sha256::digest(name.as_str())[0]) / 255.0
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use model::{AppId, CertificateFacts, EndpointId, NameProgress, Sealed};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn name(text: &str) -> Hostname {
        text.parse().unwrap()
    }

    fn wanted() -> Wanted {
        let app = AppId::new();
        Wanted {
            acm: Acm {
                app,
                enabled_at: at(0),
                asked_at: at(0),
            },
            progress: None,
            domains: vec![name("a.test")],
            endpoints: Vec::new(),
        }
    }

    fn with_endpoint(origin: EndpointOrigin, expires_at: i64) -> Wanted {
        let mut wanted = wanted();
        wanted.endpoints.push(SniEndpoint {
            id: EndpointId::new(),
            app: wanted.acm.app,
            name: "some-name".to_owned(),
            origin,
            chain: String::new(),
            key: Sealed::from_bytes(Vec::new()),
            facts: CertificateFacts {
                names: BTreeSet::from([name("a.test")]),
                subject: String::new(),
                issuer: String::new(),
                starts_at: at(0),
                expires_at: at(expires_at),
                fingerprint: "ab".repeat(32).parse().unwrap(),
                is_self_signed: false,
            },
            serves: BTreeSet::from([name("a.test")]),
            created_at: at(0),
            updated_at: at(0),
        });
        wanted
    }

    fn with_progress(mut wanted: Wanted, status: AcmStatus, next_try: i64) -> Wanted {
        let known = NameProgress {
            status,
            reason: None,
            failures: 1,
            next_try: at(next_try),
            updated_at: at(10),
        };
        wanted.progress = Some(AcmProgress {
            app: wanted.acm.app,
            names: BTreeMap::from([(name("a.test"), known)]),
        });
        wanted
    }

    #[test]
    fn a_domain_without_a_certificate_is_ordered_for_and_a_wildcard_never() {
        assert_eq!(due(&wanted(), &name("a.test"), at(1)), Due::Order);
        assert!(matches!(
            due(&wanted(), &name("*.a.test"), at(1)),
            Due::Never(_)
        ));
    }

    #[test]
    fn a_managed_certificate_is_renewed_with_a_third_left_and_a_given_one_never() {
        let managed = with_endpoint(EndpointOrigin::Managed, 90_000);
        assert_eq!(due(&managed, &name("a.test"), at(50_000)), Due::Done);
        assert_eq!(due(&managed, &name("a.test"), at(60_000)), Due::Order);
        let given = with_endpoint(EndpointOrigin::Given, 90_000);
        assert_eq!(due(&given, &name("a.test"), at(89_999)), Due::Later);
    }

    #[test]
    fn what_failed_waits_its_time_unless_somebody_asks() {
        let failing = with_progress(wanted(), AcmStatus::Failing, 100);
        assert_eq!(due(&failing, &name("a.test"), at(99)), Due::Later);
        assert_eq!(due(&failing, &name("a.test"), at(100)), Due::Order);
        let failed = with_progress(wanted(), AcmStatus::Failed, 0);
        assert_eq!(due(&failed, &name("a.test"), at(1_000_000)), Due::Later);
        for mut asked in [failing, failed] {
            asked.acm.asked_at = at(11);
            assert_eq!(due(&asked, &name("a.test"), at(50)), Due::Order);
        }
    }

    #[test]
    fn what_another_leader_began_and_left_is_begun_again() {
        let begun = with_progress(wanted(), AcmStatus::InProgress, 100);
        assert_eq!(due(&begun, &name("a.test"), at(50)), Due::Later);
        assert_eq!(due(&begun, &name("a.test"), at(101)), Due::Order);
    }

    #[test]
    fn a_renewal_is_never_given_up() {
        assert_eq!(after_failure(MAX_FAILURES - 1, false), AcmStatus::Failing);
        assert_eq!(after_failure(MAX_FAILURES, false), AcmStatus::Failed);
        assert_eq!(after_failure(MAX_FAILURES, true), AcmStatus::Failing);
    }
}
