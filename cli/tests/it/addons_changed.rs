//! Add-ons that are attached, detached, given another plan, waited for and destroyed.

use serde_json::{Value, json};

use super::harness::Cli;
use super::shapes::{addon, addon_attachment, addon_service, plan, release};

const RESOLVE: &str = "POST /actions/addons/resolve";

fn path_of(method: &str, addon: &Value) -> String {
    let app = addon["app"]["name"].as_str().unwrap();
    format!(
        "{method} /apps/{app}/addons/{}",
        addon["id"].as_str().unwrap()
    )
}

/// With the add-ons that any name may mean.
fn with(addons: &[Value]) -> Cli {
    let cli = Cli::new();
    cli.stub.on(RESOLVE, json!(addons));
    cli
}

#[test]
fn an_add_on_is_attached_to_another_app_and_its_release_is_named() {
    let db = addon("db", "myapp", "provisioned");
    let cli = with(std::slice::from_ref(&db));
    cli.stub
        .on(
            "POST /addon-attachments",
            addon_attachment("SHOP_DB", ("db", "myapp"), "worker"),
        )
        .on(
            "GET /apps/worker/releases",
            json!([release(12, "pending", "Attach SHOP_DB")]),
        );
    cli.paas(&["addons:attach", "db", "-a", "worker", "--as", "SHOP_DB"])
        .says(
            "Attaching db as SHOP_DB to ⬢ worker... done\n\
             Setting SHOP_DB config vars and restarting ⬢ worker... done, v12\n",
        );
    assert_eq!(
        cli.stub.seen("POST /addon-attachments")[0].body,
        json!({ "addon": db["id"], "app": "worker", "name": "SHOP_DB" })
    );
    assert_eq!(cli.stub.seen(RESOLVE)[0].body, json!({ "addon": "db" }));
}

#[test]
fn attaching_over_something_is_confirmed() {
    let attach = ["addons:attach", "db", "-a", "worker", "--confirm"];
    let cli = with(&[addon("db", "myapp", "provisioned")]);
    cli.stub.refuse(
        "POST /addon-attachments",
        423,
        "confirmation_required",
        "DATABASE is there already.",
    );
    let outcome = cli.paas(&[&attach[..], &["myapp"]].concat());
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.stderr.contains("nothing was attached"),
        "{outcome:?}"
    );
    let outcome = cli.paas(&[&attach[..], &["worker"]].concat());
    assert_eq!(outcome.code, 1, "it was not enough for the platform");
    let sent = cli.stub.seen("POST /addon-attachments");
    let sent: Vec<_> = sent.iter().map(|seen| &seen.body["confirm"]).collect();
    assert_eq!(sent, ["myapp", "worker", "worker"]);
}

#[test]
fn there_are_no_credentials_to_attach() {
    let cli = with(&[addon("db", "myapp", "provisioned")]);
    let attach = ["addons:attach", "db", "-a", "worker", "--credential"];
    let outcome = cli.paas(&[&attach[..], &["readonly"]].concat());
    outcome.fails(
        2,
        " ▸    Error: Add-ons have no credentials here but the default one\n \
         ▸    Attach it without --credential.\n",
    );
    assert!(cli.stub.seen("POST /addon-attachments").is_empty());
}

#[test]
fn an_add_on_is_detached() {
    let cli = Cli::new();
    let attachment = addon_attachment("SHOP_DB", ("db", "myapp"), "worker");
    let path = format!(
        "DELETE /addon-attachments/{}",
        attachment["id"].as_str().unwrap()
    );
    cli.stub
        .on(
            "GET /apps/worker/addon-attachments/SHOP_DB",
            attachment.clone(),
        )
        .on(&path, attachment)
        .on(
            "GET /apps/worker/releases",
            json!([release(13, "pending", "Detach SHOP_DB")]),
        );
    cli.paas(&["addons:detach", "SHOP_DB", "-a", "worker"])
        .says(
            "Detaching SHOP_DB to db from ⬢ worker... done\n\
             Unsetting SHOP_DB config vars and restarting ⬢ worker... done, v13\n",
        );
    assert_eq!(cli.stub.seen(&path).len(), 1);
}

