//! Add-ons as they are listed, shown, opened and renamed.

use serde_json::{Value, json};

use super::harness::Cli;
use super::shapes::{addon, addon_attachment, app, dyno};

const RESOLVE: &str = "POST /actions/addons/resolve";
const RESOLVE_ATTACHMENT: &str = "POST /actions/addon-attachments/resolve";

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// myapp has `db`, which worker has too; other's `other-db` and secret's `secret-db` are attached to it.
fn with_attachments() -> Cli {
    let cli = Cli::new();
    let of_app = json!([
        addon_attachment("SHARED", ("other-db", "other"), "myapp"),
        addon_attachment("DATABASE", ("db", "myapp"), "myapp"),
    ]);
    let mut of_all = of_app.as_array().unwrap().clone();
    of_all.extend([
        addon_attachment("SHOP_DB", ("db", "myapp"), "worker"),
        addon_attachment("HIDDEN", ("secret-db", "secret"), "myapp"),
        addon_attachment("UNRELATED", ("other-db-2", "other"), "other"),
    ]);
    cli.stub
        .on(
            "GET /apps/myapp/addons",
            json!([addon("db", "myapp", "provisioned")]),
        )
        .on("GET /apps/myapp/addon-attachments", of_app)
        .on("GET /addon-attachments", json!(of_all))
        .on(
            "GET /apps/other/addons/other-db",
            addon("other-db", "other", "provisioning"),
        )
        .refuse(
            "GET /apps/secret/addons/secret-db",
            403,
            "forbidden",
            "You may not.",
        );
    cli
}

#[test]
fn an_apps_add_ons_are_listed_with_all_their_attachments_and_those_of_other_apps_after_them() {
    let cli = with_attachments();
    cli.paas(&["addons", "-a", "myapp"]).answers(
        "Add-on                        Plan  Price              State\n\
         acme-pg (db)                  dev   $5/month           created\n \
         ├─ as DATABASE\n \
         └─ as SHOP_DB on worker app\n\
         \n\
         acme-pg (other-db)            dev   (owned by other)   creating\n \
         └─ as SHARED\n\
         \n\
         secret-db                     ?     (owned by secret)\n \
         └─ as HIDDEN\n",
    );
}

#[test]
fn in_json_each_add_on_has_its_attachments() {
    let cli = with_attachments();
    let listed = json_of(&cli.paas(&["addons", "-a", "myapp", "--json"]).stdout);
    let told: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let attachments = one["attachments"].as_array().unwrap().len();
            (one["name"].as_str().unwrap(), &one["state"], attachments)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("db", &json!("provisioned"), 2),
            ("other-db", &json!("provisioning"), 1),
            ("secret-db", &Value::Null, 1)
        ]
    );
}

#[test]
fn without_an_app_all_add_ons_are_listed() {
    let mut cli = Cli::new();
    let mut failed = addon("cache", "zoo", "deprovisioned");
    failed["billed_price"]["cents"] = 0.into();
    cli.stub.on(
        "GET /addons",
        json!([failed, addon("db", "myapp", "deprovisioning")]),
    );
    let all = "Owning App  Add-on  Plan         Price     State\n\
               ⬢ myapp     db      acme-pg:dev  $5/month  destroying\n\
               ⬢ zoo       cache   acme-pg:dev  free      errored\n";
    cli.paas(&["addons"]).answers(all);
    // What is asked for counts more than where one is.
    cli.set("PAAS_APP", "myapp");
    cli.paas(&["addons", "--all"]).answers(all);
    cli.set("PAAS_APP", "");
    cli.paas(&["addons"]).answers(all);
    let listed = json_of(&cli.paas(&["addons", "-A", "--json"]).stdout);
    assert_eq!(listed[0]["name"], "db");
}

#[test]
fn the_app_of_the_directory_is_meant_where_there_is_one() {
    let cli = with_attachments();
    cli.git(&["init", "-q"]);
    let here = format!("ssh://git@{}:2222/myapp.git", cli.stub.addr.ip());
    cli.git(&["remote", "add", "paas", &here]);
    let listed = cli.paas(&["addons"]).stdout;
    assert!(listed.contains("as DATABASE"), "{listed}");
}

#[test]
fn who_has_none_is_told_where_there_are_some() {
    let cli = Cli::new();
    for path in [
        "/apps/myapp/addons",
        "/apps/myapp/addon-attachments",
        "/addon-attachments",
        "/addons",
    ] {
        cli.stub.on(&format!("GET {path}"), json!([]));
    }
    cli.paas(&["addons", "-a", "myapp"])
        .answers("")
        .says("⬢ myapp has no add-ons. See what there is with: paas addons:services\n");
    cli.paas(&["addons"])
        .answers("")
        .says("There are no add-ons. See what there is with: paas addons:services\n");
    cli.paas(&["addons", "-a", "myapp", "--json"])
        .answers("[]\n");
}

