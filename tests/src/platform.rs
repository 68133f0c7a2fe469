//! One platform: `paasd` with all roles in a directory of its own, and an administrator logged in.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::command::{Said, run};
use crate::eventually::eventually;
use crate::project::{Project, Site};
use crate::web::{self, Answer};

/// Ends, with everything it made in Docker, when dropped.
#[derive(Debug)]
pub struct Platform {
    dir: TempDir,
    pub instance: String,
    pub http: SocketAddr,
    pub https: SocketAddr,
    pub ssh: SocketAddr,
    server: Option<Child>,
    etcd: Option<Child>,
    settings: Vec<String>,
}

pub const DOMAIN: &str = "paas.localhost";
const START_WITHIN: Duration = Duration::from_secs(120);
const CLI_WITHIN: Duration = Duration::from_secs(180);

impl Platform {
    /// With default settings.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With lines of configuration of its own, `section.key = value`.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn with(settings: &[&str]) -> Self {
        let on_etcd = std::env::var("PAAS_STORY_STORE").is_ok_and(|store| store == "etcd");
        Self::on(on_etcd, settings).await
    }

    /// On the embedded store, whatever the stories run on.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn embedded() -> Self {
        Self::on(false, &[]).await
    }

    async fn on(etcd: bool, settings: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let suffix = format!("{:08x}", rand::random::<u32>());
        let [http, https, ssh] = free_addresses();
        let mut platform = Self {
            dir,
            instance: format!("t{suffix}"),
            http,
            https,
            ssh,
            server: None,
            etcd: None,
            settings: settings.iter().map(|line| (*line).to_owned()).collect(),
        };
        platform
            .prepare(etcd)
            .await
            .expect("the platform should start");
        platform
    }

    async fn prepare(&mut self, etcd: bool) -> anyhow::Result<()> {
        fs_err::create_dir_all(self.data())?;
        fs_err::create_dir_all(self.home())?;
        let store = if etcd {
            format!("etcd://{}", self.start_etcd().await)
        } else {
            "embedded".to_owned()
        };
        fs_err::write(self.config(), self.settings_file(&store))?;
        let init = run(
            Command::new(binary("paasd"))
                .args(["init", "--email", "admin@example.com", "--config"])
                .arg(self.config()),
            START_WITHIN,
        )
        .await?
        .ok();
        let account: serde_json::Value =
            serde_json::from_str(&init.stdout).context("what init prints")?;
        fs_err::write(
            self.token_file(),
            account["token"].as_str().context("a token")?,
        )?;
        self.boot().await;
        let ca = self.data().join("tls/ca.pem");
        log_in(self, &self.api_url(), &self.token(), &ca).await
    }

    fn settings_file(&self, store: &str) -> String {
        let (instance, data) = (&self.instance, self.data());
        let (http, https, ssh) = (self.http, self.https, self.ssh);
        let mut top = format!(
            "domain = \"{DOMAIN}\"\ndata_dir = \"{}\"\ninstance = \"{instance}\"\nstore = \"{store}\"\n\
             router.http = [\"{http}\"]\nrouter.https = [\"{https}\"]\nbuilder.ssh_listen = \"{ssh}\"\n\
             node.network = \"{instance}\"\nnode.bridge = \"{instance}\"\n",
            data.display()
        );
        for line in &self.settings {
            top.push_str(line);
            top.push('\n');
        }
        top
    }

    /// Starts `paasd` and waits until its API answers through its router.
    ///
    /// # Panics
    /// When it does not.
    pub async fn boot(&mut self) {
        let log = fs_err::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_file())
            .expect("a log file");
        let log = log.into_parts().0;
        let mut child = Command::new(binary("paasd"))
            .args(["server", "--config"])
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("paasd should start");
        let http = self.http;
        let answers = eventually("the API answers", START_WITHIN, || async move {
            let answer = web::get(http, &format!("api.{DOMAIN}"), "/account")
                .await
                .ok()?;
            (answer.status == 401).then_some(())
        });
        tokio::select! {
            () = answers => {}
            status = child.wait() => panic!("paasd ended at its start: {status:?}"),
        }
        self.server = Some(child);
    }

    /// SIGKILL: no warning, no goodbye.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn kill(&mut self) {
        let mut child = self.server.take().expect("paasd should be running");
        child.kill().await.expect("it can be killed");
    }

    /// Kills `paasd` and starts it again.
    pub async fn kill_and_boot(&mut self) {
        self.kill().await;
        self.boot().await;
    }

    /// The process that serves: `paasd` itself says which.
    pub fn main_pid(&self) -> u32 {
        let text = fs_err::read_to_string(self.data().join("paasd.pid")).expect("a pid file");
        text.trim().parse().expect("a process id")
    }

    /// Tells `paasd` to start anew in place, and returns when the next process serves.
    ///
    /// # Panics
    /// When none does in time.
    pub async fn upgrade(&self) {
        let before = self.main_pid();
        self.hang_up();
        eventually("the next process serves", START_WITHIN, || async {
            (self.main_pid() != before).then_some(())
        })
        .await;
    }

    /// Sends SIGHUP to the process that serves.
    ///
    /// # Panics
    /// When there is none.
    pub fn hang_up(&self) {
        let pid = self.main_pid().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-HUP", &pid])
            .status()
            .expect("kill");
        assert!(sent.success(), "process {pid} is gone");
    }

    pub fn server_pid(&self) -> Option<u32> {
        self.server.as_ref().and_then(Child::id)
    }

    /// `paas <args>`, as the administrator, outside any project.
    ///
    /// # Panics
    /// When it cannot be run to its end.
    pub async fn paas(&self, args: &[&str]) -> Said {
        run(&mut self.command(args), CLI_WITHIN)
            .await
            .expect("paas should run")
    }

    /// The same as a command still to be started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.program("paas");
        command.args(args).current_dir(self.home());
        command
    }

    /// The administrator's home directory and nothing of whoever runs the tests.
    pub fn environment(&self, command: &mut Command) {
        administer(command, &self.home());
    }

    /// A new project from `tests/apps/<fixture>`, and its app, both under a fresh name.
    pub async fn project(&self, fixture: &str) -> Project<'_> {
        Project::create(self, fixture).await
    }

    /// A GET through the router.
    ///
    /// # Panics
    /// When there is no HTTP answer at all.
    pub async fn get(&self, host: &str, path: &str) -> Answer {
        web::get(self.http, host, path).await.expect("an answer")
    }

    pub fn api_url(&self) -> String {
        format!("https://api.{DOMAIN}:{}", self.https.port())
    }

    pub fn token(&self) -> String {
        fs_err::read_to_string(self.token_file()).expect("the token")
    }

    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// What `paasd` has logged so far.
    pub fn server_log(&self) -> String {
        fs_err::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Docker's ids of this platform's containers, of one kind (`dyno`, `build`).
    ///
    /// # Panics
    /// When Docker does not answer.
    pub async fn containers(&self, kind: &str) -> Vec<String> {
        let said = run(
            Command::new("docker").args([
                "ps",
                "-q",
                "--no-trunc",
                "--filter",
                &format!("label=paas.instance={}", self.instance),
                "--filter",
                &format!("label=paas.kind={kind}"),
            ]),
            Duration::from_secs(30),
        )
        .await
        .expect("docker ps")
        .ok();
        said.stdout.lines().map(str::to_owned).collect()
    }

    /// Another `paasd <verb>` on this platform's configuration.
    ///
    /// # Panics
    /// When it cannot be run to its end.
    pub async fn paasd(&self, args: &[&str]) -> Said {
        let mut command = Command::new(binary("paasd"));
        command.args(args).arg("--config").arg(self.config());
        run(&mut command, CLI_WITHIN)
            .await
            .expect("paasd should run")
    }

    /// An etcd of one member, which lives as long as the platform; its address.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_etcd(&mut self) -> SocketAddr {
        let (child, client) = start_etcd(&self.dir.path().join("etcd"))
            .await
            .expect("etcd should start");
        self.etcd = Some(child);
        client
    }

    /// Changes the configuration's store; for a `paasd` that is started afterwards.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn set_store(&self, store: &str) {
        fs_err::write(self.config(), self.settings_file(store)).expect("a configuration");
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("paasd.toml")
    }

    fn token_file(&self) -> PathBuf {
        self.dir.path().join("token")
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("paasd.log")
    }
}

