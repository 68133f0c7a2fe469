//! An app's certificates, and the platform's.

use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use store::{Store, key};

use crate::harness::{Platform, User, each};

struct Made {
    pem: String,
    key: String,
}

impl Made {
    fn body(&self) -> Value {
        json!({"certificate_chain": self.pem, "private_key": self.key})
    }
}

fn made(names: &[&str]) -> Made {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key);
    Made {
        pem: certificate.unwrap().pem(),
        key: key.serialize_pem(),
    }
}

async fn app_with_domains(platform: &Platform, domains: &[&str]) -> User {
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    for domain in domains {
        add_domain(&ann, domain).await;
    }
    ann
}

async fn add_domain(user: &User, domain: &str) -> Value {
    let body = json!({"hostname": domain, "sni_endpoint": null});
    user.post("/apps/ticks/domains", body).await.expect(201)
}

async fn add(user: &User, made: &Made) -> Value {
    user.post("/apps/ticks/sni-endpoints", made.body())
        .await
        .expect(201)
}

async fn endpoint_of(user: &User, domain: &str) -> Value {
    user.get(&format!("/apps/ticks/domains/{domain}"))
        .await
        .expect(200)["sni_endpoint"]["name"]
        .clone()
}

#[tokio::test]
async fn a_certificate_serves_the_domains_it_covers_now_and_later() {
    let platform = Platform::start().await;
    let ann = app_with_domains(&platform, &["www.example.com", "example.org"]).await;
    let added = add(&ann, &made(&["*.example.com", "example.com"])).await;
    assert_eq!(
        added["ssl_cert"]["cert_domains"],
        json!(["*.example.com", "example.com"])
    );
    assert_eq!(added["ssl_cert"]["self_signed?"], true);
    assert_eq!(added["domains"].as_array().unwrap().len(), 1);
    assert_eq!(endpoint_of(&ann, "www.example.com").await, added["name"]);
    assert_eq!(endpoint_of(&ann, "example.org").await, Value::Null);

    let later = add_domain(&ann, "shop.example.com").await;
    assert_eq!(later["sni_endpoint"]["name"], added["name"]);
    let path = format!(
        "/apps/ticks/sni-endpoints/{}",
        added["id"].as_str().unwrap()
    );
    assert_eq!(
        ann.get(&path).await.expect(200)["domains"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    ann.delete("/apps/ticks/domains/shop.example.com")
        .await
        .expect(200);
    let listed = ann.get("/apps/ticks/sni-endpoints").await.expect(200);
    assert_eq!(listed[0]["domains"].as_array().unwrap().len(), 1);

    ann.delete(&path).await.expect(200);
    assert_eq!(endpoint_of(&ann, "www.example.com").await, Value::Null);
    ann.delete(&path).await.error(404);
}

#[tokio::test]
async fn a_certificate_that_is_of_no_use_is_refused_in_words() {
    let platform = Platform::start().await;
    let ann = app_with_domains(&platform, &["www.example.com"]).await;
    let (good, other) = (made(&["www.example.com"]), made(&["www.example.com"]));
    let refused = async |chain: &str, key: &str| {
        let body = json!({"certificate_chain": chain, "private_key": key});
        ann.post("/apps/ticks/sni-endpoints", body)
            .await
            .error(422)
            .1
    };
    for (chain, key, words) in [
        ("hello", good.key.as_str(), "no certificate in it"),
        (&good.pem, "hello", "no private key in it"),
        (&good.pem, &other.key, "not that of the certificate"),
        (
            &format!("{}{}", good.pem, other.pem),
            &good.key,
            "out of order",
        ),
    ] {
        let message = refused(chain, key).await;
        assert!(message.contains(words), "{message}");
        assert!(!message.contains("BEGIN PRIVATE KEY-----\n"), "{message}");
    }
    let elsewhere = made(&["www.example.net"]);
    let message = refused(&elsewhere.pem, &elsewhere.key).await;
    assert!(
        message.contains("none of ticks's domains") && message.contains("www.example.net"),
        "{message}"
    );
    assert_eq!(
        ann.get("/apps/ticks/sni-endpoints").await.expect(200),
        json!([])
    );
}

#[tokio::test]
async fn a_domain_is_moved_from_one_certificate_to_another_by_hand_only() {
    let platform = Platform::start().await;
    let ann = app_with_domains(&platform, &["www.example.com"]).await;
    let first = add(&ann, &made(&["www.example.com"])).await;
    add_domain(&ann, "api.example.com").await;
    let second = add(&ann, &made(&["*.example.com"])).await;
    assert_eq!(endpoint_of(&ann, "www.example.com").await, first["name"]);
    assert_eq!(endpoint_of(&ann, "api.example.com").await, second["name"]);

    let to = async |domain: &str, endpoint: &Value| {
        ann.patch(
            &format!("/apps/ticks/domains/{domain}"),
            json!({"sni_endpoint": endpoint}),
        )
        .await
    };
    let moved = to("www.example.com", &second["name"]).await.expect(200);
    assert_eq!(moved["sni_endpoint"]["id"], second["id"]);
    let message = to("api.example.com", &first["id"]).await.error(422).1;
    assert!(message.contains("does not cover"), "{message}");
    to("www.example.com", &json!("nobody")).await.error(404);
    to("www.example.com", &Value::Null).await.expect(200);
    assert_eq!(endpoint_of(&ann, "www.example.com").await, Value::Null);
    to("ticks.paas.localhost", &second["name"]).await.error(422);
}

#[tokio::test]
async fn an_exchanged_certificate_must_do_for_what_the_old_one_served() {
    let platform = Platform::start().await;
    let ann = app_with_domains(&platform, &["www.example.com", "api.example.com"]).await;
    let added = add(&ann, &made(&["*.example.com"])).await;
    let path = format!(
        "/apps/ticks/sni-endpoints/{}",
        added["name"].as_str().unwrap()
    );
    let message = ann
        .patch(&path, made(&["www.example.com"]).body())
        .await
        .error(422)
        .1;
    assert!(
        message.contains("does not cover api.example.com"),
        "{message}"
    );
    let next = made(&["www.example.com", "api.example.com"]);
    let changed = ann.patch(&path, next.body()).await.expect(200);
    assert_eq!(
        (&changed["id"], &changed["name"]),
        (&added["id"], &added["name"])
    );
    assert_eq!(changed["certificate_chain"], next.pem.as_str());
}

#[tokio::test]
async fn a_key_is_sealed_at_rest_and_never_answered() {
    let platform = Platform::start().await;
    let ann = app_with_domains(&platform, &["www.example.com"]).await;
    let given = made(&["www.example.com"]);
    let added = add(&ann, &given).await;
    let secret = given.key.lines().nth(1).unwrap().to_owned();
    assert!(!added.to_string().contains(&secret));
    let listing = platform.store.list(&store::Key::root()).await.unwrap();
    for entry in listing.entries {
        let text = String::from_utf8_lossy(&entry.value).into_owned();
        assert!(!text.contains(&secret), "{}", entry.key);
    }
    let record = key::CERTIFICATES.all(&*platform.store).await.unwrap();
    let opened: model::Secret<String> = platform
        .keyring
        .open(&record[0].key, &record[0].value.key)
        .unwrap();
    assert_eq!(*opened.expose(), given.key);
}

#[tokio::test]
async fn of_many_changes_at_once_no_domain_gets_two_certificates() {
    let platform = Platform::start().await;
    let ann = app_with_domains(&platform, &["www.example.com"]).await;
    let certificate = made(&["*.example.com"]);
    let next = AtomicUsize::new(0);
    let work = futures::future::join_all((0..6).map(|_| async {
        let number = next.fetch_add(1, Ordering::SeqCst);
        if number.is_multiple_of(2) {
            add(&ann, &certificate).await;
        } else {
            add_domain(&ann, &format!("d{number}.example.com")).await;
        }
    }));
    work.await;
    let endpoints = ann.get("/apps/ticks/sni-endpoints").await.expect(200);
    let served: Vec<_> = endpoints
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|endpoint| endpoint["domains"].as_array().unwrap().clone())
        .map(|id| id.to_string())
        .collect();
    let distinct: std::collections::BTreeSet<_> = served.iter().collect();
    assert_eq!((served.len(), distinct.len()), (4, 4), "{endpoints:#}");
    assert_eq!(each(&endpoints, "name").len(), 3);
}

#[tokio::test]
async fn certificates_go_with_their_app() {
    let platform = Platform::start().await;
    let ann = app_with_domains(&platform, &["www.example.com"]).await;
    add(&ann, &made(&["www.example.com"])).await;
    ann.delete("/apps/ticks").await.expect(200);
    crate::harness::eventually("they are swept up", async || {
        key::CERTIFICATES
            .all(&*platform.store)
            .await
            .unwrap()
            .is_empty()
    })
    .await;
}

#[tokio::test]
async fn without_an_authority_nobody_can_enable_acm() {
    let platform = Platform::start().await;
    let ann = app_with_domains(&platform, &["www.example.com"]).await;
    let message = ann.post("/apps/ticks/acm", json!({})).await.error(422).1;
    assert!(message.contains("no certificate authority"), "{message}");
    ann.patch("/apps/ticks/acm", json!({})).await.error(422);
    assert_eq!(ann.get("/apps/ticks").await.expect(200)["acm"], false);
}

#[tokio::test]
async fn an_administrator_exchanges_the_platforms_certificate() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let admin = &platform.admin;
    admin.get("/platform/certificate").await.error(404);
    let (first, second) = (
        made(&["paas.localhost", "*.paas.localhost"]),
        made(&["*.paas.localhost"]),
    );
    ann.put("/platform/certificate", first.body())
        .await
        .error(403);
    admin
        .put("/platform/certificate", first.body())
        .await
        .expect(200);
    admin
        .put("/platform/certificate", second.body())
        .await
        .expect(200);
    let shown = admin.get("/platform/certificate").await.expect(200);
    assert_eq!(shown["certificate_chain"], second.pem.as_str());
    assert_eq!(shown["names"], json!(["*.paas.localhost"]));
    let elsewhere = made(&["*.example.com"]).body();
    let message = admin
        .put("/platform/certificate", elsewhere)
        .await
        .error(422)
        .1;
    assert!(message.contains("*.paas.localhost"), "{message}");
}

