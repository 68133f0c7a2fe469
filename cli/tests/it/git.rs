use serde_json::json;

use super::harness::Cli;
use super::shapes::app;

fn cli_in_repository() -> Cli {
    let mut cli = Cli::new();
    cli.git(&["init", "-q"]);
    let api = format!("http://api.paas.localhost:{}", cli.stub.addr.port());
    cli.set("PAAS_API_URL", &api);
    for name in ["myapp", "staging"] {
        cli.stub.on(&format!("GET /apps/{name}"), app(name)).on(
            &format!("GET /apps/{name}/config-vars"),
            json!({ "APP": name }),
        );
    }
    cli
}

fn add(cli: &Cli, remote: &str, url: &str) {
    cli.git(&["remote", "add", remote, url]);
}

#[test]
fn the_app_is_found_by_the_remote_also_from_a_directory_below() {
    let cli = cli_in_repository();
    add(&cli, "origin", "https://github.com/me/code.git");
    add(&cli, "paas", "https://git.paas.localhost/myapp.git");
    cli.paas(&["config:get", "APP"]).answers("myapp\n");
    std::fs::create_dir(cli.dir.path().join("below")).unwrap();
    let output = cli
        .command(super::harness::program())
        .args(["config:get", "APP"])
        .current_dir(cli.dir.path().join("below"))
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"myapp\n");
}

#[test]
fn what_is_said_wins_over_the_environment_and_that_over_the_remote() {
    let mut cli = cli_in_repository();
    add(&cli, "paas", "https://git.paas.localhost/myapp.git");
    cli.set("PAAS_APP", "staging");
    cli.paas(&["config:get", "APP"]).answers("staging\n");
    cli.paas(&["config:get", "APP", "-a", "myapp"])
        .answers("myapp\n");
    cli.paas(&["config:get", "APP", "-r", "paas"])
        .answers("myapp\n");
}

#[test]
fn several_apps_are_an_error_that_names_them() {
    let cli = cli_in_repository();
    add(&cli, "production", "https://git.paas.localhost/myapp.git");
    add(&cli, "staging", "ssh://git@localhost:2222/staging.git");
    cli.paas(&["config"]).fails(
        1,
        " ▸    Error: This directory has git remotes of several apps\n \
         ▸    Say which one with --remote or --app:\n \
         ▸      myapp (--remote production)\n \
         ▸      staging (--remote staging)\n",
    );
    cli.paas(&["config:get", "APP", "-r", "staging"])
        .answers("staging\n");
}

#[test]
fn without_an_app_the_ways_to_name_one_are_told() {
    let cli = Cli::new();
    cli.paas(&["config"]).fails(
        1,
        " ▸    Error: No app is given, and this directory has no git remote of one\n \
         ▸    Name it with --app, set PAAS_APP, or add its remote with `paas git:remote --app NAME`.\n",
    );
}

#[test]
fn a_remote_elsewhere_is_named_without_the_secret_in_it() {
    let cli = cli_in_repository();
    add(&cli, "paas", "https://me:hunter2@git.other.org/myapp.git");
    let outcome = cli.paas(&["config"]);
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.stderr.contains("https://git.other.org/myapp.git"),
        "{}",
        outcome.stderr
    );
    assert!(!outcome.stderr.contains("hunter2"));
}

#[test]
fn a_remote_is_added_over_https_or_ssh() {
    let cli = cli_in_repository();
    cli.paas(&["git:remote", "-a", "myapp"])
        .says("set git remote paas to https://git.paas.localhost:8443/myapp.git\n");
    cli.paas(&["git:remote", "-a", "staging", "-r", "staging", "--ssh-git"])
        .says("set git remote staging to ssh://git@localhost:2222/staging.git\n");
    cli.paas(&["git:remote", "-a", "staging"]).says(
        "set git remote paas to https://git.paas.localhost:8443/staging.git \
             (it was https://git.paas.localhost:8443/myapp.git)\n",
    );
    assert_eq!(cli.git(&["remote"]), "paas\nstaging\n");
}

#[test]
fn a_remote_of_the_same_name_elsewhere_is_left_alone() {
    let cli = cli_in_repository();
    add(&cli, "paas", "git@github.com:me/code.git");
    cli.stub.on("POST /apps", app("myapp"));
    let outcome = cli.paas(&["create", "myapp"]);
    assert_eq!(outcome.code, 0);
    assert!(outcome.stderr.contains("left alone"), "{}", outcome.stderr);
    assert_eq!(
        cli.git(&["remote", "get-url", "paas"]).trim(),
        "git@github.com:me/code.git"
    );
}

#[test]
fn a_new_app_does_not_take_the_remote_of_another() {
    let cli = cli_in_repository();
    let staging = "https://git.paas.localhost/staging.git";
    add(&cli, "paas", staging);
    cli.stub.on("POST /apps", app("myapp"));
    cli.paas(&["create", "myapp"]).says(
        "Creating ⬢ myapp... done\n \
         ▸    The git remote paas leads to staging, not to myapp, and was left alone.\n \
         ▸    Lead it to myapp with `paas git:remote -a myapp -r paas`, or add another with `-r OTHER`.\n",
    );
    assert_eq!(cli.git(&["remote", "get-url", "paas"]).trim(), staging);
}

#[test]
fn an_app_that_is_made_again_keeps_its_remote() {
    let cli = cli_in_repository();
    add(&cli, "paas", "https://git.paas.localhost/myapp.git");
    cli.stub.on("POST /apps", app("myapp"));
    cli.paas(&["create", "myapp"])
        .says("Creating ⬢ myapp... done\nGit remote paas added\n");
}
