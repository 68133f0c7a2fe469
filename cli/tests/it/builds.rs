use serde_json::{Value, json};

use super::harness::Cli;
use super::shapes::{build, release};

/// Of `build(7, ..)`.
const BUILD: &str = "01234567-89ab-4def-8123-0000000003ef";

fn cli(status: &str) -> Cli {
    let cli = Cli::new();
    let url = |path: &str| format!("http://{}{path}", cli.stub.addr);
    let urls = json!({ "get_url": url("/sources/get"), "put_url": url("/sources/put") });
    let output = url("/streams/builds/secret");
    let mut ended = build(7, status, &output);
    if status == "succeeded" {
        let made = release(3, "succeeded", "Deploy v1");
        ended["release"] = json!({ "id": made["id"] });
        let path = format!("GET /apps/myapp/releases/{}", made["id"].as_str().unwrap());
        cli.stub.on(&path, made);
    }
    cli.stub
        .on("POST /sources", json!({ "source_blob": urls }))
        .page("PUT /sources/put", 200, "")
        .on("POST /apps/myapp/builds", build(7, "pending", &output))
        .page(
            "GET /streams/builds/secret",
            200,
            "-----> Building\n\0\0done\n",
        )
        .on(&format!("GET /apps/myapp/builds/{BUILD}"), ended);
    cli
}

fn asked(cli: &Cli) -> Value {
    cli.stub.seen("POST /apps/myapp/builds")[0].body["source_blob"].clone()
}

#[test]
fn a_directory_is_uploaded_and_its_build_is_shown_to_the_end() {
    let cli = cli("succeeded");
    std::fs::write(cli.dir.path().join("Procfile"), "web: x").unwrap();
    let outcome = cli.paas(&["builds:create", "--version", "v1", "-a", "myapp"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(outcome.stdout, "-----> Building\ndone\n");
    assert!(
        outcome.stderr.contains("Uploading 1 KB... done"),
        "{outcome:?}"
    );
    let put = &cli.stub.seen("PUT /sources/put")[0];
    assert_eq!(
        put.authorization, "",
        "the token goes nowhere it is not needed"
    );
    assert_eq!(
        asked(&cli),
        json!({ "url": format!("http://{}/sources/get", cli.stub.addr), "version": "v1" })
    );
}

#[test]
fn a_url_is_built_without_an_upload_and_json_has_the_end() {
    let cli = cli("succeeded");
    let url = "https://example.com/x.tgz";
    let arguments = [
        "builds:create",
        "--source-url",
        url,
        "--json",
        "-a",
        "myapp",
    ];
    let outcome = cli.paas(&arguments);
    let json: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((outcome.code, &json["status"]), (0, &json!("succeeded")));
    assert_eq!(asked(&cli), json!({ "url": url }));
    assert!(cli.stub.seen("POST /sources").is_empty());
}

#[test]
fn a_build_that_fails_is_told_by_the_exit_status() {
    let cli = cli("failed");
    let archive = cli.dir.path().join("app.tgz");
    std::fs::write(&archive, "x").unwrap();
    let outcome = cli.paas(&["builds:create", "--source-tar", "app.tgz", "-a", "myapp"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.stderr.contains("of myapp failed"), "{outcome:?}");
    let missing = cli.paas(&["builds:create", "--source-tar", "none.tgz", "-a", "myapp"]);
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains("none.tgz"), "{missing:?}");
}

#[test]
fn the_newest_build_that_runs_is_cancelled_and_a_cache_is_purged() {
    let cli = cli("failed");
    let (old, new) = (build(6, "pending", "x"), build(8, "failed", "x"));
    cli.stub
        .on(
            "GET /apps/myapp/builds",
            json!([old, build(7, "pending", "x"), new]),
        )
        .on(
            &format!("DELETE /apps/myapp/builds/{BUILD}"),
            build(7, "failed", "x"),
        )
        .answer("DELETE /apps/myapp/build-cache", 204, String::new());
    cli.paas(&["builds:cancel", "-a", "myapp"])
        .says(&format!("Cancelling build {BUILD} of ⬢ myapp... done\n"));
    cli.paas(&["builds:cache:purge", "-a", "myapp"])
        .says("Purging the build cache of ⬢ myapp... done\n");
}