impl Site for Platform {
    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        administer(&mut command, &self.home());
        command
    }

    fn domain(&self) -> &str {
        DOMAIN
    }

    fn router(&self) -> SocketAddr {
        self.http
    }
}

/// Logs the administrator in with `paas login`.
pub(crate) async fn log_in(
    site: &dyn Site,
    api: &str,
    token: &str,
    ca: &Path,
) -> anyhow::Result<()> {
    let mut command = site.program("paas");
    command
        .args(["login", "--api", api, "--token-stdin", "--ca-file"])
        .arg(ca)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().context("standard input")?;
    tokio::io::AsyncWriteExt::write_all(&mut stdin, token.as_bytes()).await?;
    drop(stdin);
    let output = tokio::time::timeout(CLI_WITHIN, child.wait_with_output()).await??;
    anyhow::ensure!(
        output.status.success(),
        "paas login: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// The administrator's home directory, the binaries that were built, and nothing of whoever runs the tests.
pub(crate) fn administer(command: &mut Command, home: &Path) {
    let path = format!(
        "{}:{}",
        binary("paas").parent().unwrap_or(Path::new("/")).display(),
        std::env::var("PATH").unwrap_or_default()
    );
    command
        .env("HOME", home)
        .env("XDG_CONFIG_HOME", home.join(".config"))
        .env("PATH", path)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env_remove("GIT_SSL_CAINFO")
        .env_remove("PAAS_CONFIG")
        .env_remove("PAAS_API_URL")
        .env_remove("PAAS_API_KEY");
}

impl Drop for Platform {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.server_log();
            let tail: Vec<&str> = log.lines().rev().take(60).collect();
            eprintln!("--- the end of paasd's log");
            for line in tail.iter().rev() {
                eprintln!("{line}");
            }
        }
        // One that took over is nobody's child; it leaves the file behind when it ends, and the number may be another's.
        if let Ok(pid) = fs_err::read_to_string(self.data().join("paasd.pid"))
            && let Ok(command) = fs_err::read(format!("/proc/{}/cmdline", pid.trim()))
            && String::from_utf8_lossy(&command).contains(&*self.config().to_string_lossy())
        {
            let _ = std::process::Command::new("kill")
                .args(["-KILL", pid.trim()])
                .status();
        }
        for child in [&mut self.server, &mut self.etcd].into_iter().flatten() {
            let _ = child.start_kill();
        }
        remove_from_docker(&self.instance);
    }
}

