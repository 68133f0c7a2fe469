//! import heroku: from one real controller to another, and from canned answers in Heroku's own shapes.

use controller_api::wire::{DomainCreate, FormationChange, FormationUpdate, Quantity};
use controller_api::{Client, ClientOptions};
use serde_json::{Value, json};

use super::harness::{Cli, Outcome, lines};
use super::platform::Platform;
use super::stub::{Stub, TOKEN};

/// Two platforms, and one who has an account on both.
struct Move {
    source: Platform,
    there: Cli,
    here: Cli,
    _target: Platform,
}

impl Move {
    fn prepare() -> Self {
        let (source, target) = (Platform::start(), Platform::start());
        let (there, mut here) = (source.cli(), target.cli());
        let token = there.paas(&["auth:token"]).stdout;
        here.set("PAAS_IMPORT_TOKEN", token.trim());
        Self {
            source,
            there,
            here,
            _target: target,
        }
    }

    fn import(&self, more: &[&str]) -> Outcome {
        let api = self.source.api();
        let mut args = vec!["import", "heroku", "shop", "--from-url", &api];
        args.extend(more);
        self.here.paas(&args)
    }

    /// An app there with a bit of everything.
    fn shop(&self) {
        for args in [
            &[
                "create",
                "shop",
                "-b",
                "heroku/nodejs",
                "-b",
                "heroku/python",
            ][..],
            &[
                "config:set",
                "MODE=production",
                "MOTTO=two\nlines",
                "-a",
                "shop",
            ],
            &["domains:add", "www.shop.example", "-a", "shop"],
            &["domains:add", "*.shop.example", "-a", "shop"],
            &["routing:set", "session-affinity=on", "-a", "shop"],
            &[
                "drains:add",
                "https://logs:pw@logs.example.com/in",
                "-a",
                "shop",
            ],
            &["accounts:create", "dev@example.com"],
            &["accounts:create", "viewer@example.com"],
            &["access:add", "dev@example.com", "-a", "shop"],
            &[
                "access:add",
                "viewer@example.com",
                "-p",
                "view",
                "-a",
                "shop",
            ],
        ] {
            ok(&self.there, args);
        }
        ok(&self.here, &["accounts:create", "dev@example.com"]);
        let scale = |process_type: &str, quantity, size: &str| FormationUpdate {
            process_type: process_type.to_owned(),
            change: FormationChange {
                quantity: Some(Quantity::Exactly(quantity)),
                size: Some(size.to_owned()),
            },
        };
        let updates = vec![scale("web", 2, "Standard-2X"), scale("worker", 1, "Basic")];
        self.with_source(async |client| {
            client.scale_ahead("shop", updates.clone()).await.unwrap();
        });
    }

    fn with_source(&self, work: impl AsyncFnOnce(&Client)) {
        let token = self.there.paas(&["auth:token"]).stdout;
        let client = Client::new(ClientOptions {
            base_url: self.source.api().parse().unwrap(),
            token: Some(token.trim().into()),
            ca_pem: None,
            user_agent: "paas/test".to_owned(),
        })
        .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(work(&client));
    }
}

#[track_caller]
fn ok(cli: &Cli, args: &[&str]) -> Outcome {
    let outcome = cli.paas(args);
    assert_eq!(outcome.code, 0, "{args:?}: {}", outcome.stderr);
    outcome
}

#[track_caller]
fn json_of(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout)
        .unwrap_or_else(|error| panic!("{error}: {} {}", outcome.stdout, outcome.stderr))
}

