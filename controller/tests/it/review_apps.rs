//! Review apps: how a pipeline has them, and one from its branch to its end.

use jiff::SignedDuration;
use model::{App, Timestamp};
use serde_json::{Value, json};
use store::{Txn, key};

use crate::app_setups::{found, over};
use crate::harness::{Platform, User, eventually};
use crate::world::id_of;

async fn pipeline(user: &User) -> String {
    let me = user.get("/account").await.expect(200);
    let body = json!({"name": "ticks", "owner": {"id": me["id"], "type": "user"}});
    let made = user.post("/pipelines", body).await.expect(201);
    made["id"].as_str().unwrap().to_owned()
}

fn of_branch(pipeline: &str) -> Value {
    json!({
        "branch": "feature/x", "pipeline": pipeline, "pr_number": 17,
        "source_blob": {"url": "https://example.com/x.tgz", "version": "abc"},
        "environment": {"GIVEN": "1", "NONE": null},
    })
}

#[tokio::test]
async fn a_pipeline_has_review_apps_as_its_owner_says() {
    let platform = Platform::start().await;
    let (ann, eve) = (platform.user("ann").await, platform.user("eve").await);
    let id = pipeline(&ann).await;
    let path = format!("/pipelines/{id}/review-app-config");
    ann.get(&path).await.error(404);
    ann.post("/review-apps", of_branch(&id)).await.error(404);
    eve.post(&path, json!({})).await.error(404);
    let body = json!({"repo": "me/ticks", "destroy_stale_apps": true, "base_name": "tock"});
    let config = ann.post(&path, body).await.expect(201);
    assert_eq!(
        (&config["stale_days"], &config["base_name"]),
        (&json!(5), &json!("tock"))
    );
    ann.post(&path, json!({})).await.error(422);
    let changed = ann.patch(&path, json!({"stale_days": 2})).await.expect(200);
    assert_eq!(
        (&changed["stale_days"], &changed["destroy_stale_apps"]),
        (&json!(2), &json!(true))
    );
    for bad in [json!({"stale_days": 0}), json!({"base_name": "Not A Name"})] {
        ann.patch(&path, bad).await.error(422);
    }
    assert_eq!(ann.get(&path).await.expect(200), changed);
    ann.delete(&path).await.expect(200);
    ann.get(&path).await.error(404);
}

#[tokio::test]
async fn a_branch_gets_an_app_in_review_that_goes_when_it_is_told_to() {
    let platform = Platform::start().await;
    let (ann, eve) = (platform.user("ann").await, platform.user("eve").await);
    let id = pipeline(&ann).await;
    let path = format!("/pipelines/{id}/review-app-config");
    ann.post(&path, json!({})).await.expect(201);
    let manifest = json!({
        "env": {"A": "all", "B": "all"},
        "environments": {"review": {"env": {"B": "review"}}},
    });
    found(&platform, manifest).await;
    let review = ann.post("/review-apps", of_branch(&id)).await.expect(201);
    assert_eq!(
        (&review["status"], &review["branch"]),
        (&json!("creating"), &json!("feature/x"))
    );
    let app = id_of(&review["app"]);
    let name = platform.record(app).await.value.name;
    assert_eq!(name.as_str(), "ticks-pr-17");
    let coupling = format!("/apps/{name}/pipeline-couplings");
    assert_eq!(ann.get(&coupling).await.expect(200)["stage"], "review");

    platform.deploy(app, &ann).await;
    let config = ann
        .get(&format!("/apps/{name}/config-vars"))
        .await
        .expect(200);
    assert_eq!(config, json!({"A": "all", "B": "review", "GIVEN": "1"}));
    let setup = json!({"id": review["app_setup"]["id"]});
    assert_eq!(over(&ann, &setup).await["status"], "succeeded");
    let one = format!("/review-apps/{}", review["id"].as_str().unwrap());
    let shown = ann.get(&one).await.expect(200);
    assert_eq!(shown["status"], "created");
    assert_eq!(
        ann.get(&format!("/apps/{name}/review-app"))
            .await
            .expect(200),
        shown
    );
    let list = format!("/pipelines/{id}/review-apps");
    assert_eq!(ann.get(&list).await.expect(200), json!([shown]));
    eve.get(&one).await.error(404);
    eve.delete(&one).await.error(404);
    // The same pull request again: its app is there.
    let (_, message) = ann.post("/review-apps", of_branch(&id)).await.error(422);
    assert!(
        message.contains("ticks-pr-17 is already taken"),
        "{message}"
    );

    assert_eq!(ann.delete(&one).await.expect(200)["status"], "deleting");
    ann.get(&format!("/apps/{name}")).await.error(404);
    eventually("its records are swept up", async || {
        key::REVIEW_APPS
            .all(&*platform.store)
            .await
            .unwrap()
            .is_empty()
            && key::APP_SETUPS
                .all(&*platform.store)
                .await
                .unwrap()
                .is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_branch_needs_no_manifest_and_a_stale_app_is_destroyed() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let id = pipeline(&ann).await;
    let path = format!("/pipelines/{id}/review-app-config");
    let body = json!({"destroy_stale_apps": true, "stale_days": 1});
    ann.post(&path, body).await.expect(201);
    found(&platform, Value::Null).await;
    let review = ann.post("/review-apps", of_branch(&id)).await.expect(201);
    let app = id_of(&review["app"]);
    platform.deploy(app, &ann).await;
    over(&ann, &json!({"id": review["app_setup"]["id"]})).await;
    let record = platform.record(app).await;
    let old = App {
        released_at: Some(Timestamp::now() - SignedDuration::from_hours(25)),
        ..record.value.clone()
    };
    let txn = Txn::new().replace(&key::APPS, &record, &old);
    txn.commit(&*platform.store).await.unwrap();
    let (store, dir) = (platform.store.clone(), platform.dir.clone());
    platform.stop().await;
    let (platform, _) = Platform::restart_on(store, dir, ann, |_| {}).await;
    eventually("it is destroyed", async || {
        let found = key::APPS.get(&*platform.store, &key::app(app)).await;
        found.unwrap().is_none()
    })
    .await;
}
