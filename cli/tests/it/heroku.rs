//! The official heroku CLI, unmodified, against the real controller.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::harness::{Cli, Outcome};
use super::platform::Platform;

/// Where `tests/run` installs it, and a Node.js that is new enough for it.
fn programs() -> PathBuf {
    let programs =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/heroku/node_modules/.bin");
    assert!(
        programs.join("heroku").exists(),
        "the heroku CLI is missing: tests/run installs it"
    );
    programs
}

pub(crate) struct Heroku {
    pub(crate) cli: Cli,
    pub(crate) platform: Platform,
}

impl Heroku {
    pub(crate) fn start() -> Self {
        let platform = Platform::start();
        let mut cli = platform.cli();
        let path = std::env::var("PATH").unwrap();
        cli.set("PATH", &format!("{}:{path}", programs().display()));
        Self { cli, platform }
    }

    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        let mut all = vec!["heroku-proxy", "--", "heroku"];
        all.extend(args);
        self.cli.paas(&all)
    }
}

#[test]
fn the_environment_for_the_heroku_cli_leads_nowhere_but_here() {
    let platform = Platform::start();
    let cli = platform.cli();
    let exports = cli.paas(&["heroku-env", "--port", "5999"]).stdout;
    assert!(
        exports.contains("export HEROKU_HOST=http://127.0.0.1:5999\n")
            && exports.contains("export DISABLE_TELEMETRY=true\n")
            && exports.contains("export HEROKU_API_KEY=\"$(paas auth:token)\"\n"),
        "{exports}"
    );
    // The token is not among what may end in a file.
    let token = cli.paas(&["auth:token"]).stdout;
    assert!(token.starts_with("paas_") && !exports.contains(token.trim()));
    let json = cli.paas(&["heroku-env", "--json"]).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["HEROKU_API_KEY"], token.trim());
    for (name, value) in json.as_object().unwrap() {
        assert!(!value.as_str().unwrap().contains("heroku.com"), "{name}");
    }
    let outside = Cli::logged_out(super::stub::Stub::start());
    assert_eq!(outside.paas(&["heroku-env"]).code, 1);
}

#[test]
fn the_forwarder_passes_on_what_it_is_given_and_nothing_of_its_own() {
    let platform = Platform::start();
    let cli = platform.cli();
    let curl = |rest: &str| {
        let script =
            format!("curl -s -o /dev/null -w '%{{http_code}}' {rest} $HEROKU_HOST/account");
        cli.paas(&["heroku-proxy", "--", "sh", "-c", &script])
            .stdout
    };
    assert_eq!(curl("-H \"Authorization: Bearer $HEROKU_API_KEY\""), "200");
    assert_eq!(curl("-u \":$HEROKU_API_KEY\""), "200");
    assert_eq!(curl(""), "401");
    // A page somewhere whose name was made to lead to this machine.
    assert_eq!(curl("-H 'Host: evil.example.com'"), "421");
    let ended = cli.paas(&["heroku-proxy", "--", "sh", "-c", "exit 7"]);
    assert_eq!(ended.code, 7);
    let killed = cli.paas(&["heroku-proxy", "--", "sh", "-c", "kill -TERM $$"]);
    assert_eq!(killed.code, 128 + 15);
    // Called once more with its own environment, it adds nothing, and what git knows is still known.
    std::fs::write(cli.home.path().join(".gitconfig"), "[user]\n\tname = Ann\n").unwrap();
    let program = super::harness::program();
    let script = format!(
        "git config --global my.key kept && {} heroku-proxy -- git config --global --includes --list",
        program
    );
    let listed = cli
        .paas(&["heroku-proxy", "--", "sh", "-c", &script])
        .stdout;
    assert!(
        listed.contains("user.name=Ann\n") && listed.contains("my.key=kept\n"),
        "{listed}"
    );
    let missing = cli.paas(&["heroku-proxy", "--", "no-such-program"]);
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains("could not run no-such-program"));
}

/// What is asked, the exit status, and what is said.
type Case = (&'static [&'static str], i32, &'static [&'static str]);

