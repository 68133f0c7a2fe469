use serde_json::json;

use super::harness::Cli;
use super::shapes::{current, dyno, release};

const VARS: &str = "GET /apps/myapp/config-vars";
const SET: &str = "PATCH /apps/myapp/config-vars";
const RELEASES: &str = "GET /apps/myapp/releases";

#[test]
fn config_vars_are_shown_in_three_ways() {
    let cli = Cli::new();
    cli.stub
        .on(VARS, json!({ "A": "1", "LONGER": "it's two words" }));
    cli.paas(&["config", "-a", "myapp"])
        .answers("=== myapp Config Vars\n\nA:       1\nLONGER:  it's two words\n");
    cli.paas(&["config", "-a", "myapp", "-s"])
        .answers("A=1\nLONGER='it'\\''s two words'\n");
    let vars: serde_json::Value =
        serde_json::from_str(&cli.paas(&["config", "-a", "myapp", "-j"]).stdout).unwrap();
    assert_eq!(vars["LONGER"], "it's two words");
}

#[test]
fn one_config_var_is_printed_bare_and_a_missing_one_as_an_empty_line() {
    let cli = Cli::new();
    cli.stub.on(VARS, json!({ "A": "1" }));
    cli.paas(&["config:get", "A", "-a", "myapp"]).answers("1\n");
    cli.paas(&["config:get", "B", "-a", "myapp"]).answers("\n");
}

#[test]
fn setting_follows_the_release_until_it_serves() {
    let cli = Cli::new();
    cli.stub
        .on(
            RELEASES,
            json!([current(release(3, "succeeded", "Deploy 0123abcd"))]),
        )
        .on(
            RELEASES,
            json!([release(4, "pending", "Set A, B config vars")]),
        )
        .on(SET, json!({ "A": "1", "B": "", "OLD": "x" }))
        .on(
            "GET /apps/myapp/releases/v4",
            release(4, "pending", "Set A, B config vars"),
        )
        .on(
            "GET /apps/myapp/releases/v4",
            release(4, "succeeded", "Set A, B config vars"),
        )
        .on(
            "GET /apps/myapp/dynos",
            json!([dyno("web.1", 1, "starting")]),
        );
    cli.paas(&["config:set", "A=1", "B=", "-a", "myapp"])
        .answers("A:  1\nB:\n")
        .says("Setting A, B and restarting ⬢ myapp... done, v4\n");
    assert_eq!(cli.stub.seen(SET)[0].body, json!({ "A": "1", "B": "" }));
    assert_eq!(cli.stub.seen("GET /apps/myapp/releases/v4").len(), 2);
    assert_eq!(
        cli.stub.seen(RELEASES)[0].range,
        "version ..; max=1, order=desc"
    );
}

#[test]
fn a_release_that_fails_says_why_and_that_the_old_one_serves() {
    let cli = Cli::new();
    cli.stub
        .on(
            RELEASES,
            json!([current(release(3, "succeeded", "Deploy"))]),
        )
        .on(
            RELEASES,
            json!([release(4, "pending", "Set A config vars")]),
        )
        .on(SET, json!({ "A": "1" }))
        .on(
            "GET /apps/myapp/releases/v4",
            release(4, "failed", "Set A config vars"),
        )
        .on(
            "GET /apps/myapp/releases/v4/failure",
            json!({ "reason": "web.1 exited with status 1", "log_tail": ["boom", "at line 3"] }),
        );
    cli.paas(&["config:set", "A=1", "-a", "myapp"]).fails(
        1,
        "Setting A and restarting ⬢ myapp... !\n \
         ▸    The last lines of its log:\n ▸      boom\n ▸      at line 3\n \
         ▸    Error: Release v4 of myapp failed: web.1 exited with status 1\n \
         ▸    The release before it keeps serving. Read more with `paas logs`.\n",
    );
}

#[test]
fn who_does_not_want_to_wait_does_not() {
    let cli = Cli::new();
    cli.stub
        .on(
            RELEASES,
            json!([current(release(3, "succeeded", "Deploy"))]),
        )
        .on(
            RELEASES,
            json!([release(4, "pending", "Remove A config vars")]),
        )
        .on(SET, json!({}));
    cli.paas(&["config:unset", "A", "--no-wait", "-a", "myapp"])
        .says("Unsetting A and restarting ⬢ myapp... v4 is on its way\n");
    assert_eq!(cli.stub.seen(SET)[0].body, json!({ "A": null }));
}

#[test]
fn a_value_that_was_so_already_makes_no_release() {
    let cli = Cli::new();
    cli.stub
        .on(
            RELEASES,
            json!([current(release(3, "succeeded", "Deploy"))]),
        )
        .on(SET, json!({ "A": "1" }));
    cli.paas(&["config:set", "A=1", "-a", "myapp"])
        .says("Setting A and restarting ⬢ myapp... nothing changed\n");
}

#[test]
fn a_torn_value_is_refused_without_repeating_it() {
    let cli = Cli::new();
    let outcome = cli.paas(&["config:set", "A=first", "hunter2", "-a", "myapp"]);
    assert_eq!(outcome.code, 2);
    assert!(!outcome.stderr.contains("hunter2"), "{}", outcome.stderr);
    assert_eq!(
        cli.paas(&["config:unset", "A=hunter2", "-a", "myapp"]).code,
        2
    );
    assert!(cli.stub.seen(SET).is_empty());
}
