//! Domains.

use serde_json::json;

use crate::harness::{Platform, User, each};

#[tokio::test]
async fn an_app_has_its_own_domain_and_those_that_are_added() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    let added = ann
        .post(
            "/apps/ticks/domains",
            json!({"hostname": "WWW.Example.com", "sni_endpoint": null}),
        )
        .await
        .expect(201);
    assert_eq!(
        (&added["hostname"], &added["kind"]),
        (&json!("www.example.com"), &json!("custom"))
    );
    assert_eq!(added["cname"], "ticks.paas.localhost");
    ann.post("/apps/ticks/domains", json!({"hostname": "*.example.com"}))
        .await
        .expect(201);
    let listed = ann
        .get_range("/apps/ticks/domains", "hostname ..")
        .await
        .expect(200);
    assert_eq!(
        each(&listed, "hostname"),
        ["*.example.com", "ticks.paas.localhost", "www.example.com"]
    );
    assert_eq!(each(&listed, "kind"), ["custom", "heroku", "custom"]);
    assert_eq!(
        ann.get("/apps/ticks/domains/www.example.com")
            .await
            .expect(200),
        added
    );
    ann.get("/apps/ticks/domains/ticks.paas.localhost")
        .await
        .expect(200);
    ann.delete(&format!(
        "/apps/ticks/domains/{}",
        added["id"].as_str().unwrap()
    ))
    .await
    .expect(200);
    ann.delete("/apps/ticks/domains/*.example.com")
        .await
        .expect(200);
    assert!(
        ann.delete("/apps/ticks/domains/www.example.com")
            .await
            .error(404)
            .1
            .contains("www.example.com")
    );
    ann.delete("/apps/ticks/domains/ticks.paas.localhost")
        .await
        .error(422);
}

#[tokio::test]
async fn a_domain_belongs_to_one_app_and_none_of_the_platforms_is_given_away() {
    let platform = Platform::start().await;
    let (ann, bob) = (platform.user("ann").await, platform.user("bob").await);
    ann.app("ticks").await;
    bob.app("tocks").await;
    ann.post(
        "/apps/ticks/domains",
        json!({"hostname": "www.example.com"}),
    )
    .await
    .expect(201);
    let add = async |host: &str| {
        bob.post("/apps/tocks/domains", json!({"hostname": host}))
            .await
            .error(422)
            .1
    };
    assert!(
        add("www.example.com")
            .await
            .contains("in use by another app")
    );
    assert!(add("WWW.example.com.").await.contains("in use"));
    for host in [
        "paas.localhost",
        "api.paas.localhost",
        "ticks.paas.localhost",
        "*.paas.localhost",
    ] {
        assert!(add(host).await.contains("platform's own domain"), "{host}");
    }
    for host in ["", "no spaces", "10.0.0.1", "https://x.example.com"] {
        assert!(add(host).await.contains("Host name"), "{host}");
    }
    let twice = ann
        .post(
            "/apps/ticks/domains",
            json!({"hostname": "www.example.com"}),
        )
        .await
        .error(422)
        .1;
    assert!(twice.contains("added to this app already"));
    bob.delete("/apps/tocks/domains/www.example.com")
        .await
        .error(404);
}

#[tokio::test]
async fn a_wildcard_and_what_is_within_it_belong_to_the_same_people() {
    let platform = Platform::start().await;
    let (ann, bob) = (platform.user("ann").await, platform.user("bob").await);
    ann.app("ticks").await;
    bob.app("tocks").await;
    let add = async |user: &User, app: &str, host: &str| {
        user.post(&format!("/apps/{app}/domains"), json!({"hostname": host}))
            .await
    };
    add(&ann, "ticks", "*.wild.test").await.expect(201);
    add(&ann, "ticks", "deep.zone.test").await.expect(201);
    for host in ["c.wild.test", "d.c.wild.test", "*.c.wild.test"] {
        let message = add(&bob, "tocks", host).await.error(422).1;
        assert!(message.contains("is within *.wild.test"), "{message}");
        assert!(!message.contains("ticks"), "{message}");
    }
    let message = add(&bob, "tocks", "*.zone.test").await.error(422).1;
    assert!(message.contains("is around deep.zone.test"), "{message}");
    // The name above a wildcard, and one beside, are nobody's yet.
    add(&bob, "tocks", "wild.test").await.expect(201);
    add(&bob, "tocks", "other.zone.test").await.expect(201);

    ann.post("/apps/ticks/collaborators", json!({"user": bob.email}))
        .await
        .expect(201);
    for host in ["c.wild.test", "*.c.wild.test", "*.zone.test"] {
        add(&bob, "tocks", host).await.expect(201);
    }
}

#[tokio::test]
async fn top_level_domains_and_what_is_above_the_platform_are_refused() {
    let platform = Platform::start_with(|config| config.domain = "paas.corp.test".to_owned()).await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    let add = async |host: &str| {
        ann.post("/apps/ticks/domains", json!({"hostname": host}))
            .await
    };
    for host in ["localhost", "com", "*.com", "*.localhost"] {
        let message = add(host).await.error(422).1;
        assert!(message.contains("whole top-level domain"), "{message}");
    }
    for host in ["corp.test", "*.corp.test"] {
        let message = add(host).await.error(422).1;
        assert!(
            message.contains("above the platform's own domain"),
            "{message}"
        );
    }
    let hostname = json!({"hostname": "corp.test"});
    platform
        .admin
        .post("/apps/ticks/domains", hostname)
        .await
        .expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_wildcard_and_names_within_it_added_at_once_one_side_wins() {
    let platform = Platform::start().await;
    let (ann, bob) = (platform.user("ann").await, platform.user("bob").await);
    ann.app("ticks").await;
    bob.app("tocks").await;
    for round in 0..20 {
        let add = async |user: &User, app: &str, host: String| {
            let path = format!("/apps/{app}/domains");
            let answer = user.post(&path, json!({"hostname": host})).await;
            answer.status.is_success()
        };
        let (around, within) = tokio::join!(
            add(&ann, "ticks", format!("*.r{round}.test")),
            add(&bob, "tocks", format!("www.r{round}.test")),
        );
        assert!(around != within, "round {round}: {around} {within}");
    }
}
