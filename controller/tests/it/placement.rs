//! Where an app's dynos may run.

use model::{Dyno, HostRole, Node, NodeHeartbeat, NodeId, Timestamp};
use serde_json::json;
use store::{Txn, key};

use crate::harness::{Platform, User};
use crate::world::id_of;

const PLACEMENT: &str = "/apps/ticks/placement";

impl Platform {
    /// A host that runs dynos, alive, and with this tag if it is one.
    pub(crate) async fn node(&self, name: &str, tag: &str) -> NodeId {
        let (id, now) = (NodeId::new(), Timestamp::now());
        let node = Node {
            id,
            name: name.to_owned(),
            address: [10, 0, 0, 1].into(),
            roles: [HostRole::Node].into(),
            zone: None,
            tags: model::placement::parse_tag(tag).into_iter().collect(),
            memory_bytes: 8 << 30,
            cpus: 4,
            cordoned: false,
            draining: false,
            joined_at: now,
        };
        let beat = NodeHeartbeat {
            node: id,
            version: "0.1.0".to_owned(),
            started_at: now,
        };
        let txn = Txn::new().put(&key::NODES, key::node(id), &node).put(
            &key::ALIVE_NODES,
            key::alive_node(id),
            &beat,
        );
        txn.commit(&*self.store).await.unwrap();
        id
    }
}

async fn an_app(platform: &Platform) -> (User, model::AppId) {
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    let types = [("web", "serve"), ("worker", "work")];
    platform.push(app, &ann, &types).await;
    platform.prove(app).await;
    (ann, app)
}

#[tokio::test]
async fn tags_are_set_shown_logged_and_unset() {
    let platform = Platform::start().await;
    platform.node("one", "disk=ssd").await;
    platform.node("two", "disk=hdd").await;
    let (ann, app) = an_app(&platform).await;
    let none = json!({"misplaced": 0, "tags": {}, "types": {}});
    assert_eq!(ann.get(PLACEMENT).await.expect(200), none);

    let set = json!({
        "tags": {"disk": "ssd"},
        "types": {"worker": {"tags": {"disk": "hdd"}, "one_per_node": true}},
    });
    let shown = ann.patch(PLACEMENT, set.clone()).await.expect(200);
    assert_eq!(
        (&shown["tags"], &shown["types"]),
        (&set["tags"], &set["types"])
    );
    assert_eq!(ann.get(PLACEMENT).await.expect(200), shown);
    let record = platform.record(app).await.value;
    assert!(record.placement.is_one_per_node(&"worker".parse().unwrap()));
    // No release came of it.
    assert_eq!(record.latest.0, 2);

    let unset = json!({"types": {"worker": {"tags": {"disk": null}, "one_per_node": false}}});
    let shown = ann.patch(PLACEMENT, unset).await.expect(200);
    assert_eq!(
        (&shown["tags"], &shown["types"]),
        (&set["tags"], &json!({}))
    );
    let unset = json!({"tags": {"disk": null}});
    assert_eq!(ann.patch(PLACEMENT, unset).await.expect(200), none);

    let wanted = controller_api::wire::LogSessionCreate::default();
    let mut lines = ann.client().logs("ticks", &wanted).await.unwrap();
    let mut said = Vec::new();
    while let Some(line) = lines.next().await.unwrap() {
        said.push(line);
    }
    let by_ann = "app[api]: Set tags disk=ssd; set tags disk=hdd of worker; let no two dynos of worker share a node \
                  by user ann@example.com";
    assert!(said.iter().any(|line| line.ends_with(by_ann)), "{said:#?}");
}

#[tokio::test]
async fn what_no_node_has_is_refused_and_nothing_is_changed() {
    let platform = Platform::start().await;
    let one = platform.node("one", "disk=ssd").await;
    let (ann, app) = an_app(&platform).await;
    let before = platform.record(app).await;
    let cases = [
        (json!({"tags": {"disk": "tape"}}), "has the tag disk=tape"),
        (
            json!({"tags": {"disk": "tape"}}),
            "There are nodes with: disk=ssd.",
        ),
        (
            json!({"tags": {"disk": "ssd", "gpu": "yes"}}),
            "has the tag disk=ssd and gpu=yes",
        ),
        (
            json!({"types": {"worker": {"tags": {"gpu": "yes"}}}}),
            "has the tag gpu=yes, as would be needed for worker",
        ),
        (json!({"tags": {"a b": "c"}}), "a b=c is no tag"),
    ];
    for (update, reason) in cases {
        let (id, message) = ann.patch(PLACEMENT, update).await.error(422);
        assert_eq!(id, "invalid_params");
        assert!(message.contains(reason), "{message}");
    }
    let nobody = json!({"types": {"clock": {"one_per_node": true}}});
    let (_, message) = ann.patch(PLACEMENT, nobody).await.error(404);
    assert!(message.contains("web, worker"), "{message}");

    // A node that takes no dynos is of no use.
    let cordon = json!({"cordoned": true});
    platform
        .admin
        .patch(&format!("/nodes/{one}"), cordon)
        .await
        .expect(200);
    ann.patch(PLACEMENT, json!({"tags": {"disk": "ssd"}}))
        .await
        .error(422);
    assert_eq!(platform.record(app).await.revision, before.revision);
}

#[tokio::test]
async fn dynos_that_have_yet_to_move_are_counted() {
    let platform = Platform::start().await;
    let there = platform.node("one", "disk=ssd").await;
    let elsewhere = platform.node("two", "disk=hdd").await;
    let (ann, app) = an_app(&platform).await;
    for (name, node) in [("web.1", there), ("web.2", elsewhere)] {
        let id = platform.dyno(app, name).await;
        let dyno = Dyno {
            node: Some(node),
            ..platform.dyno_record(app, id).await
        };
        let put = Txn::new().put(&key::DYNOS, key::dyno(app, id), &dyno);
        put.commit(&*platform.store).await.unwrap();
    }
    let shown = ann.patch(PLACEMENT, json!({"tags": {"disk": "ssd"}}));
    assert_eq!(shown.await.expect(200)["misplaced"], 1);
}
