use serde_json::{Value, json};

use super::harness::Cli;
use super::shapes::{dyno, formation, log_session};

const SHOW: &str = "GET /apps/myapp/placement";
const UPDATE: &str = "PATCH /apps/myapp/placement";
const DYNOS: &str = "GET /apps/myapp/dynos";

fn placement(misplaced: u32) -> Value {
    json!({
        "misplaced": misplaced,
        "tags": {"disk": "ssd"},
        "types": {"worker": {"one_per_node": true, "tags": {"gpu": "yes"}}},
    })
}

#[test]
fn tags_are_shown_set_and_unset() {
    let cli = Cli::new();
    cli.stub.on(SHOW, placement(0)).on(UPDATE, placement(0));
    let shown = "disk=ssd\ngpu=yes   worker only\nworker: no two dynos on one host\n";
    cli.paas(&["tags", "-a", "myapp"])
        .answers(&format!("=== myapp Tags\n\n{shown}"));
    let printed: Value =
        serde_json::from_str(&cli.paas(&["tags", "-a", "myapp", "--json"]).stdout).unwrap();
    assert_eq!(printed, placement(0));

    cli.paas(&["tags:set", "disk=ssd", "-a", "myapp"])
        .answers(shown)
        .says("Setting tags disk of ⬢ myapp... done\n");
    cli.paas(&["tags:set", "gpu=yes", "--type", "worker", "-a", "myapp"]);
    cli.paas(&["tags:unset", "disk", "zone", "-a", "myapp"])
        .says("Unsetting tags disk, zone of ⬢ myapp... done\n");
    cli.paas(&["ps:apart", "web", "-a", "myapp"])
        .says("Keeping web dynos of ⬢ myapp apart... done\n");
    cli.paas(&["ps:apart", "web", "--off", "-a", "myapp"])
        .says("Letting web dynos of ⬢ myapp share hosts... done\n");
    let asked: Vec<Value> = cli.stub.seen(UPDATE).into_iter().map(|s| s.body).collect();
    assert_eq!(
        asked,
        [
            json!({"tags": {"disk": "ssd"}}),
            json!({"types": {"worker": {"tags": {"gpu": "yes"}}}}),
            json!({"tags": {"disk": null, "zone": null}}),
            json!({"types": {"web": {"one_per_node": true}}}),
            json!({"types": {"web": {"one_per_node": false}}}),
        ]
    );
    let nothing = json!({"misplaced": 0, "tags": {}, "types": {}});
    cli.stub.on("GET /apps/free/placement", nothing);
    cli.paas(&["tags", "-a", "free"])
        .answers("")
        .says("⬢ free asks for no tags: its dynos run on any host.\n");
}

#[test]
fn words_that_are_no_tags_are_refused_before_anything_is_asked() {
    let cli = Cli::new();
    cli.paas(&["tags:set", "disk", "-a", "myapp"]).fails(
        2,
        " ▸    Error: disk is no tag\n ▸    Tags are set as NAME=VALUE: paas tags:set disk=ssd\n",
    );
    cli.paas(&["tags:unset", "disk=ssd", "-a", "myapp"]).fails(
        2,
        " ▸    Error: Tags are unset by name alone\n ▸    Try `paas tags:unset disk`.\n",
    );
    assert!(cli.stub.seen(UPDATE).is_empty());
}

#[test]
fn dynos_are_waited_for_until_they_have_moved() {
    let cli = Cli::new();
    cli.stub
        .on(UPDATE, placement(2))
        .on(SHOW, placement(2))
        .on(SHOW, placement(1))
        .on(SHOW, placement(0))
        .on(DYNOS, json!([dyno("web.1", 1, "up")]));
    cli.paas(&["tags:set", "disk=ssd", "-a", "myapp"])
        .says("Setting tags disk of ⬢ myapp... done\n");
    assert_eq!(cli.stub.seen(SHOW).len(), 3);
    cli.paas(&["tags:set", "disk=ssd", "--no-wait", "-a", "myapp"])
        .says("Setting tags disk of ⬢ myapp... done, 2 dynos to move\n");
}

fn without_room(cli: &Cli) {
    let url = format!("http://{}/logs/secret", cli.stub.addr);
    let lines = "retry: 10\n\nid: 1\ndata: 2026-11-22T13:24:13.000000+00:00 heroku[web.2]: Cannot be placed: it needs \
                 512 MB\n\n";
    cli.stub
        .on(
            DYNOS,
            json!([dyno("web.1", 1, "up"), dyno("web.2", 2, "starting")]),
        )
        .on("POST /apps/myapp/log-sessions", log_session(&url))
        .answer("GET /logs/secret", 200, lines.to_owned());
}

#[test]
fn a_dyno_that_has_no_place_to_move_to_is_told_in_seconds_with_the_reason() {
    let cli = Cli::new();
    without_room(&cli);
    cli.stub.on(UPDATE, placement(1)).on(SHOW, placement(1));
    cli.paas(&["tags:set", "disk=ssd", "-a", "myapp"]).fails(
        1,
        "Setting tags disk of ⬢ myapp... !\n \
         ▸    Error: web.2 cannot be placed: it needs 512 MB\n \
         ▸    Its dynos run on where they are, and move as soon as there is room.\n",
    );
}

#[test]
fn scaling_beyond_what_there_is_room_for_is_told_in_seconds_with_the_reason() {
    let cli = Cli::new();
    without_room(&cli);
    cli.stub
        .on("PATCH /apps/myapp/formation", json!([formation("web", 2)]));
    cli.paas(&["ps:scale", "web=2", "-a", "myapp"]).fails(
        1,
        "Scaling dynos... !\n \
         ▸    Error: web.2 cannot be placed: it needs 512 MB\n \
         ▸    It is started as soon as there is room; until then the other dynos run as they do.\n",
    );
    let asked = &cli.stub.seen("POST /apps/myapp/log-sessions")[0].body;
    assert_eq!(
        (&asked["dyno"], &asked["source"]),
        (&json!("web.2"), &json!("heroku"))
    );
}
