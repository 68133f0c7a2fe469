//! Sharing apps.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Platform, each};

#[tokio::test]
async fn a_collaborator_works_on_the_app_but_does_not_own_it() {
    let platform = Platform::start().await;
    let (ann, bob) = (platform.user("ann").await, platform.user("bob").await);
    ann.app("ticks").await;
    bob.get("/apps/ticks").await.error(404);
    let added = ann
        .post(
            "/apps/ticks/collaborators",
            json!({"user": "BOB@example.com"}),
        )
        .await
        .expect(201);
    assert_eq!(
        (&added["role"], &added["user"]["email"]),
        (&json!("collaborator"), &json!(bob.email))
    );
    // Once more is as good as once.
    let again = ann
        .post(
            "/apps/ticks/collaborators",
            json!({"user": bob.id.to_string()}),
        )
        .await
        .expect(201);
    assert_eq!(again["id"], added["id"]);
    let listed = bob.get("/apps/ticks/collaborators").await.expect(200);
    let mut roles = each(&listed, "role");
    roles.sort();
    assert_eq!(roles, ["collaborator", "owner"]);
    bob.patch("/apps/ticks/config-vars", json!({"A": "1"}))
        .await
        .expect(200);
    bob.patch("/apps/ticks", json!({"maintenance": true}))
        .await
        .expect(200);
    for refused in [
        bob.patch("/apps/ticks", json!({"name": "tocks"})).await,
        bob.delete("/apps/ticks").await,
        bob.post(
            "/apps/ticks/collaborators",
            json!({"user": "x@example.com"}),
        )
        .await,
    ] {
        assert_eq!(refused.error(403).0, "forbidden");
    }
    ann.get(&format!("/apps/ticks/collaborators/{}", ann.email))
        .await
        .expect(200);
    ann.get(&format!("/apps/ticks/collaborators/{}", bob.id))
        .await
        .expect(200);
}

#[tokio::test]
async fn the_owner_removes_others_and_others_remove_themselves() {
    let platform = Platform::start().await;
    let (ann, bob, eve) = (
        platform.user("ann").await,
        platform.user("bob").await,
        platform.user("eve").await,
    );
    ann.app("ticks").await;
    for user in [&bob, &eve] {
        ann.post("/apps/ticks/collaborators", json!({"user": user.email}))
            .await
            .expect(201);
    }
    assert_eq!(
        bob.delete(&format!("/apps/ticks/collaborators/{}", eve.email))
            .await
            .error(403)
            .0,
        "forbidden"
    );
    bob.delete(&format!("/apps/ticks/collaborators/{}", bob.email))
        .await
        .expect(200);
    bob.get("/apps/ticks").await.error(404);
    ann.delete(&format!("/apps/ticks/collaborators/{}", eve.email))
        .await
        .expect(200);
    eve.get("/apps/ticks").await.error(404);
    ann.delete(&format!("/apps/ticks/collaborators/{}", ann.email))
        .await
        .error(404);
}

#[tokio::test]
async fn only_accounts_there_are_can_be_invited() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    let (_, message) = ann
        .post(
            "/apps/ticks/collaborators",
            json!({"user": "who@example.com"}),
        )
        .await
        .error(422);
    assert!(
        message.contains("who@example.com") && message.contains("administrator"),
        "{message}"
    );
    ann.post("/apps/ticks/collaborators", json!({"user": ann.email}))
        .await
        .error(422);
}

#[tokio::test]
async fn a_collaborator_may_do_what_was_given_and_no_more() {
    let platform = Platform::start().await;
    let (ann, bob) = (platform.user("ann").await, platform.user("bob").await);
    ann.app("ticks").await;
    let people = "/apps/ticks/collaborators";
    let bobs = format!("{people}/{}", bob.email);
    for (permissions, may) in [
        (json!(["view"]), "y..."),
        (json!(["deploy", "view"]), "yy.."),
        (json!(["operate"]), "yyy."),
        (json!(["manage"]), "yyyy"),
    ] {
        let body = json!({"user": bob.email, "permissions": permissions});
        ann.post(people, body).await.expect(201);
        let mut found = String::new();
        for (method, path, body) in [
            (Method::GET, "/apps/ticks", json!({})),
            (Method::POST, "/apps/ticks/releases", json!({})),
            (Method::GET, "/apps/ticks/config-vars", json!({})),
            (Method::POST, people, json!({"user": "nobody@example.com"})),
        ] {
            let answer = bob.call(method, path, Some(body), &[]).await;
            found.push(if answer.status == 403 { '.' } else { 'y' });
        }
        assert_eq!(found, may, "{permissions}");
    }
    let changed = ann
        .patch(&bobs, json!({"permissions": ["view"]}))
        .await
        .expect(200);
    assert_eq!(each(&changed["permissions"], "name"), ["view"]);
    let (_, message) = bob.get("/apps/ticks/config-vars").await.error(403);
    assert!(
        message.contains("needs the permission operate on ticks, and you have view"),
        "{message}"
    );
    // Added once more without a word about it, he may do what he might.
    ann.post(people, json!({"user": bob.email}))
        .await
        .expect(201);
    bob.get("/apps/ticks/config-vars").await.error(403);
    bob.patch(&bobs, json!({"permissions": ["manage"]}))
        .await
        .error(403);
    for permissions in [json!([]), json!(["all"])] {
        ann.patch(&bobs, json!({"permissions": permissions}))
            .await
            .error(422);
    }
}
