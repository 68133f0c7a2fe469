//! What holds for the API as a whole.

use controller_api::wire::NodeUpdate;
use model::{
    HostRole, Node, NodeHeartbeat, NodeId, RouterId, RouterReport, ServiceRole, Timestamp,
};
use reqwest::Method;
use serde_json::json;
use store::{Txn, key};

use crate::harness::{Platform, each, eventually};

#[tokio::test]
async fn what_the_platform_offers_is_listed_and_found() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let stacks = ann.get_range("/stacks", "name ..").await.expect(200);
    assert_eq!(each(&stacks, "name"), ["heroku-22", "heroku-24"]);
    assert_eq!(each(&stacks, "default"), ["false", "true"]);
    ann.get("/stacks/heroku-24").await.expect(200);
    ann.get(&format!("/stacks/{}", stacks[0]["id"].as_str().unwrap()))
        .await
        .expect(200);
    ann.get("/stacks/cedar").await.error(404);
    assert_eq!(each(&ann.get("/regions").await.expect(200), "name"), ["us"]);
    ann.get("/regions/us").await.expect(200);
    ann.get("/regions/mars").await.error(404);
    assert_eq!(
        ann.get("/dyno-sizes")
            .await
            .expect(200)
            .as_array()
            .unwrap()
            .len(),
        6
    );
    assert_eq!(
        ann.get("/dyno-sizes/standard-2x").await.expect(200)["memory"],
        1.0
    );
    ann.app("ticks").await;
    for path in [
        "/account/features",
        "/addons",
        "/addon-attachments",
        "/pipelines",
        "/teams",
        "/apps/ticks/addons",
        "/apps/ticks/addon-attachments",
        "/apps/ticks/log-drains",
        "/apps/ticks/sni-endpoints",
        "/apps/ticks/webhooks",
    ] {
        assert_eq!(ann.get(path).await.expect(200), json!([]), "{path}");
    }
    assert_eq!(platform.nobody().get("/healthz").await.text, "ok\n");
}

#[tokio::test]
async fn nodes_are_shown_to_administrators_with_what_runs_there() {
    let platform = Platform::start().await;
    let (up, down) = (NodeId::new(), NodeId::new());
    let now = Timestamp::now();
    let mut txn = Txn::new();
    for (id, name) in [(up, "one"), (down, "two")] {
        let node = Node {
            id,
            name: name.to_owned(),
            address: [10, 0, 0, 1].into(),
            roles: [HostRole::Node].into(),
            zone: None,
            tags: Default::default(),
            memory_bytes: 8 << 30,
            cpus: 4,
            cordoned: false,
            draining: false,
            joined_at: now,
        };
        txn = txn.create(&key::NODES, key::node(id), &node);
    }
    let beat = NodeHeartbeat {
        node: up,
        version: "0.1.0".to_owned(),
        started_at: now,
    };
    txn = txn.put(&key::ALIVE_NODES, key::alive_node(up), &beat);
    txn.commit(&*platform.store).await.unwrap();
    let nodes = platform.admin.client().nodes().await.unwrap();
    let states: Vec<_> = nodes
        .iter()
        .map(|node| (node.name.as_str(), node.state.as_str(), node.dynos))
        .collect();
    assert_eq!(states, [("one", "up", 0), ("two", "down", 0)]);

    // A build that runs there takes room.
    let request = model::BuildRequest {
        build: model::BuildId::new(),
        app: model::AppId::new(),
        asked_by: model::ServiceId::new(),
        memory_bytes: 2 << 30,
        cpu_millis: 2000,
        attempt: 1,
        not: [].into(),
    };
    let place = model::BuildPlace {
        build: request.build,
        app: request.app,
        attempt: 1,
        outcome: model::build_place::BuildPlacing::On {
            builder: request.asked_by,
            host: up,
        },
    };
    let txn = Txn::new()
        .put(
            &key::BUILD_REQUESTS,
            key::build_request(request.app),
            &request,
        )
        .put(&key::BUILD_PLACES, key::build_place(request.app), &place);
    txn.commit(&*platform.store).await.unwrap();
    let one = platform.admin.client().node("one").await.unwrap();
    assert_eq!((one.builds, one.memory_reserved_bytes), (1, 2 << 30));

    // By name and by id, and only what is asked for.
    let cordon = NodeUpdate {
        cordoned: Some(true),
        draining: None,
        ..NodeUpdate::default()
    };
    let client = platform.admin.client();
    let cordoned = client.update_node("one", &cordon).await.unwrap();
    assert_eq!((cordoned.id, cordoned.cordoned), (up, true));
    let same = client.update_node("one", &NodeUpdate::default()).await;
    assert!(same.unwrap().cordoned);
    assert!(client.node(&up.to_string()).await.unwrap().cordoned);
    assert!(!client.node("two").await.unwrap().cordoned);
    let ann = platform.user("ann").await;
    ann.patch("/nodes/one", json!({"cordoned": false}))
        .await
        .expect(403);
    let nowhere = platform.admin.get("/nodes/three").await.expect(404);
    assert_eq!(nowhere["resource"], "node");
}

