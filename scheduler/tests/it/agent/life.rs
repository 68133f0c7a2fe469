//! A dyno's life when all goes well, and when its app does not.

use std::time::Duration;

use model::{DynoKind, DynoState, Exit, ExitReason, Node as NodeRecord};
use runtime::fake::Behaviour;
use runtime::{ContainerExit, Mount, Signal, StdStream};
use store::{Txn, key};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::fixture::{Crash, Node, eventually};

#[tokio::test]
async fn a_web_dyno_is_up_when_its_port_answers() {
    let mut node = Node::start().await;
    let web = node.dyno("web.1", node.release(&[]).await).await;
    eventually!(node.is_up(&web).await);
    let Some(DynoState::Up {
        addr: Some(addr), ..
    }) = node.state(&web).await
    else {
        panic!("it has an address")
    };
    let mut connection = tokio::net::TcpStream::connect(addr).await.unwrap();
    connection
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"));
    assert_eq!(
        node.log(),
        [
            "heroku[web.1]: Starting process with command `run the shop`",
            "heroku[web.1]: State changed from starting to up"
        ]
    );
}

#[tokio::test]
async fn a_node_with_an_address_of_its_own_publishes_web_dynos_there() {
    let mut node = Node::prepared().await;
    node.config.address = "10.9.8.7".parse().unwrap();
    node.start_agent();
    let release = node.release(&[]).await;
    let (web, worker) = (
        node.dyno("web.1", release).await,
        node.dyno("worker.1", release).await,
    );
    eventually!(node.is_up(&web).await && node.is_up(&worker).await);
    let published = node.running(&web).spec.publish.unwrap();
    assert_eq!(
        (published.host, published.port),
        (node.config.address, 5000)
    );
    assert_eq!(node.running(&worker).spec.publish, None);
    let before = node.state(&web).await;
    assert!(
        matches!(before, Some(DynoState::Up { addr: Some(addr), .. }) if addr.ip() == node.config.address),
        "{before:?}"
    );

    node.kill_agent().await;
    node.start_agent();
    let another = node.dyno("web.2", release).await;
    eventually!(node.is_up(&another).await);
    assert_eq!(node.state(&web).await, before);
}

#[tokio::test]
async fn its_container_has_the_apps_files_config_and_limits() {
    let node = Node::start().await;
    let odd = "two\nlines '; $(rm -rf /) \"";
    let web = node
        .dyno("web.1", node.release(&[("ODD", odd)]).await)
        .await;
    eventually!(node.is_up(&web).await);
    let spec = node.running(&web).spec;
    let env = |name: &str| spec.env.get(name).map(|value| value.expose().as_str());
    assert_eq!(env("ODD"), Some(odd));
    assert_eq!(
        (env("PORT"), env("DYNO"), env("HOME")),
        (Some("5000"), Some("web.1"), Some("/app"))
    );
    assert_eq!(env("HEROKU_APP_NAME"), Some("shop"));
    assert_eq!(env("HEROKU_SLUG_COMMIT"), Some("0123456789abcdef"));
    assert_eq!(
        spec.command.last().map(String::as_str),
        Some("run the shop"),
        "the command is an argument"
    );
    assert!(
        spec.command
            .iter()
            .rev()
            .skip(1)
            .all(|part| !part.contains("run the shop"))
    );
    assert_eq!(spec.limits.memory_bytes, Some(web.size.memory_bytes()));
    assert_eq!(spec.limits.pids, 256);
    assert_eq!(spec.network.as_deref(), Some("paas"));
    let [
        Mount::Overlay {
            lower,
            upper,
            target,
            ..
        },
    ] = spec.mounts.as_slice()
    else {
        panic!("one overlay")
    };
    assert_eq!(target.to_str(), Some("/app"));
    assert_eq!(
        fs_err::read_to_string(lower.join("Procfile")).unwrap(),
        "web: run"
    );
    assert!(upper.starts_with(node.dyno_dir(&web)));
}

#[tokio::test]
async fn a_worker_is_up_when_it_runs_and_has_no_port() {
    let node = Node::start().await;
    let worker = node.dyno("worker.1", node.release(&[]).await).await;
    eventually!(node.is_up(&worker).await);
    assert!(matches!(
        node.state(&worker).await,
        Some(DynoState::Up { addr: None, .. })
    ));
    assert!(!node.running(&worker).spec.env.contains_key("PORT"));
}