const CASES: &[Case] = &[
    (&["auth:whoami"], 0, &["admin@example.com"]),
    (&["auth:token"], 0, &["paas_"]),
    (&["auth:2fa"], 0, &["not enabled"]),
    (&["authorizations"], 0, &["Made at install", "global"]),
    (
        &["authorizations:create", "-d", "mine"],
        0,
        &["Description: mine", "Token:       paas_"],
    ),
    (
        &[
            "authorizations:create",
            "-d",
            "reader",
            "-s",
            "read",
            "-e",
            "3600",
        ],
        0,
        &[
            "Description: reader",
            "Scope:       read",
            "Token:       paas_",
        ],
    ),
    (
        &["authorizations:create", "-s", "everything"],
        2,
        &["must be global, identity, read"],
    ),
    (&["authorizations"], 0, &["reader", "read"]),
    (&["apps"], 0, &["You have no apps."]),
    (
        &["apps:create", "myapp", "-b", "heroku/python"],
        0,
        &[
            "Creating myapp... done",
            "Setting buildpack to heroku/python... done",
            "http://myapp.paas.localhost",
        ],
    ),
    (&["apps"], 0, &["admin@example.com Apps", "myapp"]),
    (
        &["apps:info", "-a", "myapp"],
        0,
        &[
            "Owner:          admin@example.com",
            "Stack:          heroku-24",
            "Web URL:        http://myapp.paas.localhost",
        ],
    ),
    (
        &["apps:info", "-a", "myapp", "--json"],
        0,
        &["\"name\": \"myapp\"", "\"role\": \"owner\""],
    ),
    (
        &["apps:info", "-a", "myapp", "-s"],
        0,
        &["owner=admin@example.com", "stack=heroku-24"],
    ),
    (
        &["create", "another", "--no-remote"],
        0,
        &["Creating another... done"],
    ),
    (
        &["create", "another", "--no-remote"],
        2,
        &["taken", "Error ID: invalid_params"],
    ),
    (
        &["apps:rename", "renamed", "-a", "another"],
        0,
        &["Renaming another to renamed... done"],
    ),
    (
        &["apps:destroy", "-a", "renamed", "--confirm", "myapp"],
        1,
        &["did not match"],
    ),
    (
        &["apps:destroy", "-a", "renamed", "--confirm", "renamed"],
        0,
        &["Destroying renamed (including all add-ons)... done"],
    ),
    (&["apps:info", "-a", "renamed"], 2, &["Error ID: not_found"]),
    (&["apps:stacks", "-a", "myapp"], 0, &["* heroku-24"]),
    (
        &["apps:stacks:set", "heroku-24", "-a", "myapp"],
        0,
        &["Setting stack to heroku-24... done"],
    ),
    (&["apps:diff", "myapp", "myapp"], 0, &["property"]),
    (&["config", "-a", "myapp"], 0, &["myapp Config Vars"]),
    (
        &["config:set", "A=1", "B=2", "-a", "myapp"],
        0,
        &["Setting A, B and restarting myapp... done, v2"],
    ),
    (&["config:get", "A", "-a", "myapp"], 0, &["1"]),
    (
        &["config:unset", "A", "-a", "myapp"],
        0,
        &["Unsetting A and restarting myapp... done, v3"],
    ),
    (&["config", "-a", "myapp", "--json"], 0, &["\"B\": \"2\""]),
    (&["config", "-s", "-a", "myapp"], 0, &["B=2"]),
    (&["ps", "-a", "myapp"], 0, &["No dynos on myapp"]),
    (&["ps", "--json", "-a", "myapp"], 0, &["[]"]),
    (
        &["ps:scale", "-a", "myapp"],
        1,
        &["No process types on myapp."],
    ),
    (
        &["ps:type", "-a", "myapp"],
        1,
        &["No process types on myapp."],
    ),
    (
        &["ps:restart", "-a", "myapp"],
        0,
        &["Restarting all dynos on myapp... done"],
    ),
    (
        &["ps:stop", "-d", "web.1", "-a", "myapp"],
        2,
        &["Couldn't find the dyno web.1", "Error ID: not_found"],
    ),
    (&["ps:wait", "-a", "myapp"], 0, &[]),
    (
        &["run:detached", "ls", "-a", "myapp"],
        2,
        &["push some code first", "Error ID: invalid_params"],
    ),
    (
        &["releases", "-a", "myapp"],
        0,
        &["Current: v3", "Set A, B config vars", "Initial release"],
    ),
    (
        &["releases", "--json", "-a", "myapp"],
        0,
        &["\"description\": \"Remove A config vars\""],
    ),
    (
        &["releases:info", "v2", "-a", "myapp"],
        0,
        &["Change:                 Set A, B config vars", "A: 1"],
    ),
    (&["releases:info", "-a", "myapp"], 0, &["=== Release v3"]),
    (
        &["releases:output", "v2", "-a", "myapp"],
        0,
        &["has no release output"],
    ),
    (
        &["releases:retry", "-a", "myapp"],
        2,
        &["must have a release-phase command"],
    ),
    (
        &["rollback", "v2", "-a", "myapp"],
        2,
        &["it has no code", "Error ID: invalid_params"],
    ),
    (&["domains", "-a", "myapp"], 0, &["myapp.paas.localhost"]),
    (
        &["domains:add", "www.example.com", "-a", "myapp"],
        0,
        &[
            "Adding www.example.com to myapp... done",
            "DNS Target myapp.paas.localhost",
        ],
    ),
    (
        &["domains:info", "www.example.com", "-a", "myapp"],
        0,
        &["status:     succeeded"],
    ),
    (&["domains:wait", "www.example.com", "-a", "myapp"], 0, &[]),
    (
        &["domains", "--json", "-a", "myapp"],
        0,
        &["\"hostname\": \"www.example.com\""],
    ),
    (
        &["domains", "--csv", "-a", "myapp"],
        0,
        &["www.example.com"],
    ),
    (
        &["domains:remove", "www.example.com", "-a", "myapp"],
        0,
        &["Removing www.example.com from myapp... done"],
    ),
    (
        &["domains:clear", "-a", "myapp"],
        0,
        &["Removing all domains from myapp... done"],
    ),
    (
        &["certs", "-a", "myapp"],
        0,
        &["myapp has no SSL certificates."],
    ),
    (
        &["certs:auto", "-a", "myapp"],
        0,
        &["Automatic Certificate Management is disabled on myapp"],
    ),
    (
        &["access", "-a", "myapp"],
        0,
        &["admin@example.com", "owner"],
    ),
    (
        &["access:add", "friend@example.com", "-a", "myapp"],
        2,
        &["no account for friend@example.com"],
    ),
    (
        &["access:remove", "friend@example.com", "-a", "myapp"],
        2,
        &["no collaborator of myapp"],
    ),
    (&["drains", "-a", "myapp"], 0, &[]),
    (
        &[
            "drains:add",
            "https://u:p@logs.example.com/drain?k=a/b",
            "-a",
            "myapp",
        ],
        0,
        &["Successfully added drain https://u:p@logs.example.com/drain?k=a/b"],
    ),
    (
        &[
            "drains:add",
            "syslog+tls://logs.example.com:6514",
            "-a",
            "myapp",
        ],
        0,
        &["Successfully added drain syslog+tls://logs.example.com:6514"],
    ),
    (
        &["drains:add", "syslog+tls://logs.example.com", "-a", "myapp"],
        2,
        &["has this drain already", "Error ID: invalid_params"],
    ),
    (
        &["drains:add", "ftp://logs.example.com", "-a", "myapp"],
        2,
        &["not ftp://", "Error ID: invalid_params"],
    ),
    (
        &["drains", "-a", "myapp"],
        0,
        &[
            "https://u:p@logs.example.com/drain?k=a/b (d.",
            "syslog+tls://logs.example.com:6514 (d.",
        ],
    ),
    (
        &["drains", "--json", "-a", "myapp"],
        0,
        &[
            "\"addon\": null",
            "\"url\": \"syslog+tls://logs.example.com:6514\"",
        ],
    ),
    (
        &[
            "drains:remove",
            "https://u:p@logs.example.com/drain?k=a/b",
            "-a",
            "myapp",
        ],
        0,
        &["Successfully removed drain https://u:p@logs.example.com/drain?k=a/b"],
    ),
    (
        &[
            "drains:remove",
            "https://u:p@logs.example.com/drain?k=a/b",
            "-a",
            "myapp",
        ],
        2,
        &["Couldn't find that drain", "Error ID: not_found"],
    ),
    (&["keys"], 0, &["You have no SSH keys."]),
    (&["maintenance", "-a", "myapp"], 0, &["off"]),
    (
        &["maintenance:on", "-a", "myapp"],
        0,
        &["Enabling maintenance mode for myapp... done"],
    ),
    (&["maintenance", "-a", "myapp"], 0, &["on"]),
    (
        &["maintenance:off", "-a", "myapp"],
        0,
        &["Disabling maintenance mode for myapp... done"],
    ),
    (
        &["features", "-a", "myapp"],
        0,
        &[
            "App Features myapp",
            "[ ] http-session-affinity",
            "[+] preboot",
        ],
    ),
    (
        &["features:enable", "http-session-affinity", "-a", "myapp"],
        0,
        &["Enabling http-session-affinity for myapp... done"],
    ),
    (
        &["features:info", "http-session-affinity", "-a", "myapp"],
        0,
        &["Requests of one client go to the same dyno", "true"],
    ),
    (
        &["features:disable", "http-session-affinity", "-a", "myapp"],
        0,
        &["Disabling http-session-affinity for myapp... done"],
    ),
    (
        &["features:disable", "preboot", "-a", "myapp"],
        2,
        &["cannot be switched off"],
    ),
    (
        &["labs:enable", "cobol", "-a", "myapp"],
        2,
        &["Error ID: not_found"],
    ),
    (&["sessions"], 0, &["No OAuth sessions."]),
    (&["clients"], 0, &["No OAuth clients."]),
    (
        &["labs", "-a", "myapp"],
        0,
        &["User Features admin@example.com", "App Features myapp"],
    ),
    (&["buildpacks", "-a", "myapp"], 0, &["heroku/python"]),
    (
        &["buildpacks:add", "heroku/nodejs", "-a", "myapp"],
        0,
        &["Buildpack added.", "heroku/nodejs"],
    ),
    (
        &["buildpacks:add", "heroku/cobol", "-a", "myapp"],
        2,
        &["must be a name such as heroku/python"],
    ),
    (
        &["buildpacks:remove", "heroku/python", "-a", "myapp"],
        0,
        &["Buildpack removed.", "heroku/nodejs"],
    ),
    (
        &["buildpacks:set", "https://example.com/x.git", "-a", "myapp"],
        0,
        &["will use https://example.com/x.git"],
    ),
    (
        &["buildpacks:clear", "-a", "myapp"],
        0,
        &["Buildpacks cleared."],
    ),
    (
        &["buildpacks:search", "python"],
        0,
        &["heroku/python", "1 buildpack found"],
    ),
    (
        &["addons", "-a", "myapp"],
        0,
        &["No add-ons for app myapp."],
    ),
    (&["addons", "--all"], 0, &["No add-ons."]),
    (
        &["pg", "-a", "myapp"],
        0,
        &["no heroku-postgresql databases"],
    ),
    (&["pipelines"], 0, &["My Pipelines"]),
    (&["webhooks", "-a", "myapp"], 0, &["myapp has no webhooks"]),
    (
        &["webhooks:deliveries", "-a", "myapp"],
        0,
        &["myapp has no deliveries"],
    ),
    (
        &["webhooks:events", "-a", "myapp"],
        0,
        &["myapp has no events"],
    ),
    (
        &[
            "webhooks:add",
            "-i",
            "api:release",
            "-l",
            "sync",
            "-u",
            "http://a.invalid",
            "-a",
            "myapp",
        ],
        2,
        &["must begin with https://", "Error ID: invalid_params"],
    ),
    (
        &[
            "webhooks:add",
            "-i",
            "api:nonsense",
            "-l",
            "sync",
            "-u",
            "https://a.invalid",
            "-a",
            "myapp",
        ],
        2,
        &["api:app, api:build, api:collaborator"],
    ),
    (
        &[
            "webhooks:add",
            "-i",
            "api:release",
            "-l",
            "loud",
            "-u",
            "https://a.invalid",
            "-a",
            "myapp",
        ],
        2,
        &["notify (tried once) or sync"],
    ),
    (
        &["webhooks:info", "0", "-a", "myapp"],
        2,
        &["myapp has no webhook 0", "Error ID: not_found"],
    ),
    (&["regions"], 0, &["This platform"]),
    (&["teams"], 0, &["Team"]),
    (
        &["logs", "-a", "myapp"],
        0,
        &[
            "app[api]: Initial release by user admin@example.com",
            "app[api]: Release v3 created by user admin@example.com",
        ],
    ),
    (
        &["logs", "-a", "myapp", "-n", "1", "-s", "app"],
        0,
        &["Set routing: session_affinity"],
    ),
    (&["spaces"], 2, &["Error ID: not_found"]),
    (&["logout"], 0, &["Logging out... done"]),
];

