//! Webhooks: what there may be, and what they are told.

use std::time::Duration;

use model::{DynoState, DynoStatus, NodeId, Timestamp};
use serde_json::{Value, json};
use store::{Txn, key};

use crate::harness::{Platform, each, eventually};
use crate::receiver::{
    Answer, Receiver, Request, add, deliveries, eventually_statuses, leftovers, signature,
    switch_maintenance, ticks, told,
};

#[tokio::test]
async fn a_webhook_is_made_shown_changed_and_removed() {
    let platform = Platform::start().await;
    let (ann, _) = ticks(&platform).await;
    let url = "https://example.com/hooks";
    let body =
        json!({"include": ["api:release", "dyno", "api:release"], "level": "notify", "url": url});
    let made = ann.post("/apps/ticks/webhooks", body).await;
    let secret = made.header("heroku-webhook-secret").unwrap().to_owned();
    assert_eq!(secret.len(), 64);
    let made = made.expect(201);
    assert_eq!(made["include"], json!(["api:release", "api:dyno"]));
    assert_eq!(made["app"]["name"], "ticks");
    let path = format!("/apps/ticks/webhooks/{}", made["id"].as_str().unwrap());
    let shown = ann.get(&path).await;
    assert!(shown.header("heroku-webhook-secret").is_none());
    assert_eq!(shown.expect(200), made);
    let listed = ann.get("/apps/ticks/webhooks").await.expect(200);
    assert_eq!(listed, json!([made]));
    // At rest there is nothing to read.
    let kept = key::WEBHOOKS.all(&*platform.store).await.unwrap();
    let kept = serde_json::to_string(&kept[0].value).unwrap();
    assert!(
        !kept.contains(&secret) && !kept.contains("example.com"),
        "{kept}"
    );

    let change = json!({"level": "sync", "include": ["api:build"]});
    let changed = ann.patch(&path, change).await.expect(200);
    assert_eq!(
        (&changed["level"], &changed["url"]),
        (&json!("sync"), &json!(url))
    );
    assert_eq!(changed["include"], json!(["api:build"]));

    ann.delete(&path).await.expect(200);
    let (_, message) = ann.get(&path).await.error(404);
    assert!(message.contains("ticks has no webhook"), "{message}");
    assert_eq!(ann.get("/apps/ticks/webhooks").await.expect(200), json!([]));
    eventually("nothing is left of it", async || {
        leftovers(&platform).await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_in_words() {
    let platform = Platform::start_with(|config| {
        config.webhooks.allow_http = false;
        config.webhooks.allow_networks.clear();
    })
    .await;
    let (ann, _) = ticks(&platform).await;
    let good =
        json!({"include": ["api:release"], "level": "notify", "url": "https://example.com/"});
    let long = format!("https://example.com/{}", "x".repeat(2000));
    for (field, value, words) in [
        (
            "include",
            json!(["api:addon"]),
            "\"api:addon\" is nothing that webhooks are told of; there is api:app, api:build",
        ),
        ("include", json!([]), "any of api:app"),
        ("level", json!("loud"), "notify (tried once) or sync"),
        (
            "url",
            json!("http://example.com/"),
            "must begin with https://",
        ),
        (
            "url",
            json!("ftp://example.com/"),
            "must begin with https://",
        ),
        ("url", json!("example"), "must look like https://"),
        (
            "url",
            json!("https://u:p@example.com/"),
            "authorization instead",
        ),
        (
            "url",
            json!("https://127.0.0.1/"),
            "must lead to the internet",
        ),
        (
            "url",
            json!("https://169.254.169.254/"),
            "must lead to the internet",
        ),
        (
            "url",
            json!("https://[::ffff:10.0.0.1]/"),
            "must lead to the internet",
        ),
        ("url", json!(long), "at most 2000 characters"),
        ("secret", json!("a\nb"), "printable"),
        ("authorization", json!("a\nb"), "the value of a header"),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let (_, message) = ann.post("/apps/ticks/webhooks", body).await.error(422);
        assert!(message.contains(words), "{field}: {message}");
    }
    for _ in 0..10 {
        ann.post("/apps/ticks/webhooks", good.clone())
            .await
            .expect(201);
    }
    let (_, message) = ann.post("/apps/ticks/webhooks", good).await.error(422);
    assert!(message.contains("at most 10 webhooks"), "{message}");
}

#[tokio::test]
async fn a_receiver_is_sent_signed_json_that_says_what_changed() {
    let platform = Platform::start().await;
    let (ann, _) = ticks(&platform).await;
    let receiver = Receiver::start().await;
    let made = json!({
        "include": ["api:app"], "level": "notify", "url": receiver.url(),
        "secret": "tell nobody", "authorization": "Bearer sesame",
    });
    let made = ann.post("/apps/ticks/webhooks", made).await;
    assert_eq!(made.header("heroku-webhook-secret"), Some("tell nobody"));
    let webhook = made.expect(201);
    switch_maintenance(&ann, true).await;
    let request = receiver.got(1).await.remove(0);
    let header = |name: &str| request.headers.get(name).unwrap().to_str().unwrap();
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("authorization"), "Bearer sesame");
    assert!(header("user-agent").starts_with("paas-webhooks/"));
    assert_eq!(
        header("heroku-webhook-hmac-sha256"),
        signature("tell nobody", &request.text)
    );

    eventually_statuses(&ann, &["succeeded"]).await;
    let delivery = deliveries(&ann).await[0].clone();
    let event = ann.get("/apps/ticks/webhook-events").await.expect(200)[0].clone();
    let payload = &request.body;
    assert_eq!(payload["data"], ann.get("/apps/ticks").await.expect(200));
    assert_eq!(payload["previous_data"]["maintenance"], false);
    assert_eq!(
        payload["actor"],
        json!({"email": "ann@example.com", "id": ann.id})
    );
    assert_eq!(
        (
            &payload["resource"],
            &payload["action"],
            &payload["sequence"],
            &payload["version"]
        ),
        (
            &json!("app"),
            &json!("update"),
            &json!(1),
            &json!("application/vnd.heroku+json; version=3")
        )
    );
    for name in ["created_at", "updated_at", "published_at"] {
        payload[name]
            .as_str()
            .unwrap()
            .parse::<Timestamp>()
            .unwrap();
    }
    assert_eq!(
        payload["webhook_metadata"],
        json!({
            "attempt": {"id": delivery["last_attempt"]["id"]},
            "delivery": {"id": delivery["id"]},
            "event": {"id": event["id"], "include": "api:app"},
            "webhook": {"id": webhook["id"]},
        })
    );
    assert_eq!(payload["id"], event["id"]);
    for name in [
        "action",
        "actor",
        "data",
        "previous_data",
        "resource",
        "version",
    ] {
        assert_eq!(event["payload"][name], payload[name], "{name}");
    }
    assert_eq!(delivery["last_attempt"]["code"], 204);
    assert_eq!(delivery["num_attempts"], 1);
    let path =
        |kind: &str, one: &Value| format!("/apps/ticks/{kind}/{}", one["id"].as_str().unwrap());
    assert_eq!(
        ann.get(&path("webhook-deliveries", &delivery))
            .await
            .expect(200),
        delivery
    );
    assert_eq!(
        ann.get(&path("webhook-events", &event)).await.expect(200),
        event
    );
    // As the official CLI asks for them.
    let list = "/apps/ticks/webhook-deliveries?eq[status]=";
    let range = "seq ..; order=desc,max=1000";
    let found = ann
        .get_range(&format!("{list}succeeded"), range)
        .await
        .expect(200);
    assert_eq!(found, json!([delivery]));
    assert_eq!(
        ann.get_range(&format!("{list}failed"), range)
            .await
            .expect(200),
        json!([])
    );
    for nothing in ["webhook-deliveries/0", "webhook-events/0"] {
        ann.get(&format!("/apps/ticks/{nothing}")).await.error(404);
    }
}

#[tokio::test]
async fn who_may_only_view_does_not_see_where_webhooks_lead() {
    let platform = Platform::start().await;
    let (ann, _) = ticks(&platform).await;
    let bob = platform.user("bob").await;
    let people = "/apps/ticks/collaborators";
    let body = json!({"user": bob.email, "permissions": ["view"]});
    ann.post(people, body).await.expect(201);
    let url = "https://chat.example.com/services/T/B/hunter2";
    let webhook = add(&ann, "ticks", &["api:app"], "notify", url).await;
    let path = format!("/apps/ticks/webhooks/{}", webhook["id"].as_str().unwrap());
    for path in ["/apps/ticks/webhooks", &path] {
        let (_, message) = bob.get(path).await.error(403);
        assert!(
            message.contains("needs the permission operate"),
            "{message}"
        );
    }
    for path in ["webhook-deliveries", "webhook-events"] {
        let path = format!("/apps/ticks/{path}");
        let shown = bob.get(&path).await.expect(200).to_string();
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[tokio::test]
async fn an_authorization_does_not_follow_a_webhook_to_somebody_else() {
    let platform = Platform::start().await;
    let (ann, _) = ticks(&platform).await;
    let (first, second) = (Receiver::start().await, Receiver::start().await);
    let made = json!({
        "include": ["api:app"], "level": "notify", "url": first.url(), "authorization": "Bearer sesame",
    });
    let made = ann.post("/apps/ticks/webhooks", made).await.expect(201);
    let path = format!("/apps/ticks/webhooks/{}", made["id"].as_str().unwrap());
    let change = async |body: Value| ann.patch(&path, body).await.expect(200);
    let authorization = |request: &Request| request.headers.get("authorization").cloned();

    change(json!({"url": format!("{}?by=path", first.url())})).await;
    switch_maintenance(&ann, true).await;
    let request = first.got(1).await.remove(0);
    assert_eq!(authorization(&request).unwrap(), "Bearer sesame");

    change(json!({"url": second.url()})).await;
    switch_maintenance(&ann, false).await;
    assert_eq!(authorization(&second.got(1).await[0]), None);

    change(json!({"url": first.url(), "authorization": "Bearer anew"})).await;
    switch_maintenance(&ann, true).await;
    assert_eq!(
        authorization(&first.got(2).await[1]).unwrap(),
        "Bearer anew"
    );
}

#[tokio::test]
async fn each_kind_of_thing_is_told_of_as_it_comes_changes_and_goes() {
    let platform = Platform::start().await;
    let (ann, app) = ticks(&platform).await;
    let colin = platform.user("colin").await;
    let receiver = Receiver::start().await;
    let all = [
        "api:app",
        "api:build",
        "api:collaborator",
        "api:domain",
        "api:dyno",
        "api:formation",
        "api:release",
        "api:sni-endpoint",
    ];
    add(&ann, "ticks", &all, "sync", &receiver.url()).await;
    let mut expected: Vec<String> = Vec::new();
    let mut next = async |words: &[&str]| {
        let before = expected.len();
        expected.extend(words.iter().map(|&w| w.to_owned()));
        let requests = receiver.got(expected.len()).await;
        let mut got = told(&requests[before..]);
        let mut wanted = expected[before..].to_vec();
        // What one commit changed comes in no order that anybody should rely on.
        got.sort();
        wanted.sort();
        assert_eq!(got, wanted);
        requests[before..].to_vec()
    };

    platform.push(app, &ann, &[("web", "serve")]).await;
    let first = next(&["release create pending", "formation create 1"]).await;
    let release = first
        .iter()
        .find(|r| r.body["resource"] == "release")
        .unwrap();
    assert_eq!(release.body["data"]["version"], 2);
    assert_eq!(release.body["actor"]["email"], "ann@example.com");
    platform.prove(app).await;
    let proven = next(&["release update succeeded"]).await;
    assert_eq!(proven[0].body["data"]["current"], true);
    assert_eq!(proven[0].body["previous_data"]["status"], "pending");

    ann.patch("/apps/ticks/config-vars", json!({"A": "1"}))
        .await
        .expect(200);
    next(&["release create pending"]).await;
    platform.fail(app, "web.1 exited").await;
    next(&["release update failed"]).await;

    ann.patch("/apps/ticks/formation/web", json!({"quantity": 3}))
        .await
        .expect(200);
    let scaled = next(&["formation update 3"]).await;
    assert_eq!(scaled[0].body["previous_data"]["quantity"], 1);

    ann.post(
        "/apps/ticks/domains",
        json!({"hostname": "www.example.com", "sni_endpoint": null}),
    )
    .await
    .expect(201);
    next(&["domain create succeeded"]).await;
    ann.delete("/apps/ticks/domains/www.example.com")
        .await
        .expect(200);
    next(&["domain destroy succeeded"]).await;

    ann.post("/apps/ticks/collaborators", json!({"user": colin.email}))
        .await
        .expect(201);
    let shared = next(&["collaborator create"]).await;
    assert_eq!(shared[0].body["data"]["user"]["email"], "colin@example.com");
    ann.delete("/apps/ticks/collaborators/colin@example.com")
        .await
        .expect(200);
    next(&["collaborator destroy"]).await;

    let dyno = platform.dyno(app, "web.1").await;
    next(&["dyno create starting", "dyno update up"]).await;
    let place = key::dyno_status(app, dyno);
    let now = Timestamp::now();
    let down = DynoStatus {
        dyno,
        app,
        node: NodeId::new(),
        state: DynoState::Stopping { since: now },
        restarts: 0,
        updated_at: now,
    };
    let txn = Txn::new().put(&key::DYNO_STATUS, place.clone(), &down);
    txn.commit(&*platform.store).await.unwrap();
    next(&["dyno update down"]).await;
    let txn = Txn::new().delete(place).delete(key::dyno(app, dyno));
    txn.commit(&*platform.store).await.unwrap();
    next(&["dyno destroy down"]).await;

    ann.patch("/apps/ticks", json!({"name": "tocks"}))
        .await
        .expect(200);
    let renamed = next(&["app update false"]).await;
    assert_eq!(renamed[0].body["previous_data"]["name"], "ticks");
    assert_eq!(renamed[0].body["data"]["name"], "tocks");
    let sequences: Vec<_> = receiver.requests().iter().map(Request::sequence).collect();
    assert_eq!(
        sequences,
        (1..=u64::try_from(sequences.len()).unwrap()).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn only_what_is_included_is_told_and_only_to_who_asked() {
    let platform = Platform::start().await;
    let (ann, app) = ticks(&platform).await;
    ann.app("other").await;
    let (releases, apps) = (Receiver::start().await, Receiver::start().await);
    add(&ann, "ticks", &["api:release"], "sync", &releases.url()).await;
    add(&ann, "ticks", &["api:app"], "sync", &apps.url()).await;
    ann.patch("/apps/other", json!({"maintenance": true}))
        .await
        .expect(200);
    platform.push(app, &ann, &[("web", "serve")]).await;
    switch_maintenance(&ann, true).await;
    assert_eq!(told(&releases.got(1).await), ["release create pending"]);
    assert_eq!(told(&apps.got(1).await), ["app update true"]);
    assert_eq!(
        ann.get("/apps/other/webhook-events").await.expect(200),
        json!([])
    );
    eventually_statuses(&ann, &["succeeded", "succeeded"]).await;
}

#[tokio::test]
async fn a_webhook_that_is_removed_hears_no_more() {
    let platform = Platform::start_with(|config| {
        config.webhooks.attempt_within = Duration::from_secs(600);
    })
    .await;
    let (ann, _) = ticks(&platform).await;
    let (gone, stays) = (Receiver::start().await, Receiver::start().await);
    gone.will_answer([Answer::Hang]);
    let webhook = add(&ann, "ticks", &["api:app"], "sync", &gone.url()).await;
    add(&ann, "ticks", &["api:app"], "sync", &stays.url()).await;
    switch_maintenance(&ann, true).await;
    switch_maintenance(&ann, false).await;
    gone.got(1).await;
    stays.got(2).await;
    let path = format!("/apps/ticks/webhooks/{}", webhook["id"].as_str().unwrap());
    ann.delete(&path).await.expect(200);
    eventually("its deliveries go with it", async || {
        each(&deliveries(&ann).await, "status") == ["succeeded", "succeeded"]
    })
    .await;
    gone.release();
    switch_maintenance(&ann, true).await;
    stays.got(3).await;
    assert_eq!(gone.requests().len(), 1);
}

#[tokio::test]
async fn an_app_that_goes_is_told_of_once_and_leaves_nothing() {
    let platform = Platform::start_with(|config| {
        config.webhooks.first_pause = Duration::from_secs(3600);
    })
    .await;
    let (ann, app) = ticks(&platform).await;
    platform.push(app, &ann, &[("web", "serve")]).await;
    let receiver = Receiver::start().await;
    receiver.will_answer([Answer::Status(500)]);
    add(
        &ann,
        "ticks",
        &["api:app", "api:release", "api:formation"],
        "sync",
        &receiver.url(),
    )
    .await;
    platform.prove(app).await;
    // It waits for its second try when the app goes, and is not made any more.
    receiver.got(1).await;
    eventually_statuses(&ann, &["retrying"]).await;
    ann.delete("/apps/ticks").await.expect(200);
    let requests = receiver.got(2).await;
    assert_eq!(
        told(&requests),
        ["release update succeeded", "app destroy false"]
    );
    assert_eq!(requests[1].body["data"]["name"], "ticks");
    assert_eq!(requests[1].body["actor"]["email"], "ann@example.com");
    eventually("nothing is left", async || {
        leftovers(&platform).await.is_empty()
    })
    .await;
    assert_eq!(receiver.requests().len(), 2);
}
