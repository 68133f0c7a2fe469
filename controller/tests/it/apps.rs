//! Apps: making, listing, changing, destroying.

use serde_json::json;
use store::key;

use crate::harness::{Platform, each, eventually};
use crate::world::id_of;

#[tokio::test]
async fn an_app_starts_with_its_initial_release_and_is_found_by_name_and_id() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = ann.app("ticks").await;
    let port = platform.addr.port();
    assert_eq!(
        app["web_url"],
        format!("http://ticks.paas.localhost:{port}/")
    );
    assert_eq!(
        app["git_url"],
        format!("http://git.paas.localhost:{port}/ticks.git")
    );
    assert_eq!(
        (&app["owner"]["email"], &app["stack"]["name"]),
        (&json!(ann.email), &json!("heroku-24"))
    );
    assert_eq!(
        (&app["repo_size"], &app["slug_size"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(ann.get("/apps/ticks").await.expect(200), app);
    assert_eq!(
        ann.get(&format!("/apps/{}", app["id"].as_str().unwrap()))
            .await
            .expect(200),
        app
    );
    let releases = ann.get("/apps/ticks/releases").await.expect(200);
    assert_eq!(each(&releases, "description"), ["Initial release"]);
    assert_eq!(
        (&releases[0]["version"], &releases[0]["current"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(releases[0]["status"], "succeeded");
    ann.get("/apps/nothing").await.error(404);
    ann.get("/apps/Not%20A%20Name").await.error(404);
}

#[tokio::test]
async fn names_are_checked_unique_and_made_up_when_absent() {
    let platform = Platform::start().await;
    let (ann, bob) = (platform.user("ann").await, platform.user("bob").await);
    ann.app("ticks").await;
    assert_eq!(
        bob.post("/apps", json!({"name": "ticks"}))
            .await
            .error(422)
            .1,
        "Name ticks is already taken"
    );
    for bad in ["1abc", "ab", "UPPER", "api", "a_b"] {
        assert_eq!(
            ann.post("/apps", json!({"name": bad})).await.error(422).0,
            "invalid_params",
            "{bad}"
        );
    }
    let made = ann
        .post("/apps", json!({"stack": null, "unknown_extra": 1}))
        .await
        .expect(201);
    assert_eq!(made["name"].as_str().unwrap().split('-').count(), 3);
    ann.post(
        "/apps",
        json!({"name": "other", "stack": {"name": "heroku-22"}, "region": "us"}),
    )
    .await
    .expect(201);
    // What clients of the first years ask for when they are told of none.
    let made = ann.post("/apps", json!({"stack": "cedar"})).await;
    assert_eq!(made.expect(201)["stack"]["name"], "heroku-24");
    assert!(
        ann.post("/apps", json!({"stack": "cedar-14"}))
            .await
            .error(422)
            .1
            .contains("heroku-24, heroku-22")
    );
    assert!(
        ann.post("/apps", json!({"region": "mars"}))
            .await
            .error(422)
            .1
            .contains("us")
    );
}

#[tokio::test]
async fn lists_show_what_one_may_see() {
    let platform = Platform::start().await;
    let (ann, bob) = (platform.user("ann").await, platform.user("bob").await);
    ann.app("ann-1").await;
    bob.app("bob-1").await;
    ann.app("ann-2").await;
    ann.post("/apps/ann-2/collaborators", json!({"user": bob.email}))
        .await
        .expect(201);
    assert_eq!(
        each(&ann.get("/users/~/apps").await.expect(200), "name"),
        ["ann-1", "ann-2"]
    );
    assert_eq!(
        each(&bob.get("/apps").await.expect(200), "name"),
        ["bob-1", "ann-2"]
    );
    assert_eq!(
        each(&platform.admin.get("/apps").await.expect(200), "name"),
        ["ann-1", "bob-1", "ann-2"]
    );
    assert_eq!(
        platform.admin.get("/users/~/apps").await.expect(200),
        json!([])
    );
    ann.get(&format!("/users/{}/apps", bob.id)).await.error(404);
}

#[tokio::test]
async fn an_app_is_renamed_maintained_and_given_a_stack() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    ann.app("taken").await;
    assert_eq!(
        ann.patch("/apps/ticks", json!({"name": "taken"}))
            .await
            .error(422)
            .1,
        "Name taken is already taken"
    );
    let renamed = ann
        .patch("/apps/ticks", json!({"name": "tocks"}))
        .await
        .expect(200);
    assert!(renamed["web_url"].as_str().unwrap().contains("//tocks."));
    ann.get("/apps/ticks").await.error(404);
    for (sent, maintenance) in [(json!(true), true), (json!(0), false), (json!("1"), true)] {
        let app = ann
            .patch("/apps/tocks", json!({"maintenance": sent}))
            .await
            .expect(200);
        assert_eq!(app["maintenance"], maintenance);
    }
    let app = ann
        .patch("/apps/tocks", json!({"build_stack": "heroku-22"}))
        .await
        .expect(200);
    assert_eq!(app["build_stack"]["name"], "heroku-22");
    // None of it is a release.
    assert_eq!(
        each(
            &ann.get("/apps/tocks/releases").await.expect(200),
            "version"
        ),
        ["1"]
    );
    ann.app("ticks").await;
}

#[tokio::test]
async fn a_destroyed_app_leaves_nothing_to_its_namesake() {
    let platform = Platform::start().await;
    let (ann, bob) = (platform.user("ann").await, platform.user("bob").await);
    let old = id_of(&ann.app("ticks").await);
    ann.patch("/apps/ticks/config-vars", json!({"SECRET": "old"}))
        .await
        .expect(200);
    platform.push(old, &ann, &[("web", "serve")]).await;
    platform.prove(old).await;
    ann.post(
        "/apps/ticks/domains",
        json!({"hostname": "www.example.com"}),
    )
    .await
    .expect(201);
    ann.post("/apps/ticks/collaborators", json!({"user": bob.email}))
        .await
        .expect(201);
    ann.put(
        "/apps/ticks/buildpack-installations",
        json!({"updates": [{"buildpack": "heroku/python"}]}),
    )
    .await
    .expect(200);
    let log_dir = platform.dir.path().join("logs").join(old.to_string());
    assert!(log_dir.exists());

    ann.delete("/apps/ticks").await.expect(200);
    ann.get("/apps/ticks").await.error(404);
    ann.get(&format!("/apps/{old}")).await.error(404);

    let new = id_of(&ann.app("ticks").await);
    assert_ne!(old, new);
    assert_eq!(
        ann.get("/apps/ticks/config-vars").await.expect(200),
        json!({})
    );
    assert_eq!(
        each(
            &ann.get("/apps/ticks/releases").await.expect(200),
            "version"
        ),
        ["1"]
    );
    assert_eq!(
        ann.get("/apps/ticks/formation").await.expect(200),
        json!([])
    );
    assert_eq!(
        ann.get("/apps/ticks/domains")
            .await
            .expect(200)
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        ann.get("/apps/ticks/buildpack-installations")
            .await
            .expect(200),
        json!([])
    );
    bob.get("/apps/ticks").await.error(404);
    // The domain is free again.
    bob.app("other").await;
    bob.post(
        "/apps/other/domains",
        json!({"hostname": "www.example.com"}),
    )
    .await
    .expect(201);

    let store = platform.store.clone();
    eventually("swept", || async {
        let prefixes = [
            key::releases_of(old),
            key::release_configs_of(old),
            key::slugs_of(old),
            key::collaborators_of(old),
        ];
        for prefix in prefixes {
            if !store::Store::list(&*store, &prefix)
                .await
                .unwrap()
                .entries
                .is_empty()
            {
                return false;
            }
        }
        !log_dir.exists()
    })
    .await;
    // The namesake's own records are still there.
    assert_eq!(
        each(
            &ann.get("/apps/ticks/releases").await.expect(200),
            "version"
        ),
        ["1"]
    );
}

#[tokio::test]
async fn many_domains_and_builds_do_not_keep_an_app_from_being_destroyed() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    for n in 0..70 {
        ann.post(
            "/apps/ticks/domains",
            json!({"hostname": format!("d{n}.example.com")}),
        )
        .await
        .expect(201);
    }
    for n in 0..70 {
        ann.patch("/apps/ticks/config-vars", json!({"N": n.to_string()}))
            .await
            .expect(200);
    }
    ann.delete("/apps/ticks").await.expect(200);
    let store = platform.store.clone();
    eventually("swept", || async {
        let domains = key::DOMAINS.all(&*store).await.unwrap();
        let configs = store::Store::list(&*store, &key::release_configs_of(app))
            .await
            .unwrap();
        domains.is_empty() && configs.entries.is_empty()
    })
    .await;
}

#[tokio::test]
async fn what_heroku_calls_features_is_switched_where_it_can_be() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    let features = ann
        .get_range("/apps/ticks/features", "name ..")
        .await
        .expect(200);
    assert_eq!(
        each(&features, "name"),
        ["http-session-affinity", "preboot"]
    );
    assert_eq!(each(&features, "enabled"), ["false", "true"]);
    let affinity = "/apps/ticks/features/http-session-affinity";
    let on = ann
        .patch(affinity, json!({"enabled": true}))
        .await
        .expect(200);
    assert_eq!(on["enabled"], true);
    let routing = ann.get("/apps/ticks/routing").await.expect(200);
    assert_eq!(routing["session_affinity"], true);
    let by_id = format!("/apps/ticks/features/{}", on["id"].as_str().unwrap());
    assert_eq!(ann.get(&by_id).await.expect(200), on);
    let preboot = "/apps/ticks/features/preboot";
    ann.patch(preboot, json!({"enabled": true}))
        .await
        .expect(200);
    let (_, message) = ann
        .patch(preboot, json!({"enabled": false}))
        .await
        .error(422);
    assert!(message.contains("cannot be switched off"), "{message}");
    ann.get("/apps/ticks/features/cobol").await.error(404);
}