#[tokio::test]
async fn a_certificate_of_the_platform_near_its_end_is_a_problem() {
    use controller::platform_certificate::{Candidate, publish};
    let platform = Platform::start().await;
    let problems = async || {
        let status = platform.admin.get("/platform/status").await.expect(200);
        status["problems"].to_string()
    };
    assert!(!problems().await.contains("certificate"));
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["*.paas.localhost".to_owned()]).unwrap();
    let days = |days: u64| std::time::Duration::from_secs(days * 24 * 3600 + 60);
    params.not_after = time::OffsetDateTime::now_utc() + days(3);
    let candidate = Candidate {
        chain: &params.self_signed(&key).unwrap().pem(),
        key: &key.serialize_pem().into(),
    };
    publish(
        &*platform.store,
        &platform.keyring,
        "paas.localhost",
        &candidate,
    )
    .await
    .unwrap();
    assert!(problems().await.contains("certificate expires in 3 days"));
}

#[tokio::test]
async fn what_a_host_finds_in_its_files_does_not_undo_what_was_set() {
    use controller::platform_certificate::{Candidate, publish};
    use model::Secret;
    let platform = Platform::start().await;
    let names = ["paas.localhost", "*.paas.localhost"];
    let (file, set) = (made(&names), made(&names));
    let secret = Secret::new(file.key.clone());
    let from_file = async || {
        let candidate = Candidate {
            chain: &file.pem,
            key: &secret,
        };
        publish(
            &*platform.store,
            &platform.keyring,
            "paas.localhost",
            &candidate,
        )
        .await
        .unwrap()
    };
    assert!(from_file().await);
    assert!(!from_file().await, "it is there already");
    platform
        .admin
        .put("/platform/certificate", set.body())
        .await
        .expect(200);
    assert!(!from_file().await);
    let shown = platform
        .admin
        .get("/platform/certificate")
        .await
        .expect(200);
    assert_eq!(shown["certificate_chain"], set.pem.as_str());
    assert_eq!(shown["origin"], "set");
}
