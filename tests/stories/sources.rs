//! Code that is not pushed: uploaded, or fetched from where it is, built and released.

use std::time::Duration;

use serde_json::{Value, json};
use tests::command::run;
use tests::eventually::eventually;
use tests::outside::Outside;
use tests::platform::DOMAIN;
use tests::project::Site as _;
use tests::{Platform, Project};

const WITHIN: Duration = Duration::from_secs(300);

/// What curl prints. `token` is the only thing that is known of whoever calls.
async fn curl(platform: &Platform, token: Option<&str>, args: &[&str]) -> String {
    let mut command = platform.program("curl");
    command
        .args(["-sS", "--no-buffer", "--cacert"])
        .arg(platform.data().join("tls/ca.pem"));
    if let Some(token) = token {
        command.args(["-H", &format!("Authorization: Bearer {token}")]);
    }
    let said = run(command.args(args), WITHIN).await.expect("curl");
    said.ok().stdout
}

async fn api(platform: &Platform, method: &str, path: &str, body: &Value) -> Value {
    let (url, token, body) = (
        format!("{}{path}", platform.api_url()),
        platform.token(),
        body.to_string(),
    );
    let args = ["-X", method, &url, "-d", &body];
    let text = curl(platform, Some(&token), &args).await;
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

/// The project as GitHub would pack it, in a file.
async fn packed(project: &Project<'_>, name: &str) -> String {
    let file = project.dir.with_file_name(name);
    let text = file.display().to_string();
    let prefix = "--prefix=me-app-1a2b3c/";
    project
        .git(&["archive", "--format=tar.gz", prefix, "-o", &text, "HEAD"])
        .await
        .ok();
    text
}

async fn uploaded(platform: &Platform, file: &str) -> Value {
    let source = api(platform, "POST", "/sources", &json!({})).await;
    let put = source["source_blob"]["put_url"].as_str().expect("a URL");
    curl(platform, None, &["-f", "-T", file, put]).await;
    source["source_blob"]["get_url"].clone()
}

fn checksum(file: &str) -> String {
    let output = std::process::Command::new("sha256sum").arg(file).output();
    let text = String::from_utf8(output.expect("sha256sum").stdout).expect("text");
    format!("SHA256:{}", &text[..64])
}

#[tokio::test]
async fn a_tarball_is_deployed_by_put_and_post_and_a_bad_one_is_not() {
    let platform = Platform::start().await;
    let project = platform.project("procfile-only").await;
    // More than any API call may have.
    let noise: Vec<u8> = (0..4 << 20).map(|_| rand::random()).collect();
    fs_err::write(project.dir.join("noise"), noise).expect("noise");
    project.commit("Noise").await;
    let file = packed(&project, "app.tgz").await;
    let url = uploaded(&platform, &file).await;
    let builds = format!("/apps/{}/builds", project.app);
    let blob = json!({"url": url, "version": "v1.3.0", "checksum": checksum(&file)});
    let build = api(&platform, "POST", &builds, &json!({"source_blob": blob})).await;
    let stream = build["output_stream_url"].as_str().expect("a URL");
    let heard = curl(&platform, None, &["-f", stream]).await;
    for words in [
        "Building on the Heroku-24 stack",
        "Procfile declares types -> web",
        "Released v2",
        "Verifying deploy...",
        " done.",
    ] {
        assert!(heard.contains(words), "{heard}");
    }
    let answer = project.get("/").await;
    assert!(answer.text.contains("Hello from paas v2"), "{answer:?}");
    let path = format!("{builds}/{}", build["id"].as_str().expect("an id"));
    let ended = api(&platform, "GET", &path, &json!({})).await;
    assert_eq!(ended["status"], "succeeded", "{ended}");
    assert_eq!(ended["source_blob"]["version"], "v1.3.0");
    let said = project.paas(&["releases"]).await.ok();
    assert!(said.stdout.contains("Deploy v1.3.0"), "{}", said.stdout);

    let wrong = format!("SHA256:{}", "0".repeat(64));
    let blob = json!({"url": url, "checksum": wrong});
    let build = api(&platform, "POST", &builds, &json!({"source_blob": blob})).await;
    let stream = build["output_stream_url"].as_str().expect("a URL");
    let heard = curl(&platform, None, &["-f", stream]).await;
    assert!(heard.contains("and should have SHA256:0000"), "{heard}");
    let path = format!("{builds}/{}", build["id"].as_str().expect("an id"));
    let ended = api(&platform, "GET", &path, &json!({})).await;
    assert_eq!(ended["status"], "failed", "{ended}");
    assert_eq!(project.latest_release().await.0, 2);
}

#[tokio::test]
async fn code_is_fetched_from_outside_and_never_from_within() {
    let platform = Platform::start().await;
    let project = platform.project("procfile-only").await;
    let served = platform.path().join("served");
    fs_err::create_dir_all(&served).expect("a directory");
    packed(&project, "served/app.tgz").await;
    let outside = Outside::serving(&served).await;
    let create = async |url: &str| {
        let args = ["builds:create", "--source-url", url];
        project.paas(&args).await
    };
    create(&outside.url("app.tgz"))
        .await
        .ok()
        .says("Released v2")
        .says("Verifying deploy... done.");
    assert_eq!(project.get("/").await.status, 200);
    create(&outside.url("none.tgz"))
        .await
        .failed()
        .says("it answered 404 Not Found");
    for within in [
        format!("http://{}/app.tgz", platform.http),
        "http://169.254.169.254/latest/app.tgz".to_owned(),
    ] {
        create(&within)
            .await
            .failed()
            .says("nothing is fetched from there");
    }
}

#[tokio::test]
async fn a_directory_is_built_and_a_build_that_is_cancelled_stops() {
    let platform = Platform::start().await;
    let project = platform.project("procfile-only").await;
    project
        .paas(&["builds:create"])
        .await
        .ok()
        .says("Uploading")
        .says("Released v2");
    assert_eq!(project.get("/").await.status, 200);
    // The branch was never pushed to.
    project.push().await.ok().says("Released v3");

    let slow = platform.project("sleeps").await;
    let mut command = slow.paas_command(&["builds:create"]);
    let building = tokio::spawn(async move { run(&mut command, WITHIN).await });
    eventually("it builds", WITHIN, || async {
        (!platform.containers("build").await.is_empty()).then_some(())
    })
    .await;
    slow.paas(&["builds:cancel"]).await.ok().says("done");
    let said = building.await.expect("a task").expect("paas");
    said.failed().says("The build was cancelled");
    eventually("nothing is built", WITHIN, || async {
        platform.containers("build").await.is_empty().then_some(())
    })
    .await;
    slow.paas(&["builds:output"])
        .await
        .ok()
        .says("The build was cancelled");
    slow.paas(&["builds:cache:purge"]).await.ok().says("done");
}

#[tokio::test]
async fn an_app_is_set_up_from_its_app_json_and_goes_on_after_a_kill() {
    let mut platform = Platform::start().await;
    let name = format!("ticks-{:06x}", rand::random::<u32>() >> 8);
    let manifest = json!({
        "name": "Ticks",
        "env": {"SEED": {"generator": "secret"}, "PLAIN": "plain"},
        "scripts": {"postdeploy": "echo \"seeded $PLAIN ${#SEED}\""},
        "success_url": "/welcome",
    });
    let file = {
        let project = Project::without_app(&platform, "procfile-only", &name).await;
        project.write("app.json", &manifest.to_string());
        project.commit("app.json").await;
        packed(&project, "setup.tgz").await
    };
    let url = uploaded(&platform, &file).await;
    let body = json!({"source_blob": {"url": url}, "app": {"name": name}, "overrides": {"env": {"PLAIN": "other"}}});
    let setup = api(&platform, "POST", "/app-setups", &body).await;
    assert_eq!(setup["status"], "pending", "{setup}");
    let path = format!("/app-setups/{}", setup["id"].as_str().expect("an id"));
    eventually("it builds", WITHIN, || async {
        let setup = api(&platform, "GET", &path, &json!({})).await;
        (!setup["build"].is_null()).then_some(())
    })
    .await;
    platform.kill_and_boot().await;
    let setup = eventually("it is over", WITHIN, || async {
        let setup = api(&platform, "GET", &path, &json!({})).await;
        (setup["status"] != "pending").then_some(setup)
    })
    .await;
    assert_eq!(setup["status"], "succeeded", "{setup}");
    assert_eq!(setup["postdeploy"]["exit_code"], 0);
    assert_eq!(setup["postdeploy"]["output"], "seeded other 64\n");
    let url = setup["resolved_success_url"].as_str().expect("a URL");
    assert!(url.ends_with("/welcome"), "{url}");
    let answer = platform.get(&format!("{name}.{DOMAIN}"), "/").await;
    assert_eq!(answer.status, 200, "{answer:?}");
}
