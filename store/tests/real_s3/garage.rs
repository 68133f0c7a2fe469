//! A Garage of one node, in a directory of its own, on ports of its own. It ends with the test, however that ends.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use model::Secret;
use store::{BlobConfig, BlobStore, S3Credentials};
use tempfile::TempDir;

const BUCKET: &str = "paas";
const KEY_ID: &str = "GK31c2f218a2e44f485b94239e";
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Garage {
    pub(crate) addr: SocketAddr,
    dir: TempDir,
    child: Child,
}

impl Garage {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [s3, rpc] = free_ports();
        let addr = SocketAddr::from(([127, 0, 0, 1], s3));
        let place = dir.path().display();
        let mut config = String::new();
        writeln!(config, "metadata_dir = \"{place}/meta\"").unwrap();
        writeln!(config, "data_dir = \"{place}/data\"").unwrap();
        writeln!(config, "db_engine = \"sqlite\"\nreplication_factor = 1").unwrap();
        writeln!(config, "rpc_bind_addr = \"127.0.0.1:{rpc}\"").unwrap();
        writeln!(config, "rpc_public_addr = \"127.0.0.1:{rpc}\"").unwrap();
        writeln!(config, "rpc_secret = \"{}\"", "1".repeat(64)).unwrap();
        writeln!(config, "[s3_api]\ns3_region = \"garage\"").unwrap();
        writeln!(config, "api_bind_addr = \"{addr}\"").unwrap();
        let file = dir.path().join("garage.toml");
        std::fs::write(&file, config).unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let program = std::env::var_os("PAAS_GARAGE").unwrap_or_else(|| "garage".into());
        let child = Command::new(&program)
            .arg("-c")
            .arg(file)
            .args(["server", "--single-node", "--default-bucket"])
            .env("GARAGE_DEFAULT_ACCESS_KEY", KEY_ID)
            .env("GARAGE_DEFAULT_SECRET_KEY", "2".repeat(64))
            .env("GARAGE_DEFAULT_BUCKET", BUCKET)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{program:?}: {error}; tests/s3 installs it"));
        let garage = Self { addr, dir, child };
        garage.is_ready().await;
        garage
    }

    async fn is_ready(&self) {
        let deadline = Instant::now() + PATIENCE;
        let blobs = self.blobs();
        while let Err(error) = blobs.list().await {
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "not ready: {error:?}\n{log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) fn blobs(&self) -> BlobStore {
        self.open(self.addr, "2", None)
    }

    /// By way of `endpoint`, with the secret of these digits.
    pub(crate) fn open(
        &self,
        endpoint: SocketAddr,
        digit: &str,
        prefix: Option<&str>,
    ) -> BlobStore {
        let config = BlobConfig::S3 {
            bucket: BUCKET.to_owned(),
            region: "garage".to_owned(),
            endpoint: Some(format!("http://{endpoint}")),
            prefix: prefix.map(str::to_owned),
            credentials: Some(S3Credentials {
                access_key_id: KEY_ID.to_owned(),
                secret_access_key: Secret::from(digit.repeat(64).as_str()),
            }),
            allow_http: true,
        };
        BlobStore::open(&config).unwrap()
    }
}

impl Drop for Garage {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
