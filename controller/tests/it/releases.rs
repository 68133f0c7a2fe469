//! Releases, rollback, slugs, builds.

use model::{Actor, Build, BuildId, BuildStatus, Timestamp};
use serde_json::json;
use store::{Txn, key};

use crate::harness::{Platform, each, eventually};
use crate::world::id_of;

#[tokio::test]
async fn a_rollback_is_a_new_release_with_the_old_slug_and_the_old_config() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    ann.patch("/apps/ticks/config-vars", json!({"A": "old"}))
        .await
        .expect(200);
    let deployed = platform.push(app, &ann, &[("web", "serve")]).await;
    platform.prove(app).await;
    ann.patch("/apps/ticks/config-vars", json!({"A": "new"}))
        .await
        .expect(200);
    platform.prove(app).await;
    platform
        .push(app, &ann, &[("web", "serve"), ("worker", "work")])
        .await;
    platform.prove(app).await;

    let back = ann
        .post("/apps/ticks/releases", json!({"release": "v3"}))
        .await
        .expect(201);
    assert_eq!(
        (&back["version"], &back["description"]),
        (&json!(6), &json!("Rollback to v3"))
    );
    assert_eq!(
        (&back["status"], &back["current"]),
        (&json!("pending"), &json!(false))
    );
    assert_eq!(back["slug"]["id"], deployed.slug.unwrap().to_string());
    assert_eq!(
        ann.get("/apps/ticks/config-vars").await.expect(200),
        json!({"A": "old"})
    );
    platform.prove(app).await;
    let current = ann.get("/apps/ticks/releases/v6").await.expect(200);
    assert_eq!(
        (&current["status"], &current["current"]),
        (&json!("succeeded"), &json!(true))
    );

    // By id and by number, as other clients do.
    let id = ann.get("/apps/ticks/releases/5").await.expect(200)["id"].clone();
    assert_eq!(
        ann.post("/apps/ticks/releases", json!({"release": id}))
            .await
            .expect(201)["description"],
        "Rollback to v5"
    );
    assert_eq!(
        ann.post("/apps/ticks/releases", json!({"release": 4}))
            .await
            .expect(201)["version"],
        8
    );
    // v7 was not proven before v8 took its place.
    assert_eq!(
        ann.get("/apps/ticks/releases/7").await.expect(200)["status"],
        "expired"
    );
}

#[tokio::test]
async fn what_cannot_be_rolled_back_to_is_refused_in_plain_words() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    ann.patch("/apps/ticks/config-vars", json!({"A": "1"}))
        .await
        .expect(200);
    platform.push(app, &ann, &[("web", "serve")]).await;
    platform.fail(app, "web.1 exited with status 1").await;
    platform.push(app, &ann, &[("web", "serve")]).await;
    for (release, word) in [
        ("v1", "no code"),
        ("v2", "no code"),
        ("v3", "status 1"),
        ("v4", "still being released"),
    ] {
        let (id, message) = ann
            .post("/apps/ticks/releases", json!({"release": release}))
            .await
            .error(422);
        assert_eq!(id, "invalid_params");
        assert!(
            message.contains(release) && message.contains(word),
            "{message}"
        );
    }
    assert!(
        ann.post("/apps/ticks/releases", json!({"release": "v99"}))
            .await
            .error(404)
            .1
            .contains("v99")
    );
    ann.post("/apps/ticks/releases", json!({"release": "nonsense"}))
        .await
        .error(404);
    ann.post("/apps/ticks/releases", json!({})).await.error(422);
    let eligible = ann
        .get_range("/apps/ticks/releases", "version ..")
        .await
        .expect(200);
    assert_eq!(
        each(&eligible, "eligible_for_rollback"),
        ["false", "false", "false", "false"]
    );
}

#[tokio::test]
async fn a_failed_release_says_why() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    platform.push(app, &ann, &[("web", "serve")]).await;
    ann.get("/apps/ticks/releases/v2/failure").await.error(404);
    platform.fail(app, "web.1 exited with status 1").await;
    let failure = ann.get("/apps/ticks/releases/v2/failure").await.expect(200);
    assert_eq!(
        failure,
        json!({"reason": "web.1 exited with status 1", "log_tail": ["Boom!"]})
    );
    let release = ann.client().release_failure("ticks", "v2").await.unwrap();
    assert_eq!(release.reason, "web.1 exited with status 1");
}

#[tokio::test]
async fn a_slug_is_shown_and_can_be_released_again() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    let other = id_of(&ann.app("other").await);
    let slug = platform
        .push(app, &ann, &[("web", "serve --port $PORT")])
        .await
        .slug
        .unwrap();
    platform.prove(app).await;
    let shown = ann
        .get(&format!("/apps/ticks/slugs/{slug}"))
        .await
        .expect(200);
    assert_eq!(shown["process_types"], json!({"web": "serve --port $PORT"}));
    assert!(shown["checksum"].as_str().unwrap().starts_with("SHA256:"));
    ann.get(&format!("/apps/other/slugs/{slug}"))
        .await
        .error(404);
    let again = ann
        .post("/apps/ticks/releases", json!({"slug": slug.to_string()}))
        .await
        .expect(201);
    assert_eq!(
        (&again["version"], &again["description"]),
        (&json!(3), &json!("Deploy 01234567"))
    );
    let foreign = platform
        .push(other, &ann, &[("web", "x")])
        .await
        .slug
        .unwrap();
    ann.post("/apps/ticks/releases", json!({"slug": foreign.to_string()}))
        .await
        .error(404);
}

