use serde_json::{Value, json};

use super::harness::{Cli, Outcome};
use super::shapes::{app, domain, endpoint};

const ENDPOINTS: &str = "/apps/myapp/sni-endpoints";

fn on(cli: &Cli, method: &str, path: &str, answer: Value) {
    cli.stub.on(&format!("{method} {path}"), answer);
}

/// What it printed, having done it.
fn did(outcome: &Outcome) -> &str {
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    &outcome.stdout
}

fn files(cli: &Cli) -> [String; 2] {
    ["server.crt", "server.key"].map(|name| {
        let path = cli.dir.path().join(name);
        std::fs::write(&path, format!("PEM of {name}")).unwrap();
        path.to_string_lossy().into_owned()
    })
}

#[test]
fn certificates_are_listed_added_updated_and_removed() {
    let cli = Cli::new();
    let one = endpoint("tidy-meadow-1", &[400]);
    on(&cli, "GET", ENDPOINTS, json!([one]));
    on(&cli, "POST", ENDPOINTS, one.clone());
    for method in ["GET", "PATCH", "DELETE"] {
        on(
            &cli,
            method,
            &format!("{ENDPOINTS}/tidy-meadow-1"),
            one.clone(),
        );
    }
    let www = domain("custom", "www.example.com", Some("myapp.paas.localhost"));
    on(&cli, "GET", "/apps/myapp/domains", json!([www]));
    let listed = cli.paas(&["certs", "-a", "myapp"]);
    let listed = did(&listed);
    assert!(listed.contains("tidy-meadow-1  *.example.com"), "{listed}");

    let [certificate, key] = files(&cli);
    let added = cli.paas(&["certs:add", &certificate, &key, "-a", "myapp"]);
    let added = did(&added);
    assert!(
        added.contains("www.example.com") && added.contains("CN=Issuer"),
        "{added}"
    );
    // Unnamed, it is the only one there is.
    did(&cli.paas(&["certs:update", &certificate, &key, "-a", "myapp"]));
    let body =
        json!({"certificate_chain": "PEM of server.crt", "private_key": "PEM of server.key"});
    for call in [
        format!("POST {ENDPOINTS}"),
        format!("PATCH {ENDPOINTS}/tidy-meadow-1"),
    ] {
        assert_eq!(cli.stub.seen(&call)[0].body, body, "{call}");
    }
    cli.paas(&["certs:remove", "-a", "myapp"])
        .says("Removing certificate tidy-meadow-1 from ⬢ myapp... done\n");
    let shown = cli.paas(&["certs:info", "-a", "myapp", "--json"]);
    let shown = did(&shown);
    assert_eq!(
        serde_json::from_str::<Value>(shown).unwrap()["name"],
        "tidy-meadow-1"
    );
}

#[test]
fn of_several_certificates_one_must_be_named() {
    let cli = Cli::new();
    let all = json!([
        endpoint("tidy-meadow-1", &[]),
        endpoint("tidy-meadow-2", &[])
    ]);
    on(&cli, "GET", ENDPOINTS, all);
    let outcome = cli.paas(&["certs:remove", "-a", "myapp"]);
    assert_eq!(outcome.code, 2);
    assert!(outcome.stderr.contains("several certificates"));
}

#[test]
fn managed_certificates_say_how_it_goes_and_why_not_well() {
    let cli = Cli::new();
    let mut managed = app("myapp");
    managed["acm"] = true.into();
    let mut failing = domain("custom", "www.example.com", Some("myapp.paas.localhost"));
    failing["acm_status"] = "failing".into();
    failing["acm_status_reason"] = "No such host".into();
    on(&cli, "GET", "/apps/myapp", managed.clone());
    on(&cli, "GET", "/apps/myapp/domains", json!([failing]));
    on(&cli, "GET", ENDPOINTS, json!([]));
    for method in ["POST", "PATCH", "DELETE"] {
        on(&cli, method, "/apps/myapp/acm", managed.clone());
    }
    let shown = cli.paas(&["certs:auto", "-a", "myapp"]);
    assert!(did(&shown).contains("www.example.com  Failing"));
    assert!(shown.stderr.contains("www.example.com: No such host"));
    for verb in ["enable", "refresh", "disable"] {
        did(&cli.paas(&[&format!("certs:auto:{verb}"), "-a", "myapp"]));
    }
    for method in ["POST", "PATCH", "DELETE"] {
        assert_eq!(cli.stub.seen(&format!("{method} /apps/myapp/acm")).len(), 1);
    }
}

#[test]
fn a_domain_is_served_with_another_certificate_or_none() {
    let cli = Cli::new();
    let path = "PATCH /apps/myapp/domains/www.example.com";
    cli.stub.on(path, domain("custom", "www.example.com", None));
    for name in ["tidy-meadow-1", "none"] {
        cli.paas(&[
            "domains:update",
            "www.example.com",
            "--cert",
            name,
            "-a",
            "myapp",
        ])
        .says("Updating www.example.com of ⬢ myapp... done\n");
    }
    let bodies: Vec<_> = cli
        .stub
        .seen(path)
        .into_iter()
        .map(|seen| seen.body)
        .collect();
    assert_eq!(
        bodies,
        [
            json!({"sni_endpoint": "tidy-meadow-1"}),
            json!({"sni_endpoint": null})
        ]
    );
}