#[test]
fn info_shows_what_an_add_on_is_and_where() {
    let cli = Cli::new();
    let db = addon("db", "myapp", "provisioned");
    let attachments = format!(
        "GET /addons/{}/addon-attachments",
        db["id"].as_str().unwrap()
    );
    cli.stub.on(RESOLVE, json!([db])).on(
        &attachments,
        json!([
            addon_attachment("SHOP_DB", ("db", "myapp"), "worker"),
            addon_attachment("DATABASE", ("db", "myapp"), "myapp"),
        ]),
    );
    cli.paas(&["addons:info", "DATABASE", "-a", "myapp"])
        .answers(
            "=== db\n\n\
             Plan:          acme-pg:dev\n\
             Price:         $5/month\n\
             Attachments:   myapp::DATABASE, worker::SHOP_DB\n\
             Config vars:   DATABASE_HOST, DATABASE_URL\n\
             Owning app:    ⬢ myapp\n\
             Installed at:  2026/11/22 13:24:10 +0000\n\
             State:         created\n",
        );
    assert_eq!(
        cli.stub.seen(RESOLVE)[0].body,
        json!({ "addon": "DATABASE", "app": "myapp" })
    );
    let info = json_of(&cli.paas(&["addons:info", "db", "--json"]).stdout);
    assert_eq!(info["addon"]["plan"]["name"], "acme-pg:dev");
    assert_eq!(info["attachments"][0]["name"], "SHOP_DB");
}

#[test]
fn what_an_app_has_counts_before_what_others_have() {
    let cli = Cli::new();
    cli.stub
        .on(RESOLVE, json!([]))
        .on(RESOLVE, json!([addon("db", "other", "provisioned")]));
    let info = cli.paas(&["addons:info", "db", "-a", "myapp"]);
    assert!(info.stdout.starts_with("=== db\n"), "{info:?}");
    let asked = cli.stub.seen(RESOLVE);
    let asked: Vec<_> = asked.iter().map(|seen| &seen.body["app"]).collect();
    assert_eq!(asked, [&json!("myapp"), &Value::Null]);
}

#[test]
fn a_dashboard_is_opened_or_its_address_shown() {
    let mut cli = Cli::new();
    let mut attachment = addon_attachment("DATABASE", ("db", "myapp"), "myapp");
    attachment["web_url"] = "https://api.example.com/addons/7/sso".into();
    cli.stub.on(RESOLVE_ATTACHMENT, json!([attachment]));
    let open = ["addons:open", "DATABASE", "-a", "myapp"];
    cli.paas(&open)
        .answers("https://api.example.com/addons/7/sso\n");
    cli.set("BROWSER", "true");
    cli.paas(&open)
        .answers("")
        .says("Opening https://api.example.com/addons/7/sso\n");
    cli.paas(&[&open[..], &["--show-url"]].concat())
        .answers("https://api.example.com/addons/7/sso\n");
}

#[test]
fn an_add_on_that_is_attached_to_nothing_is_opened_too_and_one_without_a_dashboard_says_so() {
    let cli = Cli::new();
    let mut db = addon("db", "myapp", "provisioned");
    db["web_url"] = "https://api.example.com/db".into();
    cli.stub
        .refuse(RESOLVE_ATTACHMENT, 404, "not_found", "None such.")
        .on(RESOLVE, json!([db]))
        .on(RESOLVE, json!([addon("db", "myapp", "provisioned")]));
    cli.paas(&["addons:open", "db"])
        .answers("https://api.example.com/db\n");
    cli.paas(&["addons:open", "db"]).fails(
        1,
        " ▸    Error: db has no dashboard: its service offers none\n",
    );
}

#[test]
fn an_add_on_is_renamed() {
    let cli = Cli::new();
    let db = addon("db", "myapp", "provisioned");
    let path = format!("PATCH /apps/myapp/addons/{}", db["id"].as_str().unwrap());
    cli.stub.on(RESOLVE, json!([db.clone()])).on(&path, db);
    cli.paas(&["addons:rename", "db", "shop-db"])
        .says("Renaming db to shop-db... done\n");
    assert_eq!(cli.stub.seen(&path)[0].body, json!({ "name": "shop-db" }));
}

#[test]
fn an_apps_plans_are_among_what_is_shown_of_it() {
    let cli = Cli::new();
    cli.stub
        .on("GET /apps/myapp", app("myapp"))
        .on("GET /apps/myapp/dynos", json!([dyno("web.1", 1, "up")]))
        .on("GET /apps/myapp/collaborators", json!([]))
        .on(
            "GET /apps/myapp/addons",
            json!([
                addon("db", "myapp", "provisioned"),
                addon("db-2", "myapp", "provisioned")
            ]),
        );
    let info = cli.paas(&["info", "-a", "myapp"]).stdout;
    assert!(
        info.starts_with("=== myapp\n\nAddons:     acme-pg:dev, acme-pg:dev\n"),
        "{info}"
    );
    let shell = cli.paas(&["info", "-a", "myapp", "--shell"]).stdout;
    assert!(
        shell.starts_with("addons=acme-pg:dev,acme-pg:dev\n")
            || shell.starts_with("addons='acme-pg:dev,acme-pg:dev'\n"),
        "{shell}"
    );
    let json = json_of(&cli.paas(&["info", "-a", "myapp", "--json"]).stdout);
    assert_eq!(json["addons"][1]["name"], "db-2");
}