#[tokio::test]
async fn a_crash_is_told_with_its_last_lines_and_the_dyno_starts_afresh() {
    let mut node = Node::start().await;
    let worker = node.dyno("worker.1", node.release(&[]).await).await;
    eventually!(node.is_up(&worker).await);
    let first = node.running(&worker);
    fs_err::write(node.dyno_dir(&worker).join("fs/upper/left-behind"), "x").unwrap();
    node.fake
        .print(&first.id, StdStream::Stderr, "panic: out of cheese");
    node.fake.exit(
        &first.id,
        ContainerExit {
            status: 7,
            oom: false,
        },
    );
    eventually!(
        node.status(&worker)
            .await
            .is_some_and(|status| status.state.is_up() && status.restarts == 1)
    );
    let second = node.running(&worker);
    assert_ne!(second.id, first.id);
    assert!(!node.dyno_dir(&worker).join("fs/upper/left-behind").exists());
    assert_eq!(
        node.log(),
        [
            "heroku[worker.1]: Starting process with command `run the shop`",
            "heroku[worker.1]: State changed from starting to up",
            "app[worker.1]: panic: out of cheese",
            "heroku[worker.1]: Process exited with status 7",
            "heroku[worker.1]: State changed from up to crashed",
            "heroku[worker.1]: State changed from crashed to starting",
            "heroku[worker.1]: Starting process with command `run the shop`",
            "heroku[worker.1]: State changed from starting to up",
        ]
    );

    node.fake.print(&second.id, StdStream::Stdout, "again");
    node.fake.exit(
        &second.id,
        ContainerExit {
            status: 137,
            oom: true,
        },
    );
    let Crash { at, exit, retry_at } = node.crash(&worker).await;
    assert_eq!(
        exit,
        Exit {
            reason: ExitReason::OutOfMemory,
            log_tail: vec!["again".to_owned()]
        }
    );
    let wait = Duration::try_from(retry_at.duration_since(at)).unwrap();
    assert!(
        wait > Duration::from_secs(9) && wait <= Duration::from_secs(10),
        "{wait:?}"
    );
    assert_eq!(node.logged("Error R15 (Memory quota vastly exceeded)"), 1);
    eventually!(node.containers_of(&worker).is_empty());
}

#[tokio::test]
async fn a_web_dyno_that_never_binds_its_port_fails_with_r10() {
    let mut node = Node::prepared().await;
    node.config.boot_timeout = Duration::from_millis(300);
    node.fake.script(|_| Behaviour {
        prints: vec!["thinking".to_owned()],
        ..Behaviour::default()
    });
    node.start_agent();
    let web = node.dyno("web.1", node.release(&[]).await).await;
    let Crash { exit, .. } = node.crash(&web).await;
    assert_eq!(
        exit,
        Exit {
            reason: ExitReason::BootTimeout { seconds: 0 },
            log_tail: vec!["thinking".to_owned()]
        }
    );
    let log = node.log();
    assert!(log.iter().any(|line| {
        line.contains("Error R10 (Boot timeout) -> Web process failed to bind to $PORT")
    }));
    assert!(
        log.iter()
            .any(|line| line.ends_with("State changed from starting to crashed"))
    );
}

#[tokio::test]
async fn a_web_dyno_that_listens_on_loopback_only_is_told_so_before_r10() {
    let mut node = Node::prepared().await;
    node.config.boot_timeout = Duration::from_millis(300);
    let port = node.config.port;
    node.fake.script(move |_| Behaviour {
        listens_on_loopback: Some(port),
        ..Behaviour::default()
    });
    node.start_agent();
    let web = node.dyno("web.1", node.release(&[]).await).await;
    node.crash(&web).await;
    let log = node.log();
    let place = |text: &str| log.iter().position(|line| line.contains(text));
    let hint = place(
        "Web process listens on 127.0.0.1 only; bind 0.0.0.0 (or ::) so that the router can reach it",
    );
    assert!(hint.is_some() && hint < place("Error R10"), "{log:#?}");
}

#[tokio::test]
async fn a_crash_at_boot_is_told_at_once_and_not_after_the_boot_timeout() {
    let node = Node::start().await;
    node.fake.script(|_| Behaviour {
        prints: vec!["no such module".to_owned()],
        ..Behaviour::crash(1)
    });
    let web = node.dyno("web.1", node.release(&[]).await).await;
    let Crash { exit, .. } = node.crash(&web).await;
    assert_eq!(exit.reason, ExitReason::Exited { status: 1 });
    assert_eq!(exit.log_tail, ["no such module"]);
}

#[tokio::test]
async fn stopping_asks_first_and_leaves_nothing_behind() {
    let mut node = Node::start().await;
    let web = node.dyno("web.1", node.release(&[]).await).await;
    eventually!(node.is_up(&web).await);
    node.ask_to_stop(&web).await;
    eventually!(node.is_stopped(&web).await);
    eventually!(node.containers_of(&web).is_empty() && !node.dyno_dir(&web).exists());
    let log = node.log();
    assert_eq!(
        log[2..],
        [
            "heroku[web.1]: Stopping all processes with SIGTERM",
            "heroku[web.1]: Process exited with status 143"
        ]
    );
    node.delete(&web).await;
    eventually!(node.status(&web).await.is_none());
}

