//! Pipelines, and code that goes from one app to the next as it was built.

use serde_json::{Value, json};
use store::key;

use crate::harness::{Platform, User, each, eventually};
use crate::world::id_of;

/// A pipeline of ann's with these apps.
async fn pipeline(ann: &User, name: &str, apps: &[(&str, &str)]) -> String {
    let made = ann.post("/pipelines", json!({"name": name})).await;
    let id = made.expect(201)["id"].as_str().unwrap().to_owned();
    for (app, stage) in apps {
        ann.post(
            "/pipeline-couplings",
            json!({"app": app, "pipeline": id, "stage": stage}),
        )
        .await
        .expect(201);
    }
    id
}

async fn promote(by: &User, pipeline: &str, from: &Value, to: &[&Value]) -> crate::harness::Answer {
    let targets: Vec<_> = to
        .iter()
        .map(|app| json!({"app": {"id": app["id"]}}))
        .collect();
    by.post(
        "/pipeline-promotions",
        json!({
            "pipeline": {"id": pipeline},
            "source": {"app": {"id": from["id"]}},
            "targets": targets,
        }),
    )
    .await
}

async fn targets(by: &User, promotion: &Value) -> Value {
    let id = promotion["id"].as_str().unwrap();
    let path = format!("/pipeline-promotions/{id}/promotion-targets");
    by.get(&path).await.expect(200)
}

