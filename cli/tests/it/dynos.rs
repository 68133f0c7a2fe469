use serde_json::json;

use super::harness::Cli;
use super::shapes::{dyno, formation, log_session};

const DYNOS: &str = "GET /apps/myapp/dynos";
const SCALE: &str = "PATCH /apps/myapp/formation";

#[test]
fn dynos_are_listed_by_process_type() {
    let cli = Cli::new();
    cli.stub.on(
        DYNOS,
        json!([
            dyno("web.10", 3, "starting"),
            dyno("web.2", 2, "up"),
            dyno("run.4242", 9, "up"),
            dyno("worker.1", 4, "crashed")
        ]),
    );
    cli.paas(&["ps", "-a", "myapp"]).answers(
        "=== run: one-off processes (1)\n\n\
         run.4242 (Standard-1X): up 2026/11/22 13:24:10 +0000 (~ ago): run-run\n\n\
         === web (Standard-1X): run-web (2)\n\n\
         web.2: up 2026/11/22 13:24:10 +0000 (~ ago)\n\
         web.10: starting 2026/11/22 13:24:10 +0000 (~ ago)\n\n\
         === worker (Standard-1X): run-worker (1)\n\n\
         worker.1: crashed 2026/11/22 13:24:10 +0000 (~ ago)\n\n",
    );
    let only: serde_json::Value =
        serde_json::from_str(&cli.paas(&["ps", "worker", "-a", "myapp", "-j"]).stdout).unwrap();
    assert_eq!(only.as_array().unwrap().len(), 1);
}

#[test]
fn scaling_waits_until_as_many_are_up() {
    let cli = Cli::new();
    cli.stub
        .on(SCALE, json!([formation("web", 2), formation("worker", 0)]))
        .on(
            DYNOS,
            json!([dyno("web.1", 1, "up"), dyno("worker.1", 9, "up")]),
        )
        .on(
            DYNOS,
            json!([dyno("web.1", 1, "up"), dyno("web.2", 2, "starting")]),
        )
        .on(
            DYNOS,
            json!([dyno("web.1", 1, "up"), dyno("web.2", 2, "up")]),
        );
    cli.paas(&["scale", "web=2", "worker-1:Standard-2X", "-a", "myapp"])
        .says("Scaling dynos... done, now running web at 2:Standard-1X, worker at 0:Standard-1X\n");
    assert_eq!(
        cli.stub.seen(SCALE)[0].body,
        json!({ "updates": [
            { "type": "web", "quantity": 2 },
            { "type": "worker", "quantity": "-1", "size": "Standard-2X" },
        ]})
    );
    assert_eq!(cli.stub.seen(DYNOS).len(), 3);
}

#[test]
fn scaling_tells_what_runs_apart_from_what_has_no_code_yet() {
    let cli = Cli::new();
    let mut clock = formation("clock", 1);
    clock["command"] = json!("");
    cli.stub
        .on(SCALE, json!([formation("web", 1), clock]))
        .on(DYNOS, json!([dyno("web.1", 1, "up")]));
    cli.paas(&["ps:scale", "web=1", "clock=1", "-a", "myapp"])
        .says(
            "Scaling dynos... done, now running web at 1:Standard-1X; to run once there is code for it: clock at 1:Standard-1X\n",
        );
}

#[test]
fn scaling_stops_waiting_when_a_new_dyno_crashes() {
    let cli = Cli::new();
    cli.stub.on(SCALE, json!([formation("web", 2)])).on(
        DYNOS,
        json!([
            dyno("web.1", 1, "up"),
            dyno("web.2", 2, "crashed"),
            dyno("worker.1", 3, "crashed")
        ]),
    );
    cli.paas(&["ps:scale", "web=2", "-a", "myapp"]).fails(
        1,
        "Scaling dynos... !\n ▸    Error: Dyno web.2 of myapp crashed\n ▸    See why with `paas logs --dyno web.2`.\n",
    );
}

#[test]
fn the_formation_is_shown_when_nothing_is_to_change() {
    let cli = Cli::new();
    cli.stub.on(
        "GET /apps/myapp/formation",
        json!([formation("worker", 1), formation("web", 2)]),
    );
    cli.paas(&["ps:scale", "-a", "myapp"])
        .answers("web=2:Standard-1X worker=1:Standard-1X\n");
}

#[test]
fn a_change_that_makes_no_sense_asks_nothing_of_the_platform() {
    let cli = Cli::new();
    let outcome = cli.paas(&["ps:scale", "web", "-a", "myapp"]);
    assert_eq!(outcome.code, 2);
    assert!(
        outcome.stderr.contains("paas ps:scale web=3"),
        "{}",
        outcome.stderr
    );
    assert!(cli.stub.seen(SCALE).is_empty());
}

#[test]
fn restarting_waits_until_every_dyno_is_another() {
    let cli = Cli::new();
    cli.stub
        .on("DELETE /apps/myapp/dynos", json!({}))
        .on(
            DYNOS,
            json!([
                dyno("web.1", 1, "up"),
                dyno("worker.1", 2, "crashed"),
                dyno("run.7777", 7, "up")
            ]),
        )
        .on(
            DYNOS,
            json!([
                dyno("web.1", 1, "up"),
                dyno("web.1", 3, "starting"),
                dyno("worker.1", 4, "up")
            ]),
        )
        .on(
            DYNOS,
            json!([
                dyno("web.1", 3, "up"),
                dyno("worker.1", 4, "up"),
                dyno("run.7777", 7, "up")
            ]),
        );
    cli.paas(&["restart", "-a", "myapp"])
        .says("Restarting all dynos on ⬢ myapp... done\n");
    assert_eq!(cli.stub.seen(DYNOS).len(), 3);
}

