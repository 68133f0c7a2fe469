//! Apps that change hands.

use serde_json::json;

use crate::harness::{Platform, each};

const TRANSFERS: &str = "/account/app-transfers";

#[tokio::test]
async fn an_app_changes_hands_when_its_recipient_says_so() {
    let platform = Platform::start().await;
    let (ann, bob, eve) = (
        platform.user("ann").await,
        platform.user("bob").await,
        platform.user("eve").await,
    );
    ann.app("ticks").await;
    ann.post("/apps/ticks/collaborators", json!({"user": bob.email}))
        .await
        .expect(201);
    let body = json!({"app": "ticks", "recipient": bob.email});
    bob.post(TRANSFERS, body.clone()).await.error(403);
    eve.post(TRANSFERS, body.clone()).await.error(404);
    let offered = ann.post(TRANSFERS, body.clone()).await.expect(201);
    assert_eq!(offered["state"], "pending");
    let (_, message) = ann.post(TRANSFERS, body).await.error(422);
    assert!(
        message.contains("being offered to somebody already"),
        "{message}"
    );
    let place = format!("{TRANSFERS}/{}", offered["id"].as_str().unwrap());
    for who in [&ann, &bob] {
        assert_eq!(
            each(&who.get(TRANSFERS).await.expect(200), "state"),
            ["pending"]
        );
    }
    assert_eq!(eve.get(TRANSFERS).await.expect(200), json!([]));
    eve.get(&place).await.error(404);
    let accept = json!({"state": "accepted"});
    ann.patch(&place, accept.clone()).await.error(403);
    bob.patch(&place, json!({"state": "pending"}))
        .await
        .error(422);

    assert_eq!(
        ann.get("/apps/ticks").await.expect(200)["owner"]["email"],
        ann.email
    );
    let accepted = bob.patch(&place, accept.clone()).await.expect(200);
    assert_eq!(accepted["state"], "accepted");
    let app = ann.get("/apps/ticks").await.expect(200);
    assert_eq!(app["owner"]["email"], bob.email);
    let people = bob.get("/apps/ticks/collaborators").await.expect(200);
    let mut roles: Vec<_> = people
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["user"]["email"].as_str().unwrap(),
                one["role"].as_str().unwrap(),
            )
        })
        .collect();
    roles.sort_unstable();
    let expected = [
        (ann.email.as_str(), "collaborator"),
        (bob.email.as_str(), "owner"),
    ];
    assert_eq!(roles, expected);
    let (_, message) = bob.patch(&place, accept).await.error(422);
    assert!(message.contains("decided already"), "{message}");
}

#[tokio::test]
async fn an_offer_is_declined_or_taken_back_and_the_app_stays() {
    let platform = Platform::start().await;
    let (ann, bob) = (platform.user("ann").await, platform.user("bob").await);
    ann.app("ticks").await;
    let body = json!({"app": "ticks", "recipient": bob.email});
    ann.post(TRANSFERS, body.clone()).await.expect(201);
    // By the app's name, too.
    let place = format!("{TRANSFERS}/ticks");
    bob.delete(&place).await.error(403);
    let declined = bob
        .patch(&place, json!({"state": "declined"}))
        .await
        .expect(200);
    assert_eq!(declined["state"], "declined");
    ann.post(TRANSFERS, body).await.expect(201);
    ann.delete(&place).await.expect(200);
    bob.patch(&place, json!({"state": "accepted"}))
        .await
        .error(404);
    assert_eq!(
        ann.get("/apps/ticks").await.expect(200)["owner"]["email"],
        ann.email
    );
    for (recipient, words) in [
        (ann.email.as_str(), "owns ticks already"),
        ("x@y.z", "no account"),
    ] {
        let body = json!({"app": "ticks", "recipient": recipient});
        let (_, message) = ann.post(TRANSFERS, body).await.error(422);
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn who_may_manage_an_app_cannot_keep_it_by_an_offer() {
    let platform = Platform::start().await;
    let (ann, bob, eve) = (
        platform.user("ann").await,
        platform.user("bob").await,
        platform.user("eve").await,
    );
    ann.app("ticks").await;
    let share = json!({"user": bob.email, "permissions": ["manage"]});
    ann.post("/apps/ticks/collaborators", share)
        .await
        .expect(201);
    let body = json!({"app": "ticks", "recipient": eve.email});
    let (_, message) = bob.post(TRANSFERS, body.clone()).await.error(403);
    assert!(message.contains("Only the owner of ticks"), "{message}");
    // Nor is an offer good that was made by who owned it before.
    ann.post(TRANSFERS, body).await.expect(201);
    let given = json!({"app": "ticks", "recipient": bob.email});
    platform
        .admin
        .post(TRANSFERS, given.clone())
        .await
        .error(422);
    ann.delete(&format!("{TRANSFERS}/ticks")).await.expect(200);
    platform.admin.post(TRANSFERS, given).await.expect(201);
    eve.patch(&format!("{TRANSFERS}/ticks"), json!({"state": "accepted"}))
        .await
        .error(404);
}

#[tokio::test]
async fn an_administrator_gives_an_app_to_somebody_at_once() {
    let platform = Platform::start().await;
    let (ann, bob) = (platform.user("ann").await, platform.user("bob").await);
    ann.app("ticks").await;
    let body = json!({"app": "ticks", "recipient": bob.id});
    let given = platform.admin.post(TRANSFERS, body).await.expect(201);
    assert_eq!(given["state"], "accepted");
    assert_eq!(
        bob.get("/apps/ticks").await.expect(200)["owner"]["email"],
        bob.email
    );
}