#[tokio::test]
async fn a_pipeline_has_apps_in_stages_and_outlives_none_of_them() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let staging = ann.app("ticks-staging").await;
    let production = ann.app("ticks").await;
    let id = pipeline(
        &ann,
        "ticks",
        &[("ticks-staging", "staging"), ("ticks", "production")],
    )
    .await;
    let listed = ann.get("/pipelines").await.expect(200);
    assert_eq!(each(&listed, "name"), ["ticks"]);
    assert_eq!(listed[0]["owner"]["id"], ann.id.to_string());
    assert_eq!(ann.get("/pipelines/ticks").await.expect(200), listed[0]);
    let none = ann.get("/pipelines?eq[name]=other").await.expect(200);
    assert_eq!(none, json!([]));

    let path = format!("/pipelines/{id}/pipeline-couplings");
    let coupled = ann.get(&path).await.expect(200);
    assert_eq!(each(&coupled, "stage"), ["staging", "production"]);
    let own = ann.get("/apps/ticks/pipeline-couplings").await.expect(200);
    assert_eq!(own["app"]["id"], production["id"]);
    assert_eq!(own["pipeline"], json!({"id": id, "name": "ticks"}));
    assert_eq!(ann.get("/pipeline-couplings").await.expect(200), coupled);
    let mine = ann.get("/users/~/pipeline-couplings").await.expect(200);
    assert_eq!(mine, coupled);
    let of = json!({"in": {"id": [staging["id"], production["id"], "nonsense"]}});
    let filtered = ann.post("/filters/apps", of).await.expect(200);
    assert_eq!(each(&filtered, "name"), ["ticks-staging", "ticks"]);

    let place = format!("/pipeline-couplings/{}", own["id"].as_str().unwrap());
    let moved = ann
        .patch(&place, json!({"stage": "development"}))
        .await
        .expect(200);
    assert_eq!(moved["stage"], "development");
    assert_eq!(ann.get(&place).await.expect(200), moved);
    ann.delete(&place).await.expect(200);
    let (_, message) = ann.get("/apps/ticks/pipeline-couplings").await.error(404);
    assert!(message.contains("in no pipeline"), "{message}");

    let renamed = json!({"name": "tocks"});
    ann.patch(&format!("/pipelines/{id}"), renamed)
        .await
        .expect(200);
    ann.delete("/pipelines/tocks").await.expect(200);
    ann.get(&format!("/pipelines/{id}")).await.error(404);
    ann.get("/apps/ticks-staging/pipeline-couplings")
        .await
        .error(404);

    // An app that goes leaves its pipeline.
    let id = pipeline(&ann, "ticks", &[("ticks", "production")]).await;
    ann.delete("/apps/ticks").await.expect(200);
    let path = format!("/pipelines/{id}/pipeline-couplings");
    assert_eq!(ann.get(&path).await.expect(200), json!([]));
    eventually("the coupling is swept", async || {
        key::COUPLINGS
            .all(&*platform.store)
            .await
            .unwrap()
            .is_empty()
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_in_a_pipeline_is_refused_in_words() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    for app in ["one", "two"] {
        ann.app(app).await;
    }
    let id = pipeline(&ann, "first", &[("one", "staging")]).await;
    let other = pipeline(&ann, "second", &[]).await;
    for (body, words) in [
        (json!({"name": "X"}), "must start with a letter"),
        (json!({"name": "first"}), "Name first is already taken"),
        (
            json!({"name": "third", "owner": {"id": "nobody@example.com"}}),
            "no account",
        ),
    ] {
        let (_, message) = ann.post("/pipelines", body).await.error(422);
        assert!(message.contains(words), "{message}");
    }
    for (app, pipeline, stage, words) in [
        ("one", &id, "staging", "in this pipeline already"),
        ("one", &other, "staging", "in another pipeline"),
        ("two", &id, "live", "staging or production"),
    ] {
        let body = json!({"app": app, "pipeline": pipeline, "stage": stage});
        let (_, message) = ann.post("/pipeline-couplings", body).await.error(422);
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn strangers_see_no_pipeline_and_collaborators_do_not_manage_one() {
    let platform = Platform::start().await;
    let (ann, bob, eve) = (
        platform.user("ann").await,
        platform.user("bob").await,
        platform.user("eve").await,
    );
    let mut apps = Vec::new();
    for app in ["ticks-staging", "ticks"] {
        apps.push(ann.app(app).await);
    }
    let id = pipeline(
        &ann,
        "ticks",
        &[("ticks-staging", "staging"), ("ticks", "production")],
    )
    .await;
    platform
        .push(id_of(&apps[0]), &ann, &[("web", "serve")])
        .await;
    platform.prove(id_of(&apps[0])).await;
    ann.post(
        "/apps/ticks-staging/collaborators",
        json!({"user": bob.email}),
    )
    .await
    .expect(201);
    let place = format!("/pipelines/{id}");

    assert_eq!(eve.get("/pipelines").await.expect(200), json!([]));
    eve.get(&place).await.error(404);
    eve.delete(&place).await.error(404);
    assert_eq!(
        promote(&eve, &id, &apps[0], &[&apps[1]]).await.error(404).0,
        "not_found"
    );

    bob.get(&place).await.expect(200);
    let coupled = bob
        .get(&format!("{place}/pipeline-couplings"))
        .await
        .expect(200);
    assert_eq!(each(&coupled, "stage"), ["staging"]);
    bob.delete(&place).await.error(403);
    bob.patch(&place, json!({"name": "bobs"})).await.error(403);
    bob.app("bobs").await;
    let body = json!({"app": "bobs", "pipeline": id, "stage": "staging"});
    bob.post("/pipeline-couplings", body).await.error(403);
    // Of an app that he may not see he is told nothing.
    promote(&bob, &id, &apps[0], &[&apps[1]]).await.error(404);

    // Given away, it is another's, and so are its apps.
    let to = json!({"pipeline": {"id": id}, "new_owner": {"id": bob.id, "type": "user"}});
    bob.post("/pipeline-transfers", to.clone()).await.error(403);
    // But not to somebody who has nothing to do with them.
    let (_, message) = ann.post("/pipeline-transfers", to.clone()).await.error(422);
    assert!(message.contains("does not work on ticks"), "{message}");
    ann.post("/apps/ticks/collaborators", json!({"user": bob.email}))
        .await
        .expect(201);
    let given = ann.post("/pipeline-transfers", to).await.expect(201);
    assert_eq!(given["previous_owner"]["id"], ann.id.to_string());
    bob.patch(&place, json!({"name": "bobs"})).await.expect(200);
    ann.patch(&place, json!({"name": "anns"})).await.error(403);
    let app = ann.get("/apps/ticks").await.expect(200);
    assert_eq!(app["owner"]["email"], bob.email);
    ann.delete("/apps/ticks").await.error(403);
    // A collaborator takes out an app that is his to operate.
    let coupling = format!("/pipeline-couplings/{}", coupled[0]["id"].as_str().unwrap());
    eve.delete(&coupling).await.error(404);
    ann.delete(&coupling).await.expect(200);
}

#[tokio::test]
async fn a_promotion_releases_the_same_slug_with_the_targets_own_config() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let from = ann.app("ticks-staging").await;
    let (to, also) = (ann.app("ticks").await, ann.app("ticks-eu").await);
    let id = pipeline(
        &ann,
        "ticks",
        &[
            ("ticks-staging", "staging"),
            ("ticks", "production"),
            ("ticks-eu", "production"),
        ],
    )
    .await;
    let (_, message) = promote(&ann, &id, &from, &[&to]).await.error(422);
    assert!(
        message.contains("v1 of ticks-staging cannot be promoted"),
        "{message}"
    );
    ann.patch("/apps/ticks/config-vars", json!({"PLACE": "here"}))
        .await
        .expect(200);
    platform.prove(id_of(&to)).await;
    let types = [("web", "serve"), ("worker", "work")];
    let built = platform.push(id_of(&from), &ann, &types).await;
    let (_, message) = promote(&ann, &id, &from, &[&to]).await.error(422);
    assert!(
        message.contains("cannot be promoted"),
        "not proven yet: {message}"
    );
    platform.prove(id_of(&from)).await;

    let made = promote(&ann, &id, &from, &[&to, &also]).await.expect(201);
    assert_eq!(made["status"], "pending");
    assert_eq!(made["source"]["release"]["id"], built.id.to_string());
    assert_eq!(
        each(&targets(&ann, &made).await, "status"),
        ["pending", "pending"]
    );
    let release = ann.get("/apps/ticks/releases/3").await.expect(200);
    let description = release["description"].as_str().unwrap();
    assert!(
        description.starts_with("Promote ticks-staging v2"),
        "{description}"
    );
    let config = ann.get("/apps/ticks/config-vars").await.expect(200);
    assert_eq!(config, json!({"PLACE": "here"}));
    let formation = ann.get_range("/apps/ticks/formation", "type ..").await;
    let formation = formation.expect(200);
    assert_eq!(each(&formation, "quantity"), ["1", "0"]);
    let slug = |app: &str, release: &Value| {
        format!(
            "/apps/{app}/slugs/{}",
            release["slug"]["id"].as_str().unwrap()
        )
    };
    let original = ann.get("/apps/ticks-staging/releases/2").await.expect(200);
    let original = ann.get(&slug("ticks-staging", &original)).await.expect(200);
    let copy = ann.get(&slug("ticks", &release)).await.expect(200);
    assert_eq!(copy["checksum"], original["checksum"]);
    assert_eq!(copy["commit"], original["commit"]);
    assert_ne!(copy["id"], original["id"]);

    platform.prove(id_of(&to)).await;
    platform
        .fail(id_of(&also), "the release command failed")
        .await;
    let fared = targets(&ann, &made).await;
    let of = |app: &Value| {
        let all = fared.as_array().unwrap();
        let found = all.iter().find(|target| target["app"]["id"] == app["id"]);
        found.unwrap().clone()
    };
    assert_eq!(of(&to)["status"], "succeeded");
    assert_eq!(of(&to)["release"]["id"], release["id"]);
    assert_eq!(of(&also)["status"], "failed");
    assert_eq!(of(&also)["error_message"], "The release command failed.");
    let place = format!("/pipeline-promotions/{}", made["id"].as_str().unwrap());
    assert_eq!(ann.get(&place).await.expect(200)["status"], "completed");
}

#[tokio::test]
async fn a_promotion_that_a_config_change_takes_over_is_followed_to_its_end() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let (from, to) = (ann.app("ticks-staging").await, ann.app("ticks").await);
    let apps = [("ticks-staging", "staging"), ("ticks", "production")];
    let id = pipeline(&ann, "ticks", &apps).await;
    platform.push(id_of(&from), &ann, &[("web", "serve")]).await;
    platform.prove(id_of(&from)).await;
    let made = promote(&ann, &id, &from, &[&to]).await.expect(201);
    ann.patch("/apps/ticks/config-vars", json!({"A": "b"}))
        .await
        .expect(200);
    assert_eq!(each(&targets(&ann, &made).await, "status"), ["pending"]);
    platform.prove(id_of(&to)).await;
    assert_eq!(each(&targets(&ann, &made).await, "status"), ["succeeded"]);
}

#[tokio::test]
async fn promotions_that_make_no_sense_are_refused_in_words() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let (from, out) = (ann.app("ticks-staging").await, ann.app("outside").await);
    let id = pipeline(&ann, "ticks", &[("ticks-staging", "staging")]).await;
    platform.push(id_of(&from), &ann, &[("web", "serve")]).await;
    platform.prove(id_of(&from)).await;
    for (targets, words) in [
        (vec![&out], "outside is not in the pipeline ticks"),
        (vec![&from], "cannot be promoted to itself"),
        (vec![], "Name the apps to promote to"),
    ] {
        let (_, message) = promote(&ann, &id, &from, &targets).await.error(422);
        assert!(message.contains(words), "{message}");
    }
    let (_, message) = promote(&ann, &id, &out, &[&from]).await.error(422);
    assert!(message.contains("not in the pipeline"), "{message}");
    ann.get("/pipeline-promotions/0").await.error(404);
}
