use serde_json::{Value, json};

use super::harness::Cli;

fn route(port: u16, target: &str, allow: &[&str], proxy_protocol: bool) -> Value {
    json!({
        "allow": allow, "created_at": "2026-11-22T13:24:10Z", "port": port, "proxy_protocol": proxy_protocol,
        "target": target,
    })
}

#[test]
fn routes_are_listed_with_who_may_use_them() {
    let cli = Cli::new();
    cli.stub.on("GET /tcp-routes", json!([])).on(
        "GET /tcp-routes",
        json!([
            route(1883, "app:broker", &[], true),
            route(
                5432,
                "db.internal:5432",
                &["10.0.0.0/8", "2001:db8::/32"],
                false
            ),
        ]),
    );
    cli.paas(&["tcp-routes"])
        .says("There are no TCP routes. Add one with `paas tcp-routes:add`.\n");
    cli.paas(&["tcp-routes"]).answers(
        "Port  Target            Allowed                    PROXY protocol\n\
         1883  app:broker        anybody                    yes\n\
         5432  db.internal:5432  10.0.0.0/8, 2001:db8::/32  no\n",
    );
}

#[test]
fn one_is_added_as_it_was_typed_and_removed_by_its_port() {
    let cli = Cli::new();
    let made = route(5432, "db.internal:5432", &["10.0.0.0/8"], true);
    cli.stub
        .on("POST /tcp-routes", made.clone())
        .on("DELETE /tcp-routes/5432", made);
    let add = [
        "tcp-routes:add",
        "5432",
        "db.internal:5432",
        "--proxy-protocol",
        "--allow",
        "10.0.0.0/8",
    ];
    let said = cli.paas(&add);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(
        said.stderr
            .starts_with("Routing port 5432 to db.internal:5432... done\n"),
        "{}",
        said.stderr
    );
    assert_eq!(
        cli.stub.seen("POST /tcp-routes")[0].body,
        json!({"allow": ["10.0.0.0/8"], "port": 5432, "proxy_protocol": true, "target": "db.internal:5432"})
    );
    cli.paas(&["tcp-routes:remove", "5432"])
        .says("Removing the route of port 5432... done\n");
}

#[test]
fn a_reserved_port_is_refused_in_the_platforms_words_and_nonsense_here() {
    let cli = Cli::new();
    let words = "Port 443 is the platform's own (router.https); choose another.";
    cli.stub
        .refuse("POST /tcp-routes", 422, "invalid_params", words);
    let refused = cli.paas(&["tcp-routes:add", "443", "db.internal:5432"]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains(words), "{}", refused.stderr);
    for nonsense in [
        &["tcp-routes:add", "0", "db:1"][..],
        &["tcp-routes:add", "5432", "db:1", "--allow", "everybody"],
        &["tcp-routes:remove", "http"],
    ] {
        let refused = cli.paas(nonsense);
        assert_eq!(refused.code, 2, "{nonsense:?}: {}", refused.stderr);
    }
    assert_eq!(cli.stub.seen("POST /tcp-routes").len(), 1);
}
