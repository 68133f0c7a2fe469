//! Certificates that the platform gets itself, from pebble.

#[path = "acme/pebble.rs"]
mod pebble;

use std::sync::atomic::Ordering;

use model::{CertificateFacts, Timestamp};
use serde_json::{Value, json};
use store::{Store, Txn, key};

use crate::harness::{Platform, User, eventually};
use pebble::Authority;

async fn start() -> (Authority, Platform, User) {
    let authority = Authority::start().await;
    let config = authority.config.clone();
    let platform = Platform::start_with(|our| our.acme = Some(config)).await;
    authority.web.answer_from(&platform.store);
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    (authority, platform, ann)
}

async fn add_domain(user: &User, domain: &str) {
    let body = json!({"hostname": domain, "sni_endpoint": null});
    user.post("/apps/ticks/domains", body).await.expect(201);
}

/// The domain, when it has come to that status.
async fn come_to(user: &User, domain: &str, status: &str) -> Value {
    let path = format!("/apps/ticks/domains/{domain}");
    eventually(&format!("{domain} is {status}"), async || {
        user.get(&path).await.expect(200)["acm_status"] == status
    })
    .await;
    user.get(&path).await.expect(200)
}

#[tokio::test]
async fn an_app_gets_certificates_for_its_domains_and_for_those_it_adds() {
    let (authority, platform, ann) = start().await;
    add_domain(&ann, "www.shop.test").await;
    let app = ann.post("/apps/ticks/acm", json!({})).await.expect(200);
    assert_eq!(app["acm"], true);
    let www = come_to(&ann, "www.shop.test", "ok").await;
    assert_eq!(www["acm_status_reason"], Value::Null);
    add_domain(&ann, "api.shop.test").await;
    come_to(&ann, "api.shop.test", "ok").await;

    let endpoints = ann.get("/apps/ticks/sni-endpoints").await.expect(200);
    assert_eq!(endpoints.as_array().unwrap().len(), 2);
    for endpoint in endpoints.as_array().unwrap() {
        let certificate = &endpoint["ssl_cert"];
        assert_eq!(
            (&certificate["acm"], &certificate["self_signed?"]),
            (&json!(true), &json!(false))
        );
        assert!(certificate["issuer"].as_str().unwrap().contains("Pebble"));
    }
    assert_eq!(
        www["sni_endpoint"]["name"],
        endpoint_of(&endpoints, "www.shop.test")["name"]
    );
    assert!(authority.web.asked.load(Ordering::SeqCst) > 0);
    eventually(
        "questions are forgotten when they are answered",
        async || {
            key::CHALLENGES
                .all(&*platform.store)
                .await
                .unwrap()
                .is_empty()
        },
    )
    .await;
    // The account's key, as all keys, is sealed.
    for entry in platform
        .store
        .list(&store::Key::root())
        .await
        .unwrap()
        .entries
    {
        let text = String::from_utf8_lossy(&entry.value).into_owned();
        assert!(
            !text.contains("key_pkcs8") && !text.contains("PRIVATE"),
            "{}",
            entry.key
        );
    }

    let app = ann.delete("/apps/ticks/acm").await.expect(200);
    assert_eq!(app["acm"], false);
    assert_eq!(
        ann.get("/apps/ticks/sni-endpoints").await.expect(200),
        json!([])
    );
}

fn endpoint_of<'a>(endpoints: &'a Value, name: &str) -> &'a Value {
    let mut endpoints = endpoints.as_array().unwrap().iter();
    endpoints
        .find(|endpoint| endpoint["ssl_cert"]["cert_domains"] == json!([name]))
        .unwrap()
}

#[tokio::test]
async fn what_cannot_be_got_says_why_and_is_tried_anew_when_asked() {
    let (authority, _platform, ann) = start().await;
    authority.web.is_open.store(false, Ordering::SeqCst);
    add_domain(&ann, "www.shop.test").await;
    add_domain(&ann, "*.shop.test").await;
    ann.post("/apps/ticks/acm", json!({})).await.expect(200);
    let failing = come_to(&ann, "www.shop.test", "failing").await;
    let reason = failing["acm_status_reason"].as_str().unwrap();
    assert!(
        reason.contains("certificate authority says") && reason.contains("403"),
        "{reason}"
    );
    assert_eq!(failing["sni_endpoint"], Value::Null);
    let wildcard = come_to(&ann, "*.shop.test", "failed").await;
    let reason = wildcard["acm_status_reason"].as_str().unwrap();
    assert!(reason.contains("wildcard"), "{reason}");

    authority.web.is_open.store(true, Ordering::SeqCst);
    ann.patch("/apps/ticks/acm", json!({})).await.expect(200);
    come_to(&ann, "www.shop.test", "ok").await;
}

