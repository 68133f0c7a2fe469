//! How the platform is, and what of it needs an operator.

use std::collections::HashSet;

use controller_api::wire;
use controller_api::wire::{
    EtcdMember, HostStatus, PlatformStatus, RouterStatus, ServiceStatus, StoreKind,
};
use model::{
    Node, NodeHeartbeat, NodeId, PlatformCertificate, Route, RouterReport, ServiceEndpoint,
    Timestamp,
};
use store::status::{Alarm, BackendStatus, MemberStatus};
use store::{StoreStatus, Versioned};

/// More entries than a busy cluster's followers are ever behind.
const MUCH_LAG: u64 = 5000;
/// Bytes of a member's file, from which it matters that most of it is unused.
const LARGE: u64 = 100 << 20;
/// Whoever renews certificates has done so by then.
const CERTIFICATE_DAYS: i64 = 14;

/// What all of it is told from.
pub(crate) struct Seen {
    pub(crate) store: StoreStatus,
    pub(crate) hosts: Vec<Versioned<Node>>,
    pub(crate) alive: Vec<Versioned<NodeHeartbeat>>,
    pub(crate) routes: Vec<Versioned<Route>>,
    pub(crate) routers: Vec<Versioned<RouterReport>>,
    pub(crate) controllers: Vec<Versioned<ServiceEndpoint>>,
    pub(crate) builders: Vec<Versioned<ServiceEndpoint>>,
    /// The id of its host.
    pub(crate) leader: Option<Versioned<String>>,
    pub(crate) certificate: Option<Versioned<PlatformCertificate>>,
    pub(crate) now: Timestamp,
}

pub(crate) fn status(seen: &Seen) -> PlatformStatus {
    let mut status = PlatformStatus {
        builders: seen.builders.iter().map(service).collect(),
        controllers: seen.controllers.iter().map(service).collect(),
        hosts: hosts(seen),
        problems: Vec::new(),
        routers: seen
            .routers
            .iter()
            .map(|report| router(seen, &report.value))
            .collect(),
        scheduler_leader: seen.leader.as_ref().map(|leader| {
            let host = leader.value.parse().ok();
            host.and_then(|host| name_of(seen, host))
                .unwrap_or_else(|| leader.value.clone())
        }),
        store: wire::StoreStatus {
            keys: seen.store.keys,
            kind: kind(&seen.store.backend),
            revision: seen.store.revision,
        },
    };
    if let StoreKind::Etcd { members } = &status.store.kind {
        status.problems.extend(etcd_problems(members));
    }
    status.problems.extend(platform_problems(&status));
    status.problems.extend(closed_ports(seen));
    let certificate = seen.certificate.as_ref().map(|seen| &seen.value);
    status
        .problems
        .extend(certificate.and_then(|certificate| end_of(certificate, seen.now)));
    status
}

/// A certificate near its end that nobody has exchanged: whoever renews it does not, or nobody does.
fn end_of(certificate: &PlatformCertificate, now: Timestamp) -> Option<String> {
    let at = certificate.facts.expires_at;
    let days = (at.as_second() - now.as_second()) / (24 * 3600);
    let what = "The platform's certificate";
    if at <= now {
        Some(format!(
            "{what} expired at {at}: set another with `paas platform:certs:set`"
        ))
    } else if days < CERTIFICATE_DAYS {
        Some(format!("{what} expires in {days} days, at {at}"))
    } else {
        None
    }
}

fn service(endpoint: &Versioned<ServiceEndpoint>) -> ServiceStatus {
    ServiceStatus {
        address: endpoint.value.addr,
        id: endpoint.value.id,
        started_at: endpoint.value.started_at.into(),
    }
}