#[test]
fn one_dyno_or_one_type_is_restarted_or_stopped() {
    let cli = Cli::new();
    cli.stub
        .on(DYNOS, json!([dyno("web.1", 1, "up")]))
        .on("DELETE /apps/myapp/dynos/web.1", json!({}))
        .on("DELETE /apps/myapp/formations/web", json!({}))
        .on("POST /apps/myapp/dynos/run.7777/actions/stop", json!({}))
        .on("POST /apps/myapp/formations/worker/actions/stop", json!({}));
    let paas = |args: &[&str]| cli.paas(&[args, &["-a", "myapp"]].concat());
    paas(&["restart", "web.1", "--no-wait"]).says("Restarting dyno web.1 on ⬢ myapp... done\n");
    paas(&["ps:restart", "-p", "web", "--no-wait"])
        .says("Restarting all web dynos on ⬢ myapp... done\n");
    paas(&["ps:stop", "run.7777"]).says("Stopping dyno run.7777 on ⬢ myapp... done\n");
    paas(&["ps:stop", "worker"]).says("Stopping all worker dynos on ⬢ myapp... done\n");
    paas(&["restart", "web.9"]).fails(
        1,
        "Restarting dyno web.9 on ⬢ myapp... !\n ▸    Error: myapp has no dyno web.9\n ▸    See what runs with `paas ps`.\n",
    );
}

#[test]
fn log_lines_are_printed_as_they_come_and_filters_are_passed_on() {
    let cli = Cli::new();
    let url = format!("http://{}/logs/secret", cli.stub.addr);
    let lines = "retry: 10\n\nid: 1\ndata: 2026-11-22T13:24:10.000000+00:00 app[web.1]: hello\n\n:\n\n\
                 id: 2\ndata: 2026-11-22T13:24:11.000000+00:00 heroku[router]: at=info\n\n";
    cli.stub
        .on("POST /apps/myapp/log-sessions", log_session(&url))
        .answer("GET /logs/secret", 200, lines.to_owned());
    cli.paas(&["logs", "-n", "50", "--dyno", "web.1", "-s", "app", "-a", "myapp"]).answers(
        "2026-11-22T13:24:10.000000+00:00 app[web.1]: hello\n2026-11-22T13:24:11.000000+00:00 heroku[router]: at=info\n",
    );
    assert_eq!(
        cli.stub.seen("POST /apps/myapp/log-sessions")[0].body,
        json!({ "dyno": "web.1", "source": "app", "lines": 50, "tail": false })
    );
    assert_eq!(cli.stub.seen("GET /logs/secret")[0].authorization, "");
}

#[test]
fn a_detached_dyno_is_named_and_how_to_see_its_output() {
    let cli = Cli::new();
    cli.stub
        .on("POST /apps/myapp/dynos", dyno("run.7777", 7, "starting"));
    cli.paas(&[
        "run:detached",
        "-e",
        "A=1",
        "--size",
        "Standard-2X",
        "-a",
        "myapp",
        "rake",
        "db:seed",
        "two words",
    ])
    .says(
        "Running rake db:seed two words on ⬢ myapp... done, run.7777\n \
         ▸    See what it prints with: paas logs --app myapp --dyno run.7777\n",
    );
    assert_eq!(
        cli.stub.seen("POST /apps/myapp/dynos")[0].body,
        json!({ "command": "rake db:seed 'two words'", "env": { "A": "1" }, "size": "Standard-2X" })
    );
}

#[test]
fn where_there_are_no_dynos_the_next_step_fits_the_app() {
    let said = |formation: serde_json::Value, args: &[&str]| {
        let cli = Cli::new();
        cli.stub
            .on(DYNOS, json!([]))
            .on("GET /apps/myapp/formation", formation);
        let outcome = cli.paas(&[&["ps", "-a", "myapp"], args].concat());
        assert_eq!(outcome.code, 0);
        outcome.stderr
    };
    for (formation, args, next) in [
        (
            json!([]),
            &[][..],
            "Deploy it first: process types come with `git push paas main`.",
        ),
        (
            json!([formation("clock", 0), formation("web", 0)]),
            &[],
            "Start one with `paas ps:scale web=1`.",
        ),
        (
            json!([formation("release", 0), formation("worker", 0)]),
            &[],
            "Start one with `paas ps:scale worker=1`.",
        ),
        (
            json!([formation("web", 1), formation("worker", 0)]),
            &["worker"],
            "Start one with `paas ps:scale worker=1`.",
        ),
        (
            json!([formation("web", 2)]),
            &[],
            "It should run web=2; see with `paas logs` what keeps it from that.",
        ),
        (
            json!([formation("worker", 1), formation("web", 1)]),
            &["clock"],
            "Its process types are: web, worker.",
        ),
    ] {
        assert_eq!(
            said(formation, args),
            format!("No dynos on ⬢ myapp. {next}\n")
        );
    }
}

#[test]
fn more_log_lines_than_there_are_to_see_are_not_an_error() {
    let cli = Cli::new();
    let url = format!("http://{}/logs/secret", cli.stub.addr);
    cli.stub
        .on("POST /apps/myapp/log-sessions", log_session(&url))
        .answer("GET /logs/secret", 200, String::new());
    for lines in ["5000", "100000"] {
        cli.paas(&["logs", "-n", lines, "-a", "myapp"])
            .answers("")
            .says(" ▸    Showing 1500 lines, which is the most there are to see.\n");
    }
    let asked = cli.stub.seen("POST /apps/myapp/log-sessions");
    assert_eq!(asked[0].body["lines"], 1500);
}
