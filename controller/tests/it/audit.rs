//! Who did what.

use serde_json::{Value, json};
use store::{Txn, key};

use crate::harness::{Another, Platform, User, each, eventually};

const LOG: &str = "/audit-entries";

/// The newest entries, once all of them are over.
async fn newest(by: &User, path: &str) -> Vec<Value> {
    let read = async || {
        let entries = by.get_range(path, "id ..; order=desc, max=50").await;
        let entries: Value = serde_json::from_str(&entries.text).unwrap();
        entries.as_array().unwrap().clone()
    };
    eventually("how it went is on record", async || {
        read().await.iter().all(|entry| !entry["status"].is_null())
    })
    .await;
    read().await
}

#[tokio::test]
async fn what_is_done_is_on_record_with_who_from_where_and_how_it_went() {
    let platform = Platform::start().await;
    let (ann, bob) = (platform.user("ann").await, platform.user("bob").await);
    ann.app("ticks").await;
    ann.patch(
        "/apps/ticks/config-vars",
        json!({"SECRET": "hunter2", "name": "hunter3"}),
    )
    .await
    .expect(200);
    bob.patch("/apps/ticks/config-vars", json!({"A": "b"}))
        .await
        .error(404);
    ann.post("/apps/ticks/collaborators", json!({"user": bob.email}))
        .await
        .expect(201);
    bob.delete("/apps/ticks").await.error(403);
    let drain = json!({"url": "https://user:hunter4@logs.example.com/x"});
    ann.post("/apps/ticks/log-drains", drain).await.expect(201);
    let place = "/apps/ticks/log-drains/https%3A%2F%2Fuser%3Ahunter4%40logs.example.com%2Fx";
    ann.delete(place).await.expect(200);
    // Reading is no deed.
    ann.get("/apps/ticks/config-vars").await.expect(200);
    ann.post("/filters/apps", json!({})).await.expect(200);

    let log = newest(&ann, "/apps/ticks/audit-entries").await;
    let told: Vec<_> = log
        .iter()
        .rev()
        .map(|entry| {
            let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
            (
                text("action"),
                text("details"),
                entry["status"].as_u64().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("PATCH /apps/{app}/config-vars", "SECRET, name", 200),
        (
            "POST /apps/{app}/collaborators",
            &format!("user={}", bob.email),
            201,
        ),
        ("POST /apps/{app}/log-drains", "url", 201),
        ("DELETE /apps/{app}/log-drains/{drain}", "", 200),
    ];
    let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c));
    assert_eq!(told, expected);
    assert_eq!(log[0]["actor"], json!({"id": ann.id, "email": ann.email}));
    assert_eq!(log[0]["from"], "127.0.0.1");
    assert_eq!(log[0]["app"]["name"], "ticks");
    assert_eq!(log[0]["parameters"]["app"], "ticks");
    let drain = log[0]["parameters"]["drain"].as_str().unwrap();
    assert_eq!(drain, "…//logs.example.com…");
    let whole = serde_json::to_string(&newest(&platform.admin, LOG).await).unwrap();
    assert!(!whole.contains("hunter"), "{whole}");
    assert!(whole.contains("POST /apps") && whole.contains("POST /oauth/authorizations"));
    // An app's log is its owner's, and the whole log the administrators'.
    bob.get("/apps/ticks/audit-entries").await.error(403);
    ann.get(LOG).await.error(403);
}

#[tokio::test]
async fn the_chain_is_whole_with_several_controllers_and_a_change_is_noticed() {
    let platform = Platform::start().await;
    let other = Another::start(&platform).await;
    let ann = platform.user("ann").await;
    let there = other.user(&ann);
    ann.app("ticks").await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..20 {
        let by = if n % 2 == 0 {
            ann.clone()
        } else {
            there.clone()
        };
        tasks.spawn(async move {
            let body = json!({ format!("V{n}"): "x" });
            by.patch("/apps/ticks/config-vars", body).await.expect(200);
        });
    }
    tasks.join_all().await;
    let log = newest(&ann, "/apps/ticks/audit-entries").await;
    assert_eq!(log.len(), 20);
    let chain = platform.admin.get("/audit-chain").await.expect(200);
    assert_eq!(
        (&chain["fault"], &chain["first"]),
        (&json!(null), &json!(1))
    );
    let number = chain["head"]["number"].as_u64().unwrap();
    assert!(number >= 2);

    let place = key::audit_block(1);
    let seen = key::AUDIT.get(&*platform.store, &place).await.unwrap();
    let mut changed = seen.unwrap().value;
    changed.records.clear();
    let txn = Txn::new().put(&key::AUDIT, place, &changed);
    txn.commit(&*platform.store).await.unwrap();
    let chain = platform.admin.get("/audit-chain").await.expect(200);
    assert_eq!(chain["fault"], "block 1 was changed");
    assert!(!each(&json!(log), "id").is_empty());
}

#[tokio::test]
async fn logins_in_vain_are_on_record_with_where_they_came_from() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    ann.log_in("not hers").await.error(401);
    let nobody = User {
        email: "nobody@example.com".to_owned(),
        ..ann.clone()
    };
    nobody.log_in("not hers").await.error(401);
    let in_vain = async || {
        let log = newest(&platform.admin, LOG).await;
        let mut log = log.into_iter();
        log.find(|entry| entry["action"] == "log in, in vain")
    };
    eventually("it is on record", async || in_vain().await.is_some()).await;
    let entry = in_vain().await.unwrap();
    assert_eq!(
        (&entry["status"], &entry["actor"]["email"]),
        (&json!(401), &json!(ann.email))
    );
    assert!(entry["from"].is_string(), "{entry}");
    assert!(!entry.to_string().contains("not hers"), "{entry}");
    let log = newest(&platform.admin, LOG).await;
    assert!(!json!(log).to_string().contains("nobody@"));
}
