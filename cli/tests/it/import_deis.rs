//! import deis: from a server that answers as the controllers of Deis do, after their sources.

use serde_json::{Value, json};

use super::harness::{Cli, Outcome, lines};
use super::platform::Platform;
use super::stub::Stub;

const AT: &str = "2016-06-01T10:11:12Z";

fn login(cli: &Cli, stub: &Stub) {
    let directory = cli.home.path().join(".deis");
    std::fs::create_dir(&directory).unwrap();
    let login = json!({
        "username": "ann", "ssl_verify": false, "controller": format!("http://{}", stub.addr), "token": "d3155ecret",
        "response_limit": 0,
    });
    std::fs::write(directory.join("client.json"), login.to_string()).unwrap();
}

fn config(values: Value) -> Value {
    json!({
        "uuid": "de1bf5b5-4a72-4f94-a10c-d2a3741cdf75", "owner": "ann", "app": "shop", "created": AT, "updated": AT,
        "values": values, "memory": { "web": "1G" }, "cpu": { "worker": 512 }, "tags": {},
    })
}

fn domain(name: &str) -> Value {
    json!({ "app": "shop", "created": AT, "domain": name, "owner": "ann", "updated": AT })
}

fn page(next: Option<&str>, results: Value) -> String {
    json!({ "count": 3, "next": next, "previous": null, "results": results }).to_string()
}

/// Deis Workflow 2.18, the API of whose controller is 2.3.
fn workflow() -> Stub {
    let stub = Stub::start();
    let on = |path: &str, body: Value| {
        stub.page(&format!("GET {path}"), 200, &body.to_string());
    };
    on(
        "/v2/apps/shop/",
        json!({
            "uuid": "de1bf5b5-4a72-4f94-a10c-d2a3741cdf75", "id": "shop", "owner": "ann",
            "structure": { "web": 3, "worker": 1 }, "created": AT, "updated": AT,
        }),
    );
    on(
        "/v2/apps/shop/config/",
        config(
            json!({ "MODE": "production", "WORKERS": 4, "PORT": "5000", "MOTTO": "two\nlines" }),
        ),
    );
    stub.page(
        "GET /v2/apps/shop/domains/",
        200,
        &page(
            Some("http://elsewhere.example/v2/apps/shop/domains/?limit=100&offset=100"),
            json!([domain("shop"), domain("www.shop.example")]),
        ),
    );
    stub.page(
        "GET /v2/apps/shop/domains/",
        200,
        &page(None, json!([domain("shop.example")])),
    );
    on("/v2/apps/shop/perms/", json!({ "users": ["bob", "carol"] }));
    on(
        "/v2/apps/shop/builds/",
        json!({ "count": 1, "next": null, "previous": null, "results": [{
            "app": "shop", "created": AT, "dockerfile": "", "image": "shop:git-abc", "owner": "ann",
            "procfile": { "web": "node ." }, "sha": "0123456789", "updated": AT, "uuid": "x",
        }]}),
    );
    on(
        "/v2/users/",
        json!({ "count": 2, "next": null, "previous": null, "results": [
            { "email": "bob@example.com", "username": "bob", "is_superuser": false },
            { "email": "", "username": "carol", "is_superuser": false },
        ]}),
    );
    on(
        "/v2/apps/shop/settings/",
        json!({ "app": "shop", "maintenance": false, "routable": true, "whitelist": ["10.0.0.0/8"], "autoscale": {}, "label": {} }),
    );
    on(
        "/v2/apps/shop/tls/",
        json!({ "app": "shop", "https_enforced": true }),
    );
    stub
}

fn import(cli: &Cli, more: &[&str]) -> Outcome {
    cli.paas(&[&["import", "deis", "shop"], more].concat())
}

