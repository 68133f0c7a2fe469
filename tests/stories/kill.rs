//! `kill -9 paasd` at random moments: what was acknowledged stays, what runs keeps running, what was begun ends well.

use std::time::Duration;

use rand::Rng as _;
use tests::Platform;
use tests::eventually::eventually;

#[tokio::test]
async fn a_killed_server_comes_back_with_everything_and_restarts_no_dyno() {
    let mut platform = Platform::start().await;
    let (app, host) = {
        let project = platform.project("procfile-only").await;
        project.push().await.ok();
        project.paas(&["ps:scale", "web=2"]).await.ok();
        (project.app.clone(), project.host())
    };
    let mut before = platform.containers("dyno").await;
    before.sort();
    for _ in 0..3 {
        platform.kill_and_boot().await;
        eventually("the app answers", Duration::from_secs(10), || async {
            (platform.get(&host, "/").await.status == 200).then_some(())
        })
        .await;
        platform.paas(&["ps", "-a", &app]).await.ok().says("web.2");
    }
    eventually(
        "both dynos are up again in the platform's eyes",
        Duration::from_secs(30),
        || async {
            let ps = platform.paas(&["ps", "-a", &app]).await.ok().stdout;
            (ps.matches(": up").count() == 2).then_some(())
        },
    )
    .await;
    let mut after = platform.containers("dyno").await;
    after.sort();
    assert_eq!(before, after, "a dyno was restarted without need");
}

#[tokio::test]
async fn killed_in_the_middle_of_changes_it_converges_on_the_last_one_acknowledged() {
    let mut platform = Platform::start().await;
    let (app, host) = {
        let project = platform.project("procfile-only").await;
        project.push().await.ok();
        (project.app.clone(), project.host())
    };
    for round in 0..6 {
        let value = format!("ROUND=r{round}");
        let powered = format!("POWERED_BY=r{round}");
        platform
            .paas(&["config:set", "-a", &app, "--no-wait", &value, &powered])
            .await
            .ok();
        let pause = rand::rng().random_range(0..1500);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        platform.kill_and_boot().await;
    }
    eventually(
        "the last config is live",
        Duration::from_secs(60),
        || async {
            platform
                .get(&host, "/")
                .await
                .text
                .contains("Hello from r5")
                .then_some(())
        },
    )
    .await;
    let config = platform
        .paas(&["config:get", "-a", &app, "ROUND"])
        .await
        .ok();
    assert_eq!(config.stdout.trim(), "r5");
    eventually("one dyno is left", Duration::from_secs(90), || async {
        (platform.containers("dyno").await.len() == 1).then_some(())
    })
    .await;
    let releases = platform
        .paas(&["releases", "-a", &app, "--json"])
        .await
        .ok()
        .stdout;
    let releases: serde_json::Value = serde_json::from_str(&releases).unwrap();
    assert_eq!(releases.as_array().unwrap().len(), 8, "{releases}");
}

#[tokio::test]
async fn killed_during_a_build_it_leaves_nothing_behind_and_the_next_push_works() {
    let mut platform = Platform::start().await;
    let (app, dir) = {
        let project = platform.project("procfile-only").await;
        (project.app.clone(), project.dir.clone())
    };
    let push = |platform: &Platform| {
        let mut git = tokio::process::Command::new("git");
        platform.environment(&mut git);
        git.args(["push", "paas", "master"])
            .current_dir(&dir)
            .kill_on_drop(true);
        git
    };
    let mut first = push(&platform);
    first
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let mut first = first.spawn().unwrap();
    eventually("the build runs", Duration::from_secs(60), || async {
        (!platform.containers("build").await.is_empty()).then_some(())
    })
    .await;
    platform.kill().await;
    assert!(!first.wait().await.unwrap().success());
    platform.boot().await;
    eventually(
        "the build's container is gone",
        Duration::from_secs(30),
        || async { platform.containers("build").await.is_empty().then_some(()) },
    )
    .await;
    // Released by this push, or by the builder, which goes on with the first one after a while: once in either case.
    tests::command::run(&mut push(&platform), Duration::from_secs(300))
        .await
        .unwrap()
        .ok();
    let releases = platform.paas(&["releases", "-a", &app]).await.ok().stdout;
    assert!(
        releases.contains("v2") && !releases.contains("v3"),
        "{releases}"
    );
    let answer = platform
        .get(&format!("{app}.{}", tests::platform::DOMAIN), "/")
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn killed_while_a_release_is_on_trial_it_keeps_the_commit_that_goes_live() {
    let mut platform = Platform::start().await;
    let (dir, host, log) = {
        let project = platform.project("procfile-only").await;
        project.push().await.ok();
        project.write("Procfile", "web: sleep 5 && exec python3 server.py\n");
        project.commit("Boot slowly").await;
        (
            project.dir.clone(),
            project.host(),
            platform.path().join("push.log"),
        )
    };
    let git = |platform: &Platform, args: &[&str]| {
        let mut git = tokio::process::Command::new("git");
        platform.environment(&mut git);
        git.args(args).current_dir(&dir).kill_on_drop(true);
        git
    };
    let mut push = git(&platform, &["push", "paas", "master"]);
    push.stdout(std::process::Stdio::null())
        .stderr(fs_err::File::create(&log).unwrap().into_parts().0);
    let mut push = push.spawn().unwrap();
    eventually(
        "the release is on trial",
        Duration::from_secs(60),
        || async {
            let said = fs_err::read_to_string(&log).unwrap();
            // A line that is whole: git keeps back the one that waits for the verdict.
            said.contains("Released v3").then_some(())
        },
    )
    .await;
    platform.kill().await;
    assert!(!push.wait().await.unwrap().success());
    platform.boot().await;

    eventually("the release is live", Duration::from_secs(60), || async {
        let answer = platform.get(&host, "/").await;
        answer.text.contains("v3 web.1").then_some(())
    })
    .await;
    let within = Duration::from_secs(20);
    let head = tests::command::run(&mut git(&platform, &["rev-parse", "HEAD"]), within)
        .await
        .unwrap()
        .stdout;
    eventually("the branch has its commit", within, || async {
        let mut list = git(&platform, &["ls-remote", "paas"]);
        let refs = tests::command::run(&mut list, within).await.unwrap().stdout;
        let is_there = refs.contains(&format!("{}\trefs/heads/master", head.trim()));
        // The platform's own refs are nobody else's business.
        (is_there && !refs.contains("refs/paas")).then_some(())
    })
    .await;
    tests::command::run(&mut git(&platform, &["push", "paas", "master"]), within)
        .await
        .unwrap()
        .ok()
        .says("Everything up-to-date");
}
