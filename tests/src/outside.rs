//! A host outside the platform: a network namespace of the test's own, which builds and dynos reach as they reach the
//! internet, and which serves a directory over HTTP.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::{Child, Command};

use crate::command::run;
use crate::eventually::eventually;
use crate::web;

/// Gone, with its network, when dropped.
#[derive(Debug)]
pub struct Outside {
    name: String,
    address: std::net::SocketAddr,
    _server: Child,
}

impl Outside {
    /// Serves `dir`.
    ///
    /// # Panics
    /// When the namespace cannot be made: this takes root and iproute2.
    pub async fn serving(dir: &Path) -> Self {
        Self::start(dir)
            .await
            .expect("a network namespace of our own")
    }

    async fn start(dir: &Path) -> anyhow::Result<Self> {
        let random: u32 = rand::random();
        let name = format!("o{random:08x}");
        let (third, fourth) = ((random >> 8) & 0xff, (random & 0x3f) * 4);
        let (here, there) = (
            format!("10.213.{third}.{}", fourth + 1),
            format!("10.213.{third}.{}", fourth + 2),
        );
        let steps = [
            format!("netns add {name}"),
            format!("link add {name} type veth peer name eth0 netns {name}"),
            format!("addr add {here}/30 dev {name}"),
            format!("link set {name} up"),
            format!("-n {name} addr add {there}/30 dev eth0"),
            format!("-n {name} link set eth0 up"),
            format!("-n {name} link set lo up"),
            format!("-n {name} route add default via {here}"),
        ];
        for step in steps {
            let said = run(
                Command::new("ip").args(step.split(' ')),
                Duration::from_secs(10),
            )
            .await?;
            anyhow::ensure!(said.success(), "ip {step}: {}", said.stderr);
        }
        let server = Command::new("ip")
            .args([
                "netns",
                "exec",
                &name,
                "python3",
                "-m",
                "http.server",
                "8000",
                "--directory",
            ])
            .arg(dir)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("python3 should serve files")?;
        let address = format!("{there}:8000").parse()?;
        let outside = Self {
            name,
            address,
            _server: server,
        };
        eventually(
            "the outside host serves",
            Duration::from_secs(20),
            || async move { web::get(address, "outside", "/").await.ok() },
        )
        .await;
        Ok(outside)
    }

    /// `http://10.213.0.2:8000/<path>`
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        for args in [["link", "del", &self.name], ["netns", "del", &self.name]] {
            let _ = std::process::Command::new("ip").args(args).output();
        }
    }
}
