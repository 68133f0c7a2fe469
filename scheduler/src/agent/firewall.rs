//! What dynos may not reach, as rules of the host's packet filter.
//!
//! Three chains of our own per bridge: one for packets from dynos to this host, one for packets from them through it, and
//! one for packets to them through it. The rules are a pure function; applying them replaces the chains' content in one
//! step, so there is never a moment without them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

const DEADLINE: Duration = Duration::from_secs(15);
const ANSWERS: &str = "-m conntrack --ctstate ESTABLISHED,RELATED -j RETURN";
/// Cloud metadata, and whatever else is on the link.
const LINK_LOCAL: &str = "169.254.0.0/16";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The bridge that dynos are on.
    pub bridge: String,
    pub deny: BTreeSet<String>,
    /// Addresses of the platform's hosts: reached on `allow_host_ports` only. They alone reach dynos from outside.
    pub hosts: BTreeSet<IpAddr>,
    pub allow_host_ports: Vec<u16>,
    /// Where names are looked up: port 53 of these stays open even where the rest is denied.
    pub resolvers: BTreeSet<IpAddr>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum FirewallError {
    #[error(
        "{program} could not be run; dynos are kept from the host by it (Debian package `iptables`)"
    )]
    Run {
        program: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error("{program} refused the rules: {message}")]
    Refused {
        program: &'static str,
        message: String,
    },
    #[error("{program} did not end within {} s", DEADLINE.as_secs())]
    TimedOut { program: &'static str },
}

impl Plan {
    fn input_chain(&self) -> String {
        format!("PAAS-IN-{}", self.bridge)
    }

    fn forward_chain(&self) -> String {
        format!("PAAS-FWD-{}", self.bridge)
    }

    fn inbound_chain(&self) -> String {
        format!("PAAS-TO-{}", self.bridge)
    }

    /// For `iptables-restore --noflush`: declaring a chain empties it, and all of it happens at once.
    pub(crate) fn rules(&self) -> String {
        let chains = [
            (self.input_chain(), self.to_host()),
            (self.forward_chain(), self.through()),
            (self.inbound_chain(), self.to_dynos()),
        ];
        let mut rules = vec!["*filter".to_owned()];
        rules.extend(chains.iter().map(|(chain, _)| format!(":{chain} - [0:0]")));
        for (chain, content) in chains {
            rules.extend(content.iter().map(|rule| format!("-A {chain} {rule}")));
        }
        rules.push("COMMIT\n".to_owned());
        rules.join("\n")
    }

    fn to_host(&self) -> Vec<String> {
        let mut rules = vec![ANSWERS.to_owned()];
        rules.extend(self.name_lookups());
        for port in &self.allow_host_ports {
            rules.push(format!("-p tcp -m tcp --dport {port} -j RETURN"));
        }
        // An answer at once beats a silent minute for whoever debugs an app.
        rules.push("-p tcp -j REJECT --reject-with tcp-reset".to_owned());
        rules.push("-j DROP".to_owned());
        rules
    }

    fn through(&self) -> Vec<String> {
        let mut rules = vec![ANSWERS.to_owned()];
        rules.extend(self.name_lookups());
        for host in self.hosts_by_ipv4() {
            for port in &self.allow_host_ports {
                rules.push(format!(
                    "-d {host}/32 -p tcp -m tcp --dport {port} -j RETURN"
                ));
            }
            rules.push(format!("-d {host}/32 -j REJECT"));
        }
        for network in self.deny.iter().map(String::as_str).chain([LINK_LOCAL]) {
            rules.push(format!("-d {network} -j REJECT"));
        }
        rules.push(format!("-o {} -j DROP", self.bridge));
        rules
    }

    /// Other hosts' dynos come with their host's address, but [`Plan::through`] stops them there.
    fn to_dynos(&self) -> Vec<String> {
        let mut rules = vec![ANSWERS.to_owned()];
        rules.extend(
            self.hosts_by_ipv4()
                .map(|host| format!("-s {host}/32 -p tcp -j RETURN")),
        );
        rules.push("-j DROP".to_owned());
        rules
    }

    fn hosts_by_ipv4(&self) -> impl Iterator<Item = &IpAddr> {
        self.hosts.iter().filter(|address| address.is_ipv4())
    }

    fn name_lookups(&self) -> Vec<String> {
        let by_ipv4 = self.resolvers.iter().filter(|address| address.is_ipv4());
        by_ipv4
            .flat_map(|resolver| {
                ["udp", "tcp"].map(|protocol| {
                    format!("-d {resolver}/32 -p {protocol} -m {protocol} --dport 53 -j RETURN")
                })
            })
            .collect()
    }

    /// Where our chains hang: packets from the bridge to the host, from it through the host, and to it through the host
    /// (Docker runs `DOCKER-USER` before all of its own, and after it has turned a published address into a dyno's).
    fn hooks(&self) -> [[String; 5]; 3] {
        let hook = |chain: &str, side: &str, ours: String| {
            [chain, side, &self.bridge, "-j", &ours].map(str::to_owned)
        };
        [
            hook("INPUT", "-i", self.input_chain()),
            hook("DOCKER-USER", "-i", self.forward_chain()),
            hook("DOCKER-USER", "-o", self.inbound_chain()),
        ]
    }

    /// Makes it so. Doing it again changes nothing.
    pub(crate) async fn apply(&self) -> Result<(), FirewallError> {
        let restore = ["--noflush", "--wait", "10"].map(str::to_owned);
        run("iptables-restore", &restore, &self.rules()).await?;
        for [chain, rule @ ..] in self.hooks() {
            let argv = |verb: &str| {
                let verb = ["--wait", "10", "-t", "filter", verb, &chain].map(str::to_owned);
                [&verb[..], &rule[..]].concat()
            };
            if run("iptables", &argv("-C"), "").await.is_err() {
                run("iptables", &argv("-I"), "").await?;
            }
        }
        Ok(())
    }

