//! Several hosts on this machine, and what can happen to them: `tests/lab/lab` in Rust's clothes.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::process::Command;

use crate::command::{Said, run};
use crate::platform::{administer, binary, log_in};
use crate::project::{Project, Site};

pub const DOMAIN: &str = "paas.test";
const UP_WITHIN: Duration = Duration::from_secs(180);
const VERB_WITHIN: Duration = Duration::from_secs(90);

/// A running lab with an administrator logged in. Ends, and leaves nothing behind, when dropped.
#[derive(Debug)]
pub struct Lab {
    name: String,
    home: TempDir,
    addresses: Vec<IpAddr>,
}

/// What runs on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Etcd,
    Docker,
    Paasd,
}

impl Service {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Docker => "docker",
            Self::Paasd => "paasd",
        }
    }
}

/// What kind of lab it is to be.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    pub hosts: usize,
    /// The first hosts', each as `router,node`; all others have all.
    pub roles: &'a [&'a str],
    pub blobs: Blobs,
    /// Lines of every host's configuration, `section.key = value`.
    pub settings: &'a [&'a str],
}

/// Where slugs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blobs {
    /// In a directory that all hosts mount.
    Shared,
    /// In a bucket of the Garage that `PAAS_GARAGE` names.
    S3,
}

impl Plan<'_> {
    /// All roles everywhere, and a directory for slugs.
    pub const fn of(hosts: usize) -> Self {
        Self {
            hosts,
            roles: &[],
            blobs: Blobs::Shared,
            settings: &[],
        }
    }
}

impl Lab {
    /// Hosts are numbered from 1.
    ///
    /// # Panics
    /// When they do not come up.
    pub async fn up(hosts: usize) -> Self {
        Self::planned(Plan::of(hosts)).await
    }

    /// # Panics
    /// When it does not come up.
    pub async fn planned(plan: Plan<'_>) -> Self {
        let mut lab = Self {
            name: format!("{:08x}", rand::random::<u32>()),
            home: tempfile::tempdir().expect("a temporary directory"),
            addresses: Vec::new(),
        };
        let prepared = lab.prepare(plan).await;
        prepared.expect("the lab should come up");
        lab
    }

    async fn prepare(&mut self, plan: Plan<'_>) -> anyhow::Result<()> {
        let mut up = self.script();
        up.args(["up", &plan.hosts.to_string()])
            .env("LAB_ROLES", plan.roles.join(" "))
            .env("LAB_SETTINGS", plan.settings.join("\n"));
        if plan.blobs == Blobs::S3 {
            up.arg("--s3");
        }
        run(&mut up, UP_WITHIN).await?.ok();
        for host in 1..=plan.hosts {
            let said = self.verb(&["address", &host.to_string()]).await;
            self.addresses.push(said.stdout.trim().parse()?);
        }
        let account = fs_err::read_to_string(self.dir().join("account.json"))?;
        let account: serde_json::Value = serde_json::from_str(&account)?;
        let token = account["token"].as_str().context("a token")?;
        let api = format!("https://api.{DOMAIN}");
        log_in(self, &api, token, &self.dir().join("ca.pem")).await
    }

    /// Waits until etcd has all its members: a lab is up before that, and what breaks something waits for it.
    pub async fn settled(&self) {
        self.verb(&["settled"]).await;
    }

    fn script(&self) -> Command {
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/lab/lab"));
        command.args(["--name", &self.name]);
        command.env("LAB_BIN", binary("paasd").with_file_name(""));
        command.env("LAB_OWNER", std::process::id().to_string());
        command
    }

    /// One verb of the script.
    ///
    /// # Panics
    /// When it fails.
    async fn verb(&self, args: &[&str]) -> Said {
        run(self.script().args(args), VERB_WITHIN)
            .await
            .expect("the lab's script should run")
            .ok()
    }

    async fn verb_on(&self, verb: &str, host: usize, args: &[&str]) {
        self.verb(&[&[verb, &host.to_string()], args].concat())
            .await;
    }

    pub fn hosts(&self) -> std::ops::RangeInclusive<usize> {
        1..=self.addresses.len()
    }

    /// # Panics
    /// When there is no such host.
    pub fn address_of(&self, host: usize) -> IpAddr {
        self.addresses[host - 1]
    }

    /// # Panics
    /// When there is no such host.
    pub fn router_of(&self, host: usize) -> SocketAddr {
        SocketAddr::new(self.address_of(host), 80)
    }

    /// Power loss.
    pub async fn kill(&self, host: usize) {
        self.verb_on("kill", host, &[]).await;
    }

    /// Power on again, with the disk as it was.
    pub async fn start(&self, host: usize) {
        self.verb_on("start", host, &[]).await;
    }

    /// SIGTERM; it stays down.
    pub async fn stop(&self, host: usize, service: Service) {
        self.verb_on("stop", host, &[service.as_str()]).await;
    }

    /// SIGKILL; it is started again at once.
    pub async fn crash(&self, host: usize, service: Service) {
        self.verb_on("crash", host, &[service.as_str()]).await;
    }

    pub async fn restart(&self, host: usize, service: Service) {
        self.verb_on("restart", host, &[service.as_str()]).await;
    }

    pub async fn run(&self, host: usize, service: Service) {
        self.verb_on("run", host, &[service.as_str()]).await;
    }

    pub async fn pause(&self, host: usize, service: Service) {
        self.verb_on("pause", host, &[service.as_str()]).await;
    }

    pub async fn resume(&self, host: usize, service: Service) {
        self.verb_on("resume", host, &[service.as_str()]).await;
    }

    /// Everything on the host stops where it is; clocks go on.
    pub async fn pause_host(&self, host: usize) {
        self.verb_on("pause", host, &[]).await;
    }

