//! A second host joins a platform whose state is in an etcd that asks for certificates; each host has an address of the
//! loopback network to itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tests::command::{Said, run};
use tests::eventually::eventually;
use tests::platform::binary;
use tests::web;
use tokio::process::{Child, Command};

const SOON: Duration = Duration::from_secs(60);
const DOMAIN: &str = "paas.localhost";
/// Short enough for a story to see certificates end.
const CERTIFICATE_SECS: u64 = 15;

struct Hosts {
    dir: TempDir,
    /// The first two octets after 127; hosts are told apart by the last.
    network: [u8; 2],
    http: u16,
    https: u16,
    etcd: u16,
    running: Vec<Child>,
}

impl Hosts {
    fn new() -> Self {
        let first = rand::random_range(15_000..29_000);
        Self {
            dir: tempfile::tempdir().unwrap(),
            network: [rand::random_range(1..255), rand::random_range(0..255)],
            http: first,
            https: first + 1,
            etcd: first + 2,
            running: Vec::new(),
        }
    }

    fn address(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.network[0], self.network[1], host)
    }

    fn data(&self, host: u8) -> PathBuf {
        self.dir.path().join(format!("host{host}"))
    }

    fn config(&self, host: u8) -> PathBuf {
        self.data(host).join("paasd.toml")
    }

    /// The first host: everything that needs no Docker.
    fn configure_first(&self) {
        let (address, data) = (self.address(1), self.data(1));
        fs_err::create_dir_all(&data).unwrap();
        let (http, https, etcd) = (self.http, self.https, self.etcd);
        let text = format!(
            "domain = \"{DOMAIN}\"\ninstance = \"j{http}\"\ndata_dir = \"{}\"\nstore = \"etcds://{address}:{etcd}\"\n\
             roles = [\"controller\", \"scheduler\", \"router\"]\n\
             node.address = \"{address}\"\nnode.name = \"one\"\n\
             controller.host_certificate_secs = {CERTIFICATE_SECS}\n\
             router.http = [\"127.0.0.1:{http}\", \"{address}:{http}\"]\n\
             router.https = [\"127.0.0.1:{https}\", \"{address}:{https}\"]\n",
            data.display()
        );
        fs_err::write(self.config(1), text).unwrap();
    }

    /// With the host's own certificate, asking clients for theirs.
    async fn start_etcd(&mut self) {
        let identity = self.data(1).join("identity");
        let (own, peer) = (
            format!("https://{}:{}", self.address(1), self.etcd),
            format!("http://{}:{}", self.address(1), self.etcd + 1),
        );
        let child = Command::new("etcd")
            .args(["--name", "one", "--data-dir"])
            .arg(self.dir.path().join("etcd"))
            .args([
                "--listen-client-urls",
                &own,
                "--advertise-client-urls",
                &own,
            ])
            .args(["--listen-peer-urls", &peer])
            .args(["--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("one={peer}")])
            .arg("--client-cert-auth")
            .arg("--trusted-ca-file")
            .arg(identity.join("authority.pem"))
            .arg("--cert-file")
            .arg(identity.join("host.pem"))
            .arg("--key-file")
            .arg(identity.join("host.pem"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.running.push(child);
        let place = SocketAddr::from((self.address(1), self.etcd));
        eventually("etcd listens", SOON, || async move {
            tokio::net::TcpStream::connect(place).await.ok().map(drop)
        })
        .await;
    }

    async fn paasd(&self, args: &[&str]) -> Said {
        let mut command = Command::new(binary("paasd"));
        run(command.args(args), SOON).await.unwrap()
    }

    async fn paas(&self, args: &[&str]) -> Said {
        let mut command = Command::new(binary("paas"));
        command
            .args(args)
            .env("HOME", self.dir.path())
            .env("XDG_CONFIG_HOME", self.dir.path().join(".config"))
            .env_remove("PAAS_CONFIG")
            .env_remove("PAAS_API_URL")
            .env_remove("PAAS_API_KEY");
        run(&mut command, SOON).await.unwrap()
    }

    /// Starts `paasd` on a host and waits until its router brings requests to a controller.
    async fn serve(&mut self, host: u8) {
        let log = std::fs::File::create(self.data(host).join("log")).unwrap();
        let child = Command::new(binary("paasd"))
            .args(["server", "--config"])
            .arg(self.config(host))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.running.push(child);
        self.answers(host).await;
    }

    async fn answers(&self, host: u8) {
        let router = SocketAddr::from((self.address(host), self.http));
        let what = format!("the API answers through host {host}");
        eventually(&what, SOON, || async move {
            let answer = web::get(router, &format!("api.{DOMAIN}"), "/account").await;
            answer.ok().filter(|answer| answer.status == 401).map(drop)
        })
        .await;
    }

    async fn log_in(&self) {
        let account = fs_err::read_to_string(self.data(1).join("first-account.json")).unwrap();
        let account: serde_json::Value = serde_json::from_str(&account).unwrap();
        let token = self.dir.path().join("token");
        fs_err::write(&token, account["token"].as_str().unwrap()).unwrap();
        let api = format!("https://api.{DOMAIN}:{}", self.https);
        let ca = self.data(1).join("tls/ca.pem");
        let mut command = Command::new(binary("paas"));
        command
            .args(["login", "--api", &api, "--token-stdin", "--ca-file"])
            .arg(ca)
            .env("HOME", self.dir.path())
            .env("XDG_CONFIG_HOME", self.dir.path().join(".config"))
            .stdin(std::fs::File::open(token).unwrap());
        let output = command.output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    async fn states(&self) -> Vec<(String, String)> {
        let said = self.paas(&["nodes", "--json"]).await;
        let nodes: Vec<serde_json::Value> = serde_json::from_str(&said.stdout).unwrap_or_default();
        let text = |node: &serde_json::Value, field| node[field].as_str().unwrap().to_owned();
        nodes
            .iter()
            .map(|node| (text(node, "name"), text(node, "state")))
            .collect()
    }

    fn log(&self, host: u8) -> String {
        fs_err::read_to_string(self.data(host).join("log")).unwrap_or_default()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn pairs(states: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, state): &(&str, &str)| ((*name).to_owned(), (*state).to_owned());
    states.iter().map(owned).collect()
}

impl Hosts {
    /// A platform of one host, with an administrator logged in.
    async fn of_one() -> Self {
        let mut hosts = Self::new();
        hosts.configure_first();
        let first = hosts.config(1);
        let early = hosts.paasd(&["init", "--config", text(&first)]).await;
        early.failed().says("paasd identity");
        hosts
            .paasd(&["identity", "--config", text(&first)])
            .await
            .ok();
        hosts.start_etcd().await;
        hosts.paasd(&["init", "--config", text(&first)]).await.ok();
        hosts.serve(1).await;
        hosts.log_in().await;
        hosts
    }

    async fn are_up(&self, names: &[&str]) {
        let expected: Vec<_> = names.iter().map(|name| (*name, "up")).collect();
        eventually("all hosts are up", SOON, async || {
            (self.states().await == pairs(&expected)).then_some(())
        })
        .await;
    }

    async fn provisioning(&self, script: &str, args: &[&str]) -> Said {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut command = Command::new(root.join("provisioning").join(script));
        run(command.args(args), SOON * 3).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_script_makes_a_machine_a_host_of_the_platform_and_may_be_run_again() {
    let hosts = Hosts::of_one().await;
    let token = ["nodes:token", "--roles", "router"];
    let token = hosts.paas(&token).await.ok();
    let (data, prefix) = (hosts.data(2), hosts.dir.path().join("prefix"));
    let (address, built) = (hosts.address(2).to_string(), binary("paasd"));
    let places = ["--data-dir", text(&data), "--prefix", text(&prefix)];
    let built = ["--binaries", text(built.parent().unwrap())];
    let host = ["--address", &address, "--host-name", "two"];

    let without = hosts
        .provisioning("join", &[&places[..], &built].concat())
        .await;
    without.failed().says("paas nodes:token");
    let join = [&[token.stdout.trim()][..], &places, &built, &host].concat();
    hosts.provisioning("join", &join).await.ok();
    hosts.answers(2).await;
    hosts.are_up(&["one", "two"]).await;
    let again = hosts
        .provisioning("join", &[&places[..], &built].concat())
        .await;
    again.ok().says("paasd is running");
    hosts
        .provisioning("down", &["--data-dir", text(&data)])
        .await
        .ok();
    eventually("it is down", SOON, async || {
        let states = hosts.states().await;
        (states == pairs(&[("one", "up"), ("two", "down")])).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_joins_with_a_token_renews_its_certificate_and_is_removed() {
    let mut hosts = Hosts::of_one().await;
    let waiting = hosts.data(1).join("identity/authority.json");
    assert!(!waiting.exists(), "the authority's key is in the store now");

    // What needs slugs cannot join a platform that keeps them on one host.
    hosts
        .paas(&["nodes:token"])
        .await
        .failed()
        .says("Keep slugs in an S3 bucket");
    let token = hosts
        .paas(&["nodes:token", "--roles", "router,scheduler"])
        .await
        .ok();
    let token = token.stdout.trim();
    let (data, address) = (hosts.data(2), hosts.address(2).to_string());
    let join = [
        "join",
        token,
        "--data-dir",
        text(&data),
        "--address",
        &address,
        "--name",
        "two",
        "--zone",
        "b",
        "--memory-mb",
        "512",
    ];
    let greedy = [&join[..], &["--roles", "controller"]].concat();
    hosts
        .paasd(&greedy)
        .await
        .failed()
        .says("not for the role controller");
    hosts.paasd(&join).await.ok().says("as scheduler, router");
    let keys = fs_err::read_to_string(data.join("master.key")).unwrap();
    assert!(
        keys.contains("internal") && !keys.contains("seal"),
        "a router opens no secrets"
    );
    let settings = fs_err::read_to_string(hosts.config(2)).unwrap();
    assert!(settings.contains("memory_mb = 512"), "{settings}");
    hosts.serve(2).await;
    hosts.are_up(&["one", "two"]).await;

    // Certificates end, and nobody notices.
    let certificate = data.join("identity/host.pem");
    let before = fs_err::read_to_string(&certificate).unwrap();
    for _ in 0..2 {
        let known = fs_err::read_to_string(&certificate).unwrap();
        eventually("the certificate is renewed", SOON, || async {
            let now = fs_err::read_to_string(&certificate).unwrap();
            (now != known).then_some(())
        })
        .await;
    }
    eventually("the first certificate has ended", SOON, || async {
        let until = std::fs::metadata(data.join("paasd.toml"))
            .unwrap()
            .modified();
        let age = until.unwrap().elapsed().unwrap();
        (age > Duration::from_secs(CERTIFICATE_SECS + 1)).then_some(())
    })
    .await;
    assert_ne!(fs_err::read_to_string(&certificate).unwrap(), before);
    hosts.answers(2).await;
    let states = hosts.states().await;
    assert_eq!(
        states,
        pairs(&[("one", "up"), ("two", "up")]),
        "{}",
        hosts.log(2)
    );

    hosts
        .paas(&["nodes:remove", "two"])
        .await
        .failed()
        .says("Stop paasd there first");
    let mut second = hosts.running.pop().unwrap();
    second.kill().await.unwrap();
    eventually("it is removed", SOON, async || {
        let said = hosts.paas(&["nodes:remove", "two"]).await;
        said.success().then_some(())
    })
    .await;
    let second = hosts.config(2);
    hosts
        .paasd(&["server", "--config", text(&second)])
        .await
        .failed()
        .says("was removed from the platform");
}