    /// Takes the rules away again; for tests, and for a node that leaves.
    #[cfg(test)]
    pub(crate) async fn remove(&self) {
        for [chain, rule @ ..] in self.hooks() {
            let verb = ["--wait", "10", "-t", "filter", "-D", &chain].map(str::to_owned);
            let _ = run("iptables", &[&verb[..], &rule[..]].concat(), "").await;
        }
        for chain in [
            self.input_chain(),
            self.forward_chain(),
            self.inbound_chain(),
        ] {
            for verb in ["-F", "-X"] {
                let _ = run(
                    "iptables",
                    &["--wait", "10", verb, &chain].map(str::to_owned),
                    "",
                )
                .await;
            }
        }
    }
}

/// The `nameserver` lines of a `resolv.conf`.
pub(crate) fn resolvers(resolv_conf: &str) -> BTreeSet<IpAddr> {
    resolv_conf
        .lines()
        .filter_map(|line| {
            line.trim()
                .strip_prefix("nameserver")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .collect()
}

async fn run(
    program: &'static str,
    arguments: &[String],
    input: &str,
) -> Result<(), FirewallError> {
    let failed = |source| FirewallError::Run { program, source };
    let work = async {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not read its input says why by its status.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await.map_err(failed)
    };
    let output = tokio::time::timeout(DEADLINE, work)
        .await
        .map_err(|_| FirewallError::TimedOut { program })??;
    if output.status.success() {
        return Ok(());
    }
    Err(FirewallError::Refused {
        program,
        message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            bridge: "paas0".to_owned(),
            deny: BTreeSet::from(["10.9.0.0/16".to_owned()]),
            hosts: BTreeSet::from(["10.0.0.7".parse().unwrap()]),
            allow_host_ports: vec![443],
            resolvers: resolvers(
                "# made by hand\nnameserver 169.254.169.253\n nameserver\t::1 # six\nsearch x\n",
            ),
        }
    }

    #[test]
    fn the_rules_are_these() {
        let expected = "\
*filter
:PAAS-IN-paas0 - [0:0]
:PAAS-FWD-paas0 - [0:0]
:PAAS-TO-paas0 - [0:0]
-A PAAS-IN-paas0 -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN
-A PAAS-IN-paas0 -d 169.254.169.253/32 -p udp -m udp --dport 53 -j RETURN
-A PAAS-IN-paas0 -d 169.254.169.253/32 -p tcp -m tcp --dport 53 -j RETURN
-A PAAS-IN-paas0 -p tcp -m tcp --dport 443 -j RETURN
-A PAAS-IN-paas0 -p tcp -j REJECT --reject-with tcp-reset
-A PAAS-IN-paas0 -j DROP
-A PAAS-FWD-paas0 -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN
-A PAAS-FWD-paas0 -d 169.254.169.253/32 -p udp -m udp --dport 53 -j RETURN
-A PAAS-FWD-paas0 -d 169.254.169.253/32 -p tcp -m tcp --dport 53 -j RETURN
-A PAAS-FWD-paas0 -d 10.0.0.7/32 -p tcp -m tcp --dport 443 -j RETURN
-A PAAS-FWD-paas0 -d 10.0.0.7/32 -j REJECT
-A PAAS-FWD-paas0 -d 10.9.0.0/16 -j REJECT
-A PAAS-FWD-paas0 -d 169.254.0.0/16 -j REJECT
-A PAAS-FWD-paas0 -o paas0 -j DROP
-A PAAS-TO-paas0 -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN
-A PAAS-TO-paas0 -s 10.0.0.7/32 -p tcp -j RETURN
-A PAAS-TO-paas0 -j DROP
COMMIT
";
        assert_eq!(plan().rules(), expected);
    }

    #[test]
    fn chain_names_fit() {
        let plan = Plan {
            bridge: "a23456789012345".to_owned(),
            ..plan()
        };
        assert!(plan.forward_chain().len() <= 28 && plan.input_chain().len() <= 28);
    }

    #[test]
    fn link_local_is_denied_even_when_nothing_is_configured() {
        let bare = Plan {
            deny: BTreeSet::new(),
            hosts: BTreeSet::new(),
            ..plan()
        };
        assert!(bare.rules().contains("-d 169.254.0.0/16 -j REJECT"));
    }

    #[tokio::test]
    async fn applying_twice_leaves_one_hook_of_each() {
        if nix::unistd::geteuid().is_root() {
            let plan = Plan {
                bridge: format!("paast{}", std::process::id() % 10_000),
                ..plan()
            };
            plan.apply().await.unwrap();
            plan.apply().await.unwrap();
            let output = Command::new("iptables")
                .args(["--wait", "10", "-S"])
                .output()
                .await
                .unwrap();
            let listed = String::from_utf8_lossy(&output.stdout).into_owned();
            plan.remove().await;
            for ours in [
                plan.input_chain(),
                plan.forward_chain(),
                plan.inbound_chain(),
            ] {
                let hooks = listed
                    .lines()
                    .filter(|line| line.ends_with(&format!("-j {ours}")))
                    .count();
                assert_eq!(hooks, 1, "{listed}");
            }
            let kept = listed
                .lines()
                .filter(|line| line.starts_with(&format!("-A {} ", plan.forward_chain())))
                .count();
            assert_eq!(kept, 8, "{listed}");
        }
    }
}
