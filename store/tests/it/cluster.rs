//! Three real members of etcd on this machine, each behind a proxy, and what can happen to them.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use store::{Etcd, EtcdConfig};
use tempfile::TempDir;

use super::backend::eventually;
use super::proxy::Proxy;

pub(crate) const MEMBERS: usize = 3;

pub(crate) struct Cluster {
    dir: TempDir,
    ports: [(u16, u16); MEMBERS],
    members: [Option<Child>; MEMBERS],
}

impl Cluster {
    /// With a leader. On the thread that starts it: the members end when that does.
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut cluster = Self {
            dir,
            ports: free_ports(),
            members: [const { None }; MEMBERS],
        };
        (0..MEMBERS).for_each(|member| cluster.start_member(member));
        eventually("a leader", async || cluster.leader().await.is_some()).await;
        cluster
    }

    /// A way to each member that can be cut.
    pub(crate) async fn proxies(&self) -> Vec<Proxy> {
        let mut proxies = Vec::new();
        for (port, _) in self.ports {
            proxies.push(Proxy::start(port).await);
        }
        proxies
    }

    pub(crate) fn start_member(&mut self, member: usize) {
        if self.members[member].is_none() {
            self.members[member] = Some(self.spawn(member));
        }
    }

    /// SIGKILL.
    pub(crate) fn kill_member(&mut self, member: usize) {
        if let Some(mut child) = self.members[member].take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGSTOP: it holds its connections and says nothing.
    pub(crate) fn pause_member(&self, member: usize) {
        self.signal(member, Signal::SIGSTOP);
    }

    pub(crate) fn resume_member(&self, member: usize) {
        self.signal(member, Signal::SIGCONT);
    }

    fn signal(&self, member: usize, signal: Signal) {
        if let Some(child) = &self.members[member] {
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
            kill(pid, signal).unwrap();
        }
    }

    /// The member that leads by its own word, if one does.
    pub(crate) async fn leader(&self) -> Option<usize> {
        for member in 0..MEMBERS {
            let Some(mut client) = self.client(member).await else {
                continue;
            };
            let Ok(status) = client.status().await else {
                continue;
            };
            let itself = status.header().map(|header| header.member_id());
            if itself == Some(status.leader()) {
                return Some(member);
            }
        }
        None
    }

    /// A client past the store and the proxies.
    pub(crate) async fn client(&self, member: usize) -> Option<etcd_client::Client> {
        let options = etcd_client::ConnectOptions::new()
            .with_timeout(std::time::Duration::from_secs(2))
            .with_connect_timeout(std::time::Duration::from_secs(1));
        let endpoint = format!("http://127.0.0.1:{}", self.ports[member].0);
        etcd_client::Client::connect([endpoint], Some(options))
            .await
            .ok()
    }

    fn spawn(&self, member: usize) -> Child {
        let peer = |member: usize| format!("http://127.0.0.1:{}", self.ports[member].1);
        let (client, name) = (
            format!("http://127.0.0.1:{}", self.ports[member].0),
            |member: usize| format!("m{member}"),
        );
        let all: Vec<String> = (0..MEMBERS)
            .map(|member| format!("{}={}", name(member), peer(member)))
            .collect();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.path().join(format!("{member}.log")))
            .unwrap();
        // The kernel ends it when the test's thread ends, were it by SIGKILL.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--", "etcd", "--log-level", "error"])
            .arg("--name")
            .arg(name(member))
            .arg("--data-dir")
            .arg(self.dir.path().join(name(member)))
            .arg(format!("--initial-cluster={}", all.join(",")));
        for role in ["listen-client", "advertise-client"] {
            command.arg(format!("--{role}-urls={client}"));
        }
        for role in ["listen-peer", "initial-advertise-peer"] {
            command.arg(format!("--{role}-urls={}", peer(member)));
        }
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("setpriv and etcd are installed: apt-get install util-linux etcd-server")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        (0..MEMBERS).for_each(|member| self.kill_member(member));
    }
}

/// A store of its own over these ways.
pub(crate) async fn connect(proxies: &[Proxy]) -> Arc<Etcd> {
    let config = EtcdConfig {
        endpoints: proxies.iter().map(Proxy::endpoint).collect(),
        user: None,
        tls: None,
        members_file: None,
    };
    Etcd::connect(&config).await.unwrap()
}

/// Client and peer ports. Below those that the kernel gives to outgoing connections, and each taken until all are found.
fn free_ports() -> [(u16, u16); MEMBERS] {
    let first = rand::random_range(15_000..30_000);
    let mut free = (first..32_000).filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    let taken: Vec<TcpListener> = free.by_ref().take(2 * MEMBERS).collect();
    let port = |index: usize| taken[index].local_addr().unwrap().port();
    std::array::from_fn(|member| (port(2 * member), port(2 * member + 1)))
}
