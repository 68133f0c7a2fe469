//! The official heroku CLI, unmodified, against the real controller.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use super::harness::{Cli, Outcome};
use super::platform::Platform;

#[path = "../../../tests/heroku/table.rs"]
mod table;

use table::Table;

/// Where `tests/run` installs a client.
pub(crate) fn tools(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/tools")
        .join(name);
    assert!(dir.exists(), "{name} is missing: tests/run installs it");
    dir
}

/// The heroku CLI of today, and a Node.js that is new enough for it.
fn programs() -> PathBuf {
    tools("heroku").join("node_modules/.bin")
}

pub(crate) struct Heroku {
    pub(crate) cli: Cli,
    pub(crate) platform: Platform,
}

impl Heroku {
    pub(crate) fn start() -> Self {
        Self::with(&programs())
    }

    /// With the programs in `dir` before all others.
    fn with(dir: &Path) -> Self {
        let platform = Platform::start();
        let mut cli = platform.cli();
        let path = std::env::var("PATH").unwrap();
        cli.set(
            "PATH",
            &format!("{}:{}:{path}", dir.display(), programs().display()),
        );
        Self { cli, platform }
    }

    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        let mut all = vec!["heroku-proxy", "--", "heroku"];
        all.extend(args);
        self.cli.paas(&all)
    }
}

#[test]
fn the_environment_for_the_heroku_cli_leads_nowhere_but_here() {
    let platform = Platform::start();
    let cli = platform.cli();
    let exports = cli.paas(&["heroku-env", "--port", "5999"]).stdout;
    assert!(
        exports.contains("export HEROKU_HOST=http://127.0.0.1:5999\n")
            && exports.contains("export DISABLE_TELEMETRY=true\n")
            && exports.contains("export HEROKU_API_KEY=\"$(paas auth:token)\"\n"),
        "{exports}"
    );
    assert!(!exports.contains("HEROKU_APP") && !exports.contains("HEROKU_TEAM"));
    let mut meant = cli.command(super::harness::program());
    meant.args(["heroku-env"]);
    meant.envs([("PAAS_APP", "shop"), ("PAAS_TEAM", "acme")]);
    let meant = String::from_utf8(meant.output().unwrap().stdout).unwrap();
    assert!(
        meant.contains("export HEROKU_APP=shop\n") && meant.contains("export HEROKU_TEAM=acme\n"),
        "{meant}"
    );
    // The token is not among what may end in a file.
    let token = cli.paas(&["auth:token"]).stdout;
    assert!(token.starts_with("paas_") && !exports.contains(token.trim()));
    let json = cli.paas(&["heroku-env", "--json"]).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["HEROKU_API_KEY"], token.trim());
    for (name, value) in json.as_object().unwrap() {
        assert!(!value.as_str().unwrap().contains("heroku.com"), "{name}");
    }
    let outside = Cli::logged_out(super::stub::Stub::start());
    assert_eq!(outside.paas(&["heroku-env"]).code, 1);
}

#[test]
fn the_forwarder_passes_on_what_it_is_given_and_nothing_of_its_own() {
    let platform = Platform::start();
    let cli = platform.cli();
    let curl = |rest: &str| {
        let script =
            format!("curl -s -o /dev/null -w '%{{http_code}}' {rest} $HEROKU_HOST/account");
        cli.paas(&["heroku-proxy", "--", "sh", "-c", &script])
            .stdout
    };
    assert_eq!(curl("-H \"Authorization: Bearer $HEROKU_API_KEY\""), "200");
    assert_eq!(curl("-u \":$HEROKU_API_KEY\""), "200");
    assert_eq!(curl(""), "401");
    // A page somewhere whose name was made to lead to this machine.
    assert_eq!(curl("-H 'Host: evil.example.com'"), "421");
    let ended = cli.paas(&["heroku-proxy", "--", "sh", "-c", "exit 7"]);
    assert_eq!(ended.code, 7);
    let killed = cli.paas(&["heroku-proxy", "--", "sh", "-c", "kill -TERM $$"]);
    assert_eq!(killed.code, 128 + 15);
    // Called once more with its own environment, it adds nothing, and what git knows is still known.
    std::fs::write(cli.home.path().join(".gitconfig"), "[user]\n\tname = Ann\n").unwrap();
    let program = super::harness::program();
    let script = format!(
        "git config --global my.key kept && {} heroku-proxy -- git config --global --includes --list",
        program
    );
    let listed = cli
        .paas(&["heroku-proxy", "--", "sh", "-c", &script])
        .stdout;
    assert!(
        listed.contains("user.name=Ann\n") && listed.contains("my.key=kept\n"),
        "{listed}"
    );
    let missing = cli.paas(&["heroku-proxy", "--", "no-such-program"]);
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains("could not run no-such-program"));
}

#[test]
fn the_official_heroku_cli_does_what_it_does_at_home() {
    hold("everyday");
}

#[test]
fn the_official_heroku_cli_knows_its_pipelines() {
    hold("pipelines");
}

#[test]
fn the_official_heroku_cli_has_its_way_with_webhooks() {
    hold("webhooks");
}

#[test]
fn the_official_heroku_cli_works_with_teams() {
    hold("teams");
}

#[test]
fn the_official_heroku_cli_has_add_ons() {
    hold("addons");
}

/// The one of the samples, until this is dropped.
pub(crate) struct Provider(std::process::Child);

impl Provider {
    fn program() -> std::process::Command {
        let path = "../samples/addon-provider/provider.py";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let mut command = std::process::Command::new("python3");
        command.arg(path);
        command
    }