#[tokio::test]
async fn a_certificate_is_renewed_in_its_place() {
    let (_authority, platform, ann) = start().await;
    add_domain(&ann, "www.shop.test").await;
    ann.post("/apps/ticks/acm", json!({})).await.expect(200);
    come_to(&ann, "www.shop.test", "ok").await;
    let first = key::CERTIFICATES
        .all(&*platform.store)
        .await
        .unwrap()
        .remove(0);
    let mut old = first.value.clone();
    // As if two thirds of its time were over.
    let now = Timestamp::now().as_second();
    old.facts = CertificateFacts {
        starts_at: Timestamp::from_second(now - 70_000).unwrap(),
        expires_at: Timestamp::from_second(now + 20_000).unwrap(),
        ..old.facts
    };
    Txn::new()
        .replace(&key::CERTIFICATES, &first, &old)
        .commit(&*platform.store)
        .await
        .unwrap();
    // Whatever wakes the one who looks; else the clock would.
    add_domain(&ann, "api.shop.test").await;
    eventually("it is renewed", async || {
        let all = key::CERTIFICATES.all(&*platform.store).await.unwrap();
        all.iter().any(|seen| {
            seen.value.id == old.id && seen.value.facts.fingerprint != old.facts.fingerprint
        })
    })
    .await;
    let renewed = key::CERTIFICATES
        .get(&*platform.store, &first.key)
        .await
        .unwrap();
    assert_eq!(renewed.unwrap().value.serves, old.serves);
}

#[tokio::test]
async fn a_certificate_that_somebody_brought_is_left_alone() {
    let (authority, platform, ann) = start().await;
    add_domain(&ann, "www.shop.test").await;
    let made = rcgen::generate_simple_self_signed(vec!["www.shop.test".to_owned()]).unwrap();
    let body = json!({
        "certificate_chain": made.cert.pem(),
        "private_key": made.signing_key.serialize_pem(),
    });
    ann.post("/apps/ticks/sni-endpoints", body.clone())
        .await
        .expect(201);
    ann.post("/apps/ticks/acm", json!({})).await.expect(200);
    add_domain(&ann, "api.shop.test").await;
    come_to(&ann, "api.shop.test", "ok").await;
    assert_eq!(
        key::CERTIFICATES.all(&*platform.store).await.unwrap().len(),
        2
    );
    let asked = authority.web.asked.load(Ordering::SeqCst);

    // One that is brought later takes the place of what the platform got.
    let made = rcgen::generate_simple_self_signed(vec!["api.shop.test".to_owned()]).unwrap();
    let body = json!({
        "certificate_chain": made.cert.pem(),
        "private_key": made.signing_key.serialize_pem(),
    });
    let added = ann
        .post("/apps/ticks/sni-endpoints", body)
        .await
        .expect(201);
    let api = ann
        .get("/apps/ticks/domains/api.shop.test")
        .await
        .expect(200);
    assert_eq!(api["sni_endpoint"]["id"], added["id"]);
    assert_eq!(authority.web.asked.load(Ordering::SeqCst), asked);
}

#[tokio::test]
async fn an_authority_that_is_away_is_nobodys_fault_and_is_asked_again() {
    let platform = Platform::start_with(|our| {
        our.acme = Some(controller::AcmeConfig {
            directory: "https://localhost:1/dir".to_owned(),
            email: None,
            ca: None,
            orders_per_hour: 100,
        });
    })
    .await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    add_domain(&ann, "www.shop.test").await;
    ann.post("/apps/ticks/acm", json!({})).await.expect(200);
    let failing = come_to(&ann, "www.shop.test", "failing").await;
    let reason = failing["acm_status_reason"].as_str().unwrap();
    assert!(reason.contains("could not be asked"), "{reason}");
}