#[test]
fn destroying_is_confirmed_with_the_apps_name() {
    let db = addon("db", "myapp", "provisioned");
    let cli = with(std::slice::from_ref(&db));
    let path = path_of("DELETE", &db);
    cli.stub.on(&path, addon("db", "myapp", "deprovisioned"));
    let asked = cli.paas(&["addons:destroy", "db"]);
    assert_eq!(asked.code, 2, "nobody can be asked");
    let warning = "WARNING: This will destroy db of ⬢ myapp, with all that is in it.";
    assert!(asked.stderr.contains(warning), "{asked:?}");
    cli.paas(&["addons:destroy", "db", "-c", "db"]).fails(
        1,
        " ▸    Error: Confirmation db did not match myapp: nothing was destroyed\n",
    );
    assert!(cli.stub.seen(&path).is_empty());
    cli.paas(&["addons:destroy", "db", "db", "--confirm", "myapp"])
        .says("Destroying db on ⬢ myapp... done\n");
    cli.paas(&["addons:remove", "db", "-f", "-c", "myapp"]);
    let sent = cli.stub.seen(&path);
    let sent: Vec<_> = sent.iter().map(|seen| &seen.body).collect();
    assert_eq!(sent, [&json!({}), &json!({ "force": true })]);
}

#[test]
fn an_add_on_that_is_not_clear_is_not_destroyed() {
    let cli = with(&[
        addon("db-2", "myapp", "provisioned"),
        addon("db-1", "myapp", "provisioned"),
    ]);
    let destroy = ["addons:destroy", "acme-pg", "-a", "myapp", "-c", "myapp"];
    cli.paas(&destroy).fails(
        1,
        " ▸    Error: acme-pg may be any of db-1, db-2\n ▸    Say which one by its name.\n",
    );
    let none = " ▸    Error: Couldn't find that add-on.\n \
                ▸    List those that you may see with `paas addons --all`.\n";
    with(&[]).paas(&destroy).fails(1, none);
    let cli = Cli::new();
    cli.stub
        .refuse(RESOLVE, 404, "not_found", "Couldn't find that add on.");
    cli.paas(&destroy).fails(1, none);
}

#[test]
fn an_add_on_of_another_app_than_the_one_named_is_not_destroyed() {
    let db = addon("db", "other", "provisioned");
    let cli = with(std::slice::from_ref(&db));
    cli.paas(&["addons:destroy", "db", "-a", "myapp", "-c", "myapp"])
        .fails(
            1,
            " ▸    Error: db is on other, not on myapp: nothing was destroyed\n \
             ▸    If you mean it, say so with `-a other`.\n",
        );
    assert!(cli.stub.seen(&path_of("DELETE", &db)).is_empty());
}

#[test]
fn nothing_is_destroyed_before_all_is_confirmed() {
    let (one, two) = (
        addon("db", "myapp", "provisioned"),
        addon("cache", "other", "provisioned"),
    );
    let cli = with(std::slice::from_ref(&one));
    cli.stub.on(RESOLVE, json!([two]));
    let outcome = cli.paas(&["addons:destroy", "db", "cache", "-c", "myapp"]);
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.stderr.contains("did not match other"),
        "{outcome:?}"
    );
    assert!(cli.stub.seen(&path_of("DELETE", &one)).is_empty());
}

#[test]
fn what_is_destroyed_in_the_background_is_waited_for_if_asked() {
    let db = addon("db", "myapp", "provisioned");
    let cli = with(std::slice::from_ref(&db));
    let going = addon("db", "myapp", "deprovisioning");
    cli.stub
        .on(&path_of("DELETE", &db), going.clone())
        .on(&path_of("GET", &addon("db", "myapp", "provisioned")), going)
        .refuse(
            &path_of("GET", &addon("db", "myapp", "provisioned")),
            404,
            "not_found",
            "Couldn't find that add-on.",
        );
    let destroy = ["addons:destroy", "db", "--confirm", "myapp"];
    cli.paas(&destroy).says(
        "Destroying db on ⬢ myapp... pending\n\
         db is being destroyed in the background. See: paas addons:info db\n",
    );
    cli.paas(&[&destroy[..], &["--wait"]].concat())
        .says("Destroying db on ⬢ myapp... pending\nDestroying db... done\n");
}

