//! How add-ons come to be: with what the provider is told, confirmed, and waited for.

use serde_json::{Value, json};

use super::harness::Cli;
use super::run_terminal::Terminal;
use super::shapes::{addon, addon_service, app, plan};

const CREATE: &str = "POST /apps/myapp/addons";

/// How `db` is looked at.
fn look() -> String {
    let db = addon("db", "myapp", "provisioning");
    format!("GET /apps/myapp/addons/{}", db["id"].as_str().unwrap())
}

fn sent(cli: &Cli) -> Vec<Value> {
    let seen = cli.stub.seen(CREATE).into_iter();
    seen.map(|seen| seen.body).collect()
}

#[test]
fn an_add_on_is_created_and_what_it_gives_is_said() {
    let cli = Cli::new();
    let mut db = addon("db", "myapp", "provisioned");
    db["provision_message"] = "Be nice to it.".into();
    cli.stub.on(CREATE, db);
    cli.paas(&["addons:create", "acme-pg:dev", "-a", "myapp"])
        .answers("")
        .says(
            "Creating acme-pg:dev on ⬢ myapp... $5/month\n\
             Be nice to it.\n\
             Created db as DATABASE_HOST, DATABASE_URL\n",
        );
    assert_eq!(sent(&cli), [json!({ "plan": "acme-pg:dev" })]);
    let made = cli.paas(&["addons:add", "acme-pg", "-a", "myapp", "--json"]);
    let made: Value = serde_json::from_str(&made.stdout).unwrap();
    assert_eq!(made["name"], "db");
}

#[test]
fn the_provider_is_told_what_stands_after_the_dashes() {
    let cli = Cli::new();
    cli.stub.on(CREATE, addon("db", "myapp", "provisioned"));
    let create = ["addons:create", "acme-pg:dev", "-a", "myapp"];
    let named = ["--as", "DATABASE", "--name", "db", "--"];
    let options = ["--version", "17", "--encrypted", "--region=eu", "--as", "x"];
    let outcome = cli.paas(&[&create[..], &named, &options].concat());
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert_eq!(
        sent(&cli),
        [json!({
            "plan": "acme-pg:dev", "attachment": { "name": "DATABASE" }, "name": "db",
            "config": { "version": "17", "encrypted": true, "region": "eu", "as": "x" },
        })]
    );
    let torn = cli.paas(&[&create[..], &["--", "17"]].concat());
    assert_eq!(torn.code, 2, "{}", torn.stderr);
    assert_eq!(sent(&cli).len(), 1, "nothing more was sent");
}

fn asks_to_confirm() -> Cli {
    let cli = Cli::new();
    cli.stub
        .refuse(
            CREATE,
            423,
            "confirmation_required",
            "DATABASE_URL is set already.",
        )
        .on(CREATE, addon("db", "myapp", "provisioned"));
    cli
}

#[test]
fn what_would_be_replaced_is_confirmed_with_the_apps_name() {
    let cli = asks_to_confirm();
    let mut terminal = Terminal::start(&cli, &["addons:create", "acme-pg", "-a", "myapp"]);
    terminal.shows("WARNING: DATABASE_URL is set already.");
    terminal.shows("type myapp or run this again with --confirm myapp");
    terminal.press(b"myapp\n");
    assert_eq!(terminal.ends_with(), 0);
    let confirms: Vec<_> = sent(&cli)
        .iter()
        .map(|sent| sent["confirm"].clone())
        .collect();
    assert_eq!(confirms, [Value::Null, json!("myapp")]);
}

#[test]
fn who_confirms_at_once_is_not_asked() {
    let cli = Cli::new();
    cli.stub.on(CREATE, addon("db", "myapp", "provisioned"));
    let create = ["addons:create", "acme-pg", "-a", "myapp"];
    let outcome = cli.paas(&[&create[..], &["--confirm", "myapp"]].concat());
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert_eq!(sent(&cli)[0]["confirm"], "myapp");
}

#[test]
fn what_is_not_confirmed_is_not_created() {
    let cli = asks_to_confirm();
    let create = ["addons:create", "acme-pg", "-a", "myapp"];
    cli.paas(&[&create[..], &["--confirm", "other"]].concat())
        .fails(
            1,
            "Creating acme-pg on ⬢ myapp... !\n \
             ▸    Error: Confirmation other did not match myapp: nothing was created\n",
        );
    assert_eq!(sent(&cli).len(), 1);

    let cli = asks_to_confirm();
    let outcome = cli.paas(&create);
    assert_eq!(outcome.code, 2, "nobody can be asked");
    assert!(outcome.stderr.contains("--confirm myapp"), "{outcome:?}");
    assert_eq!(sent(&cli).len(), 1);
}

