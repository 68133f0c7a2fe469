//! Log drains over the API.

use serde_json::json;

use crate::harness::{Platform, each, eventually};

const DRAINS: &str = "/apps/ticks/log-drains";

#[tokio::test]
async fn a_drain_is_found_by_id_by_token_and_by_url() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = ann.app("ticks").await;
    let url = "https://user:hunter2@logs.example.com/drain?key=a%2Fb";
    let added = ann.post(DRAINS, json!({"url": url})).await.expect(201);
    let after = ann.get("/apps/ticks").await.expect(200);
    assert_eq!(after["updated_at"], app["updated_at"], "no news of the app");
    assert_eq!(added["url"], url);
    assert_eq!(added["addon"], json!(null));
    assert_eq!(added["app"], json!({"id": app["id"], "name": "ticks"}));
    let (id, token) = (
        added["id"].as_str().unwrap(),
        added["token"].as_str().unwrap(),
    );
    assert!(token.starts_with("d.") && !token.contains(id), "{token}");
    let encoded = "https%3A%2F%2Fuser%3Ahunter2%40logs.example.com%2Fdrain%3Fkey%3Da%252Fb";
    for identity in [id, token, encoded] {
        let found = ann.get(&format!("{DRAINS}/{identity}")).await.expect(200);
        assert_eq!(found, added, "{identity}");
    }
    assert_eq!(each(&ann.get(DRAINS).await.expect(200), "url"), [url]);
    ann.delete(&format!("{DRAINS}/{encoded}")).await.expect(200);
    let (id, message) = ann.delete(&format!("{DRAINS}/{encoded}")).await.error(404);
    assert_eq!(id, "not_found");
    assert!(!message.contains("hunter2"), "{message}");
    assert_eq!(ann.get(DRAINS).await.expect(200), json!([]));
}

#[tokio::test]
async fn a_drain_that_is_led_elsewhere_keeps_its_token() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    let add = async |url: &str| ann.post(DRAINS, json!({"url": url})).await.expect(201);
    let (first, second) = (
        add("syslog://a.example.com").await,
        add("syslog://b.example.com").await,
    );
    let place = format!("{DRAINS}/{}", first["token"].as_str().unwrap());
    let led = ann
        .put(&place, json!({"url": "syslog+tls://c.example.com"}))
        .await
        .expect(200);
    assert_eq!((&led["token"], &led["id"]), (&first["token"], &first["id"]));
    assert_eq!(led["url"], "syslog+tls://c.example.com");
    assert_eq!(ann.get(&place).await.expect(200), led);
    // It is what it is already, or what another one is.
    let same = ann
        .put(&place, json!({"url": "syslog+tls://c.example.com"}))
        .await;
    assert_eq!(same.expect(200), led);
    let taken = ann.put(&place, json!({"url": second["url"]})).await;
    assert!(taken.error(422).1.contains("has this drain already"));
}

#[tokio::test]
async fn what_is_no_drain_is_refused_in_plain_words() {
    let platform = Platform::start_with(|config| config.drains = Default::default()).await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    for (url, words) in [
        ("", "A drain is a URL"),
        ("ftp://logs.example.com", "not ftp://"),
        ("syslog:///x", "names a host"),
        ("syslog://u:p@logs.example.com", "no user and password"),
        ("https://127.0.0.1:9200/", "must lead to the internet"),
        ("http://169.254.169.254/latest", "must lead to the internet"),
        ("http://0x7f.1/", "must lead to the internet"),
        ("syslog://0x7f.1", "must lead to the internet"),
        ("syslog://[fd00:ec2::254]", "must lead to the internet"),
    ] {
        let (id, message) = ann.post(DRAINS, json!({"url": url})).await.error(422);
        assert_eq!(id, "invalid_params");
        assert!(message.contains(words), "{url}: {message}");
    }
    ann.post(DRAINS, json!({"url": "https://x.example/a"}))
        .await
        .expect(201);
    let again = ann
        .post(DRAINS, json!({"url": "https://X.example:443/a"}))
        .await;
    assert!(again.error(422).1.contains("has this drain already"));
    for n in 1..10 {
        let url = format!("https://x.example/{n}");
        ann.post(DRAINS, json!({"url": url})).await.expect(201);
    }
    let many = ann.post(DRAINS, json!({"url": "https://y.example"})).await;
    assert!(many.error(422).1.contains("at most 10 drains"));
}

#[tokio::test]
async fn of_many_who_add_the_same_drain_at_once_one_does() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    let adding = (0..8).map(|_| ann.post(DRAINS, json!({"url": "https://x.example"})));
    let answers = futures::future::join_all(adding).await;
    let added = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(added, 1);
    assert_eq!(
        ann.get(DRAINS).await.expect(200).as_array().unwrap().len(),
        1
    );
}

#[tokio::test]
async fn a_drains_url_is_sealed_and_goes_with_its_app() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    ann.post(DRAINS, json!({"url": "https://u:hunter2@x.example"}))
        .await
        .expect(201);
    let stored = async || {
        let prefix = store::key::LOG_DRAINS.prefix();
        store::Store::list(&*platform.store, &prefix)
            .await
            .unwrap()
            .entries
    };
    let entries = stored().await;
    assert_eq!(entries.len(), 1);
    assert!(!String::from_utf8_lossy(&entries[0].value).contains("hunter2"));
    ann.delete("/apps/ticks").await.expect(200);
    eventually("the drain is swept up", async || stored().await.is_empty()).await;
}
