use serde_json::{Value, json};

use super::harness::Cli;

const SHOW: &str = "GET /apps/myapp/routing";
const UPDATE: &str = "PATCH /apps/myapp/routing";

fn routing() -> Value {
    json!({
        "https_only": true, "hsts": {"max_age": 31_536_000, "include_subdomains": false, "preload": false},
        "canonical_host": null, "allow": [], "deny": [], "rate_limit": null, "paths": {"/api": "other"},
        "canary": null, "paused": false, "session_affinity": false, "compression": false,
        "dyno_protocol": "http1", "requests_per_dyno": null,
    })
}

#[test]
fn settings_are_shown_set_and_unset() {
    let cli = Cli::new();
    cli.stub.on(SHOW, routing()).on(UPDATE, routing());
    let shown = "https-only  on\nhsts        1y\n/api        other\n";
    cli.paas(&["routing", "-a", "myapp"])
        .answers(&format!("=== myapp Routing\n\n{shown}"));
    let printed: Value =
        serde_json::from_str(&cli.paas(&["routing", "-a", "myapp", "--json"]).stdout).unwrap();
    assert_eq!(printed, routing());
    cli.paas(&["routing:set", "https-only=on", "/api=other", "-a", "myapp"])
        .answers(shown)
        .says("Setting https-only, /api of ⬢ myapp... done\n");
    cli.paas(&["routing:unset", "hsts", "/api", "-a", "myapp"])
        .says("Unsetting hsts, /api of ⬢ myapp... done\n");
    cli.paas(&["routing:pause", "-a", "myapp"]).says(
        "Holding requests for ⬢ myapp... done\nRequests wait for routing:resume, each for up to 75 seconds.\n",
    );
    cli.paas(&["routing:resume", "-a", "myapp"])
        .says("Letting through requests for ⬢ myapp... done\n");
    let asked: Vec<Value> = cli.stub.seen(UPDATE).into_iter().map(|s| s.body).collect();
    assert_eq!(
        asked,
        [
            json!({"https_only": true, "paths": {"/api": "other"}}),
            json!({"hsts": null, "paths": {"/api": null}}),
            json!({"paused": true}),
            json!({"paused": false}),
        ]
    );
}

#[test]
fn a_setting_that_makes_no_sense_is_refused_before_anything_is_asked() {
    let cli = Cli::new();
    cli.paas(&["routing:set", "hsts=long", "-a", "myapp"]).fails(
        2,
        " ▸    Error: long is no value of hsts\n ▸    It is written as 1y, or 1y,subdomains,preload.\n",
    );
}