    /// Known to the platform.
    pub(crate) fn start(heroku: &Heroku) -> Self {
        let mut child = Self::program()
            .env("PAAS_API", heroku.platform.address())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = said.next().unwrap().unwrap();
        let provider = Self(child);
        let manifest = Self::program().args(["--manifest", &url]).output();
        let manifest = manifest.unwrap().stdout;
        let add = ["addon-services:add", "-"];
        let added = heroku.cli.paas_with_stdin(&add, &manifest);
        assert_eq!(added.code, 0, "{}", added.stderr);
        provider
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_official_heroku_cli_brings_keys_certificates_and_people() {
    hold("files");
}

#[test]
fn the_official_heroku_cli_of_years_ago_does_too() {
    let tools = tools("heroku-8.11.5");
    hold_of(&tools.join("node_modules/.bin"), "older");
}

#[test]
fn the_official_client_for_node_finds_what_it_knows() {
    let modules = tools("heroku-client");
    let driver = table::dir().join("heroku-client-driver.mjs");
    evaluate(
        &["node", driver.to_str().unwrap()],
        Some(("MODULES", &modules)),
        "heroku-client",
    );
}

#[test]
fn the_official_api_is_what_a_python_client_finds() {
    let modules = tools("heroku3");
    let driver = table::dir().join("heroku3-driver.py");
    evaluate(
        &["python3", driver.to_str().unwrap()],
        Some(("PYTHONPATH", &modules)),
        "heroku3",
    );
}

#[test]
fn the_official_api_is_what_a_client_in_rust_finds() {
    let driver = tools("heroku_rs").join("debug/heroku_rs-driver");
    evaluate(&[driver.to_str().unwrap()], None, "heroku_rs");
}

/// `PAAS_WRITE_PAGE=1` writes it.
#[test]
fn the_page_of_heroku_clients_tells_of_all_that_is_tried() {
    const BEGIN: &str =
        "<!-- From tests/heroku, by a test that can write it anew: PAAS_WRITE_PAGE=1 -->\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/HEROKU-COMPAT.md");
    let written = std::fs::read_to_string(&path).unwrap();
    let (by_hand, from_tables) = written.split_once(BEGIN).expect("the mark is there");
    if std::env::var_os("PAAS_WRITE_PAGE").is_some() {
        std::fs::write(&path, [by_hand, BEGIN, &page()].concat()).unwrap();
    } else {
        assert!(from_tables == page(), "set PAAS_WRITE_PAGE=1 to write it");
    }
}

/// All of them, as docs/HEROKU-COMPAT.md has them.
fn page() -> String {
    let entries = std::fs::read_dir(table::dir()).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".toml").map(str::to_owned))
        .collect();
    names.sort_unstable();
    let mut tables: Vec<Table> = names.iter().map(|name| Table::named(name)).collect();
    tables.sort_by_key(|table| table.client.clone());
    let all: usize = tables.iter().map(|table| table.runs.len()).sum();
    let mut counts = BTreeMap::new();
    for table in &tables {
        *counts.entry(&table.client).or_insert(0) += table.runs.len();
    }
    let counts: Vec<String> = counts
        .into_iter()
        .map(|(client, count)| format!("{count} by {client}"))
        .collect();
    let mut page = format!("{all} things are asked: {}.\n", counts.join(", "));
    for table in &tables {
        let Table {
            title,
            client,
            runs,
            ..
        } = table;
        write!(page, "\n**{title}** ({client})\n\n```text\n").unwrap();
        for run in runs {
            let status = match run.exit {
                0 => String::new(),
                exit => format!("   # exits with {exit}"),
            };
            writeln!(page, "{}{status}", run.command).unwrap();
        }
        page.push_str("```\n");
    }
    page
}

fn hold(name: &str) {
    hold_of(&programs(), name);
}

/// By the programs in `dir`.
fn hold_of(dir: &Path, name: &str) {
    let heroku = Heroku::with(dir);
    let _provider = Provider::start(&heroku);
    let table = Table::named(name);
    for script in &table.before {
        let mut shell = heroku.cli.command("sh");
        shell.args(["-c", script]);
        shell.env("PAAS", super::harness::program());
        assert!(shell.status().unwrap().success(), "{script}");
    }
    let mut progress = table.begin(&[]);
    while let Some(command) = progress.next() {
        let words = shell_words::split(&command).unwrap();
        let outcome = heroku.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
        progress.heard(
            outcome.code,
            &format!("{}{}", outcome.stdout, outcome.stderr),
        );
    }
    progress.all_passed();
}

/// What a driver says to a line.
#[derive(Debug, serde::Deserialize)]
struct Said {
    exit: i32,
    said: String,
}

/// By a library, whose `driver` evaluates a table's lines one by one.
fn evaluate(driver: &[&str], modules: Option<(&str, &Path)>, table: &str) {
    let heroku = Heroku::start();
    let _provider = Provider::start(&heroku);
    let mut child = heroku
        .cli
        .command(super::harness::program())
        .args(["heroku-proxy", "--"])
        .args(driver)
        .envs(modules)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ask = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut progress = Table::named(table).begin(&[]);
    while let Some(command) = progress.next() {
        std::io::Write::write_all(&mut ask, format!("{command}\n").as_bytes()).unwrap();
        let answer = answers.next().expect("the driver goes on").unwrap();
        let Said { exit, said } = serde_json::from_str(&answer).unwrap();
        progress.heard(exit, &said);
    }
    drop(ask);
    assert!(child.wait().unwrap().success());
    progress.all_passed();
}
