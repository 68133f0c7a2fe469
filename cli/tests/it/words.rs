use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use serde_json::json;

use super::harness::{Cli, program};
use super::shapes::{app, release};

#[test]
fn a_slip_is_met_with_what_was_meant() {
    let cli = Cli::new();
    cli.paas(&["confg:set", "A=1"]).fails(
        2,
        " ▸    Error: confg:set is not a paas command\n \
         ▸    Did you mean `paas config:set`? All commands: `paas help`.\n",
    );
    let outcome = cli.paas(&["maintenance", "on"]);
    assert_eq!(outcome.code, 2);
    assert!(
        outcome
            .stderr
            .contains("Did you mean `paas maintenance:on`?"),
        "{}",
        outcome.stderr
    );
    let outcome = cli.paas(&["ps", "--nosuch"]);
    assert_eq!(outcome.code, 2);
    assert!(
        outcome
            .stderr
            .starts_with(" ▸    Error: unexpected argument '--nosuch' found\n"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_verb_of_someone_elses_is_run_from_the_path() {
    let mut cli = Cli::new();
    let plugin = cli.dir.path().join("paas-greet");
    std::fs::write(&plugin, "#!/bin/sh\necho \"hello $1\"\nexit 5\n").unwrap();
    std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!(
        "{}:{}",
        cli.dir.path().display(),
        std::env::var("PATH").unwrap()
    );
    cli.set("PATH", &path);
    let outcome = cli.paas(&["greet", "--world"]);
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (5, "hello --world\n")
    );
}

#[test]
fn help_lists_everything_and_explains_each() {
    let cli = Cli::new();
    let all = cli.paas(&["help"]).stdout;
    assert_eq!(all, cli.paas(&[]).stdout);
    assert_eq!(all, cli.paas(&["--help"]).stdout);
    assert!(
        all.contains("  ps:scale      Show or set how many dynos"),
        "{all}"
    );
    let topic = cli.paas(&["help", "config"]).stdout;
    assert!(
        topic.contains("Usage: paas config [OPTIONS]")
            && topic.contains("  config:set    Set config vars"),
        "{topic}"
    );
    let verb = cli.paas(&["create", "--help"]).stdout;
    assert!(
        verb.contains("$ paas create myapp-staging --remote staging"),
        "{verb}"
    );
    assert_eq!(cli.paas(&["help", "nosuch"]).code, 2);
    assert!(cli.paas(&["--version"]).stdout.starts_with("paas "));
    assert!(cli.paas(&["version"]).stdout.starts_with("paas/"));
}

#[test]
fn errors_are_plain_and_say_what_to_do() {
    let cli = Cli::new();
    cli.stub.refuse(
        "GET /apps/nosuch/config-vars",
        404,
        "not_found",
        "Couldn't find that app.",
    );
    cli.paas(&["config", "-a", "nosuch"]).fails(
        1,
        " ▸    Error: Couldn't find that app.\n ▸    List the apps you may see with `paas apps --all`.\n",
    );
    cli.stub.refuse(
        "GET /apps/odd/config-vars",
        500,
        "internal",
        "Something went wrong.",
    );
    let outcome = cli.paas(&["config", "-a", "odd"]);
    assert!(outcome.stderr.contains("Try again"), "{}", outcome.stderr);
}

#[test]
fn a_platform_that_is_not_there_is_said_in_one_line() {
    let mut cli = Cli::new();
    cli.set("PAAS_API_URL", "http://127.0.0.1:1");
    cli.paas(&["apps"]).fails(
        1,
        " ▸    Error: Could not reach the platform at http://127.0.0.1:1: Connection refused (os error 111)\n \
         ▸    Is the platform up, and is this its address? Another is set with `paas login --api URL`.\n",
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let cli = Cli::new();
    let many: Vec<_> = (1..1000)
        .map(|version| release(version, "succeeded", &"x".repeat(200)))
        .collect();
    cli.stub.on("GET /apps/myapp/releases", json!(many));
    let mut child = cli
        .command(program())
        .args(["releases", "-n", "999", "-a", "myapp"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success());
}

#[test]
fn tokens_are_never_shown_where_nobody_asked_for_them() {
    let cli = Cli::new();
    cli.stub
        .on("GET /apps/myapp", app("myapp"))
        .on("GET /apps/myapp/dynos", json!([]))
        .on("GET /apps/myapp/collaborators", json!([]));
    for args in [
        vec!["info", "-a", "myapp"],
        vec!["apps"],
        vec!["ps", "-a", "nosuch"],
        vec!["help"],
        vec!["login", "--help"],
    ] {
        let outcome = cli.paas(&args);
        assert!(
            !format!("{outcome:?}").contains(super::stub::TOKEN),
            "{args:?}"
        );
    }
}

#[test]
fn what_the_platform_says_is_printed_as_it_was_said() {
    let cli = Cli::new();
    let message = "www.example.com is added to this app already.";
    cli.stub
        .refuse("POST /apps/myapp/domains", 422, "invalid_params", message);
    let outcome = cli.paas(&["domains:add", "www.example.com", "-a", "myapp"]);
    assert!(
        outcome.stderr.contains(&format!("Error: {message}\n")),
        "{}",
        outcome.stderr
    );
}