#[test]
fn an_app_comes_over_with_all_that_has_a_place_here() {
    let both = Move::prepare();
    both.shop();
    let outcome = both.import(&[]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert!(
        outcome.stderr.starts_with(
            "Creating ⬢ shop... done\n\
             Setting the buildpacks of ⬢ shop... done\n\
             Setting 2 config vars of ⬢ shop... done, v2\n\
             Scaling ⬢ shop for the first release... done\n\
             Turning session affinity on for ⬢ shop... done\n"
        ),
        "{}",
        outcome.stderr
    );
    for line in [
        "  formation     web=2:Standard-2X\n",
        "*.shop.example\n",
        "  drain         https://logs.example.com/in\n",
        "viewer@example.com  There is no account for viewer@example.com.",
        "1. In a clone of its code: paas git:remote -a shop && git push paas main\n",
        "have the DNS of www.shop.example (now shop.paas.localhost) lead to shop.paas.localhost\n",
    ] {
        assert!(outcome.stdout.contains(line), "{line}: {}", outcome.stdout);
    }
    assert!(
        !format!("{outcome:?}").contains("pw@"),
        "{}",
        outcome.stdout
    );
    let here = &both.here;
    let vars: Value = json_of(&ok(here, &["config", "-a", "shop", "--json"]));
    assert_eq!(vars, json!({ "MODE": "production", "MOTTO": "two\nlines" }));
    ok(here, &["ps:scale", "-a", "shop"]).answers("web=2:Standard-2X worker=1:Basic\n");
    // What waits for the first push can be changed until then, and nobody waits for dynos.
    ok(here, &["ps:scale", "web=3", "-a", "shop"])
        .says("Scaling dynos... done, to run once there is code for it: web at 3:Standard-2X\n");
    ok(here, &["ps:scale", "web=2", "-a", "shop"]);
    ok(here, &["buildpacks", "-a", "shop"])
        .answers("=== shop Buildpacks\n\n1. heroku/nodejs\n2. heroku/python\n");
    let domains = ok(here, &["domains", "-a", "shop"]).stdout;
    assert!(domains.contains("*.shop.example") && domains.contains("www.shop.example"));
    let access = ok(here, &["access", "-a", "shop"]).stdout;
    assert!(access.contains("dev@example.com  "), "{access}");
    let drains = ok(here, &["drains", "-a", "shop"]).stdout;
    assert!(drains.contains("logs.example.com"), "{drains}");
    assert_eq!(
        json_of(&ok(here, &["routing", "-a", "shop", "--json"]))["session_affinity"],
        true
    );

    // Once more there is nothing to do, and nothing is done.
    let audit = || ok(here, &["releases", "-a", "shop", "--json"]).stdout;
    let before = audit();
    let again = both.import(&["--skip", "collaborators"]);
    assert_eq!((again.code, again.stderr.as_str()), (0, ""));
    assert!(
        again
            .stdout
            .contains("Nothing is to be done: all that can be taken over is here.\n"),
        "{}",
        again.stdout
    );
    assert_eq!(audit(), before);
}

#[test]
fn a_dry_run_tells_the_plan_and_does_nothing() {
    let both = Move::prepare();
    both.shop();
    let outcome = both.import(&["--dry-run", "--to", "shop-eu"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    assert!(
        outcome.stdout.contains("to shop-eu, a new app\n"),
        "{}",
        outcome.stdout
    );
    assert!(
        outcome
            .stdout
            .contains("Nothing was done: this was a dry run.\n")
    );
    ok(&both.here, &["apps"]).answers("");
    let report = json_of(&both.import(&["--dry-run", "--json"]));
    assert_eq!(
        (&report["dry_run"], &report["is_new"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(report["source"]["app"], "shop");
    assert!(lines(&report["steps"]).contains(&"config var MOTTO".to_owned()));
    assert!(
        report["steps"]
            .as_array()
            .unwrap()
            .iter()
            .all(|step| step["outcome"] == "planned")
    );
    assert!(!report.to_string().contains("two\\nlines"), "no values");
}

#[test]
fn a_source_of_several_pages_is_read_to_its_end() {
    let both = Move::prepare();
    ok(&both.there, &["create", "shop"]);
    both.with_source(async |client| {
        for number in 0..205 {
            let create = DomainCreate {
                hostname: format!("n{number}.shop.example"),
                sni_endpoint: None,
            };
            client.add_domain("shop", &create).await.unwrap();
        }
    });
    let report = json_of(&both.import(&["--json"]));
    let domains = lines(&report["steps"])
        .iter()
        .filter(|line| line.starts_with("domain "))
        .count();
    assert_eq!(domains, 205);
    let there = json_of(&ok(&both.here, &["domains", "-a", "shop", "--json"]));
    assert_eq!(there.as_array().unwrap().len(), 206);
}

#[test]
fn what_was_set_here_is_overwritten_only_by_who_says_so() {
    let both = Move::prepare();
    both.shop();
    ok(&both.here, &["create", "shop"]);
    ok(&both.here, &["config:set", "MODE=staging", "-a", "shop"]);
    let outcome = both.import(&["--skip", "collaborators"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert!(
        outcome.stdout.contains("Is otherwise here, and stays so")
            && outcome
                .stdout
                .contains("  config var  MODE  it has another value there\n"),
        "{}",
        outcome.stdout
    );
    ok(&both.here, &["config:get", "MODE", "-a", "shop"]).answers("staging\n");
    let asked = both.import(&["--overwrite"]);
    assert_eq!(asked.code, 2, "{}", asked.stderr);
    assert!(
        asked
            .stderr
            .contains("WARNING: What is set here is lost: config var MODE\n"),
        "{}",
        asked.stderr
    );
    assert_eq!(both.import(&["--overwrite", "--confirm", "other"]).code, 1);
    ok(&both.here, &["config:get", "MODE", "-a", "shop"]).answers("staging\n");
    let done = both.import(&["--overwrite", "--confirm", "shop"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    ok(&both.here, &["config:get", "MODE", "-a", "shop"]).answers("production\n");
}

#[test]
fn what_is_refused_is_told_the_rest_is_done_and_the_same_again_mends_it() {
    let both = Move::prepare();
    both.shop();
    ok(&both.here, &["create", "squatter"]);
    ok(
        &both.here,
        &["domains:add", "www.shop.example", "-a", "squatter"],
    );
    let outcome = both.import(&["--json"]);
    assert_eq!(outcome.code, 1);
    assert!(
        outcome
            .stderr
            .contains("www.shop.example is currently in use by another app.")
            && outcome
                .stderr
                .contains("1 of the changes to shop were refused"),
        "{}",
        outcome.stderr
    );
    let report = json_of(&outcome);
    let steps = report["steps"].as_array().unwrap();
    let with = |outcome: &str| -> Vec<_> {
        let steps = steps.iter().filter(|step| step["outcome"] == outcome);
        steps.map(|step| step["name"].as_str().unwrap()).collect()
    };
    assert_eq!(with("refused"), ["www.shop.example"]);
    assert_eq!(with("left"), ["viewer@example.com"]);
    ok(
        &both.here,
        &["domains:remove", "www.shop.example", "-a", "squatter"],
    );
    let mended = json_of(&both.import(&["--json"]));
    assert_eq!(
        lines(&mended["steps"]),
        ["domain www.shop.example", "collaborator viewer@example.com"]
    );
    assert_eq!(mended["steps"][0]["outcome"], "done");
}

#[test]
fn an_app_can_be_copied_on_one_platform() {
    let platform = Platform::start();
    let mut cli = platform.cli();
    ok(&cli, &["create", "shop"]);
    ok(&cli, &["config:set", "A=1", "-a", "shop"]);
    let token = ok(&cli, &["auth:token"]).stdout;
    cli.set("PAAS_IMPORT_TOKEN", token.trim());
    let api = platform.api();
    ok(
        &cli,
        &[
            "import",
            "heroku",
            "shop",
            "--from-url",
            &api,
            "--to",
            "shop-two",
        ],
    );
    ok(&cli, &["config:get", "A", "-a", "shop-two"]).answers("1\n");
}

#[test]
fn what_is_wrong_with_the_source_is_said_in_plain_words() {
    let mut both = Move::prepare();
    let outcome = both.import(&[]);
    assert_eq!(outcome.code, 1);
    assert!(
        outcome
            .stderr
            .contains("Error: There is no app shop at api.paas.localhost:"),
        "{}",
        outcome.stderr
    );
    both.here.set("PAAS_IMPORT_TOKEN", "nonsense");
    let outcome = both.import(&[]);
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.stderr.contains("answered 401: ")
            && outcome.stderr.contains("good there in PAAS_IMPORT_TOKEN."),
        "{}",
        outcome.stderr
    );
    let nowhere = [
        "import",
        "heroku",
        "shop",
        "--from-url",
        "http://127.0.0.1:1",
    ];
    both.here.paas(&nowhere).fails(
        1,
        " ▸    Error: Could not reach 127.0.0.1:1: Connection refused (os error 111)\n \
         ▸    Nothing was changed here. Is this its address, and does this machine reach it?\n",
    );
    both.here.unset("PAAS_IMPORT_TOKEN");
    let outcome = both.here.paas(&["import", "heroku", "shop"]);
    assert_eq!(outcome.code, 1);
    assert!(
        outcome
            .stderr
            .contains("Error: There is no token for api.heroku.com\n")
            && outcome
                .stderr
                .contains("export HEROKU_API_KEY=\"$(heroku auth:token)\""),
        "{}",
        outcome.stderr
    );
    let clear = [
        "import",
        "heroku",
        "shop",
        "--from-url",
        "http://api.example.com",
    ];
    assert_eq!(both.here.paas(&clear).code, 2);
}

#[test]
fn a_name_that_cannot_be_is_refused_before_the_other_side_is_asked() {
    let source = heroku();
    let platform = Platform::start();
    let mut cli = platform.cli();
    cli.set("PAAS_IMPORT_TOKEN", TOKEN);
    let url = format!("http://{}", source.addr);
    let args = ["import", "heroku", "shop", "--from-url", &url];
    let outcome = cli.paas(&[&args[..], &["--to", "No_Name"]].concat());
    assert_eq!(outcome.code, 2);
    assert!(
        outcome.stderr.contains("cannot be called No_Name"),
        "{}",
        outcome.stderr
    );
    assert!(source.seen("GET /apps/shop").is_empty());
}

#[test]
fn a_token_is_not_sent_to_whom_it_is_not_of() {
    let platform = Platform::start();
    let mut cli = platform.cli();
    let token = ok(&cli, &["auth:token"]).stdout;
    let source = Stub::start();
    let url = format!("http://{}", source.addr);
    let foreign = ["import", "heroku", "shop", "--from-url", &url];
    let refuse = |cli: &Cli, args: &[&str], words: &str| {
        let outcome = cli.paas(args);
        assert_eq!(outcome.code, 1);
        assert!(
            outcome.stderr.contains(words),
            "{words}: {}",
            outcome.stderr
        );
    };
    // Heroku's variable is for Heroku, whatever is in it.
    cli.set("HEROKU_API_KEY", TOKEN);
    refuse(&cli, &foreign, "There is no token for 127.0.0.1:");
    cli.set("PAAS_IMPORT_TOKEN", "HRKU-secret");
    refuse(&cli, &foreign, "is one of Heroku's, and was not sent there");
    cli.set("PAAS_IMPORT_TOKEN", token.trim());
    refuse(&cli, &foreign, "is one of this platform, and was not sent");
    cli.set("HEROKU_API_KEY", token.trim());
    refuse(
        &cli,
        &["import", "heroku", "shop"],
        "The token for api.heroku.com is one of this platform, and was not sent",
    );
    assert!(source.seen("GET /apps/shop").is_empty());
}

/// As Heroku answers for an app with add-ons, of which this token may not see all.
fn heroku() -> Stub {
    let stub = Stub::start();
    stub.on(
        "GET /apps/shop",
        json!({
            "acm": true, "archived_at": null, "build_stack": { "id": "x", "name": "heroku-22" }, "maintenance": true,
            "name": "shop", "owner": { "email": "me@x.com", "id": "x" }, "stack": { "id": "x", "name": "heroku-22" },
        }),
    )
    .on("GET /account", json!({ "email": "me@x.com", "id": "x" }))
    .on(
        "GET /apps/shop/config-vars",
        json!({ "DATABASE_URL": "postgres://u:hunter2@ec2.example/d", "REDIS_URL": "redis://:hunter2@ec2.example", "SECRET": "hunter2" }),
    )
    .on(
        "GET /apps/shop/formation",
        json!([
            { "type": "web", "quantity": 2, "size": "Private-M", "dyno_size": { "id": "x", "name": "Private-M" }, "command": "x" },
            { "type": "console", "quantity": 0, "size": "Standard-1X", "command": "bash" },
        ]),
    )
    .on(
        "GET /apps/shop/domains",
        json!([
            { "hostname": "shop-1.herokuapp.com", "kind": "heroku", "cname": null },
            { "hostname": "www.shop.example", "kind": "custom", "cname": "deep-sea-1.herokudns.com" },
        ]),
    )
    .on(
        "GET /apps/shop/buildpack-installations",
        json!([
            { "ordinal": 0, "buildpack": { "name": "heroku/ruby", "url": "urn:buildpack:heroku/ruby" } },
            { "ordinal": 1, "buildpack": {
                "name": "heroku-community/apt",
                "url": "https://buildpack-registry.s3.amazonaws.com/buildpacks/heroku-community/apt.tgz",
            } },
        ]),
    )
    .on(
        "GET /apps/shop/addons",
        json!([{
            "name": "postgresql-round-1", "plan": { "id": "x", "name": "heroku-postgresql:mini" },
            "addon_service": { "id": "x", "name": "heroku-postgresql" }, "config_vars": ["DATABASE_URL"],
        }]),
    )
    .on(
        "GET /apps/shop/addon-attachments",
        json!([
            { "name": "DATABASE", "addon": { "name": "postgresql-round-1", "app": { "name": "shop" } } },
            { "name": "REDIS", "addon": { "name": "redis-flat-2", "app": { "name": "stock" } } },
        ]),
    )
    .refuse("GET /apps/shop/log-drains", 403, "forbidden", "You do not have access to the app shop.")
    .on("GET /apps/shop/features", json!([{ "name": "http-session-affinity", "enabled": false }]))
    .on("GET /apps/shop/sni-endpoints", json!([{ "name": "tokyo-1050" }]))
    .on("GET /apps/shop/collaborators", json!([{ "user": { "email": "me@x.com" }, "role": "owner", "permissions": [] }]));
    stub
}

#[test]
fn what_only_heroku_has_is_told_with_what_to_do_about_it() {
    let source = heroku();
    let platform = Platform::start();
    let mut cli = platform.cli();
    let url = format!("http://{}", source.addr);
    // As `heroku login` leaves it.
    let netrc = format!(
        "machine {}\n  login me@x.com\n  password {TOKEN}\n",
        source.addr
    );
    std::fs::write(cli.home.path().join(".netrc"), netrc).unwrap();
    let args = ["import", "heroku", "shop", "--from-url", &url, "--json"];
    let outcome = ok(&cli, &args);
    let report = json_of(&outcome);
    assert_eq!(
        lines(&report["steps"]),
        [
            "app shop",
            "buildpacks heroku/ruby, https://buildpack-registry.s3.amazonaws.com/buildpacks/heroku-community/apt.tgz",
            "config var SECRET",
            "formation web=2:Performance-M",
            "domain www.shop.example",
        ]
    );
    assert_eq!(
        lines(&report["left"]),
        [
            "drains all",
            "add-on heroku-postgresql:mini",
            "add-on redis-flat-2",
            "certificate tokyo-1050",
            "maintenance on",
            "stack heroku-22",
            "config var DATABASE_URL",
            "config var REDIS_URL",
        ]
    );
    let next = report["next"].to_string();
    for step in [
        "paas config:set DATABASE_URL=… REDIS_URL=… -a shop",
        "(now deep-sea-1.herokudns.com) lead to shop.paas.localhost",
        "paas certs:auto:enable -a shop",
    ] {
        assert!(next.contains(step), "{step}: {next}");
    }
    assert!(!format!("{outcome:?}").contains("hunter2"));
    // Its token went there with every call, and nothing but reading was asked.
    assert_eq!(
        source.seen("GET /apps/shop")[0].authorization,
        format!("Bearer {TOKEN}")
    );
    cli.set("PAAS_IMPORT_TOKEN", TOKEN);
    let taken = json_of(&ok(&cli, &[&args[..], &["--addon-vars"]].concat()));
    assert_eq!(
        lines(&taken["steps"]),
        ["config var DATABASE_URL", "config var REDIS_URL"]
    );
}

#[test]
fn what_is_left_out_is_not_asked_for() {
    let source = heroku();
    for what in ["config-vars", "formation", "collaborators"] {
        let call = format!("GET /apps/view/{what}");
        source.refuse(&call, 403, "forbidden", "You may not.");
    }
    source.on("GET /apps/view", json!({ "name": "view" }));
    for what in [
        "domains",
        "buildpack-installations",
        "addons",
        "addon-attachments",
        "log-drains",
        "features",
        "sni-endpoints",
    ] {
        source.on(&format!("GET /apps/view/{what}"), json!([]));
    }
    let platform = Platform::start();
    let mut cli = platform.cli();
    cli.set("PAAS_IMPORT_TOKEN", TOKEN);
    let url = format!("http://{}", source.addr);
    let import = |skip: &str| {
        let mut args = vec!["import", "heroku", "view", "--from-url", &url, "--json"];
        if !skip.is_empty() {
            args.extend(["--skip", skip]);
        }
        cli.paas(&args)
    };
    let refused = import("formation");
    assert_eq!(refused.code, 1);
    for words in [
        "Error: The config could not be read: 127.0.0.1:",
        " answered 403: You may not.",
        "or leave it out with --skip config.",
    ] {
        assert!(
            refused.stderr.contains(words),
            "{words}: {}",
            refused.stderr
        );
    }
    assert!(
        import("config")
            .stderr
            .contains("The formation could not be read: ")
    );
    let asked = |what: &str| source.seen(&format!("GET /apps/view/{what}")).len();
    let before = asked("domains");
    let left = lines(&json_of(&import("config,formation,domains"))["left"]);
    assert_eq!(left, ["collaborators all"]);
    assert_eq!((asked("config-vars"), asked("domains")), (1, before));
    let report = json_of(&import("config,formation,collaborators"));
    assert_eq!(lines(&report["left"]), Vec::<String>::new());
}

#[test]
fn a_source_that_answers_nonsense_changes_nothing_here() {
    let source = heroku();
    let platform = Platform::start();
    let mut cli = platform.cli();
    cli.set("PAAS_IMPORT_TOKEN", TOKEN);
    let url = format!("http://{}", source.addr);
    let bad = Stub::start();
    bad.answer("GET /apps/shop", 200, "<html>".to_owned());
    let bad_url = format!("http://{}", bad.addr);
    let outcome = cli.paas(&["import", "heroku", "shop", "--from-url", &bad_url]);
    assert_eq!(outcome.code, 1);
    assert!(
        outcome
            .stderr
            .contains("The answer could not be understood"),
        "{}",
        outcome.stderr
    );
    source.refuse("GET /apps/other", 500, "internal", "Oh\u{202e} no.\u{1b}");
    let outcome = cli.paas(&["import", "heroku", "other", "--from-url", &url]);
    assert!(
        outcome.stderr.contains("answered 500: Oh no."),
        "{}",
        outcome.stderr
    );
    ok(&cli, &["apps"]).answers("");
}
