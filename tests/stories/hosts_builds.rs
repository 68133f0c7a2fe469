//! Several hosts that build: a push goes to any of them, and outlives the one that builds it.

use std::collections::BTreeSet;
use std::time::Duration;

use tests::eventually::eventually;
use tests::lab::{Plan, Through};
use tests::{Lab, Project};

use super::spread::PATIENCE;

/// Long enough to be found building, and short of what a story may take when another host builds it again.
const BUILD_SECS: &str = "12";
/// A takeover, the build anew, and its release.
const TAKEN_OVER: Duration = Duration::from_secs(150);

#[tokio::test]
async fn the_host_that_builds_loses_power_and_another_finishes_what_it_began() {
    // The first host routes and builds nothing: git has no time limit, and would wait for a router that is dead for ever.
    let lab = Lab::planned(Plan {
        roles: &["controller,scheduler,router,node"],
        ..Plan::of(3)
    })
    .await;
    let doors: Vec<Through<'_>> = lab.hosts().map(|host| lab.through(host)).collect();
    let slow = Project::create(&doors[0], "builds-slowly").await;
    let mut others = Vec::new();
    for door in &doors {
        let other = Project::create(door, "builds-slowly").await;
        other.push().await.ok();
        other
            .eventually("pushed through each host", |answer| {
                answer.text == "first\n"
            })
            .await;
        others.push(other);
    }
    lab.settled().await;

    slow.write("build-seconds", BUILD_SECS);
    slow.commit("Slowly").await;
    let (pushed, victim) = tokio::join!(slow.push(), async {
        let victim = eventually("a host builds it", PATIENCE, || builder_of(&lab, &slow.app)).await;
        load_until_killed(&lab, &doors[0], &others, victim).await;
        victim
    });
    let survivor = &doors[0];
    if !pushed.success() {
        let said = pushed.all();
        let is_plain = [
            "remote end hung up",
            "RPC failed",
            "unexpected disconnect",
            "error:",
        ];
        assert!(is_plain.iter().any(|words| said.contains(words)), "{said}");
    }

    // Whoever was told of it or not: it is finished, once.
    let slow = Project::again(survivor, &slow.app);
    slow_is_up(&slow).await;
    slow.push().await.ok().says("Everything up-to-date");
    assert_eq!(slow.latest_release().await, (2, "succeeded".to_owned()));

    // Those pushed meanwhile are as their pushers were told, or can be pushed again; none is half there.
    for other in &others {
        let other = Project::again(survivor, &other.app);
        eventually("it can be pushed again", TAKEN_OVER, || async {
            other.push().await.success().then_some(())
        })
        .await;
        other
            .eventually("it serves what was pushed", |answer| {
                answer.text == "second\n"
            })
            .await;
        let (version, status) = other.latest_release().await;
        assert_eq!((version, status.as_str()), (3, "succeeded"));
    }
    lab.start(victim).await;
    eventually(
        "the host is back, and builds nothing old",
        PATIENCE,
        || async { lab.builds_on(victim).await.is_empty().then_some(()) },
    )
    .await;
}

/// The others are being pushed when the host dies.
async fn load_until_killed(lab: &Lab, door: &Through<'_>, others: &[Project<'_>], victim: usize) {
    let others: Vec<_> = others
        .iter()
        .map(|other| Project::again(door, &other.app))
        .collect();
    for other in &others {
        other.write("message", "second\n");
        other.write("build-seconds", "3");
        other.commit("Second").await;
    }
    let pushes = futures::future::join_all(others.iter().map(Project::push));
    let killed = async {
        eventually("more than one app is being built", PATIENCE, || async {
            let mut apps = BTreeSet::new();
            for host in lab.hosts() {
                apps.extend(lab.builds_on(host).await);
            }
            (apps.len() > 1).then_some(())
        })
        .await;
        lab.kill(victim).await;
    };
    tokio::join!(pushes, killed);
}

async fn builder_of(lab: &Lab, app: &str) -> Option<usize> {
    for host in lab.hosts() {
        if lab.builds_on(host).await.contains(app) {
            return Some(host);
        }
    }
    None
}

async fn slow_is_up(slow: &Project<'_>) {
    eventually("the build is finished", TAKEN_OVER, || async {
        let releases = slow.paas(&["releases"]).await;
        let deployed = releases.success() && releases.stdout.contains("Deploy");
        (deployed && slow.get("/").await.text == "first\n").then_some(())
    })
    .await;
}
