use std::time::{Duration, Instant};

use builder::Limits;
use model::BuildStatus;

use super::common::user::{BOTH, Over};
use super::common::{Fate, Platform, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_push_waits_for_the_first_and_then_deploys_or_is_told_that_it_is_stale() {
    let limits = Limits {
        build_time: Duration::from_secs(3),
        ..Limits::heroku()
    };
    let platform = Platform::with_limits(limits).await;
    let user = platform.user("user@example.com").await;
    let app = platform.app("ticks", &user).await;
    let one = user
        .work_tree(&platform, Over::Http, "ticks", &[("Buildfile", "hang")])
        .await;
    let two = user
        .work_tree(&platform, Over::Ssh, "ticks", &[("Procfile", "web: x")])
        .await;
    let first = one.start_push(&["main"]);
    eventually("the first build runs", async || {
        platform.compiler.running() == 1
    })
    .await;
    let second = two.start_push(&["main"]);
    first.end().await.refused().says("Build timed out");
    second
        .end()
        .await
        .ok()
        .says("Another push to ticks is being built; this one waits")
        .says("Released v2");
    assert_eq!(
        (
            platform.builds(app).await.len(),
            platform.compiler.most_at_once()
        ),
        (2, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_was_overtaken_while_it_waited_is_refused_before_it_builds() {
    let platform = Platform::start().await;
    platform.set_fate(Fate::Undecided);
    let user = platform.user("user@example.com").await;
    let app = platform.app("ticks", &user).await;
    let one = user
        .work_tree(&platform, Over::Http, "ticks", &[("Procfile", "web: one")])
        .await;
    let two = user
        .work_tree(&platform, Over::Http, "ticks", &[("Procfile", "web: two")])
        .await;
    let first = one.start_push(&["main"]);
    eventually("the first is released", async || {
        platform.releases(app).await.len() == 2
    })
    .await;
    let second = two.start_push(&["--force", "main"]);
    // Two packs that are not accepted yet: both pushes know the branch as it was before either.
    let received = || {
        let objects = platform
            .dir
            .path()
            .join(format!("data/repos/{app}.git/objects"));
        let names = std::fs::read_dir(objects)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| name.to_string_lossy().contains("incoming"))
            .count()
    };
    eventually("the second waits", async || received() == 2).await;
    platform.set_fate(Fate::Succeed);
    first.end().await.ok();
    second
        .end()
        .await
        .refused()
        .says("Another push has moved main meanwhile");
    assert_eq!(platform.releases(app).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_waiting_pushes_are_refused() {
    let limits = Limits {
        queue_length: 1,
        ..Limits::heroku()
    };
    let platform = Platform::with_limits(limits).await;
    let user = platform.user("user@example.com").await;
    platform.app("ticks", &user).await;
    let hang = user
        .work_tree(&platform, Over::Http, "ticks", &[("Buildfile", "hang")])
        .await;
    let first = hang.start_push(&["main"]);
    eventually("the first build runs", async || {
        platform.compiler.running() == 1
    })
    .await;
    let (second, third) = (hang.start_push(&["main"]), hang.start_push(&["main"]));
    let refused = tokio::select! { ended = second.end() => ended, ended = third.end() => ended };
    refused
        .refused()
        .says("Another push to ticks is being built, and 1 wait already");
    first.interrupt();
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_build_and_frees_the_lock_within_five_seconds() {
    let platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    let app = platform.app("ticks", &user).await;
    for over in BOTH {
        let tree = user
            .work_tree(
                &platform,
                over,
                "ticks",
                &[("Buildfile", "print started\nhang")],
            )
            .await;
        let push = tree.start_push(&["main"]);
        eventually("the build runs", async || platform.compiler.running() == 1).await;
        push.interrupt();
        let interrupted = Instant::now();
        push.end().await.refused();
        eventually("the build is gone", async || {
            platform.compiler.running() == 0
        })
        .await;
        eventually("the lock is free", async || !platform.is_locked(app).await).await;
        assert!(
            interrupted.elapsed() < Duration::from_secs(5),
            "{over:?}: {:?}",
            interrupted.elapsed()
        );
        eventually("the files are gone", async || {
            platform.files("builds").is_empty()
        })
        .await;
        assert_eq!(tree.git(&["ls-remote", "paas"]).await.ok().stdout, "");
    }
    for build in platform.builds(app).await {
        assert_eq!(
            build.status,
            BuildStatus::Failed {
                reason: "Cancelled by the client".to_owned()
            }
        );
    }
    let objects = std::fs::read_dir(
        platform
            .dir
            .path()
            .join(format!("data/repos/{app}.git/objects")),
    )
    .unwrap();
    let left: Vec<_> = objects
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().contains("incoming"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_after_the_release_began_leaves_it_and_moves_the_ref() {
    let platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    for (over, name) in BOTH.into_iter().zip(["over-http", "over-ssh"]) {
        platform.set_fate(Fate::Undecided);
        let app = platform.app(name, &user).await;
        let tree = user
            .work_tree(&platform, over, name, &[("Procfile", "web: x")])
            .await;
        let push = tree.start_push(&["main"]);
        eventually("it is released", async || {
            platform.releases(app).await.len() == 2
        })
        .await;
        push.interrupt();
        push.end().await.refused();
        assert!(platform.is_locked(app).await);
        platform.set_fate(Fate::Succeed);
        let head = tree.git(&["rev-parse", "HEAD"]).await.stdout;
        eventually("the ref has moved", async || {
            tree.git(&["ls-remote", "paas", "main"])
                .await
                .ok()
                .stdout
                .starts_with(head.trim())
        })
        .await;
        eventually("the lock is free", async || !platform.is_locked(app).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_of_many_apps_share_the_places_there_are() {
    let platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    let mut pushes = Vec::new();
    let names = ["app-one", "app-two", "app-three", "app-four"];
    let mut trees = Vec::new();
    for name in names {
        platform.app(name, &user).await;
        trees.push(
            user.work_tree(
                &platform,
                Over::Http,
                name,
                &[("Procfile", "web: x"), ("Buildfile", "lines 20000")],
            )
            .await,
        );
    }
    for tree in &trees {
        pushes.push(tree.start_push(&["main"]));
    }
    for push in pushes {
        push.end().await.ok().says("Released v2");
    }
    assert!(
        platform.compiler.most_at_once() <= 2,
        "{}",
        platform.compiler.most_at_once()
    );
}