fn hosts(seen: &Seen) -> Vec<HostStatus> {
    let alive: HashSet<NodeId> = seen.alive.iter().map(|seen| seen.value.node).collect();
    let mut hosts: Vec<_> = seen
        .hosts
        .iter()
        .map(|host| HostStatus {
            address: host.value.address,
            id: host.value.id,
            name: host.value.name.clone(),
            state: host.value.runs_dynos().then(|| {
                let is_up = alive.contains(&host.value.id);
                if is_up { "up" } else { "down" }.to_owned()
            }),
        })
        .collect();
    hosts.sort_by(|a, b| a.name.cmp(&b.name));
    hosts
}

fn router(seen: &Seen, report: &RouterReport) -> RouterStatus {
    let later = seen
        .routes
        .iter()
        .filter(|route| route.revision > report.applied);
    RouterStatus {
        applied: report.applied,
        behind: later.count() as u64,
        host: super::router::host_of(report, &seen.hosts),
        id: report.id,
    }
}

fn name_of(seen: &Seen, host: NodeId) -> Option<String> {
    let found = seen.hosts.iter().find(|seen| seen.value.id == host);
    found.map(|host| host.value.name.clone())
}

fn kind(backend: &BackendStatus) -> StoreKind {
    match backend {
        BackendStatus::Embedded { file_bytes } => StoreKind::Embedded {
            file_bytes: *file_bytes,
        },
        BackendStatus::Etcd { members } => StoreKind::Etcd {
            members: members.iter().map(member).collect(),
        },
    }
}

fn member(member: &MemberStatus) -> EtcdMember {
    let alarm = |alarm: &Alarm| match alarm {
        Alarm::NoSpace => NO_SPACE.to_owned(),
        Alarm::Corrupt => CORRUPT.to_owned(),
    };
    let state = member.state.as_ref().ok();
    EtcdMember {
        alarms: member.alarms.iter().map(alarm).collect(),
        error: member.state.as_ref().err().cloned(),
        file_bytes: state.map(|state| state.file_bytes),
        id: format!("{:x}", member.id),
        lag: state.map(|state| state.lag),
        leader: state.is_some_and(|state| state.is_leader),
        learner: member.is_learner,
        name: member.name.clone(),
        urls: member.urls.clone(),
        used_bytes: state.map(|state| state.used_bytes),
        version: state.map(|state| state.version.clone()),
    }
}

fn closed_ports(seen: &Seen) -> Vec<String> {
    let reports = seen.routers.iter().map(|report| &report.value);
    let closed = reports.flat_map(|report| {
        let host = super::router::host_of(report, &seen.hosts);
        let host = host.unwrap_or_else(|| report.id.to_string());
        report.about.closed_ports.iter().map(move |(port, why)| {
            format!("port {port} of a TCP route is not open on {host}: {why}")
        })
    });
    closed.collect()
}

const NO_SPACE: &str = "no space";
const CORRUPT: &str = "corrupt";

fn etcd_problems(members: &[EtcdMember]) -> Vec<String> {
    let mut problems = Vec::new();
    for member in members {
        let name = if member.name.is_empty() {
            &member.id
        } else {
            &member.name
        };
        if member.alarms.iter().any(|alarm| alarm == NO_SPACE) {
            problems.push(format!(
                "etcd member {name} is out of space and etcd takes no writes: it is compacted, defragmented and cleared of \
                 the alarm within minutes; if that does not help, raise --quota-backend-bytes"
            ));
        }
        if member.alarms.iter().any(|alarm| alarm == CORRUPT) {
            problems.push(format!(
                "etcd member {name} holds other data than the rest: replace it (provisioning/etcd replace {name})"
            ));
        }
        if let Some(error) = &member.error {
            problems.push(format!(
                "etcd member {name} does not answer ({error}): start it, or replace it (provisioning/etcd replace {name})"
            ));
        } else if member.learner {
            problems.push(format!("etcd member {name} does not vote yet: it has to be promoted (provisioning/etcd start --join)"));
        }
        if member.lag.is_some_and(|lag| lag > MUCH_LAG) {
            problems.push(format!(
                "etcd member {name} is {} entries behind: look at its disk and its network",
                member.lag.unwrap_or_default()
            ));
        }
        if let (Some(file), Some(used)) = (member.file_bytes, member.used_bytes)
            && file > LARGE
            && used < file / 4
        {
            problems.push(format!(
                "etcd member {name} uses less than a quarter of its file: it should have been defragmented by now"
            ));
        }
    }
    if !members.iter().any(|member| member.leader) {
        problems.push("etcd has no leader: it takes no writes".to_owned());
    }
    let voters = members.iter().filter(|member| !member.learner);
    let (all, up) = voters.fold((0, 0), |(all, up), member| {
        (all + 1, up + usize::from(member.error.is_none()))
    });
    if all > 1 && up <= all / 2 + 1 && up < all {
        problems.push(format!(
            "etcd has {up} of {all} members left: it stands the loss of no other"
        ));
    }
    problems
}

