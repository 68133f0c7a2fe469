//! Accounts, logging in, tokens, keys.

use controller::Scheme;
use controller::accounts::{Recovery, RecoveryError, recover};
use model::{Identity, Sealed, SecondFactor, Timestamp};
use reqwest::Method;
use serde_json::json;
use store::{Txn, key};

use crate::harness::{Platform, User, basic, each};

#[tokio::test]
async fn a_password_gives_a_token_that_works_in_every_form_until_it_is_revoked() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let nobody = platform.nobody();
    for authorization in [
        format!("Bearer {}", ann.token),
        basic("", &ann.token),
        basic("heroku", &ann.token),
        basic(&ann.token, ""),
    ] {
        let answer = nobody
            .call(
                Method::GET,
                "/account",
                None,
                &[("authorization", &authorization)],
            )
            .await;
        assert_eq!(answer.expect(200)["email"], ann.email);
    }
    let made = ann
        .post("/oauth/authorizations", json!({"description": "ci"}))
        .await
        .expect(201);
    assert_eq!(made["access_token"]["expires_in"], json!(null));
    let ci = made["access_token"]["token"].as_str().unwrap().to_owned();
    let listed = ann.get("/oauth/authorizations").await.expect(200);
    assert_eq!(each(&listed, "description"), ["test", "ci"]);
    assert!(
        listed
            .as_array()
            .unwrap()
            .iter()
            .all(|token| token["access_token"]["token"] == "****")
    );

    let ci = crate::harness::User {
        token: ci,
        ..ann.clone()
    };
    ci.get("/account").await.expect(200);
    assert_eq!(
        ci.get("/oauth/authorizations/~").await.expect(200)["description"],
        "ci"
    );
    let path = format!("/oauth/authorizations/{}", made["id"].as_str().unwrap());
    assert_eq!(ann.get(&path).await.expect(200)["description"], "ci");
    ann.delete(&path).await.expect(200);
    assert_eq!(ci.get("/account").await.error(401).0, "unauthorized");
    ann.get("/account").await.expect(200);

    // What the CLI's logout does.
    assert_eq!(
        ann.delete("/oauth/sessions/~").await.expect(404)["resource"],
        "session"
    );
    ann.delete("/oauth/authorizations/~").await.expect(200);
    ann.get("/account").await.error(401);
}

#[tokio::test]
async fn wrong_passwords_are_refused_and_guessing_is_stopped() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    assert_eq!(ann.log_in("wrong").await.error(401).0, "unauthorized");
    let unknown = crate::harness::User {
        email: "nobody@example.com".to_owned(),
        ..ann.clone()
    };
    assert_eq!(
        unknown.log_in(&ann.password).await.error(401).0,
        "unauthorized"
    );
    for _ in 0..9 {
        ann.log_in("wrong").await.error(401);
    }
    // Even the right one has to wait now, and is told how long.
    let stopped = ann.log_in(&ann.password).await;
    let seconds: u64 = stopped.header("retry-after").unwrap().parse().unwrap();
    assert!((500..=600).contains(&seconds), "{seconds}");
    let (id, message) = stopped.error(429);
    assert_eq!(id, "rate_limit");
    assert!(message.contains("Try again in 10 minutes"), "{message}");
    assert_eq!(ann.get("/account").await.status, 200);
    // From elsewhere, as a router tells it, the right password still works.
    let nobody = platform.nobody();
    let headers = [
        ("authorization", basic(&ann.email, &ann.password)),
        ("x-forwarded-for", "10.9.9.9".to_owned()),
    ];
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    nobody
        .call(Method::POST, "/oauth/authorizations", None, &headers)
        .await
        .expect(201);
}

#[tokio::test]
async fn a_new_password_needs_the_old_one_and_ends_other_sessions() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let other = ann
        .post("/oauth/authorizations", json!({}))
        .await
        .expect(201);
    let change = json!({"password": "wrong", "new_password": "correct horse"});
    assert_eq!(
        ann.patch("/account", change).await.error(403).0,
        "forbidden"
    );
    let short = json!({"password": ann.password, "new_password": "short"});
    assert_eq!(
        ann.patch("/account", short).await.error(422).0,
        "invalid_params"
    );
    let change = json!({"password": ann.password, "new_password": "correct horse", "name": "Ann"});
    assert_eq!(
        ann.patch("/users/~", change).await.expect(200)["name"],
        "Ann"
    );
    ann.log_in(&ann.password).await.error(401);
    ann.log_in("correct horse").await.expect(201);
    let token = other["access_token"]["token"].as_str().unwrap().to_owned();
    crate::harness::User {
        token,
        ..ann.clone()
    }
    .get("/account")
    .await
    .error(401);
}

