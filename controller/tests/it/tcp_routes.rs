//! TCP routes: what may be added, and what is left of one.

use model::{TcpTarget, tcp_route::TcpHost};
use serde_json::json;
use store::key;

use crate::harness::{Platform, each, eventually};
use crate::world::id_of;

const ROUTES: &str = "/tcp-routes";

async fn platform() -> Platform {
    Platform::start_with(|config| {
        config.reserved_ports = [(443, "router.https".to_owned())].into();
    })
    .await
}

#[tokio::test]
async fn a_route_is_added_listed_by_port_and_removed() {
    let platform = platform().await;
    let admin = &platform.admin;
    let made = json!({"port": 5432, "target": "db.internal:5432", "proxy_protocol": true, "allow": ["10.0.0.0/8"]});
    let added = admin.post(ROUTES, made).await.expect(201);
    assert_eq!(added["target"], "db.internal:5432");
    admin
        .post(ROUTES, json!({"port": 853, "target": "[2001:db8::1]:853"}))
        .await
        .expect(201);
    let listed = admin.get(ROUTES).await.expect(200);
    assert_eq!(each(&listed, "port"), ["853", "5432"]);
    assert_eq!(listed[1], added);

    let place = key::tcp_route(5432);
    let kept = key::TCP_ROUTES.get(&*platform.store, &place);
    let kept = kept.await.unwrap().unwrap().value;
    let host = TcpHost::Name("db.internal".parse().unwrap());
    assert_eq!(kept.target, TcpTarget::Host { host, port: 5432 });
    assert_eq!(kept.created_by, admin.id);

    let removed = admin.delete("/tcp-routes/5432").await.expect(200);
    assert_eq!(removed, added);
    let (_, message) = admin.delete("/tcp-routes/5432").await.error(404);
    assert!(message.contains("no TCP route"), "{message}");
    assert_eq!(each(&admin.get(ROUTES).await.expect(200), "port"), ["853"]);
}

#[tokio::test]
async fn what_cannot_be_is_refused_in_words() {
    let platform = platform().await;
    let admin = &platform.admin;
    let target = "db.internal:5432";
    admin
        .post(ROUTES, json!({"port": 5432, "target": target}))
        .await
        .expect(201);
    for (port, target, words) in [
        (443, target, "the platform's own (router.https)"),
        (0, target, "from 1 to 65535"),
        (5432, target, "has a TCP route already"),
        (5433, "db.internal", "host:port"),
        (5433, "app:nobody", "There is no app nobody"),
    ] {
        let refused = admin
            .post(ROUTES, json!({"port": port, "target": target}))
            .await;
        let (_, message) = refused.error(422);
        assert!(message.contains(words), "{port} {target}: {message}");
    }
    let bad = json!({"port": 5433, "target": target, "allow": ["10.0.0.0/64"]});
    assert_eq!(admin.post(ROUTES, bad).await.status.as_u16(), 422);
    // Those who may see the app of a route may still not make one.
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    ann.post(ROUTES, json!({"port": 5434, "target": "app:ticks"}))
        .await
        .error(403);
}

#[tokio::test]
async fn a_route_to_an_app_follows_its_name_and_goes_with_it() {
    let platform = platform().await;
    let ann = platform.user("ann").await;
    let app = ann.app("ticks").await;
    let made = json!({"port": 1883, "target": "app:ticks"});
    let added = platform.admin.post(ROUTES, made).await.expect(201);
    assert_eq!(added["target"], "app:ticks");
    let place = key::tcp_route(1883);
    let kept = key::TCP_ROUTES.get(&*platform.store, &place);
    assert_eq!(
        kept.await.unwrap().unwrap().value.target,
        TcpTarget::App(id_of(&app))
    );
    ann.patch("/apps/ticks", json!({"name": "tocks"}))
        .await
        .expect(200);
    let listed = platform.admin.get(ROUTES).await.expect(200);
    assert_eq!(each(&listed, "target"), ["app:tocks"]);
    ann.delete("/apps/tocks").await.expect(200);
    eventually("the route is swept after its app", async || {
        key::TCP_ROUTES
            .all(&*platform.store)
            .await
            .unwrap()
            .is_empty()
    })
    .await;
}
