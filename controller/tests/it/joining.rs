//! Hosts that join and leave.

use controller::ForJoiners;
use controller_api::join::JoinToken;
use model::{NodeHeartbeat, NodeId, Timestamp};
use serde_json::{Value, json};
use store::{Store, Txn, key};

use crate::harness::Platform;

async fn platform() -> Platform {
    let platform = Platform::start_with(|config| {
        let public = ["cert.pem", "key.pem"].map(|name| config.data_dir.join(name));
        for file in &public {
            std::fs::write(file, "PEM").unwrap();
        }
        let [cert, key] = public;
        config.joiners = Ok(ForJoiners {
            settings: "domain = \"paas.test\"".into(),
            controller_settings: "domain = \"paas.test\"\noidc = \"secret\"".into(),
            public_certificate: (cert, key),
            no_slugs: None,
            addresses: vec!["10.0.0.1:443".parse().unwrap()],
            pin: Some("ab".repeat(32).parse().unwrap()),
        });
    })
    .await;
    let authority = controller::authority::Authority::generate(Timestamp::now()).unwrap();
    authority
        .adopt(&*platform.store, &platform.keyring)
        .await
        .unwrap();
    platform
}

async fn token(platform: &Platform, create: Value) -> JoinToken {
    let token = platform
        .admin
        .post("/node-tokens", create)
        .await
        .expect(201);
    token["token"].as_str().unwrap().parse().unwrap()
}

fn request(id: NodeId, name: &str, token: &JoinToken) -> Value {
    let key = rcgen::KeyPair::generate().unwrap();
    let request = rcgen::CertificateParams::default()
        .serialize_request(&key)
        .unwrap();
    json!({
        "id": id,
        "name": name,
        "address": "10.0.0.2",
        "secret": token.secret.expose(),
        "certificate_request": request.pem().unwrap(),
        "cpus": 4,
        "memory_bytes": 8u64 << 30,
        "zone": "a",
        "tags": {"disk": "ssd"},
    })
}

#[tokio::test]
async fn a_host_joins_with_a_token_once_and_again_if_the_answer_was_lost() {
    let platform = platform().await;
    let token = token(&platform, json!({})).await;
    assert_eq!(token.addresses, ["10.0.0.1:443".parse().unwrap()]);
    assert!(token.pin.is_some());
    let (id, nobody) = (NodeId::new(), platform.nobody());
    let joined = nobody
        .post("/nodes", request(id, "two", &token))
        .await
        .expect(201);
    assert_eq!(joined["roles"], json!(["router", "node"]));
    assert_eq!(joined["settings"], "domain = \"paas.test\"");
    assert_eq!(joined["public_certificate"]["key"], "PEM");
    let controllers = self::token(&platform, json!({"roles": ["controller"]})).await;
    let mut third = request(NodeId::new(), "controller", &controllers);
    third["address"] = json!("10.0.0.3");
    let joined = nobody.post("/nodes", third).await.expect(201);
    assert!(joined["settings"].as_str().unwrap().contains("oidc"));
    let certificate = joined["certificate"].as_str().unwrap();
    assert!(certificate.starts_with("-----BEGIN CERTIFICATE"));

    nobody
        .post("/nodes", request(id, "two", &token))
        .await
        .expect(201);
    let other = request(NodeId::new(), "three", &token);
    nobody.post("/nodes", other).await.error(403);

    // Whoever made the token answers for what joined with it.
    let log = platform.admin.get("/audit-entries").await;
    let log: Value = serde_json::from_str(&log.text).unwrap();
    let joins: Vec<_> = (log.as_array().unwrap().iter())
        .filter(|entry| entry["action"] == "POST /nodes")
        .collect();
    assert_eq!(joins.len(), 4, "{log}");
    assert_eq!(joins[0]["actor"]["email"], platform.admin.email);
    assert_eq!(joins[0]["parameters"]["node"], "two");

    let node = platform.admin.get("/nodes/two").await.expect(200);
    assert_eq!(node["state"], "down", "its paasd has not started yet");
    assert_eq!(
        (&node["zone"], &node["tags"], &node["cpus"]),
        (&json!("a"), &json!({"disk": "ssd"}), &json!(4))
    );
}