#[test]
fn an_add_on_that_stays_is_a_failure() {
    let db = addon("db", "myapp", "provisioned");
    let cli = with(std::slice::from_ref(&db));
    cli.stub.on(&path_of("DELETE", &db), db.clone());
    cli.paas(&["addons:destroy", "db", "--confirm", "myapp"])
        .fails(
            1,
            "Destroying db on ⬢ myapp... !\n \
             ▸    Error: db could not be destroyed: it is created\n",
        );
}

#[test]
fn a_plan_is_changed_however_it_is_spelled() {
    let db = addon("db", "myapp", "provisioned");
    let cli = with(std::slice::from_ref(&db));
    let mut changed = db.clone();
    changed["billed_price"]["cents"] = 5000.into();
    changed["provision_message"] = "Give it an hour.".into();
    cli.stub.on(&path_of("PATCH", &db), changed);
    let spellings: [&[&str]; 4] = [
        &["addons:upgrade", "acme-pg:standard-0", "-a", "myapp"],
        &["addons:upgrade", "db", "standard-0"],
        &["addons:upgrade", "db", "acme-pg:standard-0"],
        &["addons:downgrade", "db:standard-0"],
    ];
    for words in spellings {
        cli.paas(words).says(
            "Changing db on ⬢ myapp from acme-pg:dev to acme-pg:standard-0... done, $50/month\n\
             Give it an hour.\n",
        );
    }
    let asked = cli.stub.seen(RESOLVE);
    let asked: Vec<_> = asked.iter().map(|seen| &seen.body["addon"]).collect();
    assert_eq!(asked, ["acme-pg", "db", "db", "db"]);
    for seen in cli.stub.seen(&path_of("PATCH", &db)) {
        assert_eq!(seen.body, json!({ "plan": "acme-pg:standard-0" }));
    }
    assert_eq!(cli.paas(&["addons:upgrade", "db"]).code, 2);
}

#[test]
fn a_plan_that_there_is_not_is_met_with_the_one_that_was_meant() {
    let db = addon("db", "myapp", "provisioned");
    let cli = with(std::slice::from_ref(&db));
    cli.stub
        .refuse(
            &path_of("PATCH", &db),
            422,
            "invalid_params",
            "There is no such plan.",
        )
        .on("GET /addon-services", json!([addon_service("acme-pg")]))
        .on(
            "GET /addon-services/acme-pg/plans",
            json!([plan("standard-0", 5000)]),
        );
    cli.paas(&["addons:upgrade", "db", "standard-O"]).fails(
        1,
        "Changing db on ⬢ myapp from acme-pg:dev to acme-pg:standard-O... !\n \
         ▸    Error: There is no such plan.\n \
         ▸    Did you mean acme-pg:standard-0? All of them: `paas addons:plans acme-pg`.\n",
    );
}

#[test]
fn all_of_an_apps_add_ons_are_waited_for() {
    let cli = Cli::new();
    let (made, unmade) = (
        addon("db", "myapp", "provisioning"),
        addon("old", "myapp", "deprovisioning"),
    );
    cli.stub
        .on(
            "GET /apps/myapp/addons",
            json!([made, addon("cache", "myapp", "provisioned"), unmade]),
        )
        .on(
            &path_of("GET", &addon("db", "myapp", "provisioned")),
            addon("db", "myapp", "provisioned"),
        )
        .on(
            &path_of("GET", &addon("old", "myapp", "provisioned")),
            addon("old", "myapp", "deprovisioned"),
        )
        .on("GET /addons", json!([]));
    cli.paas(&["addons:wait", "-a", "myapp"]).says(
        "Creating db... done\n\
         Created db as DATABASE_HOST, DATABASE_URL\n\
         Destroying old... done\n",
    );
    cli.paas(&["addons:wait"])
        .says("Nothing is being created or destroyed.\n");
}

#[test]
fn one_add_on_is_waited_for_as_often_as_one_likes() {
    let cli = with(&[addon("db", "myapp", "provisioning")]);
    cli.stub.on(
        &path_of("GET", &addon("db", "myapp", "provisioned")),
        addon("db", "myapp", "deprovisioned"),
    );
    let wait = ["addons:wait", "db", "--wait-interval"];
    cli.paas(&[&wait[..], &["3600"]].concat()).fails(
        1,
        "Creating db... !\n ▸    Error: db could not be created\n",
    );
    assert_eq!(cli.paas(&[&wait[..], &["0"]].concat()).code, 2);
}