#[tokio::test]
async fn builds_are_listed_and_their_output_is_read_without_a_token() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    let release = platform.push(app, &ann, &[("web", "serve")]).await;
    let output = platform
        .blobs
        .put_bytes("-----> Building\n".into())
        .await
        .unwrap();
    let actor = Actor {
        account: ann.id,
        email: ann.email.parse().unwrap(),
    };
    let build = |status, output| Build {
        id: BuildId::new(),
        app,
        actor: actor.clone(),
        commit: Some("0123456789abcdef".to_owned()),
        source_blob: None,
        stack: "heroku-24".to_owned(),
        buildpacks: vec![model::BuildpackRef("heroku/python".to_owned())],
        status,
        output,
        created_at: Timestamp::now(),
        updated_at: Timestamp::now(),
    };
    let succeeded = BuildStatus::Succeeded {
        slug: release.slug.unwrap(),
        release: release.version,
    };
    let good = build(succeeded, Some(output));
    let bad = build(
        BuildStatus::Failed {
            reason: "no".to_owned(),
        },
        None,
    );
    for record in [&good, &bad] {
        let txn = Txn::new().create(&key::BUILDS, key::build(app, record.id), record);
        txn.commit(&*platform.store).await.unwrap();
    }
    let listed = ann.get("/apps/ticks/builds").await.expect(200);
    assert_eq!(each(&listed, "status"), ["succeeded", "failed"]);
    assert_eq!(listed[0]["release"]["id"], release.id.to_string());
    let shown = ann
        .client()
        .build("ticks", &good.id.to_string())
        .await
        .unwrap();
    use futures::TryStreamExt as _;
    let stream = ann.client().build_output(&shown).await.unwrap();
    let bytes: Vec<_> = stream.try_collect().await.unwrap();
    assert_eq!(bytes.concat(), b"-----> Building\n");
    let url: url::Url = listed[0]["output_stream_url"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(
        platform.nobody().get(url.path()).await.text,
        "-----> Building\n"
    );
    platform
        .nobody()
        .get("/streams/builds/forged")
        .await
        .error(404);
    let none: url::Url = listed[1]["output_stream_url"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    platform.nobody().get(none.path()).await.error(404);
}

#[tokio::test]
async fn releases_come_by_pages_in_the_order_that_is_asked_for() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    for n in 0..6 {
        ann.patch("/apps/ticks/config-vars", json!({"N": n.to_string()}))
            .await
            .expect(200);
    }
    let first = ann
        .get_range("/apps/ticks/releases", "version ..; max=3, order=desc")
        .await;
    assert_eq!(first.status, 206);
    let next = first.header("next-range").unwrap().to_owned();
    assert_eq!(first.header("content-range"), Some("version 7..5"));
    assert_eq!(each(&first.expect(206), "version"), ["7", "6", "5"]);
    let second = ann.get_range("/apps/ticks/releases", &next).await;
    let next = second.header("next-range").unwrap().to_owned();
    assert_eq!(each(&second.expect(206), "version"), ["4", "3", "2"]);
    let last = ann.get_range("/apps/ticks/releases", &next).await;
    assert_eq!(last.header("next-range"), None);
    assert_eq!(each(&last.expect(200), "version"), ["1"]);
    assert_eq!(
        ann.get_range("/apps/ticks/releases", "slug ..")
            .await
            .error(416)
            .0,
        "bad_request"
    );
    let newest = ann
        .client()
        .releases("ticks", controller_api::ReleaseRange::Newest(2))
        .await
        .unwrap();
    assert_eq!(
        newest
            .iter()
            .map(|release| release.version)
            .collect::<Vec<_>>(),
        [7, 6]
    );
    let all = ann
        .client()
        .releases("ticks", controller_api::ReleaseRange::All)
        .await
        .unwrap();
    assert_eq!(all.len(), 7);
}

#[tokio::test]
async fn an_app_keeps_its_newest_slugs_and_the_one_it_runs() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    for _ in 0..4 {
        platform.push(app, &ann, &[("web", "serve")]).await;
        platform.prove(app).await;
    }
    // What runs is now the oldest.
    ann.post("/apps/ticks/releases", json!({"release": "v2"}))
        .await
        .expect(201);
    platform.prove(app).await;
    let (store, dir) = (platform.store.clone(), platform.dir.clone());
    platform.stop().await;

    let fewer = |config: &mut controller::Config| config.slugs_per_app = 2;
    let (platform, ann) = Platform::restart_on(store, dir, ann, fewer).await;
    eventually("v3's slug is gone", async || {
        key::SLUGS.all(&*platform.store).await.unwrap().len() == 3
    })
    .await;
    let refused = ann
        .post("/apps/ticks/releases", json!({"release": "v3"}))
        .await
        .expect(422);
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("no longer kept"),
        "{refused}"
    );
    for kept in ["v2", "v4", "v5"] {
        ann.post("/apps/ticks/releases", json!({"release": kept}))
            .await
            .expect(201);
    }
}
