//! What is shown in a browser, in one: Chromium, which holds the pages to their own policy.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::browser_login::script;
use super::harness::Cli;
use super::heroku::{Heroku, Provider, tools};
use super::platform::{EMAIL, Platform};
use super::run_pipes::eventually;
use super::run_terminal::Terminal;

fn driver() -> String {
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/browser/drive.mjs");
    driver.to_str().unwrap().to_owned()
}

/// Has `cli` open addresses in it, by somebody who knows this password and decides so. What he saw is in the file.
fn with_browser(cli: &mut Cli, password: &str, decision: &str) -> std::path::PathBuf {
    let seen = cli.home.path().join("seen");
    let modules = tools("puppeteer");
    let text = format!(
        "#!/bin/sh\nEMAIL={EMAIL} PASSWORD='{password}' DECISION={decision} MODULES='{}' exec node '{}' \"$1\" >'{}' 2>&1\n",
        modules.display(),
        driver(),
        seen.display()
    );
    let path = script(cli, &text);
    cli.set("BROWSER", &path.to_string_lossy());
    seen
}

fn seen(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What he says once he has seen the last page, which is a little after the terminal is logged in.
fn written(file: &Path) -> String {
    let text = || std::fs::read_to_string(file).unwrap_or_default();
    eventually(|| text().ends_with('\n'));
    text()
}

#[test]
fn a_terminal_is_logged_in_by_whoever_sits_at_a_browser() {
    let platform = Platform::start();
    let mut cli = platform.cli();
    let file = with_browser(&mut cli, &platform.password, "approve");
    let mut terminal = Terminal::start(&cli, &["login", "--no-git"]);
    assert_eq!(terminal.ends_with(), 0, "{}", terminal.screen());
    terminal.shows("Logged in as admin@example.com");
    let seen = seen(&written(&file));
    let text = seen["text"].as_str().unwrap();
    assert!(text.contains("The terminal is logged in"), "{seen}");
    assert_eq!(seen["complaints"], serde_json::json!([]));
    assert_eq!(seen["widest"], "416px", "the style is let in by the policy");
}

#[test]
fn a_browser_is_led_to_an_add_ons_dashboard_which_knows_who_it_is() {
    let heroku = Heroku::start();
    let _provider = Provider::start(&heroku);
    let paas = |args: &[&str]| {
        let outcome = heroku.cli.paas(args);
        assert_eq!(outcome.code, 0, "{args:?}: {}", outcome.stderr);
        outcome.stdout
    };
    paas(&["create", "shop", "--no-remote"]);
    paas(&[
        "addons:create",
        "sample-keys",
        "-a",
        "shop",
        "--name",
        "keys",
    ]);
    let url = paas(&["addons:open", "keys", "--show-url"]);
    let output = Command::new("node")
        .args([&driver(), url.trim()])
        .env("MODULES", tools("puppeteer"))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let seen = seen(&said);
    assert!(seen["at"].as_str().unwrap().ends_with("/sso"), "{seen}");
    let text = seen["text"].as_str().unwrap();
    assert!(text.contains(EMAIL) && text.contains("shop"), "{seen}");
    assert_eq!(seen["complaints"], serde_json::json!([]));
}
