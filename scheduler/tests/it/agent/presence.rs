//! When a node counts as alive.

use model::{Dyno, DynoState};
use runtime::ContainerExit;
use runtime::fake::Call;
use store::{Event, Follower, Store, Update, key};

use super::fixture::{Node, eventually};

async fn is_alive(node: &Node) -> bool {
    let place = key::alive_node(node.config.node_id);
    node.store.get(&place).await.unwrap().is_some()
}

async fn one_that_is_up(node: &Node) -> Dyno {
    let web = node.dyno("web.1", node.release(&[]).await).await;
    eventually!(node.is_up(&web).await);
    web
}

#[tokio::test]
async fn a_node_whose_engine_does_not_answer_is_not_alive_and_its_dynos_run_on() {
    let node = Node::start().await;
    let web = one_that_is_up(&node).await;
    eventually!(is_alive(&node).await);
    let container = node.running(&web).id;
    node.fake.hang(Call::List);
    eventually!(!is_alive(&node).await);
    node.fake.heal();
    eventually!(is_alive(&node).await);
    assert_eq!(node.running(&web).id, container);
    assert!(node.is_up(&web).await);
}

#[tokio::test]
async fn a_node_whose_disk_takes_no_writes_is_not_alive() {
    let node = Node::start().await;
    eventually!(is_alive(&node).await);
    let file = node.config.data_dir.join("health");
    fs_err::remove_file(&file).unwrap();
    fs_err::create_dir(&file).unwrap();
    eventually!(!is_alive(&node).await);
    fs_err::remove_dir(&file).unwrap();
    eventually!(is_alive(&node).await);
}

#[tokio::test]
async fn a_node_that_returns_from_a_power_loss_says_first_what_it_lost() {
    let mut node = Node::start().await;
    let web = one_that_is_up(&node).await;
    let before = node.running(&web).id;
    node.kill_agent().await;
    let killed = ContainerExit {
        status: 137,
        oom: false,
    };
    node.fake.exit(&before, killed);
    eventually!(!is_alive(&node).await);
    assert!(node.is_up(&web).await, "in the store");

    let followed = vec![key::ALIVE_NODES.prefix(), key::DYNO_STATUS.prefix()];
    let store: std::sync::Arc<dyn Store> = node.store.clone();
    let mut follower = Follower::new(store, followed);
    follower.next().await;
    node.start_agent();
    let mut was_corrected = false;
    'until_alive: loop {
        let Update::Changes { events, .. } = follower.next().await else {
            panic!("the store in memory loses no events");
        };
        for event in events {
            let Event::Put(entry) = event else { continue };
            if key::ALIVE_NODES.holds(&entry.key) {
                break 'until_alive;
            }
            let status = key::DYNO_STATUS.decode(&entry).unwrap().value;
            was_corrected |= !matches!(status.state, DynoState::Up { .. });
        }
    }
    assert!(was_corrected, "it was routed to a container that is gone");
    eventually!(node.is_up(&web).await);
    assert_ne!(node.running(&web).id, before);
}

#[tokio::test]
async fn a_node_with_a_dyno_that_boots_slowly_is_alive_meanwhile() {
    let mut node = Node::start().await;
    let web = one_that_is_up(&node).await;
    node.kill_agent().await;
    eventually!(!is_alive(&node).await);
    node.fake.script(|_| runtime::fake::Behaviour::default());
    let killed = ContainerExit {
        status: 1,
        oom: false,
    };
    node.fake.exit(&node.running(&web).id, killed);
    node.start_agent();
    eventually!(is_alive(&node).await);
    assert!(!node.is_up(&web).await, "its port never answers");
}
