//! Store and engine in trouble.

use model::{DynoState, ExitReason};
use runtime::fake::{Behaviour, Call};
use runtime::{ContainerExit, StdStream};

use super::fixture::{Crash, Node, eventually};

#[tokio::test]
async fn without_a_store_dynos_run_on_and_are_mended() {
    let mut node = Node::start().await;
    let release = node.release(&[]).await;
    let (web, worker) = (
        node.dyno("web.1", release).await,
        node.dyno("worker.1", release).await,
    );
    eventually!(node.is_up(&web).await && node.is_up(&worker).await);
    let (healthy, first) = (node.running(&web).id, node.running(&worker).id);

    node.store.take_away();
    node.fake.exit(
        &first,
        ContainerExit {
            status: 1,
            oom: false,
        },
    );
    eventually!(
        node.containers_of(&worker)
            .iter()
            .any(|c| c.id != first && c.state.is_running())
    );
    node.fake.print(&healthy, StdStream::Stdout, "still here");
    eventually!(node.logged("still here") == 1);
    assert_eq!(node.running(&web).id, healthy);

    node.store.give_back();
    eventually!(
        node.status(&worker)
            .await
            .is_some_and(|status| status.restarts == 1 && status.state.is_up())
    );
    assert_eq!(node.running(&web).id, healthy);
    assert_eq!(node.logged("SIGTERM"), 0);
}

#[tokio::test]
async fn a_launch_waits_for_the_store_without_a_crash() {
    let mut node = Node::start().await;
    let worker = node.dyno("worker.1", node.release(&[]).await).await;
    eventually!(node.is_up(&worker).await);
    // The store goes after the record of the next was seen, and before its release can be read.
    let next = node.record(
        "worker.2",
        node.release(&[]).await,
        model::DynoKind::Formation,
    );
    let name = next.id.as_uuid().simple().to_string();
    let looks = |node: &Node| {
        node.fake
            .calls()
            .iter()
            .filter(|(call, about)| *call == Call::Inspect && about.contains(&name))
            .count()
    };
    node.fake.hang(Call::Inspect);
    node.put(&next).await;
    eventually!(looks(&node) > 0);
    node.store.take_away();
    node.fake.heal();
    let before = looks(&node);
    // One look leads to a launch that cannot read the store; another shows that it will be tried again.
    eventually!(looks(&node) >= before + 2);
    node.store.give_back();
    eventually!(node.is_up(&next).await);
    assert_eq!(
        node.logged("heroku[worker.2]: State changed from starting to crashed"),
        0
    );
    assert_eq!(node.status(&next).await.unwrap().restarts, 0);
}

#[tokio::test]
async fn an_engine_that_hangs_stops_nothing() {
    let mut node = Node::start().await;
    let worker = node.dyno("worker.1", node.release(&[]).await).await;
    eventually!(node.is_up(&worker).await);
    let container = node.running(&worker).id;
    for call in [
        Call::Inspect,
        Call::List,
        Call::Create,
        Call::Start,
        Call::Signal,
        Call::Kill,
        Call::Remove,
    ] {
        node.fake.hang(call);
    }
    node.ask_to_stop(&worker).await;
    node.kill_agent().await;
    node.start_agent();
    eventually!(
        node.fake
            .calls()
            .iter()
            .filter(|(call, _)| *call == Call::Inspect)
            .count()
            > 3
    );
    assert_eq!(node.running(&worker).id, container);
    node.fake.heal();
    eventually!(node.is_stopped(&worker).await);
}

#[tokio::test]
async fn a_launch_that_fails_says_why_and_is_tried_again() {
    let mut node = Node::start().await;
    node.fake.only_images(&[]);
    let release = node.release(&[]).await;
    let web = node.dyno("web.1", release).await;
    let Crash { exit, .. } = node.crash(&web).await;
    let ExitReason::LaunchFailed { message } = exit.reason else {
        panic!("{:?}", exit.reason)
    };
    assert_eq!(
        message,
        "the image paas/stack:24 is not on this node; make the stack images first"
    );
    assert!(node.logged("Could not start: the image paas/stack:24 is not on this node") >= 1);

    node.fake.only_images(&["paas/stack:24"]);
    node.fake.script(|_| Behaviour {
        fails_to_start: Some("exec format error".to_owned()),
        ..Behaviour::default()
    });
    let phase = node
        .dyno_of("release.1", release, model::DynoKind::ReleasePhase)
        .await;
    eventually!(node.is_stopped(&phase).await);
    let Some(DynoState::Stopped {
        exit: Some(exit), ..
    }) = node.state(&phase).await
    else {
        panic!("stopped")
    };
    assert!(
        matches!(exit.reason, ExitReason::LaunchFailed { message } if message.contains("exec format error"))
    );
    eventually!(node.containers_of(&phase).is_empty());
}

#[tokio::test]
async fn a_release_without_its_slug_says_so() {
    let node = Node::start().await;
    let missing = node.dyno("web.1", model::ReleaseVersion(99)).await;
    let Crash { exit, .. } = node.crash(&missing).await;
    assert_eq!(
        exit.reason,
        ExitReason::LaunchFailed {
            message: "release v99 is not in the store".to_owned()
        }
    );
}

#[tokio::test]
async fn statuses_are_written_when_something_changes_and_only_then() {
    let node = Node::start().await;
    let release = node.release(&[]).await;
    let first = node.dyno("worker.1", release).await;
    eventually!(node.is_up(&first).await);
    let written = node.versioned_status(&first).await.unwrap();
    for index in 2..6 {
        let other = node.dyno(&format!("worker.{index}"), release).await;
        eventually!(node.is_up(&other).await);
        node.delete(&other).await;
        eventually!(node.status(&other).await.is_none());
    }
    assert_eq!(node.versioned_status(&first).await.unwrap(), written);
}

#[tokio::test]
async fn many_dynos_of_one_slug_start_together() {
    let node = Node::start().await;
    let release = node.release(&[]).await;
    let mut dynos = Vec::new();
    for index in 1..=30 {
        dynos.push(node.dyno(&format!("web.{index}"), release).await);
    }
    for dyno in &dynos {
        eventually!(node.is_up(dyno).await);
    }
    let unpacked = fs_err::read_dir(node.config.data_dir.join("slugs")).unwrap();
    let slugs = unpacked
        .filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_dir())
        .count();
    assert_eq!(slugs, 1);
}