fn platform_problems(status: &PlatformStatus) -> Vec<String> {
    let mut problems = Vec::new();
    let down: Vec<&str> = status
        .hosts
        .iter()
        .filter(|host| host.state.as_deref() == Some("down"))
        .map(|host| host.name.as_str())
        .collect();
    if !down.is_empty() {
        problems.push(format!(
            "hosts are down: {}. Start them, or remove them (paas nodes:remove)",
            down.join(", ")
        ));
    }
    for (is_missing, problem) in [
        (
            status.scheduler_leader.is_none(),
            "no scheduler leads: nothing is placed or replaced",
        ),
        (
            status.builders.is_empty(),
            "no builder is alive: nothing can be pushed",
        ),
        (
            status.routers.is_empty(),
            "no router is alive: nothing is reached",
        ),
    ] {
        if is_missing {
            problems.push(problem.to_owned());
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use store::status::MemberState;

    use super::*;

    fn member_of(name: &str, state: Result<MemberState, String>) -> MemberStatus {
        MemberStatus {
            id: 0xabc,
            name: name.to_owned(),
            urls: vec!["https://10.0.0.1:2379".to_owned()],
            is_learner: false,
            alarms: Vec::new(),
            state,
        }
    }

    fn fine(is_leader: bool) -> Result<MemberState, String> {
        Ok(MemberState {
            version: "3.5.0".to_owned(),
            is_leader,
            file_bytes: 1 << 20,
            used_bytes: 1 << 19,
            lag: 3,
        })
    }

    fn problems(members: &[MemberStatus]) -> Vec<String> {
        etcd_problems(&members.iter().map(member).collect::<Vec<_>>())
    }

    #[test]
    fn a_healthy_cluster_has_no_problems_and_one_member_is_a_cluster() {
        let three = [
            member_of("a", fine(true)),
            member_of("b", fine(false)),
            member_of("c", fine(false)),
        ];
        assert_eq!(problems(&three), Vec::<String>::new());
        assert_eq!(problems(&three[..1]), Vec::<String>::new());
        assert_eq!(member(&three[0]).id, "abc");
    }

    #[test]
    fn a_member_that_is_gone_is_named_and_so_is_what_may_not_happen_now() {
        let found = problems(&[
            member_of("a", fine(true)),
            member_of("b", fine(false)),
            member_of("c", Err("connection refused".to_owned())),
        ]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("member c") && found[0].contains("connection refused"));
        assert!(found[1].contains("2 of 3"), "{found:?}");
    }

    #[test]
    fn alarms_say_what_to_do() {
        let mut full = member_of("a", fine(true));
        full.alarms = vec![Alarm::NoSpace, Alarm::Corrupt];
        let found = problems(&[full]);
        assert!(found[0].contains("out of space"), "{found:?}");
        assert!(found[1].contains("replace"), "{found:?}");
    }

    #[test]
    fn no_leader_and_much_lag_are_problems() {
        let mut state = fine(false).unwrap();
        state.lag = MUCH_LAG + 1;
        let found = problems(&[member_of("a", Ok(state))]);
        assert!(found[0].contains("5001 entries behind"), "{found:?}");
        assert!(found[1].contains("no leader"), "{found:?}");
    }
}
