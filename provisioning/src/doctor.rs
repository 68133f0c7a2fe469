//! A check-up of the host: each finding says what was seen and, unless all is well, what to do.
//!
//! [`Facts::gather`] looks and never judges; [`diagnose`] judges and never looks. Whether images are there or the store
//! answers is for who holds those connections: such findings are added by the caller.

mod facts;
mod report;

use std::path::PathBuf;

use model::{Hostname, Timestamp};

pub use facts::{Cgroups, Docker, Facts, PortUse};
pub use report::report;

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// What is to be examined.
#[derive(Debug, Clone)]
pub struct Subject {
    pub domain: Hostname,
    pub data_dir: PathBuf,
    pub docker_socket: PathBuf,
    /// The ports the platform wants to listen on.
    pub ports: Vec<u16>,
    /// Whether the platform runs: its ports are then taken by itself, and must answer.
    pub running: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Fine,
    Warn,
    /// The platform does not work like this.
    Fail,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub name: &'static str,
    pub verdict: Verdict,
    /// What was seen, as a sentence without a dot.
    pub seen: String,
    /// What to do about it; empty when all is well.
    pub remedy: String,
}

impl Finding {
    pub fn fine(name: &'static str, seen: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Fine,
            seen: seen.into(),
            remedy: String::new(),
        }
    }

    pub fn warning(name: &'static str, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Warn,
            seen: seen.into(),
            remedy: remedy.into(),
        }
    }

    pub fn failure(name: &'static str, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Fail,
            ..Self::warning(name, seen, remedy)
        }
    }
}

/// Gathers and judges. Blocks for a few seconds at most.
pub fn examine(subject: &Subject, now: Timestamp) -> Vec<Finding> {
    diagnose(subject, &Facts::gather(subject), now)
}

/// Every finding, in the order a repair would go.
pub fn diagnose(subject: &Subject, facts: &Facts, now: Timestamp) -> Vec<Finding> {
    let mut findings = vec![
        clock(now),
        memory(facts),
        disk(subject, facts),
        docker(subject, facts),
        iptables(facts),
        cgroups(facts),
        names(subject, facts),
    ];
    findings.extend(facts.ports.iter().map(|port| ports(subject, port)));
    findings
}

/// The worst of them; fine when there are none.
pub fn worst(findings: &[Finding]) -> Verdict {
    let verdicts = findings.iter().map(|finding| finding.verdict);
    verdicts.max().unwrap_or(Verdict::Fine)
}

fn clock(now: Timestamp) -> Finding {
    // 2025-11-01: older than this program. Tokens, leases and certificates all go wrong with a clock like that.
    if now.as_second() < 1_761_955_200 {
        return Finding::failure(
            "clock",
            format!("The clock says {now}"),
            "Set the clock (date -s), and keep it right: apt-get install systemd-timesyncd or chrony",
        );
    }
    Finding::fine("clock", format!("{now:.0}"))
}

fn memory(facts: &Facts) -> Finding {
    let Some(total) = facts.memory_bytes else {
        return Finding::warning("memory", "/proc/meminfo cannot be read", "Mount /proc");
    };
    let seen = format!("{} in all", size(total));
    match total {
        0..512_000_000 => Finding::failure(
            "memory",
            seen,
            "Use a host with at least 1 GB: a standard dyno is promised 512 MB",
        ),
        512_000_000..1_500_000_000 => Finding::warning(
            "memory",
            seen,
            "Builds and more than one dyno want 2 GB or more",
        ),
        _ => Finding::fine("memory", seen),
    }
}

fn disk(subject: &Subject, facts: &Facts) -> Finding {
    let dir = subject.data_dir.display();
    let Some(free) = facts.disk_free_bytes else {
        return Finding::failure(
            "disk",
            format!("The file system of {dir} cannot be examined"),
            format!("See that {dir} exists and is readable"),
        );
    };
    let seen = format!("{} free under {dir}", size(free));
    let remedy = "Free some space, or move the data directory to a larger disk";
    if free < 2 * GIB {
        Finding::failure("disk", seen, remedy)
    } else if free < 10 * GIB {
        Finding::warning("disk", seen, remedy)
    } else {
        Finding::fine("disk", seen)
    }
}

fn docker(subject: &Subject, facts: &Facts) -> Finding {
    let socket = subject.docker_socket.display();
    match &facts.docker {
        Docker::Answers { api_version } => {
            Finding::fine("docker", format!("API {api_version} at {socket}"))
        }
        Docker::NoSocket => Finding::failure(
            "docker",
            format!("There is no {socket}"),
            "Install Docker (apt-get install docker.io) and start it (systemctl start docker), or run provisioning/up",
        ),
        Docker::Refuses { error } => Finding::failure(
            "docker",
            format!("{socket} does not answer: {error}"),
            "Start Docker (systemctl restart docker) and see its log (journalctl -u docker, /var/log/paas-dockerd.log)",
        ),
    }
}

fn iptables(facts: &Facts) -> Finding {
    match &facts.iptables {
        Some(path) => Finding::fine("iptables", path.display().to_string()),
        None => Finding::failure(
            "iptables",
            "There is no iptables program: dynos could not be kept apart",
            "apt-get install iptables",
        ),
    }
}

fn cgroups(facts: &Facts) -> Finding {
    let Cgroups { version, missing } = &facts.cgroups;
    if missing.is_empty() {
        return Finding::fine(
            "cgroups",
            format!("Version {version}, with memory, pids and cpu"),
        );
    }
    Finding::failure(
        "cgroups",
        format!(
            "No {} controller: limits would not hold",
            missing.join(", ")
        ),
        "Boot with cgroup_enable=memory, or mount the cgroup file systems (apt-get install cgroupfs-mount; cgroupfs-mount)",
    )
}

fn names(subject: &Subject, facts: &Facts) -> Finding {
    let host = format!("api.{}", subject.domain);
    if facts.api_resolves {
        return Finding::fine("names", format!("{host} resolves"));
    }
    let remedy = if subject.domain.as_str().ends_with(".localhost") {
        format!("apt-get install libnss-myhostname, or put \"127.0.0.1 {host}\" into /etc/hosts")
    } else {
        format!(
            "Make a DNS record *.{} that leads to this host",
            subject.domain
        )
    };
    Finding::warning("names", format!("{host} does not resolve here"), remedy)
}

fn ports(subject: &Subject, port: &PortUse) -> Finding {
    match (subject.running, port) {
        (false, PortUse::Free(number)) => Finding::fine("port", format!("{number} is free")),
        (true, PortUse::Taken(number)) => {
            Finding::fine("port", format!("{number} is being listened on"))
        }
        (true, PortUse::Free(number)) => Finding::failure(
            "port",
            format!("Nothing listens on {number}"),
            "See the log of paasd; is the role that listens there switched on?",
        ),
        (false, PortUse::Taken(number)) => Finding::failure(
            "port",
            format!("{number} is taken by another program"),
            format!("Find it with: ss -ltnp sport = :{number}; stop it, or choose another port"),
        ),
        (_, PortUse::NotPermitted(number)) => Finding::failure(
            "port",
            format!("This user may not listen on {number}"),
            "Run as root, or choose ports above 1023",
        ),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..GIB => format!("{} MB", bytes / MIB),
        _ => format!("{:.1} GB", bytes as f64 / GIB as f64),
    }
}
