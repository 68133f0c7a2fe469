//! A builder on a host of its own: its own disk and threads, the platform's store and blobs.

use std::net::SocketAddr;
use std::sync::Arc;

use builder::Config;
use store::key;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::compiler::FakeCompiler;
use super::{Platform, eventually};

pub(crate) struct Host {
    pub(crate) http: SocketAddr,
    pub(crate) ssh: SocketAddr,
    pub(crate) compiler: Arc<FakeCompiler>,
    pub(crate) disk: TempDir,
    running: Option<Runtime>,
}

impl Host {
    pub(crate) async fn start(platform: &Platform) -> Self {
        let mut host = Self {
            http: SocketAddr::from(([127, 0, 0, 1], 0)),
            ssh: SocketAddr::from(([127, 0, 0, 1], 0)),
            compiler: Arc::default(),
            disk: tempfile::tempdir().unwrap(),
            running: None,
        };
        host.boot(platform).await;
        host
    }

    /// On the same disk, on new ports.
    pub(crate) async fn boot(&mut self, platform: &Platform) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let listen = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (http, ssh) = runtime
            .spawn(async move { (listen().await, listen().await) })
            .await
            .unwrap();
        (self.http, self.ssh) = (http.local_addr().unwrap(), ssh.local_addr().unwrap());
        let config = Config {
            data_dir: self.disk.path().to_owned(),
            ..platform.config(self.http)
        };
        runtime.spawn(builder::run_with_compiler(
            config,
            http,
            ssh,
            platform.store.clone(),
            platform.keyring.clone(),
            platform.blobs.clone(),
            self.compiler.clone(),
            platform.logs.clone(),
            CancellationToken::new(),
        ));
        self.running = Some(runtime);
        let listed = || async {
            let place = key::alive_services_of(model::ServiceRole::Builder);
            let all = key::ALIVE_SERVICES
                .list(&*platform.store, &place)
                .await
                .unwrap();
            all.iter().any(|service| service.value.addr == self.http)
        };
        eventually("the builder is up", listed).await;
    }

    /// As `kill -9` does it: every task stops where it is, leases are kept no more, git processes lose their builder.
    pub(crate) fn kill(&mut self) {
        self.running.take().unwrap().shutdown_background();
    }

    /// The same host with an empty disk.
    pub(crate) fn lose_disk(&mut self) {
        self.disk = tempfile::tempdir().unwrap();
    }

    pub(crate) fn copies(&self) -> usize {
        let entries = std::fs::read_dir(self.disk.path().join("repos")).unwrap();
        entries
            .filter(|entry| {
                let name = entry.as_ref().unwrap().file_name();
                name.to_string_lossy().ends_with(".git")
            })
            .count()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(runtime) = self.running.take() {
            runtime.shutdown_background();
        }
    }
}