#[tokio::test]
async fn its_status_tells_administrators_what_is_wrong() {
    let platform = Platform::start().await;
    let store = &*platform.store;
    let host = Node {
        id: NodeId::new(),
        name: "alpha".to_owned(),
        address: [10, 0, 0, 1].into(),
        roles: HostRole::ALL.into(),
        zone: None,
        tags: [].into(),
        memory_bytes: 1 << 30,
        cpus: 2,
        cordoned: false,
        draining: false,
        joined_at: Timestamp::now(),
    };
    let report = RouterReport {
        id: RouterId::from_uuid(host.id.as_uuid()),
        applied: 1,
        certificates: 0,
        draining: [].into(),
        started_at: Timestamp::now(),
        about: Default::default(),
    };
    Txn::new()
        .put(&key::NODES, key::node(host.id), &host)
        .put(&key::ALIVE_ROUTERS, key::alive_router(report.id), &report)
        .put(
            &key::LEADERS,
            key::leader("scheduler"),
            &host.id.to_string(),
        )
        .commit(store)
        .await
        .unwrap();
    let status = platform.admin.get("/platform/status").await.expect(200);
    assert_eq!(status["store"]["kind"], "embedded");
    assert!(status["store"]["keys"].as_u64().unwrap() >= 3);
    assert_eq!(status["scheduler_leader"], "alpha");
    assert_eq!(status["hosts"][0]["state"], "down");
    assert_eq!(status["routers"][0]["host"], "alpha");
    assert_eq!(status["controllers"].as_array().unwrap().len(), 1);
    let problems = status["problems"].to_string();
    assert!(problems.contains("hosts are down: alpha"), "{problems}");
    assert!(problems.contains("no builder is alive"), "{problems}");
    assert!(!problems.contains("router"), "{problems}");
}

#[tokio::test]
async fn what_is_known_is_not_sent_again() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let first = ann.get("/account").await;
    let tag = first.header("etag").unwrap().to_owned();
    let again = ann
        .call(Method::GET, "/account", None, &[("if-none-match", &tag)])
        .await;
    assert_eq!(
        (
            again.status.as_u16(),
            again.text.as_str(),
            again.header("etag")
        ),
        (304, "", Some(tag.as_str()))
    );
    ann.patch("/account", json!({"name": "Ann the second"}))
        .await
        .expect(200);
    ann.call(Method::GET, "/account", None, &[("if-none-match", &tag)])
        .await
        .expect(200);
}

