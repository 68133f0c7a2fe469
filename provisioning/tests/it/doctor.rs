//! The judgements, without looking at this host.

use std::path::PathBuf;

use model::Timestamp;
use provisioning::doctor::{
    Cgroups, Docker, Facts, Finding, PortUse, Subject, Verdict, diagnose, report, worst,
};

fn subject() -> Subject {
    Subject {
        domain: "paas.localhost".parse().unwrap(),
        data_dir: PathBuf::from("/var/lib/paas"),
        docker_socket: PathBuf::from("/var/run/docker.sock"),
        ports: vec![80],
        running: false,
    }
}

fn healthy() -> Facts {
    Facts {
        memory_bytes: Some(8 << 30),
        disk_free_bytes: Some(100 << 30),
        docker: Docker::Answers {
            api_version: "1.41".to_owned(),
        },
        iptables: Some(PathBuf::from("/usr/sbin/iptables")),
        cgroups: Cgroups {
            version: 2,
            missing: vec![],
        },
        api_resolves: true,
        ports: vec![PortUse::Free(80)],
    }
}

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn finding(facts: &Facts, name: &str) -> Finding {
    let findings = diagnose(&subject(), facts, now());
    findings.into_iter().find(|f| f.name == name).unwrap()
}

#[test]
fn a_healthy_host_gets_a_clean_bill() {
    let findings = diagnose(&subject(), &healthy(), now());
    assert_eq!(worst(&findings), Verdict::Fine);
    assert!(findings.iter().all(|f| f.remedy.is_empty()));
    assert_eq!(
        report(&findings),
        "\
ok       clock     2026-11-22T12:00:00Z
ok       memory    8.0 GB in all
ok       disk      100.0 GB free under /var/lib/paas
ok       docker    API 1.41 at /var/run/docker.sock
ok       iptables  /usr/sbin/iptables
ok       cgroups   Version 2, with memory, pids and cpu
ok       names     api.paas.localhost resolves
ok       port      80 is free
This host is fit for the platform.
"
    );
}

#[test]
fn everything_that_is_wrong_comes_with_a_remedy() {
    let facts = Facts {
        memory_bytes: Some(256 << 20),
        disk_free_bytes: Some(1 << 30),
        docker: Docker::NoSocket,
        iptables: None,
        cgroups: Cgroups {
            version: 1,
            missing: vec!["memory"],
        },
        api_resolves: false,
        ports: vec![PortUse::Taken(80), PortUse::NotPermitted(443)],
    };
    let findings = diagnose(&subject(), &facts, "1970-01-02T00:00:00Z".parse().unwrap());
    assert!(findings.iter().all(|f| f.verdict > Verdict::Fine));
    assert!(findings.iter().all(|f| !f.remedy.is_empty()));
    let text = report(&findings);
    assert!(text.contains("FAILED   docker    There is no /var/run/docker.sock\n"));
    assert!(text.ends_with("8 things to put right.\n"), "{text}");
}

#[test]
fn a_name_that_does_not_resolve_is_worth_a_warning_only() {
    let facts = Facts {
        api_resolves: false,
        ..healthy()
    };
    let names = finding(&facts, "names");
    assert_eq!(names.verdict, Verdict::Warn);
    assert!(
        names.remedy.contains("libnss-myhostname"),
        "{}",
        names.remedy
    );
    let elsewhere = Subject {
        domain: "apps.example.com".parse().unwrap(),
        ..subject()
    };
    let findings = diagnose(&elsewhere, &facts, now());
    let names = findings.iter().find(|f| f.name == "names").unwrap();
    assert!(
        names.remedy.contains("*.apps.example.com"),
        "{}",
        names.remedy
    );
}

#[test]
fn little_disk_warns_before_it_fails() {
    let verdict_at = |gib: u64| {
        let facts = Facts {
            disk_free_bytes: Some(gib << 30),
            ..healthy()
        };
        finding(&facts, "disk").verdict
    };
    assert_eq!(verdict_at(20), Verdict::Fine);
    assert_eq!(verdict_at(5), Verdict::Warn);
    assert_eq!(verdict_at(1), Verdict::Fail);
}

#[test]
fn a_running_platform_must_hold_its_ports() {
    let running = Subject {
        running: true,
        ..subject()
    };
    let taken = Facts {
        ports: vec![PortUse::Taken(80)],
        ..healthy()
    };
    assert_eq!(
        worst(&diagnose(&running, &taken, now())),
        Verdict::Fine,
        "the platform itself listens there"
    );
    assert_eq!(worst(&diagnose(&running, &healthy(), now())), Verdict::Fail);
    assert_eq!(worst(&diagnose(&subject(), &taken, now())), Verdict::Fail);
}

#[test]
fn this_host_can_be_examined() {
    let dir = tempfile::tempdir().unwrap();
    let here = Subject {
        data_dir: dir.path().join("data"),
        docker_socket: dir.path().join("no.sock"),
        ports: vec![],
        ..subject()
    };
    let facts = Facts::gather(&here);
    assert_eq!(facts.docker, Docker::NoSocket);
    assert!(facts.memory_bytes.is_some_and(|bytes| bytes > 1 << 20));
    assert!(facts.disk_free_bytes.is_some());
}
