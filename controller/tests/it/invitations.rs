//! Inviting people, who set their own passwords.

use model::Timestamp;
use reqwest::StatusCode;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use store::{Txn, key};

use crate::browser_login::Browser;
use crate::harness::{Platform, User, each};

const ACCEPT: &str = "/account-invitations/actions/accept";

/// The token, and the path of its page.
async fn invite(platform: &Platform, email: &str) -> (String, String) {
    let body = json!({"email": email});
    let made = platform
        .admin
        .post("/account-invitations", body)
        .await
        .expect(201);
    let token = made["token"].as_str().unwrap().to_owned();
    let url = made["url"].as_str().unwrap();
    assert!(url.starts_with("http://api.paas.localhost:"), "{url}");
    (token.clone(), format!("/auth/invitation/{token}"))
}

#[tokio::test]
async fn an_invitation_is_good_once_and_whoever_takes_it_chooses_the_password() {
    let platform = Platform::start().await;
    let nobody = platform.nobody();
    let (token, _) = invite(&platform, "ivy@example.com").await;
    let short = json!({"token": token, "password": "short"});
    nobody.post(ACCEPT, short).await.error(422);
    let accept = json!({"token": token, "password": "correct horse", "name": "Ivy"});
    let tries = (0..4).map(|_| nobody.post(ACCEPT, accept.clone()));
    let answers = futures::future::join_all(tries).await;
    let made: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 201)
        .collect();
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].body["name"], "Ivy");
    let ivy = User {
        email: "ivy@example.com".to_owned(),
        ..nobody.clone()
    };
    let token = ivy.log_in("correct horse").await.expect(201);
    let ivy = ivy.with_token(token["access_token"]["token"].as_str().unwrap());
    // Invited as no administrator.
    ivy.get("/account-invitations").await.error(403);
    let left = platform.admin.get("/account-invitations").await.expect(200);
    assert_eq!(left, json!([]));
}

#[tokio::test]
async fn invitations_are_listed_taken_back_replaced_and_forgotten() {
    let platform = Platform::start().await;
    let (admin, nobody) = (&platform.admin, platform.nobody());
    let accept = async |token: &str| {
        let body = json!({"token": token, "password": "correct horse"});
        nobody.post(ACCEPT, body).await
    };
    let (first, _) = invite(&platform, "ivy@example.com").await;
    let (second, _) = invite(&platform, "IVY@example.com").await;
    let (gone, place) = invite(&platform, "gus@example.com").await;
    let listed = admin.get("/account-invitations").await.expect(200);
    assert_eq!(
        each(&listed, "email"),
        ["ivy@example.com", "gus@example.com"]
    );
    assert!(!listed.to_string().contains(&second));
    accept(&first).await.error(404);
    admin
        .delete("/account-invitations/gus@example.com")
        .await
        .expect(200);
    admin
        .delete("/account-invitations/gus@example.com")
        .await
        .error(404);
    accept(&gone).await.error(404);
    let page = Browser::new(&nobody).get(&place).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);

    let at = key::INVITATIONS.all(&*platform.store).await.unwrap();
    assert!(!at[0].key.to_string().contains(&second));
    let mut over = at[0].value.clone();
    over.expires_at = Timestamp::now();
    let txn = Txn::new().replace(&key::INVITATIONS, &at[0], &over);
    txn.commit(&*platform.store).await.unwrap();
    accept(&second).await.error(404);
    let listed = admin.get("/account-invitations").await.expect(200);
    assert_eq!(listed, json!([]));
}

#[tokio::test]
async fn all_invitations_of_an_address_are_taken_back_at_once() {
    let platform = Platform::start().await;
    let (first, _) = invite(&platform, "ivy@example.com").await;
    // As two controllers leave them when both make one at the same moment.
    let made = key::INVITATIONS.all(&*platform.store).await.unwrap();
    let twin = model::Invitation {
        id: model::InvitationId::new(),
        ..made[0].value.clone()
    };
    let hash = hex::encode(Sha256::digest("twin")).parse().unwrap();
    let txn = Txn::new().create(&key::INVITATIONS, key::invitation(&hash), &twin);
    txn.commit(&*platform.store).await.unwrap();
    let place = "/account-invitations/ivy@example.com";
    platform.admin.delete(place).await.expect(200);
    for token in [first.as_str(), "twin"] {
        let body = json!({"token": token, "password": "correct horse"});
        platform.nobody().post(ACCEPT, body).await.error(404);
    }
}

#[tokio::test]
async fn nobody_is_invited_who_is_here_and_an_account_that_comes_first_stays() {
    let platform = Platform::start().await;
    let (admin, nobody) = (&platform.admin, platform.nobody());
    let (token, _) = invite(&platform, "ann@example.com").await;
    let ann = platform.user("ann").await;
    let body = json!({"token": token, "password": "correct horse"});
    let (_, message) = nobody.post(ACCEPT, body).await.error(422);
    assert!(message.contains("There is an account"), "{message}");
    ann.log_in(&ann.password).await.expect(201);
    let body = json!({"email": ann.email});
    admin.post("/account-invitations", body).await.error(422);
    for bad in [
        json!({"email": "x"}),
        json!({"email": "x@y.z", "expires_in": 10_000_000}),
    ] {
        admin.post("/account-invitations", bad).await.error(422);
    }
}

#[tokio::test]
async fn an_invitation_is_taken_up_in_a_browser() {
    let platform = Platform::start().await;
    let nobody = platform.nobody();
    let (_, place) = invite(&platform, "ivy@example.com").await;
    let mut browser = Browser::new(&nobody);
    let asked = browser.get(&place).await;
    assert!(asked.text.contains("ivy@example.com"));
    let form = asked.form_token();
    let send = async |browser: &mut Browser, form: &str, password: &str, again: &str| {
        let fields = [
            ("form", form),
            ("name", "Ivy <b>"),
            ("password", password),
            ("again", again),
        ];
        browser.post(&place, &fields).await
    };
    let forged = send(&mut browser.clone(), "", "correct horse", "correct horse").await;
    assert!(forged.text.contains("too old"), "{}", forged.text);
    let differ = send(&mut browser, &form, "correct horse", "battery staple").await;
    assert!(differ.text.contains("differ"), "{}", differ.text);
    let short = send(&mut browser, &form, "short", "short").await;
    assert!(
        short.text.contains("8 to 1024 characters"),
        "{}",
        short.text
    );
    let made = send(&mut browser, &form, "correct horse", "correct horse").await;
    assert_eq!(made.status, StatusCode::CREATED);
    assert!(
        made.text
            .contains("paas login --api http://api.paas.localhost:"),
        "{}",
        made.text
    );
    let ivy = User {
        email: "ivy@example.com".to_owned(),
        ..nobody
    };
    ivy.log_in("correct horse").await.expect(201);
}