#[tokio::test]
async fn only_administrators_make_accounts_and_an_address_has_one() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    assert_eq!(
        ann.post("/accounts", json!({"email": "x@example.com"}))
            .await
            .error(403)
            .0,
        "forbidden"
    );
    let again = platform
        .admin
        .post("/accounts", json!({"email": "ANN@example.com"}))
        .await
        .error(422);
    assert!(again.1.contains("ann@example.com"));
    platform
        .admin
        .post("/accounts", json!({"email": "no address"}))
        .await
        .error(422);
    let own = json!({"email": "x@example.com", "password": "correct horse"});
    assert_eq!(
        platform.admin.post("/accounts", own).await.expect(201)["password"],
        "correct horse"
    );
    ann.get("/users/~").await.expect(200);
    ann.get(&format!("/users/{}", ann.email)).await.expect(200);
    ann.get("/users/x@example.com").await.error(404);
}

#[tokio::test]
async fn the_first_account_is_made_once() {
    let platform = Platform::start().await;
    let email = "second@example.com".parse().unwrap();
    let again =
        controller::accounts::create_first(&*platform.store, email, model::Timestamp::now()).await;
    assert!(again.unwrap().is_none());
}

#[tokio::test]
async fn keys_belong_to_one_account_and_are_removed_by_id_or_fingerprint() {
    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ann@desk";
    let platform = Platform::start().await;
    let (ann, bob) = (platform.user("ann").await, platform.user("bob").await);
    let added = ann
        .post("/account/keys", json!({"public_key": KEY}))
        .await
        .expect(201);
    assert_eq!(
        added["fingerprint"],
        "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"
    );
    assert_eq!(
        (&added["comment"], &added["email"]),
        (&json!("ann@desk"), &json!(ann.email))
    );
    assert!(
        bob.post("/account/keys", json!({"public_key": KEY}))
            .await
            .error(422)
            .1
            .contains("in use")
    );
    assert!(
        bob.post("/account/keys", json!({"public_key": "junk"}))
            .await
            .error(422)
            .1
            .contains("ssh-ed25519")
    );
    assert_eq!(bob.get("/account/keys").await.expect(200), json!([]));
    assert_eq!(
        each(&ann.get("/account/keys").await.expect(200), "public_key"),
        [KEY]
    );
    let by_fingerprint = "/account/keys/SHA256:+DiY3wvvV6TuJJhbpZisF%2FzLDA0zPMSvHdkr4UvCOqU";
    ann.get(by_fingerprint).await.expect(200);
    bob.delete(by_fingerprint).await.error(404);
    ann.delete(by_fingerprint).await.expect(200);
    let added = bob
        .post("/account/keys", json!({"public_key": KEY}))
        .await
        .expect(201);
    bob.delete(&format!("/account/keys/{}", added["id"].as_str().unwrap()))
        .await
        .expect(200);
    assert_eq!(bob.get("/account/keys").await.expect(200), json!([]));
}

#[tokio::test]
async fn only_those_who_are_let_in_learn_the_platforms_version() {
    let platform = Platform::start().await;
    let answer = platform.admin.get("/account").await;
    assert_eq!(
        answer.header("paas-version"),
        Some(env!("CARGO_PKG_VERSION"))
    );
    let stranger = platform.nobody().get("/account").await;
    assert_eq!(stranger.header("paas-version"), None);
    stranger.error(401);
}

#[tokio::test]
async fn calls_are_limited_per_account() {
    // One of them is the login, which makes a token.
    let platform = Platform::start_with(|config| config.requests_per_hour = 6).await;
    let ann = platform.user("ann").await;
    let first = ann.get("/account/rate-limits").await;
    assert_eq!(first.header("ratelimit-remaining"), Some("4"));
    assert_eq!(first.expect(200)["remaining"], 4);
    for _ in 0..4 {
        ann.get("/account").await.expect(200);
    }
    assert_eq!(ann.get("/account").await.error(429).0, "rate_limit");
    platform.admin.get("/account").await.expect(200);
}

#[tokio::test]
async fn whoever_has_a_token_cannot_guess_its_accounts_password() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let change = async |old: &str| {
        let change = json!({"password": old, "new_password": "correct horse"});
        ann.patch("/account", change).await
    };
    for _ in 0..10 {
        change("wrong").await.error(403);
    }
    assert_eq!(change(&ann.password).await.error(429).0, "rate_limit");
    // The owner, who knows it, still gets in.
    ann.log_in(&ann.password).await.expect(201);
}