#[test]
fn what_takes_its_time_is_left_to_itself_unless_it_is_waited_for() {
    let cli = Cli::new();
    cli.stub.on(CREATE, addon("db", "myapp", "provisioning"));
    cli.paas(&["addons:create", "acme-pg", "-a", "myapp"]).says(
        "Creating acme-pg on ⬢ myapp... $5/month\n\
         db is being created in the background. The app will restart when complete. See: paas addons:info db\n",
    );
    cli.stub
        .on(&look(), addon("db", "myapp", "provisioning"))
        .on(&look(), addon("db", "myapp", "provisioned"));
    cli.paas(&["addons:create", "acme-pg", "-a", "myapp", "--wait"])
        .says(
            "Creating acme-pg on ⬢ myapp... $5/month\n\
             Creating db... done\n\
             Created db as DATABASE_HOST, DATABASE_URL\n",
        );
    assert_eq!(cli.stub.seen(&look()).len(), 2);
}

#[test]
fn waiting_for_what_the_provider_cannot_make_ends_with_its_reason() {
    let cli = Cli::new();
    let mut failed = addon("db", "myapp", "deprovisioned");
    failed["provision_message"] = "Out of disks.".into();
    cli.stub
        .on(CREATE, addon("db", "myapp", "provisioning"))
        .on(&look(), failed.clone());
    let create = ["addons:create", "acme-pg", "-a", "myapp", "--wait"];
    cli.paas(&create).fails(
        1,
        "Creating acme-pg on ⬢ myapp... $5/month\n\
         Creating db... !\n \
         ▸    Error: db could not be created: Out of disks\n",
    );
    // It may be known at once.
    let cli = Cli::new();
    cli.stub.on(CREATE, failed);
    let outcome = cli.paas(&create);
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.stderr.contains("db could not be created"),
        "{outcome:?}"
    );
}

#[test]
fn waiting_for_what_is_gone_ends() {
    let cli = Cli::new();
    cli.stub
        .on(CREATE, addon("db", "myapp", "provisioning"))
        .refuse(&look(), 404, "not_found", "Couldn't find that add-on.");
    cli.paas(&["addons:create", "acme-pg", "-a", "myapp", "--wait"])
        .fails(
            1,
            "Creating acme-pg on ⬢ myapp... $5/month\n\
             Creating db... !\n \
             ▸    Error: db is gone: it was destroyed before it was there\n",
        );
}

#[test]
fn a_slip_in_a_service_or_a_plan_is_met_with_what_was_meant() {
    let cli = Cli::new();
    cli.stub
        .refuse(CREATE, 422, "invalid_params", "There is no such plan.")
        .on("GET /addon-services", json!([addon_service("acme-pg")]))
        .on(
            "GET /addon-services/acme-pg/plans",
            json!([plan("dev", 0), plan("standard-0", 5000)]),
        );
    for (typed, advice) in [
        (
            "acme-gp",
            "Did you mean acme-pg? All of them: `paas addons:services`.",
        ),
        ("redis", "See what there is with `paas addons:services`."),
        (
            "acme-pg:standart-0",
            "Did you mean acme-pg:standard-0? All of them: `paas addons:plans acme-pg`.",
        ),
    ] {
        let outcome = cli.paas(&["addons:create", typed, "-a", "myapp"]);
        assert_eq!(outcome.code, 1);
        let told = format!(" ▸    Error: There is no such plan.\n ▸    {advice}\n");
        assert!(outcome.stderr.ends_with(&told), "{outcome:?}");
    }
    // What is there is refused for another reason, and that is told as it was said.
    let outcome = cli.paas(&["addons:create", "acme-pg:dev", "-a", "myapp"]);
    assert!(
        outcome.stderr.ends_with("Error: There is no such plan.\n"),
        "{outcome:?}"
    );
}

#[test]
fn an_app_is_created_with_add_ons() {
    let cli = Cli::new();
    let mut cache = addon("cache", "myapp", "provisioned");
    cache["config_vars"] = json!([]);
    cli.stub
        .on("POST /apps", app("myapp"))
        .on(CREATE, addon("db", "myapp", "provisioned"))
        .on(CREATE, cache);
    let addons = ["--addons", "acme-pg:dev,acme-redis", "--no-remote"];
    cli.paas(&[&["create", "myapp"], &addons[..]].concat())
        .says(
            "Creating ⬢ myapp... done\n\
         Creating acme-pg:dev on ⬢ myapp... $5/month\nCreated db as DATABASE_HOST, DATABASE_URL\n\
         Creating acme-redis on ⬢ myapp... $5/month\nCreated cache\n",
        );
    assert_eq!(
        sent(&cli),
        [
            json!({ "plan": "acme-pg:dev" }),
            json!({ "plan": "acme-redis" })
        ]
    );
}