const PIPELINES: &[Case] = &[
    (
        &["apps:create", "myapp-staging", "--no-remote"],
        0,
        &["done"],
    ),
    (&["apps:create", "myapp", "--no-remote"], 0, &["done"]),
    (&["pipelines"], 0, &["My Pipelines"]),
    (
        &[
            "pipelines:create",
            "mypipe",
            "-a",
            "myapp-staging",
            "-s",
            "staging",
        ],
        0,
        &[
            "Creating mypipe pipeline... done",
            "Adding myapp-staging to mypipe pipeline as staging... done",
        ],
    ),
    (
        &[
            "pipelines:create",
            "mypipe",
            "-a",
            "myapp",
            "-s",
            "production",
        ],
        2,
        &["Name mypipe is already taken"],
    ),
    (
        &[
            "pipelines:add",
            "mypipe",
            "-a",
            "myapp",
            "-s",
            "development",
        ],
        0,
        &["Adding myapp to mypipe pipeline as development... done"],
    ),
    (
        &["pipelines:add", "mypipe", "-a", "myapp", "-s", "staging"],
        2,
        &["in this pipeline already"],
    ),
    (
        &["reviewapps:enable", "-p", "mypipe"],
        0,
        &["Configuring pipeline... done"],
    ),
    (
        &["reviewapps:enable", "-p", "mypipe", "--autodestroy"],
        0,
        &["Enabling auto destroy...", "Configuring pipeline... done"],
    ),
    (
        &["reviewapps:disable", "-p", "mypipe"],
        0,
        &["Configuring pipeline... done"],
    ),
    (&["pipelines"], 0, &["My Pipelines", "mypipe"]),
    (&["pipelines", "--json"], 0, &["\"name\": \"mypipe\""]),
    (
        &["pipelines:info", "mypipe"],
        0,
        &[
            "mypipe",
            "owner: admin@example.com",
            "myapp-staging",
            "development",
        ],
    ),
    (
        &["pipelines:info", "mypipe", "--json"],
        0,
        &["\"stage\": \"staging\""],
    ),
    (
        &["pipelines:update", "-a", "myapp", "-s", "production"],
        0,
        &["Changing myapp to production... done"],
    ),
    (
        &["apps:info", "-a", "myapp"],
        0,
        &["Pipeline:       mypipe"],
    ),
    (
        &["pipelines:promote", "-a", "myapp-staging"],
        2,
        &["cannot be promoted"],
    ),
    (
        &[
            "pipelines:promote",
            "-a",
            "myapp-staging",
            "-t",
            "elsewhere",
        ],
        1,
        &["Cannot find app elsewhere"],
    ),
    (
        &["pipelines:rename", "mypipe", "ourpipe"],
        0,
        &["Renaming mypipe pipeline to ourpipe... done"],
    ),
    (
        &[
            "pipelines:transfer",
            "admin@example.com",
            "-p",
            "ourpipe",
            "--confirm",
            "ourpipe",
        ],
        0,
        &["Transferring ourpipe pipeline"],
    ),
    (
        &["pipelines:remove", "-a", "myapp"],
        0,
        &["Removing myapp... done"],
    ),
    (&["pipelines:remove", "-a", "myapp"], 2, &["in no pipeline"]),
    (
        &["pipelines:destroy", "ourpipe"],
        0,
        &["Destroying ourpipe pipeline... done"],
    ),
    (&["pipelines:info", "ourpipe"], 1, &["Pipeline not found"]),
];