#[test]
fn an_app_of_deis_workflow_comes_over_as_far_as_its_api_tells() {
    let (platform, source) = (Platform::start(), workflow());
    let cli = platform.cli();
    login(&cli, &source);
    let outcome = import(&cli, &["--json"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(
        lines(&report["steps"]),
        [
            "app shop",
            "config var MODE",
            "config var MOTTO",
            "config var WORKERS",
            "formation web=3:Standard-2X",
            "formation worker=1:Standard-1X",
            "domain www.shop.example",
            "domain shop.example",
            "collaborator bob@example.com",
        ]
    );
    assert_eq!(
        lines(&report["left"]),
        [
            "CPU limit worker",
            "allowed addresses 10.0.0.0/8",
            "HTTPS only on",
            "config var PORT",
            "collaborator carol",
        ]
    );
    let vars = cli.paas(&["config", "-a", "shop", "--json"]).stdout;
    let vars: Value = serde_json::from_str(&vars).unwrap();
    assert_eq!(
        vars,
        json!({ "MODE": "production", "MOTTO": "two\nlines", "WORKERS": "4" })
    );
    cli.paas(&["ps:scale", "-a", "shop"])
        .answers("web=3:Standard-2X worker=1:Standard-1X\n");
    // Its own token, to its own host, whatever the address of the next page says.
    let seen = source.seen("GET /v2/apps/shop/domains/");
    assert_eq!(seen.len(), 2);
    assert!(
        seen.iter()
            .all(|one| one.authorization == "token d3155ecret")
    );
    assert!(
        outcome
            .stderr
            .contains("without TLS, as your Deis client does")
    );
}

#[test]
fn an_app_of_deis_1_comes_over_by_its_older_api() {
    let (platform, source) = (Platform::start(), Stub::start());
    let cli = platform.cli();
    login(&cli, &source);
    let on = |path: &str, status: u16, body: Value| {
        source.page(&format!("GET {path}"), status, &body.to_string());
    };
    source.page("GET /v2/apps/shop/", 404, "<h1>Not Found</h1>");
    on(
        "/v1/apps/shop/",
        200,
        json!({
            "uuid": "x", "id": "shop", "owner": "bob", "url": "shop.deis.example", "structure": { "cmd": 1 },
            "created": "2015-06-01T10:11:12UTC", "updated": "2015-06-01T10:11:12UTC",
        }),
    );
    on(
        "/v1/apps/shop/config/",
        200,
        config(json!({ "MODE": "production" })),
    );
    on(
        "/v1/apps/shop/domains/",
        200,
        json!({ "count": 0, "next": null, "previous": null, "results": [] }),
    );
    on("/v1/apps/shop/perms/", 200, json!({ "users": ["ann"] }));
    on(
        "/v1/apps/shop/builds/",
        200,
        json!({ "count": 1, "next": null, "previous": null, "results": [{ "dockerfile": "FROM scratch", "sha": "abc", "procfile": {} }] }),
    );
    on(
        "/v1/users/",
        403,
        json!({ "detail": "You do not have permission to perform this action." }),
    );
    let outcome = import(&cli, &["--to", "shop-two"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    for line in ["build         from a Dockerfile", "collaborator  bob  "] {
        assert!(outcome.stdout.contains(line), "{line}: {}", outcome.stdout);
    }
    cli.paas(&["config:get", "MODE", "-a", "shop-two"])
        .answers("production\n");
}

#[test]
fn a_list_of_deis_that_leads_to_itself_is_read_no_further() {
    let (platform, source) = (Platform::start(), workflow());
    let cli = platform.cli();
    login(&cli, &source);
    source.page(
        "GET /v2/apps/loop/",
        200,
        &json!({ "id": "loop", "owner": "ann" }).to_string(),
    );
    source.page(
        "GET /v2/apps/loop/config/",
        200,
        &config(json!({})).to_string(),
    );
    let call = "GET /v2/apps/loop/domains/";
    source.page(call, 200, &page(Some("/?offset=100"), json!([])));
    let outcome = cli.paas(&["import", "deis", "loop"]);
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.stderr.contains("has a list that does not end"),
        "{}",
        outcome.stderr
    );
    assert_eq!(source.seen(call).len(), 2);
}

#[test]
fn what_is_wrong_with_deis_is_said_in_plain_words() {
    let platform = Platform::start();
    let cli = platform.cli();
    let outcome = import(&cli, &[]);
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.stderr.contains("There is no login to Deis: ")
            && outcome.stderr.contains("deis login URL"),
        "{}",
        outcome.stderr
    );
    let source = Stub::start();
    login(&cli, &source);
    let outcome = import(&cli, &[]);
    assert_eq!(outcome.code, 1, "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("answered 401"),
        "{}",
        outcome.stderr
    );
    source.page("GET /v2/apps/shop/", 404, "{}");
    source.page("GET /v1/apps/shop/", 404, r#"{"detail":"Not found."}"#);
    let outcome = import(&cli, &[]);
    assert!(
        outcome
            .stderr
            .contains("There is no app shop at 127.0.0.1:"),
        "{}",
        outcome.stderr
    );
    std::fs::write(
        cli.home.path().join(".deis/client.json"),
        "{\"token\": \"d3155ecret\"",
    )
    .unwrap();
    let outcome = import(&cli, &[]);
    assert_eq!(outcome.code, 1);
    assert!(!outcome.stderr.contains("d3155ecret"), "{}", outcome.stderr);
}
