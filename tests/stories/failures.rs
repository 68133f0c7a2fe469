//! Deploys that must fail: each says why, rejects the ref, and leaves the old release serving.

use std::time::Duration;

use tests::{Platform, Project};

/// A live app at v2 whose next push will go wrong.
async fn live(platform: &Platform) -> Project<'_> {
    let project = platform.project("procfile-only").await;
    project.push().await.ok();
    project
}

/// Puts another fixture's files in place of the project's own.
async fn become_fixture(project: &Project<'_>, fixture: &str) {
    let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("apps")
        .join(fixture);
    project.git(&["rm", "-rq", "."]).await.ok();
    let mut copy = tokio::process::Command::new("cp");
    copy.arg("-a").arg(from.join(".")).arg(&project.dir);
    tests::command::run(&mut copy, Duration::from_secs(10))
        .await
        .unwrap()
        .ok();
    project.commit(fixture).await;
}

async fn old_release_serves(project: &Project<'_>) {
    let answer = project.get("/").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text.contains("v2 web.1"), "{answer:?}");
    let remote = project
        .git(&["ls-remote", "paas", "master"])
        .await
        .ok()
        .stdout;
    let head = project.git(&["rev-parse", "HEAD"]).await.ok().stdout;
    assert!(
        !remote.contains(head.trim()),
        "the ref moved although the push failed"
    );
}

#[tokio::test]
async fn an_app_nobody_detects_is_rejected() {
    let platform = Platform::start().await;
    let project = live(&platform).await;
    become_fixture(&project, "fails-to-detect").await;
    project
        .push()
        .await
        .failed()
        .says("No default language could be detected for this app")
        .says("Push rejected")
        .says("pre-receive hook declined");
    old_release_serves(&project).await;
}

#[tokio::test]
async fn an_app_that_does_not_compile_is_rejected() {
    let platform = Platform::start().await;
    let project = live(&platform).await;
    become_fixture(&project, "fails-to-compile").await;
    project
        .push()
        .await
        .failed()
        .says("Push rejected, failed to compile");
    old_release_serves(&project).await;
}

#[tokio::test]
async fn a_release_that_crashes_at_boot_fails_the_push_with_its_last_lines() {
    let platform = Platform::start().await;
    let project = live(&platform).await;
    become_fixture(&project, "crash-at-boot").await;
    project
        .push()
        .await
        .failed()
        .says("no database")
        .says("status 3")
        .says("v2");
    old_release_serves(&project).await;
    let (version, status) = project.latest_release().await;
    assert_eq!((version, status.as_str()), (3, "failed"));
}

#[tokio::test]
async fn a_release_that_never_binds_its_port_fails_the_push_with_r10() {
    let platform = Platform::with(&["node.boot_timeout_secs = 5"]).await;
    let project = live(&platform).await;
    become_fixture(&project, "never-binds").await;
    project
        .push()
        .await
        .failed()
        .says("R10")
        .says("up, but deaf");
    old_release_serves(&project).await;
}

#[tokio::test]
async fn a_config_change_that_breaks_the_app_is_undone_and_not_carried_on() {
    let platform = Platform::with(&["node.boot_timeout_secs = 5"]).await;
    let project = live(&platform).await;
    project.write(
        "Procfile",
        "web: test -z \"$BROKEN\" && exec python3 server.py\n",
    );
    project.commit("Breakable").await;
    project.push().await.ok().says("Released v3");
    project
        .paas(&["config:set", "BROKEN=1"])
        .await
        .failed()
        .says("v4")
        .says("status 1");
    assert!(project.get("/").await.text.contains("v3 web.1"));
    project.paas(&["config:set", "POWERED_BY=steam"]).await.ok();
    project
        .eventually("v5 serves", |answer| {
            answer.text.contains("Hello from steam v5")
        })
        .await;
    assert_eq!(
        project.paas(&["config:get", "BROKEN"]).await.stdout.trim(),
        ""
    );
}