#[tokio::test]
async fn a_token_limits_what_a_host_may_be() {
    let platform = platform().await;
    let token = token(&platform, json!({"roles": ["node", "builder"], "uses": 3})).await;
    let nobody = platform.nobody();
    let with_roles = |name: &str, roles: Value| {
        let mut request = request(NodeId::new(), name, &token);
        request["roles"] = roles;
        nobody.post("/nodes", request)
    };
    let one = with_roles("one", json!(["node"])).await.expect(201);
    assert_eq!(one["roles"], json!(["node"]));
    assert!(one["public_certificate"].is_null(), "it is no router");
    let (_, message) = with_roles("two", json!(["controller"])).await.error(403);
    assert!(
        message.contains("paas nodes:token --roles controller,builder,node"),
        "{message}"
    );
    with_roles("two", json!([])).await.error(422);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_in_words() {
    let platform = platform().await;
    let token = token(&platform, json!({"uses": 10})).await;
    let nobody = platform.nobody();
    let with = async |field: &str, value: Value| {
        let mut request = request(NodeId::new(), "one", &token);
        request[field] = value;
        nobody.post("/nodes", request).await
    };
    let (_, said) = with("address", json!("127.0.0.1")).await.error(422);
    assert!(said.contains("--address"), "{said}");
    with("name", json!("a b")).await.error(422);
    with("tags", json!({"a b": "c"})).await.error(422);
    with("certificate_request", json!("nonsense"))
        .await
        .error(422);
    with("secret", json!("paas_0")).await.error(403);
    for bad in ["224.0.0.1", "0.0.0.0", "::1"] {
        with("address", json!(bad)).await.error(422);
    }
    for bad in ["", "a b", &"z".repeat(101)] {
        with("zone", json!(bad)).await.error(422);
    }
    for bad in [0, u64::MAX] {
        with("memory_bytes", json!(bad)).await.error(422);
    }
    with("name", json!("taken")).await.expect(201);
    for same in ["taken", "TAKEN"] {
        let (_, said) = with("name", json!(same)).await.error(422);
        assert!(said.contains("paas nodes:remove taken"), "{said}");
    }
    let (_, said) = with("name", json!("another")).await.error(422);
    assert!(said.contains("10.0.0.2 is the address of taken"), "{said}");

    for bad in [
        json!({"uses": 0}),
        json!({"expires_in": 0}),
        json!({"expires_in": i64::MAX}),
        json!({"roles": []}),
        json!({"roles": ["king"]}),
    ] {
        platform.admin.post("/node-tokens", bad).await.error(422);
    }
}

#[tokio::test]
async fn an_installation_of_one_host_says_what_it_lacks() {
    let platform = Platform::start().await;
    let refused = platform.admin.post("/node-tokens", json!({})).await;
    assert_eq!(refused.error(422).1, "A test of one host.");
}

#[tokio::test]
async fn a_host_is_removed_when_it_is_down_and_empty() {
    let platform = platform().await;
    let token = token(&platform, json!({})).await;
    let id = NodeId::new();
    platform
        .nobody()
        .post("/nodes", request(id, "two", &token))
        .await
        .expect(201);
    let beat = NodeHeartbeat {
        node: id,
        version: "1".to_owned(),
        started_at: Timestamp::now(),
    };
    let store: &dyn Store = &*platform.store;
    let up = Txn::new().put(&key::ALIVE_NODES, key::alive_node(id), &beat);
    up.commit(store).await.unwrap();
    let (_, said) = platform.admin.delete("/nodes/two").await.error(422);
    assert!(said.contains("Stop paasd there first"), "{said}");
    let down = Txn::new().delete(key::alive_node(id));
    down.commit(store).await.unwrap();
    platform.admin.delete("/nodes/two").await.expect(200);
    platform.admin.get("/nodes/two").await.expect(404);
}

#[tokio::test]
async fn tags_are_set_and_taken_away() {
    let platform = platform().await;
    let token = token(&platform, json!({})).await;
    let request = request(NodeId::new(), "two", &token);
    platform.nobody().post("/nodes", request).await.expect(201);
    let tags = json!({"tags": {"gpu": "yes", "disk": null}});
    let node = platform.admin.patch("/nodes/two", tags).await.expect(200);
    assert_eq!(node["tags"], json!({"gpu": "yes"}));
    let bad = json!({"tags": {"": "yes"}});
    platform.admin.patch("/nodes/two", bad).await.error(422);
}