#[test]
fn the_official_heroku_cli_does_what_it_does_at_home() {
    all_do(CASES);
}

#[test]
fn the_official_heroku_cli_knows_its_pipelines() {
    all_do(PIPELINES);
}

fn all_do(cases: &[Case]) {
    let heroku = Heroku::start();
    let mut failed = Vec::new();
    for (args, code, words) in cases {
        let outcome = heroku.run(args);
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        let missing: Vec<_> = words.iter().filter(|word| !said.contains(**word)).collect();
        if outcome.code != *code || !missing.is_empty() {
            failed.push(format!(
                "heroku {}: exit {} (not {code}), without {missing:?}:\n{said}",
                args.join(" "),
                outcome.code
            ));
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {} failed\n{}",
        failed.len(),
        cases.len(),
        failed.join("\n")
    );
}

#[test]
fn the_official_heroku_cli_has_its_way_with_webhooks() {
    let heroku = Heroku::start();
    let run = |args: &[&str], words: &[&str]| {
        let outcome = heroku.run(&[args, &["-a", "myapp"]].concat());
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        let missing: Vec<_> = words.iter().filter(|word| !said.contains(**word)).collect();
        assert!(
            outcome.code == 0 && missing.is_empty(),
            "{args:?}: exit {} without {missing:?}:\n{said}",
            outcome.code
        );
        said
    };
    let id = |said: &str| {
        let mut words = said.split_whitespace();
        let is_id = |word: &&str| word.len() == 36 && word.matches('-').count() == 4;
        words.find(is_id).map(str::to_owned)
    };
    heroku.cli.paas(&["create", "myapp", "--no-remote"]);
    let url = "https://hooks.invalid/in";
    let add = [
        "webhooks:add",
        "-i",
        "api:app,api:release",
        "-l",
        "notify",
        "-u",
        url,
    ];
    run(
        &add,
        &["Adding webhook to", "done", "Webhooks Signing Secret"],
    );
    let listed = run(&["webhooks"], &[url, "api:app,api:release", "notify"]);
    let webhook = id(&listed).unwrap();
    run(
        &["webhooks:info", &webhook],
        &[url, "Level:", "notify", &webhook],
    );

    run(&["maintenance:on"], &["done"]);
    // Names below invalid lead nowhere.
    let mut said = String::new();
    for _ in 0..50 {
        said = run(&["webhooks:deliveries"], &[]);
        if said.contains("failed") {
            break;
        }
    }
    let delivery = id(&said).unwrap();
    let words = ["failed", "api:app", "notify", "ConnectionFailed"];
    run(&["webhooks:deliveries", "--status", "failed"], &words);
    run(
        &["webhooks:deliveries", "--status", "succeeded"],
        &["no deliveries"],
    );
    let words = ["Status:", "Event Payload", "\"maintenance\":"];
    run(&["webhooks:deliveries:info", &delivery], &words);
    let events = run(&["webhooks:events"], &["app", "update"]);
    let event = id(&events).unwrap();
    run(
        &["webhooks:events:info", &event],
        &["previous_data", "maintenance"],
    );

    let update = [
        "webhooks:update",
        &webhook,
        "-i",
        "build",
        "-l",
        "sync",
        "-u",
        url,
    ];
    run(&update, &["Updating webhook", "done"]);
    run(&["webhooks:info", &webhook], &["api:build", "sync"]);
    run(
        &["webhooks:remove", &webhook],
        &["Removing webhook", "done"],
    );
    run(&["webhooks"], &["has no webhooks"]);
}
