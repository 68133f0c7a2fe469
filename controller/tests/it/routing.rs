//! How an app's requests are treated.

use serde_json::json;

use crate::harness::Platform;
use crate::world::id_of;

const ROUTING: &str = "/apps/ticks/routing";

#[tokio::test]
async fn settings_are_set_shown_kept_and_unset() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    let before = ann.get(ROUTING).await.expect(200);
    assert_eq!(before["https_only"], false);
    let set = json!({
        "https_only": true,
        "hsts": {"max_age": 300},
        "allow": ["10.0.0.0/8", "192.0.2.1"],
        "rate_limit": {"requests": 100, "per_seconds": 60, "block_seconds": 600},
        "dyno_protocol": "http2",
    });
    let shown = ann.patch(ROUTING, set).await.expect(200);
    assert_eq!(shown["allow"], json!(["10.0.0.0/8", "192.0.2.1"]));
    assert_eq!(shown["hsts"]["include_subdomains"], false);
    assert_eq!(ann.get(ROUTING).await.expect(200), shown);
    let record = platform.record(app).await.value;
    assert!(
        record.routing.https_only && record.latest.0 == 1,
        "no release came of it"
    );

    let unset = json!({
        "https_only": null, "hsts": null, "allow": null, "rate_limit": null, "dyno_protocol": null,
    });
    assert_eq!(ann.patch(ROUTING, unset).await.expect(200), before);
    assert!(platform.record(app).await.value.routing.is_default());
}

#[tokio::test]
async fn requests_go_only_to_apps_that_the_caller_may_operate() {
    let platform = Platform::start().await;
    let (ann, bob) = (platform.user("ann").await, platform.user("bob").await);
    let app = id_of(&ann.app("ticks").await);
    let api = id_of(&ann.app("api-app").await);
    bob.app("bobs").await;
    for (patch, word) in [
        (json!({"paths": {"/api": "bobs"}}), "bobs"),
        (json!({"paths": {"/api": "nobodys"}}), "nobodys"),
        (json!({"canary": {"app": "ticks", "percent": 5}}), "itself"),
        (json!({"canary": {"app": "api-app", "percent": 101}}), "100"),
        (json!({"paths": {"api": "api-app"}}), "begins with /"),
    ] {
        let (_, words) = ann.patch(ROUTING, patch).await.error(422);
        assert!(words.contains(word), "{words}");
    }
    let set = json!({"paths": {"/api": "api-app"}, "canary": {"app": "api-app", "percent": 5}});
    let shown = ann.patch(ROUTING, set.clone()).await.expect(200);
    assert_eq!(shown["paths"], set["paths"]);
    let routing = platform.record(app).await.value.routing;
    assert_eq!(routing.others().collect::<Vec<_>>(), [api, api]);

    // Whoever operates the one app alone may lessen what goes to the other, and set what else there is; not send it more.
    let shared = json!({"user": bob.email});
    ann.post("/apps/ticks/collaborators", shared)
        .await
        .expect(201);
    for (patch, status) in [
        (json!({"paused": false}), 200),
        (json!({"canary": {"app": "api-app", "percent": 3}}), 200),
        (json!({"canary": {"app": "api-app", "percent": 4}}), 422),
        (
            json!({"paths": {"/api": "api-app", "/more": "api-app"}}),
            422,
        ),
    ] {
        let answer = bob.patch(ROUTING, patch).await;
        match status {
            200 => drop(answer.expect(200)),
            _ => assert!(answer.error(status).1.contains("api-app")),
        }
    }

    // What leads to an app that is gone is gone, too, and in nobody's way.
    ann.delete("/apps/api-app").await.expect(200);
    let shown = ann.get(ROUTING).await.expect(200);
    assert_eq!(
        (&shown["paths"], &shown["canary"]),
        (&json!({}), &json!(null))
    );
    ann.patch(ROUTING, json!({"paused": true}))
        .await
        .expect(200);
    assert_eq!(platform.record(app).await.value.routing.others().count(), 0);
}

#[tokio::test]
async fn a_canonical_host_is_one_of_the_apps_own() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    let www = json!({"canonical_host": "www.example.com"});
    let (_, words) = ann.patch(ROUTING, www.clone()).await.error(422);
    assert!(
        words.contains("paas domains:add www.example.com"),
        "{words}"
    );
    let domain = json!({"hostname": "www.example.com", "sni_endpoint": null});
    ann.post("/apps/ticks/domains", domain).await.expect(201);
    ann.patch(ROUTING, www).await.expect(200);
    let own = json!({"canonical_host": "ticks.paas.localhost"});
    ann.patch(ROUTING, own).await.expect(200);
    let www = json!({"canonical_host": "www.example.com"});
    ann.patch(ROUTING, www).await.expect(200);
    // Once it is gone, it is in no other setting's way.
    let gone = "/apps/ticks/domains/www.example.com";
    ann.delete(gone).await.expect(200);
    ann.patch(ROUTING, json!({"paused": true}))
        .await
        .expect(200);
}
