//! First deploys, one for each kind of app.

use tests::outside::Outside;
use tests::{Platform, Project};

/// Pushes the fixture and returns what the app answers.
async fn first_deploy(platform: &Platform, fixture: &str) -> String {
    let project = platform.project(fixture).await;
    project
        .push()
        .await
        .ok()
        .says("Released v2")
        .says_line(&["Verifying deploy...", " done."]);
    let answer = project.get("/").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text
}

#[tokio::test]
async fn a_procfile_app_goes_live_with_one_push() {
    let platform = Platform::start().await;
    let project = platform.project("procfile-only").await;
    project
        .push()
        .await
        .ok()
        .says("-----> Building on the Heroku-24 stack")
        .says("-----> Discovering process types")
        .says("Procfile declares types -> web")
        .says("-----> Compressing...")
        .says("Done: ")
        .says("-----> Launching...")
        .says("Released v2")
        .says(&format!("https://{}", project.host()))
        .says_line(&["Verifying deploy...", " done."]);
    let answer = project.get("/").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(
        answer.text.contains("Hello from paas v2 web.1"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_flask_app_with_gunicorn_from_pypi_goes_live() {
    let platform = Platform::start().await;
    let text = first_deploy(&platform, "python-flask").await;
    assert!(text.contains("v2 web.1"), "{text}");
}

#[tokio::test]
async fn an_express_app_from_npm_goes_live() {
    let platform = Platform::start().await;
    let text = first_deploy(&platform, "node-express").await;
    assert!(text.contains("v2 web.1"), "{text}");
}

#[tokio::test]
async fn a_static_site_goes_live() {
    let platform = Platform::start().await;
    let text = first_deploy(&platform, "static-site").await;
    assert!(text.contains("<html"), "{text}");
}

#[tokio::test]
async fn ruby_go_and_rust_apps_go_live() {
    let platform = Platform::start().await;
    for fixture in ["ruby-rack", "go-hello", "rust-hello"] {
        let text = first_deploy(&platform, fixture).await;
        assert!(text.contains("v2 web.1"), "{fixture}: {text}");
    }
}

#[tokio::test]
async fn an_app_with_two_buildpacks_is_compiled_by_both_in_order() {
    let platform = Platform::start().await;
    let project = platform.project("multi-buildpack").await;
    project
        .paas(&["buildpacks:add", "heroku/nodejs"])
        .await
        .ok();
    project
        .paas(&["buildpacks:add", "heroku/python"])
        .await
        .ok();
    let said = project.push().await.ok();
    let (node, python) = (
        said.all().find("Node.js app detected"),
        said.all().find("Python app detected"),
    );
    assert!(
        node.is_some() && python.is_some() && node < python,
        "{}",
        said.all()
    );
    assert_eq!(project.get("/").await.status, 200);
}

#[tokio::test]
async fn a_custom_buildpack_is_fetched_by_git_url_and_ref() {
    let platform = Platform::start().await;
    let pack = Project::without_app(&platform, "custom-pack", "the-pack").await;
    pack.git(&["tag", "good"]).await.ok();
    pack.write("bin/detect", "#!/usr/bin/env bash\nexit 1\n");
    pack.commit("Broken since").await;
    // Plain files over HTTP: a git server that knows nothing of shallow clones.
    pack.git(&["clone", "-q", "--bare", ".", "../served/pack.git"])
        .await
        .ok();
    pack.git(&["-C", "../served/pack.git", "update-server-info"])
        .await
        .ok();
    let outside = Outside::serving(&platform.path().join("served")).await;
    let url = outside.url("pack.git");
    let project = platform.project("custom-app").await;
    project
        .paas(&["buildpacks:set", &format!("{url}#good")])
        .await
        .ok();
    project.push().await.ok().says("Message app detected");
    assert!(project.get("/").await.text.contains("A message"));
}

#[tokio::test]
async fn pushing_main_deploys_too_and_other_branches_are_refused_in_words() {
    let platform = Platform::start().await;
    let project = platform.project("procfile-only").await;
    project
        .git(&["push", "paas", "master:feature"])
        .await
        .failed()
        .says("main");
    project
        .git(&["push", "paas", "master:main"])
        .await
        .ok()
        .says("Released v2");
    assert_eq!(project.get("/").await.status, 200);
    project
        .git(&["push", "paas", "master:main"])
        .await
        .ok()
        .says("Everything up-to-date");
}
