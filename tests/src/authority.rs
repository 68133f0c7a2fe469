//! A certificate authority that speaks ACME: pebble, in which every name is this machine.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::command::run;
use crate::eventually::eventually;
use crate::platform::free_addresses;

const SOON: Duration = Duration::from_secs(60);

/// Ends when dropped.
#[derive(Debug)]
pub struct Authority {
    dir: TempDir,
    directory: SocketAddr,
    management: SocketAddr,
    running: Vec<Child>,
}

impl Authority {
    /// Where it will be; it is started when it is known where it is to ask.
    ///
    /// # Panics
    /// When its certificate cannot be made.
    pub async fn prepare() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let [directory, management] = free_addresses();
        make_certificate(dir.path(), "server", &["localhost"]).await;
        Self {
            dir,
            directory,
            management,
            running: Vec::new(),
        }
    }

    /// What a platform is told of it, as lines of configuration.
    pub fn settings(&self) -> [String; 2] {
        [
            format!(
                "acme.directory = \"https://localhost:{}/dir\"",
                self.directory.port()
            ),
            format!(
                "acme.ca = \"{}\"",
                self.dir.path().join("server.pem").display()
            ),
        ]
    }

    /// It asks at `http`, whatever the name.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start(&mut self, http: SocketAddr) {
        let [dns, tls] = free_addresses();
        let file = |name: &str| self.dir.path().join(name);
        let config = serde_json::json!({"pebble": {
            "listenAddress": self.directory.to_string(),
            "managementListenAddress": self.management.to_string(),
            "certificate": file("server.pem"),
            "privateKey": file("server.key"),
            "httpPort": http.port(),
            "tlsPort": tls.port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        }});
        fs_err::write(file("pebble.json"), config.to_string()).expect("a configuration");
        let mut names = Command::new("pebble-challtestsrv");
        names
            .args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
            .args(["-management", "", "-dns01", &dns.to_string()]);
        let mut pebble = Command::new("pebble");
        pebble
            .arg("-config")
            .arg(file("pebble.json"))
            .args(["-strict", "-dnsserver", &dns.to_string()])
            .env("PEBBLE_VA_NOSLEEP", "1");
        for program in [&mut names, &mut pebble] {
            let child = program
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .expect("Debian's pebble should be installed");
            self.running.push(child);
        }
        for address in [self.directory, self.management, dns] {
            eventually("the authority listens", SOON, || async move {
                TcpStream::connect(address).await.ok().map(drop)
            })
            .await;
        }
    }

    /// A file with the one certificate that vouches for all it issues.
    ///
    /// # Panics
    /// When it does not tell.
    pub async fn root(&self) -> PathBuf {
        let url = format!("https://localhost:{}/roots/0", self.management.port());
        let file = self.dir.path().join("root.pem");
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", &url, "--cacert"])
            .arg(self.dir.path().join("server.pem"))
            .arg("--output")
            .arg(&file);
        run(&mut curl, SOON).await.expect("curl").ok();
        file
    }
}

/// `<name>.pem`, signed by itself, and `<name>.key`, below `dir`.
///
/// # Panics
/// When openssl cannot make them.
pub async fn make_certificate(dir: &Path, name: &str, hosts: &[&str]) -> (PathBuf, PathBuf) {
    let [pem, key] = ["pem", "key"].map(|end| dir.join(format!("{name}.{end}")));
    let hosts: Vec<_> = hosts.iter().map(|host| format!("DNS:{host}")).collect();
    let mut openssl = Command::new("openssl");
    openssl
        .args(["req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=test"])
        .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-addext", &format!("subjectAltName={}", hosts.join(","))])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-out")
        .arg(&pem)
        .arg("-keyout")
        .arg(&key);
    run(&mut openssl, SOON).await.expect("openssl").ok();
    (pem, key)
}
