use serde_json::json;

use super::harness::Cli;
use super::shapes::{account, app, collaborator, dyno};

#[test]
fn own_apps_are_listed_apart_from_those_of_others() {
    let cli = Cli::new();
    let mut shared = app("shared");
    shared["owner"]["email"] = "other@example.com".into();
    let mut resting = app("resting");
    resting["maintenance"] = true.into();
    cli.stub
        .on("GET /users/~/apps", json!([shared, app("myapp"), resting]))
        .on("GET /account", account());
    cli.paas(&["apps"]).answers(
        "=== me@example.com Apps\n\nmyapp\nresting (maintenance)\n\n=== Collaborated Apps\n\nshared  other@example.com\n",
    );
    let listed: serde_json::Value =
        serde_json::from_str(&cli.paas(&["apps", "--json"]).stdout).unwrap();
    assert_eq!(listed[0]["name"], "myapp");
}

#[test]
fn creating_an_app_adds_the_remote_and_lets_git_in() {
    let cli = Cli::new();
    cli.git(&["init", "-q"]);
    cli.stub.on("POST /apps", app("myapp"));
    cli.paas(&["create", "myapp"])
        .answers("https://myapp.paas.localhost:8443/ | https://git.paas.localhost:8443/myapp.git\n")
        .says("Creating ⬢ myapp... done\nGit remote paas added\n");
    assert_eq!(
        cli.stub.seen("POST /apps")[0].body,
        json!({ "name": "myapp" })
    );
    assert_eq!(
        cli.git(&["remote", "get-url", "paas"]).trim(),
        "https://git.paas.localhost:8443/myapp.git"
    );
    let helper = cli.git(&[
        "config",
        "--get-all",
        "credential.https://git.paas.localhost:8443.helper",
    ]);
    assert!(
        helper.starts_with("\n!/") && helper.ends_with("paas git:credentials\n"),
        "{helper:?}"
    );
}

#[test]
fn an_app_without_a_name_gets_one_and_buildpacks_are_set() {
    let cli = Cli::new();
    cli.stub.on("POST /apps", app("calm-river-1234"));
    cli.stub.on(
        "PUT /apps/calm-river-1234/buildpack-installations",
        json!([]),
    );
    let outcome = cli.paas(&[
        "create",
        "-b",
        "heroku/nodejs",
        "-b",
        "heroku/python",
        "--no-remote",
    ]);
    outcome.says(
        "Creating app... done, ⬢ calm-river-1234\nSetting buildpack to heroku/nodejs, heroku/python... done\n",
    );
    let put = &cli
        .stub
        .seen("PUT /apps/calm-river-1234/buildpack-installations")[0];
    assert_eq!(
        put.body,
        json!({ "updates": [{ "buildpack": "heroku/nodejs" }, { "buildpack": "heroku/python" }] })
    );
}

#[test]
fn outside_a_repository_an_app_is_made_and_how_to_go_on_is_said() {
    let cli = Cli::new();
    cli.stub.on("POST /apps", app("myapp"));
    let outcome = cli.paas(&["create", "myapp"]);
    assert_eq!(outcome.code, 0);
    assert!(
        outcome.stderr.contains("paas git:remote -a myapp"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn info_shows_what_an_app_is() {
    let cli = Cli::new();
    cli.stub
        .on("GET /apps/myapp", app("myapp"))
        .on(
            "GET /apps/myapp/dynos",
            json!([dyno("web.1", 1, "up"), dyno("web.2", 2, "up")]),
        )
        .on(
            "GET /apps/myapp/collaborators",
            json!([collaborator("friend@example.com", "collaborator")]),
        );
    cli.paas(&["info", "-a", "myapp"]).answers(
        "=== myapp\n\n\
         Collaborators:  friend@example.com\n\
         Created:        2026/11/22 13:24:10 +0000\n\
         Dynos:          web: 2\n\
         Git URL:        https://git.paas.localhost:8443/myapp.git\n\
         Owner:          me@example.com\n\
         Region:         us\n\
         Repo Size:      0 B\n\
         Slug Size:      12.3 MB\n\
         Stack:          heroku-24\n\
         Web URL:        https://myapp.paas.localhost:8443/\n",
    );
    let shell = cli.paas(&["apps:info", "myapp", "--shell"]).stdout;
    assert!(
        shell.contains("\nweb_url=https://myapp.paas.localhost:8443/\n"),
        "{shell}"
    );
}

#[test]
fn destroying_needs_the_name_and_takes_the_remote_along() {
    let cli = Cli::new();
    cli.git(&["init", "-q"]);
    let here = format!("ssh://git@{}:2222/myapp.git", cli.stub.addr.ip());
    cli.git(&["remote", "add", "paas", &here]);
    cli.stub
        .on("GET /apps/myapp", app("myapp"))
        .on("DELETE /apps/myapp", app("myapp"));
    let wrong = cli.paas(&["destroy", "--confirm", "other"]);
    wrong.fails(
        1,
        " ▸    Error: Confirmation other did not match myapp: nothing was destroyed\n",
    );
    let asked = cli.paas(&["destroy"]);
    assert_eq!(asked.code, 2);
    assert!(asked.stderr.contains("--confirm myapp"), "{}", asked.stderr);
    assert!(cli.stub.seen("DELETE /apps/myapp").is_empty());

    cli.paas(&["destroy", "--confirm", "myapp"])
        .says("Destroying ⬢ myapp... done\nGit remote paas removed\n");
    assert_eq!(cli.stub.seen("DELETE /apps/myapp").len(), 1);
    assert_eq!(cli.git(&["remote"]), "");
}

#[test]
fn renaming_moves_the_remotes_of_this_repository() {
    let cli = Cli::new();
    cli.git(&["init", "-q"]);
    let here = format!("ssh://git@{}:2222/old.git", cli.stub.addr.ip());
    cli.git(&["remote", "add", "paas", &here]);
    cli.git(&["remote", "add", "origin", "git@github.com:me/old.git"]);
    cli.stub.on("PATCH /apps/old", app("fresh"));
    let outcome = cli.paas(&["rename", "fresh"]);
    assert!(
        outcome
            .stderr
            .starts_with("Renaming ⬢ old to fresh... done\nGit remote paas updated\n"),
        "{}",
        outcome.stderr
    );
    assert_eq!(
        cli.git(&["remote", "get-url", "paas"]).trim(),
        here.replace("old", "fresh")
    );
    assert_eq!(
        cli.git(&["remote", "get-url", "origin"]).trim(),
        "git@github.com:me/old.git"
    );
}

#[test]
fn open_prints_the_address_where_there_is_no_browser_and_uses_the_one_there_is() {
    let mut cli = Cli::new();
    cli.stub.on("GET /apps/myapp", app("myapp"));
    cli.paas(&["open", "/login", "-a", "myapp"])
        .answers("https://myapp.paas.localhost:8443/login\n");
    cli.set("BROWSER", "true");
    cli.paas(&["open", "-a", "myapp"])
        .answers("")
        .says("Opening https://myapp.paas.localhost:8443/\n");
}
