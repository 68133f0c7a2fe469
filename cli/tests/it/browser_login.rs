//! Logging in by way of a browser, which here is a script.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::json;

use super::harness::Cli;
use super::heroku::Heroku;
use super::platform::{EMAIL, Platform};
use super::run_pipes::eventually;
use super::run_terminal::Terminal;
use super::stub::Stub;

/// Opens the address, types the password, compares the code that the address ends with, and says yes or no.
const BROWSER: &str = r#"#!/bin/sh
jar=$0.jar
browse() { curl -sL -c "$jar" -b "$jar" "$@"; }
form() { sed -n 's/.*name="form" value="\([0-9a-f]*\)".*/\1/p' "$0.page"; }
place=$(browse -o "$0.page" -w '%{url_effective}' "${1%%#*}")
grep -q "${1##*#}" "$0.page" || exit 1
echo "$place" >"$0.place"
browse -o "$0.page" --data-urlencode "form=$(form)" --data-urlencode "email=$EMAIL" \
  --data-urlencode "password=$PASSWORD" "$place"
browse -o "$0.page" --data-urlencode "form=$(form)" --data-urlencode "decision=$DECISION" "$place/decision"
"#;

/// A program in place of a browser.
pub(super) fn script(cli: &Cli, text: &str) -> PathBuf {
    let path = cli.home.path().join("browser");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn browser(cli: &mut Cli, password: &str, decision: &str) -> PathBuf {
    cli.set("EMAIL", EMAIL);
    cli.set("PASSWORD", password);
    cli.set("DECISION", decision);
    script(cli, BROWSER)
}

#[test]
fn where_there_is_a_browser_login_asks_nothing_at_the_terminal() {
    let platform = Platform::start();
    let mut cli = platform.cli();
    let path = browser(&mut cli, &platform.password, "approve");
    cli.set("BROWSER", &path.to_string_lossy());
    let before = cli.paas(&["auth:token"]).stdout;
    let mut terminal = Terminal::start(&cli, &["login", "--no-git"]);
    assert_eq!(terminal.ends_with(), 0, "{}", terminal.screen());
    terminal.shows("Logged in as admin@example.com");
    let screen = terminal.screen();
    assert!(screen.contains("It shows the code "), "{screen}");
    let after = cli.paas(&["auth:token"]).stdout;
    assert_ne!(before, after);
    assert!(!screen.contains(after.trim()), "{screen}");
    let listed = cli.paas(&["authorizations"]).stdout;
    assert!(listed.contains("29 days left"), "{listed}");
}

/// Stays open until it is told to close, for a minute at most, and says so only if nothing else closed it.
const PATIENT: &str = r#"#!/bin/sh
echo >"$0.open"
for _ in $(seq 1200); do
  [ -e "$0.close" ] && echo >"$0.closed" && exit
  sleep 0.05
done
"#;

#[test]
fn a_browser_stays_open_when_the_login_is_given_up_and_its_terminal_is_gone() {
    let platform = Platform::start();
    let mut cli = platform.cli();
    let path = script(&cli, PATIENT);
    cli.set("BROWSER", &path.to_string_lossy());
    let mut terminal = Terminal::start(&cli, &["login", "--no-git"]);
    eventually(|| path.with_extension("open").exists());
    terminal.press(b"\x03");
    assert_ne!(terminal.ends_with(), 0, "{}", terminal.screen());
    drop(terminal);
    std::fs::write(path.with_extension("close"), "").unwrap();
    eventually(|| path.with_extension("closed").exists());
}

#[test]
fn a_browser_on_another_machine_does_as_well_and_may_say_no() {
    let platform = Platform::start();
    let mut cli = platform.cli();
    let path = browser(&mut cli, &platform.password, "refuse");
    // No browser here: somebody takes the address elsewhere.
    let mut terminal = Terminal::start(&cli, &["login", "--browser", "--no-git"]);
    terminal.shows("It shows the code ");
    let screen = terminal.screen();
    let url = screen.lines().find(|line| line.contains("/auth/browser/"));
    let opened = cli.command(path).arg(url.unwrap().trim()).status();
    assert!(opened.unwrap().success());
    assert_eq!(terminal.ends_with(), 1);
    terminal.shows("refused in the browser");
}

#[test]
fn at_a_platform_of_before_browsers_the_password_is_asked_for() {
    let stub = Stub::start();
    for _ in 0..2 {
        let error =
            json!({"id": "not_found", "message": "The requested API endpoint was not found."});
        stub.page("POST /auth", 404, &error.to_string());
    }
    let mut cli = Cli::logged_out(stub);
    cli.set("BROWSER", "true");
    let api = format!("http://{}", cli.stub.addr);
    let terminal = Terminal::start(&cli, &["login", "--api", &api, "--no-git"]);
    terminal.shows("Email: ");
    drop(terminal);
    let refused = cli.paas(&["login", "--api", &api, "--browser", "--no-git"]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("paas login -i"),
        "{}",
        refused.stderr
    );
    // A code is for the terminal.
    let terminal = Terminal::start(&cli, &["login", "--api", &api, "--code", "123456"]);
    terminal.shows("Email: ");
    assert_eq!(cli.stub.seen("POST /auth").len(), 2);
}

#[test]
fn the_official_heroku_cli_logs_in_with_a_browser_that_sees_the_platform_itself() {
    let mut heroku = Heroku::start();
    let password = heroku.platform.password.clone();
    let path = browser(&mut heroku.cli, &password, "approve");
    let script = format!(
        "unset HEROKU_API_KEY; heroku login --browser {} && heroku auth:whoami",
        path.display()
    );
    let args = ["heroku-proxy", "--", "sh", "-c", &script];
    let mut terminal = Terminal::start(&heroku.cli, &args);
    terminal.shows("Press any key");
    terminal.press(b"y");
    assert_eq!(terminal.ends_with(), 0, "{}", terminal.screen());
    terminal.shows("admin@example.com");
    let place = std::fs::read_to_string(path.with_extension("place")).unwrap();
    assert!(place.starts_with("http://api.paas.localhost:"), "{place}");
}