#[tokio::test]
async fn clients_of_every_kind_are_answered() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    for accept in [
        "application/vnd.heroku+json; version=3.sdk",
        "application/vnd.heroku+json; version=3",
        "*/*",
        "text/html",
    ] {
        ann.call(Method::GET, "/account", None, &[("accept", accept)])
            .await
            .expect(200);
    }
    // Long lists of request ids are neither echoed nor refused.
    let ids = vec!["0123456789abcdef0123456789abcdef"; 200].join(",");
    let answer = ann
        .call(Method::GET, "/account", None, &[("request-id", &ids)])
        .await;
    assert!(answer.header("request-id").unwrap().len() == 36);
    // `Range` where it means nothing.
    ann.call(
        Method::POST,
        "/apps",
        Some(json!({"name": "ticks"})),
        &[("range", "id ..; max=1000")],
    )
    .await
    .expect(201);
    let put = json!({"updates": [{"buildpack": "urn:buildpack:heroku/python"}, {"buildpack": "https://x.example/p.git#v1"}]});
    let path = "/apps/ticks/buildpack-installations";
    let set = ann
        .call(Method::PUT, path, Some(put), &[("range", "")])
        .await
        .expect(200);
    assert_eq!(
        set[0]["buildpack"],
        json!({"url": "urn:buildpack:heroku/python", "name": "heroku/python"})
    );
    assert_eq!(set[1]["buildpack"]["url"], "https://x.example/p.git#v1");
    ann.put(path, json!({"updates": [{"buildpack": "ext::sh -c x"}]}))
        .await
        .error(422);
    assert_eq!(ann.get(path).await.expect(200), set);
}

#[tokio::test]
async fn mistakes_are_told_in_the_form_clients_know() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    assert!(
        ann.get("/no/such/endpoint")
            .await
            .error(404)
            .1
            .contains("endpoint")
    );
    assert!(
        ann.put("/account", json!({}))
            .await
            .error(404)
            .1
            .contains("endpoint")
    );
    let unauthorized = platform.nobody().get("/account").await;
    assert!(unauthorized.header("www-authenticate").is_some());
    assert_eq!(
        ann.post("/apps", json!({"name": "x".repeat(2 << 20)}))
            .await
            .error(413)
            .0,
        "bad_request"
    );
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured(controller_api::tls::client_config(None).unwrap())
        .build()
        .unwrap();
    let broken = http
        .post(format!("http://{}/apps", platform.addr))
        .bearer_auth(&ann.token)
        .body("{\"name\":")
        .send();
    assert_eq!(broken.await.unwrap().status(), 400);
}

#[tokio::test]
async fn a_body_that_is_no_object_makes_and_changes_nothing() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    for body in [
        json!([]),
        json!(["tocks"]),
        json!("tocks"),
        json!(null),
        json!(1),
    ] {
        for answer in [
            ann.post("/apps", body.clone()).await,
            ann.patch("/apps/ticks", body.clone()).await,
            ann.patch("/apps/ticks/config-vars", body.clone()).await,
            ann.post("/oauth/authorizations", body.clone()).await,
        ] {
            let (id, message) = answer.error(400);
            assert_eq!(id, "bad_request");
            assert!(message.contains("JSON object"), "{message}");
        }
    }
    assert_eq!(each(&ann.get("/apps").await.expect(200), "name"), ["ticks"]);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_taken_and_answered() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let name = "a".repeat(8 << 20);
    let (id, message) = ann.post("/apps", json!({"name": name})).await.error(413);
    assert_eq!(id, "bad_request");
    assert!(message.contains("at most 1048576 bytes"), "{message}");
}

#[tokio::test]
async fn values_of_the_wrong_kind_are_told_without_our_types_names() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    for (path, body) in [
        ("/apps/ticks/formation/web", json!({"quantity": [1]})),
        ("/apps/ticks/formation/web", json!({"quantity": 1.5})),
        ("/apps/ticks/formation/web", json!({"quantity": "lots"})),
        ("/apps/ticks/formation/web", json!({"size": 3})),
        ("/apps/ticks", json!({"maintenance": []})),
        ("/apps/ticks", json!({"build_stack": 24})),
    ] {
        let message = ann.patch(path, body).await.error(422).1;
        assert!(!message.contains("enum"), "{message}");
    }
}

#[tokio::test]
async fn the_controller_is_found_while_it_lives_and_leaves_when_it_stops() {
    let platform = Platform::start().await;
    let store = platform.store.clone();
    let endpoints = async || {
        let found = key::ALIVE_SERVICES
            .list(&*store, &key::alive_services_of(ServiceRole::Controller))
            .await
            .unwrap();
        found
            .into_iter()
            .map(|seen| seen.value.addr)
            .collect::<Vec<_>>()
    };
    eventually("present", async || endpoints().await == [platform.addr]).await;
    platform.stop().await;
    assert!(endpoints().await.is_empty());
}
