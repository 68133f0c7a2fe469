//! The agent goes and comes back; dynos do not notice.

use model::DynoState;
use runtime::fake::Behaviour;
use runtime::{ContainerExit, StdStream};

use super::fixture::{Node, eventually};

#[tokio::test]
async fn a_killed_agent_restarts_nothing_and_repeats_nothing() {
    let mut node = Node::start().await;
    let release = node.release(&[]).await;
    let (web, worker) = (
        node.dyno("web.1", release).await,
        node.dyno("worker.1", release).await,
    );
    eventually!(node.is_up(&web).await && node.is_up(&worker).await);
    let before = [node.running(&web), node.running(&worker)].map(|container| container.id);
    let written = node.versioned_status(&web).await.unwrap();
    node.fake
        .print(&before[1], StdStream::Stdout, "said before");
    eventually!(node.logged("said before") == 1);
    let position = node.dyno_dir(&worker).join("log.position");
    eventually!(position.exists());

    node.kill_agent().await;
    node.fake
        .print(&before[1], StdStream::Stdout, "said in between");
    node.start_agent();
    eventually!(node.logged("said in between") == 1);
    node.fake.print(&before[1], StdStream::Stdout, "said after");
    eventually!(node.logged("said after") == 1);

    assert_eq!(
        [node.running(&web), node.running(&worker)].map(|container| container.id),
        before
    );
    assert_eq!(
        node.versioned_status(&web).await.unwrap(),
        written,
        "nothing changed, nothing was written"
    );
    assert_eq!(node.logged("said before"), 1);
    assert_eq!(node.logged("Starting process"), 2);
    assert_eq!(node.logged("State changed from starting to up"), 2);
}

#[tokio::test]
async fn an_agent_that_leaves_loses_no_line_and_repeats_none() {
    let mut node = Node::start().await;
    let worker = node.dyno("worker.1", node.release(&[]).await).await;
    eventually!(node.is_up(&worker).await);
    let container = node.running(&worker).id;
    for round in 0..5 {
        for line in 0..20 {
            node.fake.print(
                &container,
                StdStream::Stdout,
                &format!("line {:03}", round * 20 + line),
            );
        }
        // Wherever in the stream it happens to be.
        node.stop_agent().await;
        node.start_agent();
    }
    eventually!(node.logged("app[worker.1]: line") == 100);
    let log = node.log();
    let numbers: Vec<_> = log
        .iter()
        .filter_map(|line| line.split("line ").nth(1))
        .collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
}

#[tokio::test]
async fn a_crash_while_no_agent_looked_is_told_and_mended() {
    let mut node = Node::start().await;
    let worker = node.dyno("worker.1", node.release(&[]).await).await;
    eventually!(node.is_up(&worker).await);
    let container = node.running(&worker).id;
    node.kill_agent().await;
    node.fake.print(&container, StdStream::Stderr, "last words");
    node.fake.exit(
        &container,
        ContainerExit {
            status: 9,
            oom: false,
        },
    );
    node.start_agent();
    eventually!(
        node.status(&worker)
            .await
            .is_some_and(|status| status.restarts == 1 && status.state.is_up())
    );
    assert_eq!(node.logged("app[worker.1]: last words"), 1);
    assert_eq!(node.logged("Process exited with status 9"), 1);
}

#[tokio::test]
async fn what_was_to_be_stopped_while_no_agent_looked_is_stopped() {
    let mut node = Node::start().await;
    let release = node.release(&[]).await;
    let (asked, gone) = (
        node.dyno("worker.1", release).await,
        node.dyno("worker.2", release).await,
    );
    eventually!(node.is_up(&asked).await && node.is_up(&gone).await);
    node.kill_agent().await;
    node.ask_to_stop(&asked).await;
    node.delete(&gone).await;
    node.start_agent();
    eventually!(node.is_stopped(&asked).await);
    eventually!(node.status(&gone).await.is_none());
    eventually!(node.fake.containers().is_empty());
    assert_eq!(
        node.logged("heroku[worker.2]: Stopping all processes with SIGTERM"),
        1
    );
}

#[tokio::test]
async fn a_boot_that_an_agent_began_another_brings_to_its_end() {
    let mut node = Node::prepared().await;
    node.fake.script(|_| Behaviour::default());
    node.start_agent();
    let web = node.dyno("web.1", node.release(&[]).await).await;
    eventually!(node.fake.running().len() == 1);
    let container = node.running(&web);
    node.kill_agent().await;
    let addr = (
        node.engine
            .inspect(&container.id)
            .await
            .unwrap()
            .unwrap()
            .ip
            .unwrap(),
        node.config.port,
    );
    let _listener = tokio::net::TcpListener::bind(addr).await.unwrap();
    node.start_agent();
    eventually!(node.is_up(&web).await);
    assert_eq!(node.running(&web).id, container.id);
}

#[tokio::test]
async fn strays_of_this_node_are_removed_and_others_are_left_alone() {
    let node = Node::prepared().await;
    let label = |name: &str, value: String| (name.to_owned(), value);
    let stray = |instance: &str, node_id: model::NodeId, name: &str| {
        let mut spec = runtime::ContainerSpec::new(name, "paas/stack:24", vec!["x".to_owned()]);
        spec.labels = [
            label("paas.kind", "dyno".to_owned()),
            label("paas.instance", instance.to_owned()),
            label("paas.node", node_id.to_string()),
            label("paas.dyno", model::DynoId::new().to_string()),
            label("paas.app", model::AppId::new().to_string()),
        ]
        .into();
        spec
    };
    let (instance, node_id) = (node.config.instance.clone(), node.config.node_id);
    node.fake
        .run_stray(&stray(&instance, node_id, "ours"))
        .await;
    node.fake
        .run_stray(&stray("another", node_id, "of-another-platform"))
        .await;
    node.fake
        .run_stray(&stray(&instance, model::NodeId::new(), "of-another-node"))
        .await;
    let left = node
        .config
        .data_dir
        .join("dynos")
        .join(model::DynoId::new().to_string());
    fs_err::create_dir_all(left.join("fs/upper")).unwrap();
    let mut node = node;
    node.start_agent();
    let left_are = |node: &Node, wanted: &[&str]| {
        let names = node
            .fake
            .containers()
            .into_iter()
            .map(|container| container.spec.name);
        names.eq(wanted.iter().copied().map(str::to_owned))
    };
    eventually!(left_are(&node, &["of-another-platform", "of-another-node"]));
    eventually!(!left.exists());
}

#[tokio::test]
async fn a_container_that_somebody_removes_is_replaced() {
    let mut node = Node::start().await;
    let worker = node.dyno("worker.1", node.release(&[]).await).await;
    eventually!(node.is_up(&worker).await);
    let first = node.running(&worker).id;
    node.engine.remove(&first).await.unwrap();
    eventually!(
        node.containers_of(&worker)
            .iter()
            .any(|container| container.id != first)
    );
    eventually!(node.is_up(&worker).await);
    assert!(!matches!(
        node.state(&worker).await,
        Some(DynoState::Stopped { .. })
    ));
    assert_eq!(node.logged("its container was removed by somebody else"), 1);
}