#[tokio::test]
async fn credentials_that_came_in_the_clear_are_refused_and_called_exposed() {
    let platform = Platform::start_with(|config| config.api.scheme = Scheme::Https).await;
    let ann = platform.user("ann").await;
    let through_router = async |user: &User, proto: &str| {
        let headers = [("x-forwarded-proto", proto)];
        user.call(Method::GET, "/account", None, &headers).await
    };
    let (id, message) = through_router(&ann, "http").await.error(403);
    assert_eq!(id, "https_required");
    assert!(
        message.contains("https") && message.contains("exposed"),
        "{message}"
    );
    assert_eq!(through_router(&ann, "https").await.status, 200);
    assert_eq!(through_router(&platform.nobody(), "http").await.status, 401);
    // Within the platform nobody says how a call came.
    assert_eq!(ann.get("/account").await.status, 200);

    let http_only = Platform::start().await;
    let bob = http_only.user("bob").await;
    assert_eq!(through_router(&bob, "http").await.status, 200);
}

#[tokio::test]
async fn whoever_owns_a_host_lets_in_again_who_cannot_get_in() {
    let platform = Platform::start().await;
    let admin = &platform.admin;
    let recovery = |email: &str| Recovery {
        email: email.parse().unwrap(),
        forget_identity: true,
    };
    let seen = key::ACCOUNTS
        .get(&*platform.store, &key::account(admin.id))
        .await
        .unwrap()
        .unwrap();
    // Pinned to somebody who does not exist any more, and with a device that is at the bottom of a lake.
    let mut lost = seen.value.clone();
    lost.identity = Some(Identity {
        issuer: "https://gone.example.com".to_owned(),
        subject: "1".to_owned(),
    });
    lost.second_factor = Some(SecondFactor {
        secret: Sealed::from_bytes(vec![1]),
        confirmed_at: Some(Timestamp::now()),
        last_step: None,
        recovery_codes: Vec::new(),
        wrong_codes: 0,
        blocked_until: None,
    });
    Txn::new()
        .replace(&key::ACCOUNTS, &seen, &lost)
        .commit(&*platform.store)
        .await
        .unwrap();
    admin.log_in(&admin.password).await.error(403);

    let recovered = recover(&*platform.store, &recovery(&admin.email))
        .await
        .unwrap();
    admin.get("/account").await.error(401);
    admin.log_in(&admin.password).await.error(401);
    let token = admin.log_in(recovered.password.expose()).await.expect(201);
    let admin = admin.with_token(token["access_token"]["token"].as_str().unwrap());
    let shown = admin.get("/account").await.expect(200);
    assert_eq!(shown["federated"], false);
    let done = admin.get("/audit-entries").await.expect(200);
    let mut deeds = done.as_array().unwrap().iter().map(|deed| deed.to_string());
    let deed = deeds.find(|deed| deed.contains("paasd recover")).unwrap();
    assert!(
        deed.contains("200") && deed.contains("forget_identity"),
        "{deed}"
    );

    let nobody = recover(&*platform.store, &recovery("nobody@example.com")).await;
    assert!(matches!(nobody, Err(RecoveryError::NoSuchAccount(_))));
}

#[tokio::test]
async fn who_is_suspended_may_do_nothing_until_he_is_resumed() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let at = |action: &str| format!("/accounts/{}/actions/{action}", ann.email);
    ann.post(&at("suspend"), json!({})).await.error(403);
    let suspended = platform
        .admin
        .post(&at("suspend"), json!({}))
        .await
        .expect(200);
    assert!(suspended["suspended_at"].is_string());
    ann.get("/account").await.error(401);
    let (_, why) = ann.log_in(&ann.password).await.error(403);
    assert!(why.contains("suspended"), "{why}");
    ann.log_in("wrong").await.error(401);
    let resumed = platform
        .admin
        .post(&at("resume"), json!({}))
        .await
        .expect(200);
    assert!(resumed["suspended_at"].is_null());
    ann.get("/account").await.expect(200);
    ann.log_in(&ann.password).await.expect(201);
}

#[tokio::test]
async fn there_is_always_an_administrator_left() {
    let platform = Platform::start().await;
    let one = platform.admin.clone();
    let at = |user: &User| format!("/accounts/{}/actions/suspend", user.email);
    one.post(&at(&one), json!({})).await.error(403);
    let body = json!({"email": "two@example.com", "is_admin": true, "password": "correct horse"});
    one.post("/accounts", body).await.expect(201);
    let two = User {
        email: "two@example.com".to_owned(),
        ..one.clone()
    };
    let token = two.log_in("correct horse").await.expect(201);
    let two = two.with_token(token["access_token"]["token"].as_str().unwrap());
    let (of_two, of_one) = (at(&two), at(&one));
    let (first, second) =
        futures::join!(one.post(&of_two, json!({})), two.post(&of_one, json!({})));
    let done = [first, second]
        .iter()
        .filter(|answer| answer.status == 200)
        .count();
    assert_eq!(done, 1);
}
