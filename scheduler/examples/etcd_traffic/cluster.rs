//! A real etcd of one member or three, on loopback, in a directory of its own. It ends with the measurement.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use store::{Etcd, EtcdConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

const READY_WITHIN: Duration = Duration::from_secs(30);
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

pub(crate) struct Cluster {
    members: Vec<Child>,
    ports: Vec<u16>,
    _dir: TempDir,
}

/// What all members have counted since they began.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    pub(crate) cpu_seconds: f64,
    /// To clients, without what the network adds.
    pub(crate) sent_bytes: f64,
    pub(crate) fsync_seconds: f64,
    pub(crate) fsyncs: f64,
    pub(crate) resident_bytes: f64,
}

impl Cluster {
    pub(crate) async fn start(size: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut ports = free_ports();
        let ports: Vec<(u16, u16)> = (0..size)
            .map(|_| (ports.next().unwrap(), ports.next().unwrap()))
            .collect();
        let peers: Vec<String> = ports
            .iter()
            .map(|(client, peer)| format!("m{client}=http://127.0.0.1:{peer}"))
            .collect();
        let members = ports
            .iter()
            .map(|ports| spawn(&dir, *ports, &peers.join(",")))
            .collect();
        let cluster = Self {
            members,
            ports: ports.into_iter().map(|(client, _)| client).collect(),
            _dir: dir,
        };
        let until = Instant::now() + READY_WITHIN;
        while Etcd::connect(&cluster.config()).await.is_err() {
            assert!(Instant::now() < until, "etcd is not ready in time");
        }
        cluster
    }

    pub(crate) async fn connect(&self) -> Arc<Etcd> {
        Etcd::connect(&self.config()).await.unwrap()
    }

    pub(crate) async fn counted(&self) -> Counted {
        let mut all = Counted::default();
        for port in &self.ports {
            let text = timeout(ANSWER_WITHIN, metrics(*port)).await.unwrap();
            let of = |name: &str| -> f64 {
                let mut lines = text.lines().filter_map(|line| line.split_once(' '));
                let found = lines.find(|(metric, _)| *metric == name);
                found.map_or(0.0, |(_, value)| value.parse().unwrap())
            };
            all.cpu_seconds += of("process_cpu_seconds_total");
            all.sent_bytes += of("etcd_network_client_grpc_sent_bytes_total");
            all.fsync_seconds += of("etcd_disk_wal_fsync_duration_seconds_sum");
            all.fsyncs += of("etcd_disk_wal_fsync_duration_seconds_count");
            all.resident_bytes += of("process_resident_memory_bytes");
        }
        all
    }

    fn config(&self) -> EtcdConfig {
        let endpoint = |port: &u16| format!("http://127.0.0.1:{port}");
        EtcdConfig {
            endpoints: self.ports.iter().map(endpoint).collect(),
            user: None,
            tls: None,
            members_file: None,
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}

impl Counted {
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            cpu_seconds: self.cpu_seconds - before.cpu_seconds,
            sent_bytes: self.sent_bytes - before.sent_bytes,
            fsync_seconds: self.fsync_seconds - before.fsync_seconds,
            fsyncs: self.fsyncs - before.fsyncs,
            resident_bytes: self.resident_bytes,
        }
    }
}

/// CPU seconds of this process: of all hosts together.
pub(crate) fn own_cpu_seconds() -> f64 {
    let stat = fs_err::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = |nth: usize| -> f64 {
        let mut fields = fields.split_whitespace();
        fields.nth(nth).unwrap().parse().unwrap()
    };
    // In user mode and in the kernel, a hundred ticks a second.
    (ticks(11) + ticks(12)) / 100.0
}

async fn metrics(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.0\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Below the ports that the kernel gives to outgoing connections: one of those could take it before etcd does.
fn free_ports() -> impl Iterator<Item = u16> {
    let first = rand::random_range(15_000..30_000);
    (first..32_000).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
}

fn spawn(dir: &TempDir, (client, peer): (u16, u16), peers: &str) -> Child {
    let name = format!("m{client}");
    // The kernel ends it when this process ends, were it by SIGKILL.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--", "etcd", "--log-level", "error"])
        .args(["--name", &name, "--initial-cluster", peers])
        .arg("--data-dir")
        .arg(dir.path().join(&name));
    for role in ["listen-client", "advertise-client"] {
        command.arg(format!("--{role}-urls=http://127.0.0.1:{client}"));
    }
    for role in ["listen-peer", "initial-advertise-peer"] {
        command.arg(format!("--{role}-urls=http://127.0.0.1:{peer}"));
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
