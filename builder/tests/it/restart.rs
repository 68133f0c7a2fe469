use std::time::Duration;

use jiff::Timestamp;
use model::{Build, BuildId, BuildStatus};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use store::{Txn, key};

use super::common::user::Over;
use super::common::{Platform, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_the_next_builder_cleans_up_and_the_next_push_works() {
    let mut platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    let app = platform.app("ticks", &user).await;
    let tree = user
        .work_tree(&platform, Over::Http, "ticks", &[("Buildfile", "hang")])
        .await;
    let push = tree.start_push(&["main"]);
    eventually("the build runs", async || platform.compiler.running() == 1).await;
    // What a dead builder leaves: a directory, a record, and (until its lease lapses) nothing else.
    let dead = BuildId::new();
    let litter = platform
        .dir
        .path()
        .join(format!("data/builds/{dead}/tmp/x"));
    std::fs::create_dir_all(&litter).unwrap();
    let record = Build {
        id: dead,
        app,
        actor: model::Actor {
            account: user.account.id,
            email: user.account.email.clone(),
        },
        commit: None,
        source_blob: None,
        stack: "heroku-24".to_owned(),
        buildpacks: Vec::new(),
        status: BuildStatus::Pending,
        output: None,
        created_at: Timestamp::now(),
        updated_at: Timestamp::now(),
    };
    platform
        .commit(Txn::new().put(&key::BUILDS, key::build(app, dead), &record))
        .await;
    push.interrupt();
    push.end().await.refused();
    platform.kill_builder().await;
    platform.start_builder().await;
    eventually("the dead build is marked", async || {
        platform
            .builds(app)
            .await
            .iter()
            .all(|build| !build.status.is_pending())
    })
    .await;
    assert!(!litter.exists());
    let mended = user
        .work_tree(&platform, Over::Http, "ticks", &[("Procfile", "web: x")])
        .await;
    mended.push(&["main"]).await.ok().says("Released v2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_whose_git_is_killed_ends_with_an_error_and_not_never() {
    let platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    for (name, over) in [("ticks", Over::Http), ("tocks", Over::Ssh)] {
        let app = platform.app(name, &user).await;
        let tree = user
            .work_tree(&platform, over, name, &[("Buildfile", "hang")])
            .await;
        let push = tree.start_push(&["main"]);
        eventually("the build runs", async || platform.compiler.running() == 1).await;
        kill_receive_pack(&format!("{app}.git"));
        let ended = tokio::time::timeout(Duration::from_secs(60), push.end());
        ended.await.expect("git has noticed").refused();
        eventually("the build has ended", async || {
            platform.compiler.running() == 0
        })
        .await;
    }
}

/// As the kernel does it when memory is short.
fn kill_receive_pack(repository: &str) {
    let mut killed = 0;
    for entry in std::fs::read_dir("/proc").unwrap() {
        let dir = entry.unwrap().path();
        // Others come and go meanwhile.
        let line = std::fs::read(dir.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        if line.contains("receive-pack") && line.contains(repository) {
            let process = dir.file_name().unwrap().to_string_lossy().parse().unwrap();
            nix::sys::signal::kill(Pid::from_raw(process), Signal::SIGKILL).unwrap();
            killed += 1;
        }
    }
    assert_eq!(killed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_builder_told_to_stop_ends_its_builds_and_says_so() {
    let mut platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    let app = platform.app("ticks", &user).await;
    let tree = user
        .work_tree(&platform, Over::Ssh, "ticks", &[("Buildfile", "hang")])
        .await;
    let push = tree.start_push(&["main"]);
    eventually("the build runs", async || platform.compiler.running() == 1).await;
    platform.stop_builder().await;
    push.end()
        .await
        .refused()
        .says("The builder is restarting and had to end this build");
    assert!(!platform.is_locked(app).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_apps_that_are_gone_goes_and_the_name_starts_anew() {
    let platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    let app = platform.app("ticks", &user).await;
    let tree = user
        .work_tree(&platform, Over::Http, "ticks", &[("Procfile", "web: x")])
        .await;
    tree.push(&["main"]).await.ok();
    assert_eq!(platform.files("repos").len(), 1);
    assert!(platform.files("cache").contains(&app.to_string()));
    platform.destroy(app, "ticks").await;
    eventually("the repository is gone", async || {
        platform.files("repos").is_empty()
    })
    .await;
    eventually("the cache is gone", async || {
        platform.files("cache").is_empty()
    })
    .await;
    platform.app("ticks", &user).await;
    assert_eq!(tree.git(&["ls-remote", "paas"]).await.ok().stdout, "");
    tree.push(&["main"]).await.ok().says("Released v2");
}