#[tokio::test]
async fn what_does_not_stop_in_time_is_killed_with_r12() {
    let mut node = Node::prepared().await;
    node.config.stop_grace = Duration::from_millis(300);
    node.fake.script(|_| Behaviour {
        ignores_signals: true,
        ..Behaviour::default()
    });
    node.start_agent();
    let worker = node.dyno("worker.1", node.release(&[]).await).await;
    eventually!(node.is_up(&worker).await);
    node.ask_to_stop(&worker).await;
    eventually!(
        node.containers_of(&worker)
            .iter()
            .any(|container| container.signals == [Signal::Term])
    );
    eventually!(node.is_stopped(&worker).await);
    assert_eq!(
        node.logged("Error R12 (Exit timeout) -> At least one process failed to exit within"),
        1
    );
    assert_eq!(node.logged("Process exited with status 137"), 1);
}

#[tokio::test]
async fn a_dyno_whose_record_goes_or_moves_is_stopped_here() {
    let node = Node::start().await;
    let release = node.release(&[]).await;
    let (gone, moved) = (
        node.dyno("web.1", release).await,
        node.dyno("web.2", release).await,
    );
    eventually!(node.is_up(&gone).await && node.is_up(&moved).await);
    node.delete(&gone).await;
    node.put(&model::Dyno {
        node: Some(model::NodeId::new()),
        ..moved.clone()
    })
    .await;
    eventually!(node.fake.containers().is_empty());
    eventually!(node.status(&gone).await.is_none() && node.status(&moved).await.is_none());
    let left = fs_err::read_dir(node.config.data_dir.join("dynos"))
        .unwrap()
        .count();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_dyno_that_is_stopped_before_it_was_launched_never_runs() {
    let node = Node::prepared().await;
    let web = node.dyno("web.1", node.release(&[]).await).await;
    node.ask_to_stop(&web).await;
    let mut node = node;
    node.start_agent();
    eventually!(node.is_stopped(&web).await);
    assert!(
        node.fake
            .calls()
            .iter()
            .all(|(call, _)| *call != runtime::fake::Call::Create)
    );
    assert!(matches!(
        node.state(&web).await,
        Some(DynoState::Stopped { exit: None, .. })
    ));
}

#[tokio::test]
async fn release_phases_and_detached_dynos_run_once() {
    let mut node = Node::start().await;
    let release = node.release(&[]).await;
    node.fake.script(|_| Behaviour {
        prints: vec!["migrated".to_owned()],
        ..Behaviour::crash(3)
    });
    let phase = node
        .dyno_of("release.1", release, DynoKind::ReleasePhase)
        .await;
    let run = node
        .dyno_of("run.42", release, node.one_off(None, 3600))
        .await;
    for dyno in [&phase, &run] {
        eventually!(node.is_stopped(dyno).await);
        let Some(DynoState::Stopped {
            exit: Some(exit), ..
        }) = node.state(dyno).await
        else {
            panic!("it ended")
        };
        assert_eq!(
            exit,
            Exit {
                reason: ExitReason::Exited { status: 3 },
                log_tail: vec!["migrated".to_owned()]
            }
        );
        eventually!(node.containers_of(dyno).is_empty());
    }
    assert_eq!(node.logged("app[run.42]: migrated"), 1);
    assert_eq!(
        node.logged(
            "heroku[run.42]: Starting process with command `run the shop` by user dev@example.com"
        ),
        1
    );
    assert_eq!(
        node.logged("heroku[run.42]: State changed from up to complete"),
        1
    );
}

#[tokio::test]
async fn a_detached_dyno_ends_when_its_time_is_over() {
    let node = Node::start().await;
    let run = node
        .dyno_of("run.1", node.release(&[]).await, node.one_off(None, 1))
        .await;
    eventually!(node.is_up(&run).await);
    eventually!(node.is_stopped(&run).await);
}

#[tokio::test]
async fn the_node_registers_itself_and_keeps_what_operators_changed() {
    let mut node = Node::start().await;
    let place = key::node(node.config.node_id);
    let read = async |node: &Node| key::NODES.get(&*node.store, &place).await.unwrap();
    eventually!(read(&node).await.is_some());
    let alive = key::alive_node(node.config.node_id);
    eventually!(
        key::ALIVE_NODES
            .get(&*node.store, &alive)
            .await
            .unwrap()
            .is_some()
    );
    let seen = read(&node).await.unwrap();
    let changed = NodeRecord {
        cordoned: true,
        tags: [("disk".to_owned(), "ssd".to_owned())].into(),
        ..seen.value.clone()
    };
    node.commit(Txn::new().replace(&key::NODES, &seen, &changed))
        .await;

    node.stop_agent().await;
    assert!(
        key::ALIVE_NODES
            .get(&*node.store, &alive)
            .await
            .unwrap()
            .is_some(),
        "it means to be back in a moment"
    );
    node.config.memory_bytes = 1 << 30;
    node.start_agent();
    eventually!(
        read(&node).await.unwrap().value
            == NodeRecord {
                memory_bytes: 1 << 30,
                ..changed.clone()
            }
    );
}
