//! What was meant, where a name is not known.

use serde_json::json;

use super::harness::Cli;
use super::shapes::{app, dyno, formation};

#[test]
fn the_app_that_was_meant_is_named() {
    let cli = Cli::new();
    cli.stub
        .on("GET /users/~/apps", json!([app("shop"), app("blog")]));
    let missing = "Couldn't find that app.";
    for call in ["GET /apps/shpo/config-vars", "GET /apps/shpo"] {
        cli.stub.refuse(call, 404, "not_found", missing);
    }
    let said = format!(
        " ▸    Error: {missing}\n ▸    Did you mean shop? All of them: `paas apps --all`.\n"
    );
    cli.paas(&["config", "-a", "shpo"]).fails(1, &said);
    cli.paas(&["info", "shpo"]).fails(1, &said);
    cli.stub
        .refuse("GET /apps/frobnicate", 404, "not_found", missing);
    let outcome = cli.paas(&["info", "frobnicate"]);
    assert!(!outcome.stderr.contains("mean"), "{}", outcome.stderr);
}

#[test]
fn the_process_type_or_dyno_that_was_meant_is_named() {
    let cli = Cli::new();
    let missing = "Couldn't find that process type (wrker). This app has: web, worker.";
    cli.stub
        .refuse("PATCH /apps/shop/formation", 404, "not_found", missing)
        .on(
            "GET /apps/shop/formation",
            json!([formation("web", 1), formation("worker", 1)]),
        )
        .on(
            "GET /apps/shop/dynos",
            json!([dyno("web.1", 1, "up"), dyno("worker.1", 2, "up")]),
        );
    let outcome = cli.paas(&["ps:scale", "web=1", "wrker=2", "-a", "shop"]);
    assert_eq!(outcome.code, 1);
    assert!(
        outcome
            .stderr
            .ends_with(&format!("Error: {missing}\n ▸    Did you mean worker?\n")),
        "{}",
        outcome.stderr
    );
    for (typed, meant) in [("wroker", "worker"), ("wbe.1", "web.1")] {
        let outcome = cli.paas(&["restart", typed, "-a", "shop"]);
        assert!(
            outcome.stderr.contains(&format!("Did you mean {meant}?")),
            "{}",
            outcome.stderr
        );
    }
}

#[test]
fn the_option_that_was_meant_is_named() {
    let outcome = Cli::new().paas(&["ps", "--jsn"]);
    assert_eq!(outcome.code, 2);
    assert!(outcome.stderr.contains("'--json'"), "{}", outcome.stderr);
}

#[test]
fn colour_is_for_terminals_and_for_those_who_insist() {
    let mut cli = Cli::new();
    cli.stub
        .on("GET /apps/shop/dynos", json!([dyno("web.1", 1, "up")]));
    let coloured = |cli: &Cli| cli.paas(&["ps", "-a", "shop"]).stdout.contains("\x1b[");
    assert!(!coloured(&cli), "a pipe");
    cli.set("CLICOLOR_FORCE", "1");
    assert!(coloured(&cli), "a pipe, but it is insisted on");
    let json = cli.paas(&["ps", "-a", "shop", "--json"]).stdout;
    assert!(!json.contains("\x1b["), "JSON never is");
    cli.set("NO_COLOR", "1");
    assert!(!coloured(&cli), "who wants none gets none");
}
