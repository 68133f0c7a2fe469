use serde_json::json;

use super::harness::Cli;
use super::shapes::{build, current, release};

const RELEASES: &str = "GET /apps/myapp/releases";

fn cli() -> Cli {
    let cli = Cli::new();
    cli.stub.on(
        RELEASES,
        json!([
            release(5, "failed", "Set A config vars"),
            current(release(4, "succeeded", "Deploy 4444dddd")),
            release(3, "failed", "Deploy 3333cccc"),
            release(2, "succeeded", "Deploy 2222bbbb"),
        ]),
    );
    cli
}

#[test]
fn releases_are_listed_newest_first_with_what_became_of_them() {
    let cli = cli();
    cli.paas(&["releases", "-a", "myapp"]).answers(
        "=== myapp Releases - Current: v4\n\n\
         v5  Set A config vars failed  me@example.com  2026/11/22 13:24:10 +0000 (~ ago)\n\
         v4  Deploy 4444dddd           me@example.com  2026/11/22 13:24:10 +0000 (~ ago)\n\
         v3  Deploy 3333cccc failed    me@example.com  2026/11/22 13:24:10 +0000 (~ ago)\n\
         v2  Deploy 2222bbbb           me@example.com  2026/11/22 13:24:10 +0000 (~ ago)\n",
    );
    assert_eq!(
        cli.stub.seen(RELEASES)[0].range,
        "version ..; max=15, order=desc"
    );
}

#[test]
fn a_failed_release_tells_its_reason() {
    let cli = cli();
    cli.stub
        .on(
            "GET /apps/myapp/releases/5",
            release(5, "failed", "Set A config vars"),
        )
        .on(
            "GET /apps/myapp/releases/v5/failure",
            json!({ "reason": "Error R10 (Boot timeout)", "log_tail": ["waiting"] }),
        )
        .on(
            "GET /apps/myapp/releases/v5/config-vars",
            json!({ "A": "1" }),
        );
    cli.paas(&["releases:info", "5", "-a", "myapp"]).answers(
        "=== Release v5\n\n\
         By:      me@example.com\n\
         Change:  Set A config vars\n\
         Status:  failed\n\
         Reason:  Error R10 (Boot timeout)\n\
         When:    2026/11/22 13:24:10 +0000 (~ ago)\n\n\
         === v5 Last log lines\n\nwaiting\n\n\
         === v5 Config vars\n\nA:  1\n",
    );
}

#[test]
fn rolling_back_goes_to_the_last_release_that_served_before() {
    let cli = cli();
    cli.stub
        .on(
            "POST /apps/myapp/releases",
            release(6, "pending", "Rollback to v2"),
        )
        .on(
            "GET /apps/myapp/releases/v6",
            release(6, "succeeded", "Rollback to v2"),
        );
    cli.paas(&["rollback", "-a", "myapp"]).says(
        "Rolling back ⬢ myapp to v2... done, v6\n \
         ▸    Rollback affects code and config vars; it does not add or remove add-ons.\n \
         ▸    To undo, run: paas rollback v4\n",
    );
    let wanted = release(2, "succeeded", "")["id"].clone();
    assert_eq!(
        cli.stub.seen("POST /apps/myapp/releases")[0].body,
        json!({ "release": wanted })
    );
}

#[test]
fn an_app_that_has_served_only_one_release_cannot_go_back() {
    let cli = Cli::new();
    cli.stub.on(
        RELEASES,
        json!([current(release(1, "succeeded", "Initial release"))]),
    );
    cli.paas(&["rollback", "-a", "myapp"]).fails(
        1,
        " ▸    Error: myapp has no earlier release to roll back to\n ▸    See its releases with `paas releases`.\n",
    );
}

#[test]
fn builds_are_listed_and_their_output_is_shown() {
    let cli = Cli::new();
    let url = format!("http://{}/logs/build", cli.stub.addr);
    cli.stub
        .on(
            "GET /apps/myapp/builds",
            json!([build(1, "failed", "x"), build(2, "succeeded", &url)]),
        )
        .answer(
            "GET /logs/build",
            200,
            "-----> Python app detected\n".to_owned(),
        );
    let listed = cli.paas(&["builds", "-a", "myapp"]).stdout;
    let second = listed.lines().nth(2).unwrap();
    assert!(
        second.ends_with("succeeded  01234567  me@example.com  2026/11/22 13:24:02 +0000 (~ ago)"),
        "{listed}"
    );
    cli.paas(&["builds:output", "-a", "myapp"])
        .answers("-----> Python app detected\n");
}
