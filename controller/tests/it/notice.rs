//! What is told with every answer.

use model::Timestamp;
use serde_json::{Value, json};
use store::{Txn, key};

use crate::harness::{Another, Answer, Platform, eventually};

fn warnings(answer: &Answer) -> Vec<&str> {
    let all = answer.headers.get_all("x-heroku-warning").iter();
    all.map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn what_operators_say_is_told_by_every_controller_until_they_take_it_back() {
    let platform = Platform::start().await;
    let another = Another::start(&platform).await;
    let ann = platform.user("ann").await;
    let there = another.user(&ann);
    assert!(warnings(&ann.get("/account").await).is_empty());
    let say = json!({"message": "Maintenance on Sunday, 6 to 7."});
    ann.put("/platform/notice", say.clone()).await.error(403);
    let said = platform.admin.put("/platform/notice", say.clone()).await;
    assert_eq!(said.expect(200), say);
    assert_eq!(
        warnings(&ann.get("/account").await),
        ["Maintenance on Sunday, 6 to 7."]
    );
    eventually("the other controller tells it, too", async || {
        !warnings(&there.get("/account").await).is_empty()
    })
    .await;
    // Whoever is nobody is told nothing.
    let nobody = platform.nobody().get("/account").await;
    assert!(warnings(&nobody).is_empty());
    for bad in [
        json!(""),
        json!("a\r\nb"),
        json!("Wartung für alle"),
        json!("x".repeat(301)),
    ] {
        let answer = platform
            .admin
            .put("/platform/notice", json!({"message": bad}))
            .await;
        let (_, message) = answer.error(422);
        assert!(message.contains("ASCII"), "{message}");
    }
    let gone = platform.admin.delete("/platform/notice").await.expect(200);
    assert_eq!(gone, json!({"message": Value::Null}));
    assert!(warnings(&ann.get("/account").await).is_empty());
    eventually("the other controller is silent, too", async || {
        warnings(&there.get("/account").await).is_empty()
    })
    .await;
}

#[tokio::test]
async fn whose_token_ends_soon_is_told_so() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    assert!(warnings(&ann.get("/account").await).is_empty());
    let tokens = key::TOKENS.all(&*platform.store).await.unwrap();
    let seen = tokens.into_iter().find(|seen| seen.value.account == ann.id);
    let seen = seen.unwrap();
    let day = jiff::SignedDuration::from_hours(24);
    let mut old = seen.value.clone();
    old.created_at = Timestamp::now() - day * 28;
    old.expires_at = Some(Timestamp::now() + day * 2);
    let txn = Txn::new().replace(&key::TOKENS, &seen, &old);
    txn.commit(&*platform.store).await.unwrap();
    let told = ann.get("/account").await;
    let told = warnings(&told);
    assert!(
        told[0].starts_with("This token expires in 47 hours."),
        "{told:?}"
    );
}