    pub async fn resume_host(&self, host: usize) {
        self.verb_on("resume", host, &[]).await;
    }

    /// Nothing passes to the host or from it.
    pub async fn partition(&self, host: usize) {
        self.verb_on("partition", host, &[]).await;
    }

    /// Nothing passes from the one host to the other; what the other sends arrives.
    pub async fn cut_one_way(&self, from: usize, to: usize) {
        self.verb_on("oneway", from, &[&to.to_string()]).await;
    }

    pub async fn heal(&self) {
        self.verb(&["heal"]).await;
    }

    pub async fn fill_disk(&self, host: usize) {
        self.verb_on("fill-disk", host, &[]).await;
    }

    pub async fn free_disk(&self, host: usize) {
        self.verb_on("free-disk", host, &[]).await;
    }

    /// How far ahead (`+30s`) or behind (`-30s`) the host's `paasd` takes its calendar to be; restarts it.
    pub async fn skew_clock(&self, host: usize, offset: &str) {
        self.verb_on("skew", host, &[offset]).await;
    }

    /// `paas <args>`, as the administrator.
    ///
    /// # Panics
    /// When it cannot be run to its end.
    pub async fn paas(&self, args: &[&str]) -> Said {
        run(self.program("paas").args(args), VERB_WITHIN)
            .await
            .expect("paas should run")
    }

    /// A new project from `tests/apps/<fixture>`, and its app, both under a fresh name.
    pub async fn project(&self, fixture: &str) -> Project<'_> {
        Project::create(self, fixture).await
    }

    /// The same platform, with all that is asked of it going to that host.
    pub const fn through(&self, host: usize) -> Through<'_> {
        Through { lab: self, host }
    }

    /// A command on a host.
    ///
    /// # Panics
    /// When it fails.
    pub async fn on_host(&self, host: usize, command: &[&str]) -> Said {
        self.verb(&[&["exec", &host.to_string()], command].concat())
            .await
    }

    /// `provisioning/etcd` on a host.
    pub async fn etcd(&self, host: usize, verb: &[&str]) {
        self.verb_on("etcd", host, verb).await;
    }

    /// Garage and its bucket: a verb of `s3`.
    pub async fn s3(&self, verb: &[&str]) -> Said {
        self.verb(&[&["s3"], verb].concat()).await
    }

    /// Where a host's `paasd` keeps its data, as the host sees it.
    pub fn data_of(&self, host: usize) -> PathBuf {
        self.dir().join(format!("h{host}/disk/paas"))
    }

    /// The dynos whose containers run on a host, by their ids. None when its Docker does not answer.
    pub async fn dynos_on(&self, host: usize) -> BTreeSet<String> {
        self.listed(host, "dyno", "{{.Label \"paas.dyno\"}}").await
    }

    /// Docker's ids of the containers that run dynos on a host.
    pub async fn containers_on(&self, host: usize) -> BTreeSet<String> {
        self.listed(host, "dyno", "{{.ID}}").await
    }

    /// The apps that are being built on a host, by their names.
    pub async fn builds_on(&self, host: usize) -> BTreeSet<String> {
        self.listed(host, "build", "{{.Label \"paas.app\"}}").await
    }

    async fn listed(&self, host: usize, kind: &str, format: &str) -> BTreeSet<String> {
        let socket = format!("unix:///run/paas-lab/{}/h{host}/docker.sock", self.name);
        let mut docker = Command::new("docker");
        docker.args(["--host", &socket, "ps", "--no-trunc", "--format", format]);
        docker.args(["--filter", &format!("label=paas.kind={kind}")]);
        let said = run(&mut docker, Duration::from_secs(5)).await;
        let stdout = said.map(|said| said.stdout).unwrap_or_default();
        stdout.lines().map(str::to_owned).collect()
    }

    /// What a service of a host has logged so far.
    pub fn log_of(&self, host: usize, service: Service) -> String {
        let log = format!("h{host}/{}.log", service.as_str());
        fs_err::read_to_string(self.dir().join(log)).unwrap_or_default()
    }

    fn dir(&self) -> PathBuf {
        Path::new("/var/tmp/paas-lab").join(&self.name)
    }
}

impl Site for Lab {
    fn path(&self) -> &Path {
        self.home.path()
    }

    fn program(&self, program: &str) -> Command {
        let mut command = self.script();
        command.args(["ctl", program]).current_dir(self.path());
        administer(&mut command, self.path());
        command
    }

    fn domain(&self) -> &str {
        DOMAIN
    }

    fn router(&self) -> SocketAddr {
        self.router_of(1)
    }
}

/// A lab seen through one of its hosts.
#[derive(Debug)]
pub struct Through<'a> {
    lab: &'a Lab,
    host: usize,
}

impl Site for Through<'_> {
    fn path(&self) -> &Path {
        self.lab.path()
    }

    fn program(&self, program: &str) -> Command {
        let mut command = self.lab.program(program);
        command.env("LAB_THROUGH", self.host.to_string());
        command
    }

    fn domain(&self) -> &str {
        DOMAIN
    }

    fn router(&self) -> SocketAddr {
        self.lab.router_of(self.host)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for host in self.hosts() {
                let log = self.log_of(host, Service::Paasd);
                let tail: Vec<&str> = log.lines().rev().take(40).collect();
                eprintln!("--- the end of the log of h{host}'s paasd");
                for line in tail.iter().rev() {
                    eprintln!("{line}");
                }
            }
        }
        let mut script = self.script();
        match script.as_std_mut().args(["down"]).status() {
            Ok(status) if status.success() => {}
            other => eprintln!("the lab {} was not taken down: {other:?}", self.name),
        }
    }
}
