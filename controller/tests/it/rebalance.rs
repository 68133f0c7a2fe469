//! Evening out the nodes' loads, as far as the controller has a part in it: the wish, and how far it is.

use model::rebalance::Move;
use model::{NodeId, RebalanceProgress, Timestamp};
use serde_json::json;
use store::{Txn, key};

use crate::harness::{Platform, each};

const REBALANCE: &str = "/platform/rebalance";

#[tokio::test]
async fn a_wish_to_rebalance_is_followed_and_told() {
    let platform = Platform::start().await;
    let (store, admin) = (&*platform.store, &platform.admin);
    let never = admin.get(REBALANCE).await.expect(404);
    assert_eq!(never["resource"], "rebalance");
    let asked = admin.post(REBALANCE, json!({})).await.expect(202);
    assert_eq!(
        (&asked["status"], &asked["moved"], &asked["requested_by"]),
        (&json!("balancing"), &json!(0), &json!("admin@example.com"))
    );
    let again = admin.post(REBALANCE, json!({})).await.expect(202);
    assert_eq!(
        again["requested_at"], asked["requested_at"],
        "one is enough"
    );

    let request = key::REBALANCE.get(store, &key::rebalance()).await.unwrap();
    let request = request.unwrap();
    let (from, to) = (platform.node("one", "").await, NodeId::new());
    let mut progress = RebalanceProgress::begun(request.value.clone());
    progress.add(Move {
        app_name: "ticks".parse().unwrap(),
        dyno: "web.2".parse().unwrap(),
        from,
        to,
        at: Timestamp::now(),
    });
    let place = key::rebalance_progress();
    let put = Txn::new().put(&key::REBALANCE_PROGRESS, place.clone(), &progress);
    put.commit(store).await.unwrap();
    let shown = admin.get(REBALANCE).await.expect(200);
    assert_eq!(shown["status"], "balancing");
    assert_eq!(each(&shown["moves"], "from"), ["one"]);
    assert_eq!(each(&shown["moves"], "to"), [to.to_string()]);

    progress.finished_at = Some(Timestamp::now());
    let end = Txn::new()
        .delete(key::rebalance())
        .put(&key::REBALANCE_PROGRESS, place, &progress);
    end.commit(store).await.unwrap();
    let shown = admin.get(REBALANCE).await.expect(200);
    assert_eq!(
        (&shown["status"], &shown["moved"]),
        (&json!("balanced"), &json!(1))
    );
    // There is nothing to stop any more.
    let stopped = admin.delete(REBALANCE).await.expect(200);
    assert_eq!(stopped["status"], "balanced");
}

#[tokio::test]
async fn a_wish_to_rebalance_can_be_taken_back() {
    let platform = Platform::start().await;
    let admin = &platform.admin;
    admin.post(REBALANCE, json!({})).await.expect(202);
    let stopped = admin.delete(REBALANCE).await.expect(200);
    assert_eq!(stopped["status"], "stopped");
    let left = key::REBALANCE.all(&*platform.store).await.unwrap();
    assert!(left.is_empty());
}
