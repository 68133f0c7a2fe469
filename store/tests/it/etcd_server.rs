//! A real etcd of one member, in a directory of its own, on ports of its own. It ends with the test, however that ends.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use store::{Etcd, EtcdConfig};
use tempfile::TempDir;

use super::backend::PATIENCE;

pub(crate) struct EtcdServer {
    dir: TempDir,
    child: Child,
    port: u16,
    peer_port: u16,
}

impl EtcdServer {
    pub(crate) async fn start() -> Self {
        // A free port may be taken by somebody else before etcd takes it.
        for _ in 0..5 {
            let dir = tempfile::tempdir().unwrap();
            let (port, peer_port) = free_ports();
            let child = spawn(&dir, port, peer_port);
            let mut etcd = Self { dir, child, port, peer_port };
            if etcd.is_ready().await {
                return etcd;
            }
        }
        panic!("etcd did not start five times in a row");
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) async fn connect(&self) -> Arc<Etcd> {
        connect(&self.endpoint()).await
    }

    /// A client past the store.
    pub(crate) async fn client(&self) -> etcd_client::Client {
        etcd_client::Client::connect([self.endpoint()], None).await.unwrap()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts again on the same data and ports.
    pub(crate) async fn start_again(&mut self) {
        self.child = spawn(&self.dir, self.port, self.peer_port);
        assert!(self.is_ready().await, "etcd did not start again: {}", self.log());
    }

    async fn is_ready(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.child.try_wait().unwrap().is_some() {
                let log = self.log();
                assert!(log.contains("address already in use"), "etcd ended: {log}");
                return false;
            }
            if std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
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
    let config = EtcdConfig { endpoints: vec![endpoint.to_owned()], user: None, tls: None };
    let connecting = async {
        loop {
            if let Ok(etcd) = Etcd::connect(&config).await {
                break etcd;
            }
        }
    };
    tokio::time::timeout(PATIENCE, connecting).await.expect("etcd answers")
}

fn spawn(dir: &TempDir, port: u16, peer_port: u16) -> Child {
    let log = std::fs::File::create(dir.path().join("log")).unwrap();
    let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer_port}"));
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", "etcd", "--name", "test", "--log-level", "error"])
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .arg("--initial-cluster")
        .arg(format!("test={peer}"))
        .arg("--data-dir")
        .arg(dir.path().join("data"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("setpriv could not be run ({error}): install util-linux"))
}

/// Fails with words for humans when etcd is missing.
fn free_ports() -> (u16, u16) {
    let found = Command::new("etcd").arg("--version").stdout(Stdio::null()).status();
    assert!(found.is_ok(), "etcd is not installed: apt-get install etcd-server");
    let listeners = [(); 2].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    let [port, peer_port] = listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
    (port, peer_port)
}