/// Removes an installation's containers, volumes and network; blocking, for use in `Drop`.
fn remove_from_docker(instance: &str) {
    let docker = |args: &[&str]| {
        let output = std::process::Command::new("docker").args(args).output();
        output
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default()
    };
    let filter = format!("label=paas.instance={instance}");
    let remove = |list: &[&str], remove: &[&str]| {
        let listed = docker(list);
        let ids: Vec<&str> = listed.lines().collect();
        if !ids.is_empty() {
            docker(&[remove, &ids].concat());
        }
    };
    // More than once: Docker may have been making one when `paasd` was killed.
    for _ in 0..3 {
        remove(&["ps", "-aq", "--filter", &filter], &["rm", "-fv"]);
    }
    remove(
        &["volume", "ls", "-q", "--filter", &filter],
        &["volume", "rm", "-f"],
    );
    docker(&["network", "rm", instance]);
    remove_from_firewall(instance);
}

/// Removes an installation's chains and the jumps into them.
fn remove_from_firewall(instance: &str) {
    let iptables = |args: &[&str]| {
        std::process::Command::new("iptables")
            .arg("-w")
            .args(args)
            .output()
    };
    let Ok(listed) = iptables(&["-S"]) else {
        return;
    };
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let ours = |rule: &&str| {
        rule.split(' ')
            .any(|word| word.starts_with("PAAS-") && word.ends_with(instance))
    };
    let (chains, rules): (Vec<&str>, Vec<&str>) = listed
        .lines()
        .filter(ours)
        .partition(|rule| rule.starts_with("-N"));
    for rule in rules.iter().filter_map(|rule| rule.strip_prefix("-A ")) {
        let _ = iptables(&[&["-D"], rule.split(' ').collect::<Vec<_>>().as_slice()].concat());
    }
    for chain in chains.iter().filter_map(|rule| rule.strip_prefix("-N ")) {
        let _ = iptables(&["-X", chain]);
    }
}

/// Loopback addresses that are free now.
pub fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    // Below the ports that the kernel gives to outgoing connections: one of those could take it before its server does.
    let first = rand::random_range(15_000..30_000);
    let mut free = (first..32_000)
        .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
        .filter(|address| TcpListener::bind(address).is_ok());
    std::array::from_fn(|_| free.next().expect("a free port"))
}

/// A binary that was built beside this test or benchmark.
///
/// # Panics
/// When it was not built.
pub fn binary(name: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("the test's own path");
    // A test is in `deps/` below the binaries, a benchmark is one of them.
    let dir = exe
        .ancestors()
        .skip(1)
        .find(|dir| !dir.ends_with("deps"))
        .expect("target/<profile>");
    let path = dir.join(name);
    assert!(
        path.exists(),
        "{} is not there: run `cargo build --workspace` first (tests/run does)",
        path.display()
    );
    path
}

/// One member, which keeps what it knows in `dir`.
///
/// # Errors
/// When it cannot be started.
pub async fn start_etcd(dir: &Path) -> anyhow::Result<(Child, SocketAddr)> {
    let [client, peer] = free_addresses();
    fs_err::create_dir_all(dir)?;
    let child = Command::new("etcd")
        .args(["--name", "one", "--data-dir"])
        .arg(dir)
        .args(["--listen-client-urls", &format!("http://{client}")])
        .args(["--advertise-client-urls", &format!("http://{client}")])
        .args(["--listen-peer-urls", &format!("http://{peer}")])
        .args(["--initial-advertise-peer-urls", &format!("http://{peer}")])
        .args([
            "--initial-cluster",
            &format!("one=http://{peer}"),
            "--logger",
            "zap",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("could not start etcd; install Debian's etcd-server")?;
    eventually("etcd is healthy", START_WITHIN, || async move {
        let answer = web::get(client, "etcd", "/health").await.ok()?;
        answer.text.contains("true").then_some(())
    })
    .await;
    Ok((child, client))
}
