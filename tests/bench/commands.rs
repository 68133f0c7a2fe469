//! How long a command takes to type, so to say: `paas` beside the official `heroku` CLI, against the same platform.
//!
//! `cargo build --release -p paas -p paasd -p tests && target/release/commands [--paasd PATH]` (tests/run installs heroku into
//! target/tools). The platform is a controller and a router on this machine; Docker is not needed. `paas` speaks to it over TLS,
//! `heroku` through `paas heroku-proxy`, which is how it is used here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tests::eventually::eventually;
use tests::platform::free_addresses;

const PAAS_RUNS: usize = 30;
const HEROKU_RUNS: usize = 7;
const APP: &str = "startup";

/// What is measured, as it is typed after the program's name.
const COMMANDS: [&[&str]; 4] = [
    &["version"],
    &["apps"],
    &["config:set", "ROUND=1", "--app", APP],
    &["ps", "--app", APP],
];

/// The platform, and the programs that speak to it; all end with this.
struct Bench {
    programs: PathBuf,
    env: Vec<(String, String)>,
    children: Vec<Child>,
    _dir: tempfile::TempDir,
}

impl Drop for Bench {
    fn drop(&mut self) {
        for child in &mut self.children {
            // One that has ended by itself needs no ending.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    let paas = bench.programs.join("paas");
    let heroku = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/tools/heroku/node_modules/.bin/heroku");
    bench.time(&paas, &["create", APP, "--no-remote"])?;
    println(&row(&[
        "command".into(),
        "`paas`".into(),
        "`heroku`".into(),
        "ratio".into(),
    ]));
    println("|---|---|---|---|");
    for command in COMMANDS {
        let ours = bench.median(&paas, command, PAAS_RUNS)?;
        let theirs = if heroku.exists() {
            Some(bench.median(&heroku, command, HEROKU_RUNS)?)
        } else {
            None
        };
        println(&row(&[
            format!("`{}`", command.join(" ")),
            millis(ours),
            theirs.map_or_else(|| "not installed".to_owned(), millis),
            theirs.map_or_else(String::new, |theirs| {
                format!("{:.0}", theirs.as_secs_f64() / ours.as_secs_f64())
            }),
        ]));
    }
    let cold = bench.cold(&paas)?;
    println(&format!(
        "\n`paas version` with the program not in memory: {} (budget: 20 ms).",
        millis(cold)
    ));
    let line = ["__complete", "bash", "paas ps -a st", ":"];
    let completed = bench.median(&paas, &line, PAAS_RUNS)?;
    println(&format!(
        "A Tab after `-a`, within the minute: {}.",
        millis(completed)
    ));
    Ok(())
}

impl Bench {
    async fn start() -> anyhow::Result<Self> {
        let programs = std::env::current_exe()?
            .parent()
            .context("a directory of programs")?
            .to_owned();
        let mut args = std::env::args().skip(1);
        let paasd = match (args.next().as_deref(), args.next()) {
            (Some("--paasd"), Some(path)) => PathBuf::from(path),
            (None, _) => programs.join("paasd"),
            _ => anyhow::bail!("usage: commands [--paasd PATH]"),
        };
        let dir = tempfile::tempdir()?;
        let config = dir.path().join("paasd.toml");
        let [controller, http, https, proxy] = free_addresses();
        fs_err::write(
            &config,
            format!(
                "domain = \"paas.localhost\"\ndata_dir = {:?}\nroles = [\"controller\", \"router\"]\nlog = \"warn\"\n\
                 [controller]\nlisten = \"{controller}\"\n[router]\nhttp = [\"{http}\"]\nhttps = [\"{https}\"]\n",
                dir.path().join("data")
            ),
        )?;
        let prepared = Command::new(&paasd)
            .args(["init", "--config"])
            .arg(&config)
            .output()
            .with_context(|| format!("could not run {}", paasd.display()))?;
        ensure!(prepared.status.success(), "paasd init failed: {prepared:?}");
        let account: Value = serde_json::from_slice(&prepared.stdout)?;
        let server = Command::new(&paasd)
            .args(["server", "--config"])
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut bench = Self {
            env: environment(&account, dir.path())?,
            programs,
            children: vec![server],
            _dir: dir,
        };
        let (paas, port) = (bench.programs.join("paas"), proxy.port().to_string());
        bench.answers(&paas, &["whoami"]).await;
        let forwarder = bench
            .command(&paas, &["heroku-proxy", "--port", &port])
            .spawn()?;
        bench.children.push(forwarder);
        let variables = bench
            .command(&paas, &["heroku-env", "--json", "--port", &port])
            .stdout(Stdio::piped())
            .output()?;
        let variables: BTreeMap<String, String> = serde_json::from_slice(&variables.stdout)?;
        bench.env.extend(variables);
        let listens = || async move { std::net::TcpStream::connect(proxy).ok() };
        eventually("the forwarder listens", Duration::from_secs(10), listens).await;
        Ok(bench)
    }

    async fn answers(&self, program: &Path, args: &[&str]) {
        let answers = || async { self.time(program, args).ok() };
        eventually("the platform answers", Duration::from_secs(60), answers).await;
    }

    fn command(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn time(&self, program: &Path, args: &[&str]) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let status = self.command(program, args).status()?;
        ensure!(status.success(), "{} {args:?}: {status}", program.display());
        Ok(began.elapsed())
    }

    /// The first run, which fills caches, does not count.
    fn median(&self, program: &Path, args: &[&str], runs: usize) -> anyhow::Result<Duration> {
        self.time(program, args)?;
        let times = (0..runs).map(|_| self.time(program, args));
        Ok(middle(times.collect::<anyhow::Result<_>>()?))
    }

    /// A copy that nobody runs is dropped from the page cache before each run; the libraries that everything uses are not.
    fn cold(&self, program: &Path) -> anyhow::Result<Duration> {
        let dir = tempfile::tempdir_in(&self.programs)?;
        let copy = dir.path().join("paas");
        fs_err::copy(program, &copy)?;
        // What is not on the disk yet cannot be dropped.
        let written = Command::new("sync").arg(&copy).status()?;
        ensure!(written.success(), "sync failed");
        let mut times = Vec::new();
        for _ in 0..HEROKU_RUNS {
            let mut input = std::ffi::OsString::from("if=");
            input.push(&copy);
            let dropped = Command::new("dd")
                .arg(input)
                .args(["of=/dev/null", "iflag=nocache", "count=0", "status=none"])
                .status()?;
            ensure!(dropped.success(), "dd could not drop {}", copy.display());
            times.push(self.time(&copy, &["version"])?);
        }
        Ok(middle(times))
    }
}

/// What leads `paas` to the platform.
fn environment(account: &Value, home: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let word = |name: &str| {
        let word = account[name].as_str().map(str::to_owned);
        word.with_context(|| format!("the first account has no {name}"))
    };
    let all = [
        ("HOME", home.to_string_lossy().into_owned()),
        ("PAAS_API_URL", word("api_url")?),
        ("PAAS_API_KEY", word("token")?),
        ("PAAS_CA_FILE", word("ca_file")?),
    ];
    Ok(all.map(|(name, value)| (name.to_owned(), value)).into())
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

fn row(cells: &[String]) -> String {
    format!("| {} |", cells.join(" | "))
}

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn println(text: &str) {
    println!("{text}");
}
