//! A real etcd of one member, in a directory of its own, on ports of its own. It ends with the test, however that ends.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use store::{Etcd, EtcdConfig};
use tempfile::TempDir;

use super::backend::PATIENCE;

pub(crate) struct EtcdServer {
    dir: TempDir,
    child: Child,
    settings: Settings,
}

/// What stays when it starts again.
#[derive(Clone)]
struct Settings {
    port: u16,
    peer_port: u16,
    tls: Option<ServerTls>,
    /// Bytes its file may have.
    quota: Option<u64>,
}

/// PEM files: the server's own, and the authority that clients must be of.
#[derive(Clone)]
pub(crate) struct ServerTls {
    pub(crate) ca: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Settings {
    const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

impl EtcdServer {
    pub(crate) async fn start() -> Self {
        Self::start_with(None, None).await
    }

    pub(crate) async fn start_with_quota(bytes: u64) -> Self {
        Self::start_with(None, Some(bytes)).await
    }

    /// One that takes only clients with a certificate.
    pub(crate) async fn start_with_tls(tls: ServerTls) -> Self {
        Self::start_with(Some(tls), None).await
    }

    async fn start_with(tls: Option<ServerTls>, quota: Option<u64>) -> Self {
        // A free port may be taken by somebody else before etcd takes it.
        for _ in 0..5 {
            let dir = tempfile::tempdir().unwrap();
            let (port, peer_port) = free_ports();
            let settings = Settings {
                port,
                peer_port,
                tls: tls.clone(),
                quota,
            };
            let mut etcd = Self {
                child: spawn(&dir, &settings),
                dir,
                settings,
            };
            if etcd.is_ready().await {
                return etcd;
            }
        }
        panic!("etcd did not start five times in a row");
    }

    pub(crate) const fn port(&self) -> u16 {
        self.settings.port
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("{}://127.0.0.1:{}", self.settings.scheme(), self.port())
    }

    pub(crate) async fn connect(&self) -> Arc<Etcd> {
        connect(&self.endpoint()).await
    }

    /// A client past the store.
    pub(crate) async fn client(&self) -> etcd_client::Client {
        etcd_client::Client::connect([self.endpoint()], None)
            .await
            .unwrap()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// All that it holds, as `etcdctl snapshot save` writes it.
    pub(crate) async fn save_snapshot(&self, file: &Path) {
        let mut parts = self.client().await.snapshot().await.unwrap();
        let mut whole = Vec::new();
        while let Some(part) = parts.message().await.unwrap() {
            whole.extend_from_slice(part.blob());
        }
        std::fs::write(file, whole).unwrap();
    }

    /// Loses all data, takes what is in the snapshot, and starts as a new cluster on the same ports.
    pub(crate) async fn restore(&mut self, file: &Path) {
        self.kill();
        let data = self.dir.path().join("data");
        std::fs::remove_dir_all(&data).unwrap();
        let peer = format!("http://127.0.0.1:{}", self.settings.peer_port);
        let restored = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["snapshot", "restore", "--name", "test"])
            .arg(file)
            .arg("--data-dir")
            .arg(&data)
            .arg(format!("--initial-cluster=test={peer}"))
            .arg(format!("--initial-advertise-peer-urls={peer}"))
            .output()
            .expect("etcdctl is installed: apt-get install etcd-client");
        assert!(restored.status.success(), "{restored:?}");
        self.start_again().await;
    }

    /// Starts again on the same data and ports.
    pub(crate) async fn start_again(&mut self) {
        self.child = spawn(&self.dir, &self.settings);
        assert!(
            self.is_ready().await,
            "etcd did not start again: {}",
            self.log()
        );
    }

    async fn is_ready(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.child.try_wait().unwrap().is_some() {
                let log = self.log();
                assert!(log.contains("address already in use"), "etcd ended: {log}");
                return false;
            }
            if std::net::TcpStream::connect(("127.0.0.1", self.port())).is_ok() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("etcd is not ready after {PATIENCE:?}: {}", self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for EtcdServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// It listens before it has a leader.
pub(crate) async fn connect(endpoint: &str) -> Arc<Etcd> {
    let config = EtcdConfig {
        endpoints: vec![endpoint.to_owned()],
        user: None,
        tls: None,
        members_file: None,
    };
    let connecting = async {
        loop {
            if let Ok(etcd) = Etcd::connect(&config).await {
                break etcd;
            }
        }
    };
    tokio::time::timeout(PATIENCE, connecting)
        .await
        .expect("etcd answers")
}

fn spawn(dir: &TempDir, settings: &Settings) -> Child {
    let log = std::fs::File::create(dir.path().join("log")).unwrap();
    let client = format!("{}://127.0.0.1:{}", settings.scheme(), settings.port);
    let peer = format!("http://127.0.0.1:{}", settings.peer_port);
    // The kernel ends it when the test's thread ends, were it by SIGKILL.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--", "etcd"])
        .args(["--name", "test", "--log-level", "error"])
        .arg("--data-dir")
        .arg(dir.path().join("data"))
        .arg(format!("--initial-cluster=test={peer}"));
    for role in ["listen-client", "advertise-client"] {
        command.arg(format!("--{role}-urls={client}"));
    }
    for role in ["listen-peer", "initial-advertise-peer"] {
        command.arg(format!("--{role}-urls={peer}"));
    }
    if let Some(tls) = &settings.tls {
        command
            .arg("--client-cert-auth")
            .arg("--trusted-ca-file")
            .arg(&tls.ca);
        command
            .arg("--cert-file")
            .arg(&tls.certificate)
            .arg("--key-file")
            .arg(&tls.key);
    }
    if let Some(bytes) = settings.quota {
        command.arg(format!("--quota-backend-bytes={bytes}"));
    }
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("setpriv could not be run ({error}): install util-linux"))
}

/// Fails with words for humans when etcd is missing.
fn free_ports() -> (u16, u16) {
    let found = Command::new("etcd")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    assert!(
        found.is_ok(),
        "etcd is not installed: apt-get install etcd-server"
    );
    // Below the ports that the kernel gives to outgoing connections: one of those could take it before its server does.
    let first = rand::random_range(15_000..30_000);
    let mut free = (first..32_000).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    let mut next = || free.next().expect("a free port");
    (next(), next())
}
