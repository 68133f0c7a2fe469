//! Many at once: nothing is lost, and the ledger only grows.

use std::collections::BTreeSet;

use serde_json::json;

use crate::harness::{Platform, each};
use crate::world::id_of;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_writers_lose_nothing() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    platform
        .push(app, &ann, &[("web", "serve"), ("worker", "work")])
        .await;
    platform.prove(app).await;

    let mut set: BTreeSet<String> = BTreeSet::new();
    let mut versions: Vec<u64> = Vec::new();
    let (mut scaled, mut refused) = (1, 0);
    for round in 0..3 {
        let calls = (0..16).map(|n| {
            let ann = ann.clone();
            async move {
                let name = format!("V{round}_{n}");
                match n % 4 {
                    0 | 1 => (
                        n,
                        name.clone(),
                        ann.patch("/apps/ticks/config-vars", json!({name: "1"}))
                            .await,
                    ),
                    2 => (
                        n,
                        name,
                        ann.patch("/apps/ticks/formation/web", json!({"quantity": "+1"}))
                            .await,
                    ),
                    _ => (
                        n,
                        name,
                        ann.patch("/apps/ticks/formation/worker", json!({"quantity": "+1"}))
                            .await,
                    ),
                }
            }
        });
        for (n, name, answer) in futures::future::join_all(calls).await {
            match (answer.status.as_u16(), n % 4) {
                (200, 0 | 1) => {
                    set.insert(name);
                }
                (200, 2) => scaled += 1,
                (200, _) => {}
                // Told in plain words, and nothing was done.
                (409, _) => {
                    assert_eq!(answer.error(409).0, "conflict");
                    refused += 1;
                }
                _ => panic!("{}", answer.text),
            }
        }
    }
    assert!(refused <= 4, "{refused} of 48 gave up");
    let config = ann.get("/apps/ticks/config-vars").await.expect(200);
    assert_eq!(
        config
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<BTreeSet<_>>(),
        set
    );
    assert_eq!(
        ann.get("/apps/ticks/formation/web").await.expect(200)["quantity"],
        scaled
    );

    // A rollback among config changes: each is a release of its own.
    let calls = (0..16).map(|n| {
        let ann = ann.clone();
        async move {
            if n == 7 {
                let answer = ann
                    .post("/apps/ticks/releases", json!({"release": "v2"}))
                    .await;
                (answer.status.as_u16() == 201).then(|| answer.body["version"].as_u64().unwrap())
            } else {
                ann.patch("/apps/ticks/config-vars", json!({"X": n.to_string()}))
                    .await;
                None
            }
        }
    });
    versions.extend(futures::future::join_all(calls).await.into_iter().flatten());
    let releases = ann
        .get_range("/apps/ticks/releases", "version ..; max=1000")
        .await
        .expect(200);
    let all: Vec<u64> = each(&releases, "version")
        .iter()
        .map(|v| v.parse().unwrap())
        .collect();
    assert_eq!(
        all,
        (1..=all.len() as u64).collect::<Vec<_>>(),
        "versions grow without gaps"
    );
    for version in versions {
        let release = ann
            .get(&format!("/apps/ticks/releases/{version}"))
            .await
            .expect(200);
        assert_eq!(release["description"], "Rollback to v2");
    }
    let pending = each(&releases, "status")
        .iter()
        .filter(|status| *status == "pending")
        .count();
    assert_eq!(pending, 1, "only the newest release is on trial");
    let record = platform.record(app).await.value;
    assert_eq!(
        (record.latest, record.target),
        (record.target, record.latest)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_gets_a_name_a_domain_or_a_key() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let made =
        futures::future::join_all((0..8).map(|_| ann.post("/apps", json!({"name": "ticks"}))))
            .await;
    assert_eq!(made.iter().filter(|answer| answer.status == 201).count(), 1);
    ann.app("tocks").await;
    let add = |n: usize| {
        let path = if n.is_multiple_of(2) {
            "/apps/ticks/domains"
        } else {
            "/apps/tocks/domains"
        };
        ann.post(path, json!({"hostname": "www.example.com"}))
    };
    let added = futures::future::join_all((0..8).map(add)).await;
    assert_eq!(
        added.iter().filter(|answer| answer.status == 201).count(),
        1
    );
    let renamed = futures::future::join_all(
        ["/apps/ticks", "/apps/tocks"].map(|path| ann.patch(path, json!({"name": "clock"}))),
    )
    .await;
    assert_eq!(
        renamed.iter().filter(|answer| answer.status == 200).count(),
        1
    );
}
