//! Who provides add-ons: services and plans for everybody, manifests for administrators.

use serde_json::{Value, json};

use super::harness::Cli;
use super::shapes::{addon_service, plan};

#[test]
fn services_are_listed_and_where_their_plans_are() {
    let cli = Cli::new();
    cli.stub.on(
        "GET /addon-services",
        json!([addon_service("zoo-db"), addon_service("acme-pg")]),
    );
    for verb in ["addons:services", "addon-services"] {
        cli.paas(&[verb])
            .answers(
                "Slug     Name           State\n\
                 acme-pg  Acme Postgres  ga\n\
                 zoo-db   Acme Postgres  ga\n",
            )
            .says(" ▸    See plans with: paas addons:plans SERVICE\n");
    }
    let json = cli.paas(&["addons:services", "--json"]).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["name"], "acme-pg");
}

#[test]
fn where_there_are_no_services_one_is_told_who_adds_them() {
    let cli = Cli::new();
    cli.stub.on("GET /addon-services", json!([]));
    let outcome = cli.paas(&["addons:services"]);
    outcome.answers("");
    assert!(
        outcome.stderr.contains("paas addon-services:add"),
        "{outcome:?}"
    );
}

#[test]
fn plans_are_listed_by_their_price_and_the_default_one_is_marked() {
    let cli = Cli::new();
    let mut contract = plan("enterprise", 0);
    contract["price"]["contract"] = true.into();
    contract["default"] = false.into();
    cli.stub.on(
        "GET /addon-services/acme-pg/plans",
        json!([
            contract,
            plan("standard-0", 5000),
            plan("dev", 0),
            plan("mini", 1250)
        ]),
    );
    cli.paas(&["addons:plans", "acme-pg"]).answers(
        "         Slug                Name        Price\n\
         default  acme-pg:dev         DEV         free\n         \
         acme-pg:mini        MINI        $12.50/month\n         \
         acme-pg:standard-0  STANDARD-0  $50/month\n         \
         acme-pg:enterprise  ENTERPRISE  contract\n",
    );
    let json = cli.paas(&["addons:plans", "acme-pg", "--json"]).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[1]["name"], "acme-pg:mini");
}

const MANIFEST: &str = r#"{ "id": "acme-pg", "api": { "password": "s3cret" } }"#;

fn with_manifest(text: &str) -> Cli {
    let cli = Cli::new();
    std::fs::write(cli.dir.path().join("m.json"), text).unwrap();
    cli.stub
        .on("POST /addon-services", addon_service("acme-pg"))
        .on("PUT /addon-services/acme-pg", addon_service("acme-pg"));
    cli
}

#[test]
fn a_service_is_added_and_updated_by_its_manifest() {
    let cli = with_manifest(MANIFEST);
    let hint = " ▸    See its plans with: paas addons:plans acme-pg\n";
    cli.paas(&["addon-services:add", "m.json"]).says(&format!(
        "Adding an add-on service... done, acme-pg\n{hint}"
    ));
    cli.paas_with_stdin(&["addon-services:add", "-"], MANIFEST.as_bytes())
        .says(&format!(
            "Adding an add-on service... done, acme-pg\n{hint}"
        ));
    cli.paas(&["addon-services:update", "m.json"])
        .says(&format!(
            "Updating the add-on service acme-pg... done\n{hint}"
        ));
    let manifest: Value = serde_json::from_str(MANIFEST).unwrap();
    for call in ["POST /addon-services", "PUT /addon-services/acme-pg"] {
        for seen in cli.stub.seen(call) {
            assert_eq!(seen.body, manifest, "{call}");
        }
    }
    assert_eq!(cli.stub.seen("POST /addon-services").len(), 2);
    let json = cli.paas(&["addon-services:update", "m.json", "--json"]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["name"], "acme-pg");
}

#[test]
fn what_is_no_manifest_is_not_sent_and_said_to_be_none_with_the_place() {
    let cli = with_manifest("{\n  \"id\": \"acme-pg\",\n  \"password\": s3cret\n}");
    let object =
        " ▸    It must be a JSON object, as `addon-manifest.json` of the Add-on Partner API.\n";
    cli.paas(&["addon-services:add", "m.json"]).fails(
        1,
        &format!(
            " ▸    Error: m.json is no manifest: expected value at line 3 column 15\n{object}"
        ),
    );
    let list = cli.paas_with_stdin(&["addon-services:update", "-"], b"[1, 2]");
    assert_eq!(list.code, 1);
    assert!(
        list.stderr.contains(
            "Error: Standard input is no manifest: a JSON object should begin at line 1 column"
        ),
        "{list:?}"
    );
    let nameless = cli.paas_with_stdin(&["addon-services:update", "-"], b"{}");
    nameless.fails(
        1,
        " ▸    Error: Standard input has no \"id\", which says what service it is of\n",
    );
    let missing = cli.paas(&["addon-services:add", "nosuch.json"]);
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains("nosuch.json"), "{missing:?}");
    assert!(cli.stub.seen("POST /addon-services").is_empty());
    assert!(cli.stub.seen("PUT /addon-services/acme-pg").is_empty());
}

#[test]
fn a_service_is_removed_by_who_says_its_name() {
    let cli = Cli::new();
    cli.stub
        .on("GET /addon-services/acme-pg", addon_service("acme-pg"))
        .on("DELETE /addon-services/acme-pg", addon_service("acme-pg"));
    let remove = ["addon-services:remove", "acme-pg"];
    let asked = cli.paas(&remove);
    assert_eq!(asked.code, 2);
    assert!(asked.stderr.contains("--confirm acme-pg"), "{asked:?}");
    cli.paas(&[&remove[..], &["--confirm", "acme"]].concat())
        .fails(
            1,
            " ▸    Error: Confirmation acme did not match acme-pg: nothing was removed\n",
        );
    assert!(cli.stub.seen("DELETE /addon-services/acme-pg").is_empty());
    cli.paas(&[&remove[..], &["--confirm", "acme-pg"]].concat())
        .says("Removing the add-on service acme-pg... done\n");
}
