//! Add-ons, from asking for one to being rid of it, with providers good and bad.

use model::{AddonId, AppId};
use reqwest::Method;
use serde_json::{Value, json};
use store::key;

use crate::harness::{Platform, User, eventually};
use crate::provider::{Provider, Reply};
use crate::world::id_of;

async fn create(user: &User, app: &str, more: Value) -> Value {
    let made = ask(user, app, more).await;
    made.expect(201)
}

async fn ask(user: &User, app: &str, more: Value) -> crate::harness::Answer {
    let mut body = json!({"plan": {"name": "acme-pg"}});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    user.post(&format!("/apps/{app}/addons"), body).await
}

async fn config(user: &User, app: &str) -> Value {
    user.get(&format!("/apps/{app}/config-vars"))
        .await
        .expect(200)
}

/// Newest first.
async fn releases(user: &User, app: &str) -> Vec<String> {
    let path = format!("/apps/{app}/releases");
    let all = user.get_range(&path, "version ..; order=desc").await;
    let all = all.body.as_array().unwrap().clone();
    all.iter()
        .map(|release| release["description"].as_str().unwrap().to_owned())
        .collect()
}

async fn addons(user: &User, app: &str) -> Vec<Value> {
    let all = user.get(&format!("/apps/{app}/addons")).await.expect(200);
    all.as_array().unwrap().clone()
}

/// What is at rest of add-ons, but their services.
async fn leftovers(platform: &Platform) -> usize {
    let store = &*platform.store;
    key::ADDONS.all(store).await.unwrap().len()
        + key::ADDON_NAMES.all(store).await.unwrap().len()
        + key::ATTACHMENTS.all(store).await.unwrap().len()
}

#[tokio::test]
async fn an_add_on_is_asked_for_and_its_config_reaches_the_app() {
    let platform = Platform::start().await;
    let provider = Provider::known_to(&platform).await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    let options = json!({"fork": "other", "quick": true});
    let made = create(&ann, "ticks", json!({"config": options})).await;
    let id = made["id"].as_str().unwrap();
    assert_eq!(made["state"], "provisioned");
    assert_eq!(made["config_vars"], json!(["ACME_PG_URL"]));
    assert_eq!(made["plan"]["name"], "acme-pg:dev");
    assert_eq!(made["billed_price"]["cents"], 0);
    assert_eq!(made["provider_id"], format!("r-{id}"));

    let asked = &provider.calls(&Method::POST)[0];
    assert_eq!(asked.path, "");
    let accept = &asked.headers["accept"];
    assert_eq!(accept, "application/vnd.heroku-addons+json; version=3");
    let basic = crate::harness::basic("acme-pg", crate::provider::PASSWORD);
    assert_eq!(asked.headers["authorization"], basic.as_str());
    for (field, value) in [
        ("uuid", &made["id"]),
        ("name", &made["name"]),
        ("plan", &json!("dev")),
        ("options", &options),
        ("region", &json!("us")),
    ] {
        assert_eq!(&asked.body[field], value, "{field}");
    }
    let callback = asked.body["callback_url"].as_str().unwrap();
    assert!(callback.ends_with(&format!("/addons/{id}")), "{callback}");

    let url = format!("postgres://{id}");
    assert_eq!(
        config(&ann, "ticks").await,
        json!({"ACME_PG_URL": url.clone()})
    );
    let name = made["name"].as_str().unwrap();
    let said = releases(&ann, "ticks").await;
    assert_eq!(said[0], format!("Attach ACME_PG (@ref:{name})"));
    let release = ann.get("/apps/ticks/releases/2").await.expect(200);
    assert_eq!(release["addon_plan_names"], json!(["acme-pg:dev"]));
    // At rest there is nothing to read.
    let kept = key::ADDONS.all(&*platform.store).await.unwrap();
    let kept = serde_json::to_string(&kept[0].value).unwrap();
    assert!(!kept.contains("postgres://"), "{kept}");

    for path in [
        format!("/apps/ticks/addons/{name}"),
        "/apps/ticks/addons/acme_pg".to_owned(),
        format!("/addons/{id}"),
    ] {
        assert_eq!(ann.get(&path).await.expect(200), made, "{path}");
    }
    for path in ["/apps/ticks/addons", "/addons", "/users/~/addons"] {
        assert_eq!(ann.get(path).await.expect(200), json!([made]), "{path}");
    }
    let attached = ann.get("/apps/ticks/addon-attachments").await.expect(200);
    assert_eq!(
        (&attached[0]["name"], &attached[0]["addon"]["name"]),
        (&json!("ACME_PG"), &made["name"])
    );

    // Of a second one the names are its own.
    let second = create(&ann, "ticks", json!({"attachment": {"name": "cache"}})).await;
    assert_eq!(second["config_vars"], json!(["CACHE_URL"]));
    let third = create(&ann, "ticks", json!({})).await;
    assert_eq!(third["config_vars"], json!(["ACME_PG_2_URL"]));
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_refused_in_words() {
    let platform = Platform::start().await;
    let provider = Provider::known_to(&platform).await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    create(&ann, "ticks", json!({"name": "mine"})).await;
    for (more, words) in [
        (
            json!({"plan": "nosuch"}),
            "Couldn't find either the add-on service",
        ),
        (
            json!({"plan": "acme-pg:gold"}),
            "Couldn't find either the add-on service",
        ),
        (json!({"name": "mine"}), "There is an add-on mine already"),
        (json!({"name": "1"}), "Add-on name"),
        (json!({"attachment": {"name": "9"}}), "Attachment name"),
        (
            json!({"config": {"big": "x".repeat(3000)}}),
            "at most 50 options",
        ),
    ] {
        let (_, message) = ask(&ann, "ticks", more.clone()).await.error(422);
        assert!(message.contains(words), "{more}: {message}");
    }
    let mut manifest = provider.manifest();
    manifest["api"]["requires"] = json!([]);
    let path = "/addon-services/acme-pg";
    platform.admin.put(path, manifest).await.expect(200);
    let (_, message) = ask(&ann, "ticks", json!({})).await.error(422);
    assert!(message.contains("may have one only"), "{message}");
    assert_eq!(provider.calls(&Method::POST).len(), 1);
}

#[tokio::test]
async fn what_an_add_on_gives_is_not_its_users_to_set_and_is_not_rolled_back() {
    let platform = Platform::start().await;
    let _provider = Provider::known_to(&platform).await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    platform.push(app, &ann, &[("web", "serve")]).await;
    platform.prove(app).await;
    let set = |vars: Value| ann.patch("/apps/ticks/config-vars", vars);
    set(json!({"COLOUR": "red"})).await.expect(200);
    platform.prove(app).await;
    create(&ann, "ticks", json!({})).await;
    platform.prove(app).await;
    let with_it = config(&ann, "ticks").await;
    for vars in [
        json!({"ACME_PG_URL": "mine"}),
        json!({"ACME_PG_URL": null}),
        json!({"COLOUR": "blue", "ACME_PG_URL": "mine"}),
    ] {
        let (_, message) = set(vars).await.error(422);
        assert!(
            message.contains("Cannot overwrite attachment values ACME_PG_URL"),
            "{message}"
        );
    }
    // Whoever sends all of them back changes nothing.
    assert_eq!(set(with_it.clone()).await.expect(200), with_it);
    let blue = set(json!({"COLOUR": "blue"})).await.expect(200);
    assert_eq!(blue["ACME_PG_URL"], with_it["ACME_PG_URL"]);
    platform.prove(app).await;

    // Before there was one; it is here to stay.
    let back = json!({"release": "v3"});
    ann.post("/apps/ticks/releases", back).await.expect(201);
    platform.prove(app).await;
    assert_eq!(config(&ann, "ticks").await, with_it);

    // And one that is gone does not come back.
    let addon = addons(&ann, "ticks").await[0]["name"].clone();
    let path = format!("/apps/ticks/addons/{}", addon.as_str().unwrap());
    ann.delete(&path).await.expect(200);
    platform.prove(app).await;
    let back = json!({"release": "v5"});
    ann.post("/apps/ticks/releases", back).await.expect(201);
    assert_eq!(config(&ann, "ticks").await, json!({"COLOUR": "blue"}));
}

#[tokio::test]
async fn a_release_that_fails_leaves_the_add_on_attached_for_the_next_one() {
    let platform = Platform::start().await;
    let _provider = Provider::known_to(&platform).await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    platform.push(app, &ann, &[("web", "serve")]).await;
    platform.prove(app).await;
    create(&ann, "ticks", json!({})).await;
    platform.fail(app, "web.1 exited with status 1").await;
    let shown = config(&ann, "ticks").await;
    assert!(shown["ACME_PG_URL"].is_string(), "{shown}");
    let set = json!({"COLOUR": "red"});
    ann.patch("/apps/ticks/config-vars", set).await.expect(200);
    let current = ann.get("/apps/ticks/releases/4/config-vars").await;
    let current = current.expect(200);
    assert!(current["ACME_PG_URL"].is_string(), "{current}");
}

#[tokio::test]
async fn nothing_is_overwritten_without_a_confirmation() {
    let platform = Platform::start().await;
    let _provider = Provider::known_to(&platform).await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    let set = json!({"DATABASE_URL": "mine", "COLOUR": "red"});
    ann.patch("/apps/ticks/config-vars", set).await.expect(200);
    let wish = json!({"attachment": {"name": "DATABASE"}});
    let (id, message) = ask(&ann, "ticks", wish.clone()).await.error(423);
    assert_eq!(id, "confirmation_required");
    assert!(
        message.contains("overwrite the config var DATABASE_URL"),
        "{message}"
    );
    let mut other = wish.clone();
    other["confirm"] = json!("other");
    ask(&ann, "ticks", other).await.error(423);
    let mut confirmed = wish.clone();
    confirmed["confirm"] = json!("ticks");
    let first = create(&ann, "ticks", confirmed.clone()).await;
    let shown = config(&ann, "ticks").await;
    let url = format!("postgres://{}", first["id"].as_str().unwrap());
    assert_eq!(shown, json!({"DATABASE_URL": url, "COLOUR": "red"}));

    let (_, message) = ask(&ann, "ticks", wish).await.error(423);
    assert!(
        message.contains("replace the attachment DATABASE"),
        "{message}"
    );
    let second = create(&ann, "ticks", confirmed).await;
    let url = format!("postgres://{}", second["id"].as_str().unwrap());
    assert_eq!(config(&ann, "ticks").await["DATABASE_URL"], url);
    let attached = ann.get("/apps/ticks/addon-attachments").await.expect(200);
    assert_eq!(attached.as_array().unwrap().len(), 1, "{attached}");
}

#[tokio::test]
async fn an_add_on_is_shared_with_another_app_and_taken_back() {
    let platform = Platform::start().await;
    let provider = Provider::known_to(&platform).await;
    let (ann, bob) = (platform.user("ann").await, platform.user("bob").await);
    ann.app("ticks").await;
    ann.app("tocks").await;
    bob.app("bobs").await;
    let made = create(&ann, "ticks", json!({})).await;
    let name = made["name"].as_str().unwrap();
    let attach = |app: &str, more: Value| {
        let mut body = json!({"addon": {"name": name}, "app": {"name": app}});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    // Neither another's add-on, nor to another's app.
    let path = "/addon-attachments";
    bob.post(path, attach("bobs", json!({}))).await.error(404);
    ann.post(path, attach("bobs", json!({}))).await.error(404);
    let (_, message) = (ann
        .post(path, attach("tocks", json!({"namespace": "credential:x"})))
        .await)
        .error(422);
    assert!(message.contains("no credentials"), "{message}");
    let attached = ann
        .post(path, attach("tocks", json!({"name": "DATABASE"})))
        .await
        .expect(201);
    assert_eq!(attached["addon"]["app"]["name"], "ticks");
    let url = config(&ann, "ticks").await["ACME_PG_URL"].clone();
    assert_eq!(config(&ann, "tocks").await, json!({"DATABASE_URL": url}));
    let of_addon = ann.get(&format!("/addons/{name}/addon-attachments")).await;
    assert_eq!(of_addon.expect(200).as_array().unwrap().len(), 2);

    let gone = format!("/apps/ticks/addons/{name}");
    let (_, message) = ann.delete(&gone).await.error(422);
    assert!(
        message.contains("attached to other apps, too: tocks"),
        "{message}"
    );
    let one = ann
        .get("/apps/tocks/addon-attachments/DATABASE")
        .await
        .expect(200);
    assert_eq!(one, attached);
    let by_id = format!("/addon-attachments/{}", attached["id"].as_str().unwrap());
    bob.delete(&by_id).await.error(404);
    assert_eq!(ann.get(&by_id).await.expect(200), attached);
    ann.delete(&by_id).await.expect(200);
    assert_eq!(config(&ann, "tocks").await, json!({}));
    let said = releases(&ann, "tocks").await;
    assert_eq!(said[0], format!("Detach DATABASE (@ref:{name})"));
    assert!(provider.calls(&Method::DELETE).is_empty());

    ann.post(path, attach("tocks", json!({}))).await.expect(201);
    let force = Some(json!({"force": true}));
    let answer = ann
        .call(Method::DELETE, &gone, force, &[])
        .await
        .expect(200);
    assert_eq!(answer["state"], "deprovisioned");
    for app in ["ticks", "tocks"] {
        assert_eq!(config(&ann, app).await, json!({}), "{app}");
    }
    let told = provider.calls(&Method::DELETE);
    assert_eq!(
        told[0].path,
        format!("/{}", made["provider_id"].as_str().unwrap())
    );
    assert_eq!(leftovers(&platform).await, 0);
}

#[tokio::test]
async fn services_that_do_not_share_are_not_shared() {
    let platform = Platform::start().await;
    let provider = Provider::start().await;
    let mut manifest = provider.manifest();
    manifest["api"]["requires"] = json!([]);
    platform
        .admin
        .post("/addon-services", manifest)
        .await
        .expect(201);
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    ann.app("tocks").await;
    let made = create(&ann, "ticks", json!({})).await;
    let attach = json!({"addon": made["id"], "app": "tocks"});
    let (_, message) = ann.post("/addon-attachments", attach).await.error(422);
    assert!(
        message.contains("cannot be attached to other apps"),
        "{message}"
    );
}

#[tokio::test]
async fn a_provider_that_refuses_is_quoted_and_nothing_is_left() {
    let platform = Platform::start().await;
    let provider = Provider::known_to(&platform).await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    let reply = json!({"message": "We are full."});
    provider.will_reply([Reply::Json(422, reply)]);
    let (_, message) = ask(&ann, "ticks", json!({"name": "mine"})).await.error(422);
    assert_eq!(message, "We are full.");
    assert_eq!(leftovers(&platform).await, 0);
    assert!(
        provider.calls(&Method::DELETE).is_empty(),
        "it made nothing"
    );
    create(&ann, "ticks", json!({"name": "mine"})).await;
}

#[tokio::test]
async fn what_a_provider_makes_badly_it_is_told_to_take_away() {
    for (reply, by_its_id) in [
        (Reply::Text(200, "<html>"), false),
        (Reply::Json(201, json!({"config": {}})), false),
        (
            Reply::Json(201, json!({"id": "r-1", "config": {"OTHER_URL": "x"}})),
            true,
        ),
        (
            Reply::Json(201, json!({"id": "r-1", "config": {"acme_pg_url": "x"}})),
            true,
        ),
    ] {
        let platform = Platform::start().await;
        let provider = Provider::known_to(&platform).await;
        let ann = platform.user("ann").await;
        ann.app("ticks").await;
        // Asked once more for a name, it does no better.
        provider.will_reply([reply.clone(), reply.clone()]);
        let (_, message) = ask(&ann, "ticks", json!({})).await.error(422);
        assert!(message.contains("provider"), "{message}");
        let told = provider.called(&Method::DELETE, 1).await;
        let uuid = &provider.calls(&Method::POST)[0].body["uuid"];
        let expected = match by_its_id {
            true => "/r-1".to_owned(),
            false => format!("/{}", uuid.as_str().unwrap()),
        };
        assert_eq!(told[0].path, expected, "{reply:?}");
        assert_eq!(config(&ann, "ticks").await, json!({}));
    }
}

#[tokio::test]
async fn a_provider_in_trouble_is_asked_again_for_the_same_add_on() {
    let platform = Platform::start().await;
    let provider = Provider::known_to(&platform).await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    provider.will_reply([Reply::Text(500, "oops"), Reply::Text(503, "")]);
    let made = create(&ann, "ticks", json!({})).await;
    assert_eq!(made["state"], "provisioned");
    let asked = provider.calls(&Method::POST);
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|call| call.body["uuid"] == made["id"]));

    // And told again to take it away, though the app is rid of it at once.
    provider.will_reply([Reply::Text(500, "oops")]);
    let path = format!("/apps/ticks/addons/{}", made["name"].as_str().unwrap());
    let answer = ann.delete(&path).await.expect(200);
    assert_eq!(answer["state"], "deprovisioned");
    assert_eq!(provider.calls(&Method::DELETE).len(), 2);
    assert_eq!(config(&ann, "ticks").await, json!({}));
    assert_eq!(leftovers(&platform).await, 0);
}

#[tokio::test]
async fn a_controller_that_dies_while_a_provider_is_silent_loses_nothing() {
    let mut platform = Platform::start().await;
    let provider = Provider::known_to(&platform).await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    provider.will_reply([Reply::Silence]);
    let asking = tokio::spawn({
        let ann = ann.clone();
        async move {
            let path = format!("http://{}/apps/ticks/addons", ann.addr);
            let body = json!({"plan": "acme-pg"});
            let asked = ann.http.post(path).bearer_auth(&ann.token).json(&body);
            let _ = asked.send().await;
        }
    });
    provider.called(&Method::POST, 1).await;
    platform.shut_down().await;
    asking.await.unwrap();
    let (store, dir) = (platform.store.clone(), platform.dir.clone());
    let (platform, ann) = Platform::restart_on(store, dir, ann, |_| {}).await;
    let asked = provider.called(&Method::POST, 2).await;
    assert_eq!(asked[0].body["uuid"], asked[1].body["uuid"]);
    eventually("the app has it", async || {
        config(&ann, "ticks").await["ACME_PG_URL"].is_string()
    })
    .await;
    provider.release();
    platform.stop().await;
}

#[tokio::test]
async fn an_app_takes_its_add_ons_with_it() {
    let platform = Platform::start().await;
    let provider = Provider::known_to(&platform).await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    ann.app("tocks").await;
    let made = create(&ann, "ticks", json!({})).await;
    let attach = json!({"addon": made["id"], "app": "tocks"});
    let attached = ann.post("/addon-attachments", attach).await.expect(201);
    let (_, message) = ann.delete("/apps/ticks").await.error(422);
    assert!(message.contains("attached to other apps"), "{message}");
    let attached = attached["id"].as_str().unwrap();
    let path = format!("/addon-attachments/{attached}");
    ann.delete(&path).await.expect(200);
    ann.delete("/apps/ticks").await.expect(200);
    provider.called(&Method::DELETE, 1).await;
    eventually("nothing is left of it", async || {
        leftovers(&platform).await == 0
    })
    .await;
}

#[tokio::test]
async fn a_plan_is_changed_where_the_provider_agrees() {
    let platform = Platform::start().await;
    let provider = Provider::known_to(&platform).await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    let made = create(&ann, "ticks", json!({})).await;
    let path = format!("/apps/ticks/addons/{}", made["id"].as_str().unwrap());
    let refusal = json!({"message": "Too much data for that."});
    provider.will_reply([Reply::Json(422, refusal)]);
    let wish = json!({"plan": {"name": "acme-pg:standard-0"}});
    let (_, message) = ann.patch(&path, wish.clone()).await.error(422);
    assert_eq!(message, "Too much data for that.");
    assert_eq!(ann.get(&path).await.expect(200)["plan"], made["plan"]);

    provider.will_reply([Reply::Text(500, "")]);
    let (_, message) = ann.patch(&path, wish.clone()).await.error(503);
    assert!(message.contains("Ask for it once more"), "{message}");

    let config_of_new =
        json!({"config": {"ACME_PG_URL": "postgres://larger"}, "message": "Moved."});
    provider.will_reply([Reply::Json(200, config_of_new)]);
    let changed = ann.patch(&path, wish.clone()).await.expect(200);
    assert_eq!(changed["plan"]["name"], "acme-pg:standard-0");
    assert_eq!(changed["provision_message"], "Moved.");
    assert_eq!(changed["billed_price"]["cents"], 5000);
    let calls = provider.calls(&Method::PUT);
    assert_eq!(calls[2].body["plan"], "standard-0");
    eventually("the app has the new config", async || {
        config(&ann, "ticks").await["ACME_PG_URL"] == "postgres://larger"
    })
    .await;
    assert_eq!(
        releases(&ann, "ticks").await[0],
        "Update ACME_PG by acme-pg"
    );
    // What is so already is not asked for.
    ann.patch(&path, wish).await.expect(200);
    assert_eq!(provider.calls(&Method::PUT).len(), 3);

    let unknown = json!({"plan": "acme-pg:gold"});
    let (_, message) = ann.patch(&path, unknown).await.error(422);
    assert!(
        message.starts_with("Couldn't find either the add-on"),
        "{message}"
    );
    let renamed = ann
        .patch(&path, json!({"name": "ticks-db"}))
        .await
        .expect(200);
    assert_eq!(renamed["name"], "ticks-db");
    ann.get("/addons/ticks-db").await.expect(200);
    let before = format!("/addons/{}", made["name"].as_str().unwrap());
    ann.get(&before).await.error(404);
}

#[tokio::test]
async fn what_somebody_means_is_found_and_nothing_that_is_not_his() {
    let platform = Platform::start().await;
    let _provider = Provider::known_to(&platform).await;
    let (ann, bob) = (platform.user("ann").await, platform.user("bob").await);
    ann.app("ticks").await;
    ann.app("tocks").await;
    let first = create(&ann, "ticks", json!({"name": "one"})).await;
    create(&ann, "tocks", json!({"name": "two"})).await;
    let resolve = async |user: &User, addon: &str, app: Option<&str>| {
        let body = json!({"addon": addon, "app": app});
        let found = user.post("/actions/addons/resolve", body).await;
        if found.status == 404 {
            assert_eq!(found.body["resource"], "add_on");
            return Vec::new();
        }
        let found = found.expect(200);
        let found = found.as_array().unwrap().iter();
        let mut found: Vec<_> = found
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect();
        found.sort();
        found
    };
    let id = first["id"].as_str().unwrap();
    for (addon, app, expected) in [
        ("one", None, vec!["one"]),
        (id, None, vec!["one"]),
        ("one", Some("ticks"), vec!["one"]),
        ("one", Some("tocks"), vec![]),
        ("ticks::one", None, vec!["one"]),
        ("ACME_PG", Some("tocks"), vec!["two"]),
        ("acme-pg", None, vec!["one", "two"]),
        ("acme-pg:dev", Some("ticks"), vec!["one"]),
        ("nosuch", None, vec![]),
    ] {
        assert_eq!(resolve(&ann, addon, app).await, expected, "{addon} {app:?}");
    }
    assert!(resolve(&bob, "one", None).await.is_empty());
    bob.get("/addons/one").await.error(404);
    assert_eq!(bob.get("/addons").await.expect(200), json!([]));
    assert_eq!(bob.get("/addon-attachments").await.expect(200), json!([]));
    let attachments = json!({"addon_attachment": "ACME_PG", "app": "ticks"});
    let path = "/actions/addon-attachments/resolve";
    let found = ann.post(path, attachments).await.expect(200);
    assert_eq!(found[0]["addon"]["name"], "one");
}

#[tokio::test]
async fn details_come_in_full_where_a_client_asks_for_them() {
    let platform = Platform::start().await;
    let _provider = Provider::known_to(&platform).await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    create(&ann, "ticks", json!({})).await;
    // By hand: the schema knows short forms only.
    let get = async |path: &str, header: &str, value: &str| -> Value {
        let request = ann.http.get(format!("http://{}{path}", ann.addr));
        let request = request.bearer_auth(&ann.token).header(header, value);
        request.send().await.unwrap().json().await.unwrap()
    };
    let addons = get(
        "/apps/ticks/addons",
        "accept-expansion",
        "addon_service,plan",
    )
    .await;
    assert_eq!(addons[0]["addon_service"]["human_name"], "Acme PG");
    assert_eq!(addons[0]["plan"]["price"]["unit"], "month");
    let wanted = "addon:plan,config_vars";
    let attachments = get("/addon-attachments", "accept-inclusion", wanted).await;
    assert_eq!(attachments[0]["config_vars"], json!(["ACME_PG_URL"]));
    assert_eq!(attachments[0]["addon"]["plan"]["human_name"], "Dev");
}

#[tokio::test]
async fn services_are_said_by_operators_and_stay_while_they_are_used() {
    let platform = Platform::start().await;
    let provider = Provider::known_to(&platform).await;
    let ann = platform.user("ann").await;
    let admin = &platform.admin;
    ann.post("/addon-services", provider.manifest())
        .await
        .error(403);
    let (_, message) = admin
        .post("/addon-services", provider.manifest())
        .await
        .error(422);
    assert!(
        message.contains("There is an add-on service acme-pg already"),
        "{message}"
    );
    let service = ann.get("/addon-services/acme-pg").await.expect(200);
    assert_eq!(service["human_name"], "Acme PG");
    assert!(service["supports_sharing"].as_bool().unwrap());
    assert_eq!(
        ann.get("/addon-services").await.expect(200),
        json!([service])
    );
    let plans = ann.get("/addon-services/acme-pg/plans").await.expect(200);
    let standard = plans.as_array().unwrap().iter();
    let standard = standard
        .clone()
        .find(|plan| plan["name"] == "acme-pg:standard-0")
        .unwrap();
    assert_eq!(
        (&standard["default"], &standard["price"]["cents"]),
        (&json!(false), &json!(5000))
    );
    for path in [
        "/plans/acme-pg:standard-0",
        "/addon-services/acme-pg/plans/standard-0",
    ] {
        assert_eq!(ann.get(path).await.expect(200), *standard, "{path}");
    }
    for path in [
        "/addon-region-capabilities",
        "/addon-services/acme-pg/region-capabilities",
        "/regions/us/addon-region-capabilities",
    ] {
        let there = ann.get(path).await.expect(200);
        assert_eq!(there[0]["addon_service"], service, "{path}");
    }
    // At rest no secret can be read.
    let kept = key::ADDON_SERVICES.all(&*platform.store).await.unwrap();
    let kept = serde_json::to_string(&kept[0].value).unwrap();
    assert!(!kept.contains(crate::provider::PASSWORD), "{kept}");

    ann.app("ticks").await;
    create(&ann, "ticks", json!({"name": "mine"})).await;
    let mut fewer = provider.manifest();
    fewer["$paas"]["plans"] = json!([{"name": "standard-0"}]);
    let path = "/addon-services/acme-pg";
    let (_, message) = admin.put(path, fewer).await.error(422);
    assert!(
        message.contains("The add-on mine has the plan dev"),
        "{message}"
    );
    let mut more = provider.manifest();
    more["name"] = json!("Acme Postgres");
    let changed = admin.put(path, more).await.expect(200);
    assert_eq!(
        (&changed["id"], &changed["human_name"]),
        (&service["id"], &json!("Acme Postgres"))
    );
    let after = ann.get("/plans/acme-pg:standard-0").await.expect(200);
    assert_eq!(after["id"], standard["id"], "a plan stays the same");
    let mut other = provider.manifest();
    other["id"] = json!("other");
    admin.put(path, other).await.error(422);
    let (_, message) = admin.delete(path).await.error(422);
    assert!(message.contains("has add-ons still: mine"), "{message}");
    ann.delete("/apps/ticks/addons/mine").await.expect(200);
    ann.delete(path).await.error(403);
    admin.delete(path).await.expect(200);
    ann.get(path).await.error(404);
}

#[tokio::test]
async fn many_who_ask_at_once_each_get_what_they_asked_for() {
    let platform = Platform::start().await;
    let _provider = Provider::known_to(&platform).await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    let all = (0..8).map(|_| create(&ann, "ticks", json!({})));
    let made = futures::future::join_all(all).await;
    let shown = config(&ann, "ticks").await;
    assert_eq!(shown.as_object().unwrap().len(), 8, "{shown}");
    let mut values: Vec<_> = shown.as_object().unwrap().values().collect();
    values.sort_by_key(|value| value.to_string());
    values.dedup();
    assert_eq!(values.len(), 8, "each its own: {shown}");
    assert_released(&platform, app, &made).await;
}

/// The newest release has the config of all of them.
async fn assert_released(platform: &Platform, app: AppId, made: &[Value]) {
    let record = platform.record(app).await.value;
    assert_eq!(record.latest.0, 1 + made.len() as u64);
    for one in made {
        let id: AddonId = one["id"].as_str().unwrap().parse().unwrap();
        let place = key::addon(id);
        assert!(
            key::ADDONS
                .get(&*platform.store, &place)
                .await
                .unwrap()
                .is_some()
        );
    }
}

#[tokio::test]
async fn what_a_provider_made_and_could_not_tell_is_found_and_taken_away() {
    let platform = Platform::start().await;
    let provider = Provider::known_to(&platform).await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    // It was made, and the answer lost; so is the next one, and then nobody wants it any more.
    provider.will_reply([Reply::Text(504, ""), Reply::Silence]);
    let asking = tokio::spawn({
        let ann = ann.clone();
        async move { ask(&ann, "ticks", json!({"name": "mine"})).await.status }
    });
    provider.called(&Method::POST, 2).await;
    ann.delete("/apps/ticks").await.expect(200);
    provider.release();
    let told = provider.called(&Method::DELETE, 1).await;
    let uuid = provider.calls(&Method::POST)[0].body["uuid"].clone();
    assert_eq!(told[0].path, format!("/r-{}", uuid.as_str().unwrap()));
    eventually("nothing is left of it", async || {
        leftovers(&platform).await == 0
    })
    .await;
    asking.await.unwrap();
}

#[tokio::test]
async fn a_refusal_after_a_lost_answer_is_no_word_that_nothing_was_made() {
    let platform = Platform::start().await;
    let provider = Provider::known_to(&platform).await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    let exists = json!({"message": "There is one of that uuid already."});
    provider.will_reply([Reply::Text(504, ""), Reply::Json(409, exists)]);
    let (_, message) = ask(&ann, "ticks", json!({})).await.error(422);
    assert_eq!(message, "There is one of that uuid already.");
    provider.called(&Method::DELETE, 1).await;
}

#[tokio::test]
async fn a_provider_takes_no_var_that_is_its_users_and_no_room_that_is_not_there() {
    let platform = Platform::start().await;
    let _provider = Provider::known_to(&platform).await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    let set = |vars: Value| ann.patch("/apps/ticks/config-vars", vars);
    set(json!({"ACME_PG_POOL": "mine"})).await.expect(200);
    // What it may give later counts, too.
    let (_, message) = ask(&ann, "ticks", json!({})).await.error(423);
    assert!(message.contains("ACME_PG_POOL"), "{message}");
    create(&ann, "ticks", json!({"attachment": {"name": "DB"}})).await;
    let (_, message) = set(json!({"DB_POOL": "5"})).await.error(422);
    assert!(
        message.contains("Cannot overwrite attachment values DB_POOL"),
        "{message}"
    );
    let large = "x".repeat(64 * 1024 - 40);
    let (_, message) = set(json!({"LARGE": large})).await.error(422);
    assert!(message.contains("With those of its add-ons"), "{message}");
}

#[tokio::test]
async fn of_two_that_give_the_same_var_the_later_does_in_every_release() {
    let platform = Platform::start().await;
    let provider = Provider::known_to(&platform).await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    let mut manifest = provider.manifest();
    manifest["api"]["config_vars"] = json!(["ACME_PG_URL", "ACME_PG_POOL", "ACME_PG_RO_URL"]);
    let path = "/addon-services/acme-pg";
    platform.admin.put(path, manifest).await.expect(200);
    create(&ann, "ticks", json!({"attachment": {"name": "DB_RO"}})).await;
    let both = json!({"id": "r-2", "config": {"ACME_PG_URL": "two", "ACME_PG_RO_URL": "too"}});
    provider.will_reply([Reply::Json(201, both)]);
    let wish = json!({"attachment": {"name": "DB"}, "confirm": "ticks"});
    create(&ann, "ticks", wish).await;
    assert_eq!(config(&ann, "ticks").await["DB_RO_URL"], "too");
    let set = json!({"COLOUR": "red"});
    ann.patch("/apps/ticks/config-vars", set).await.expect(200);
    assert_eq!(config(&ann, "ticks").await["DB_RO_URL"], "too");
    let attached = ann
        .get("/apps/ticks/addon-attachments/DB")
        .await
        .expect(200);
    let path = format!("/addon-attachments/{}", attached["id"].as_str().unwrap());
    ann.delete(&path).await.expect(200);
    let shown = config(&ann, "ticks").await["DB_RO_URL"].clone();
    assert!(
        shown.as_str().unwrap().starts_with("postgres://"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_plan_that_may_have_changed_is_asked_for_again() {
    let platform = Platform::start().await;
    let provider = Provider::known_to(&platform).await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    let made = create(&ann, "ticks", json!({})).await;
    let path = format!("/apps/ticks/addons/{}", made["id"].as_str().unwrap());
    // It was done, and the answer lost; then somebody wants what the platform thinks it has.
    provider.will_reply([Reply::Text(504, "")]);
    ann.patch(&path, json!({"plan": "standard-0"}))
        .await
        .error(503);
    ann.patch(&path, json!({"plan": "dev"})).await.expect(200);
    let plans: Vec<_> = provider.calls(&Method::PUT);
    let plans: Vec<_> = plans.iter().map(|call| call.body["plan"].clone()).collect();
    assert_eq!(plans, ["standard-0", "dev"]);
    // What it gives with another plan and may not is left, and the plan is what it is.
    let odd = json!({"config": {"OTHER": "x"}});
    provider.will_reply([Reply::Json(200, odd)]);
    let changed = ann
        .patch(&path, json!({"plan": "standard-0"}))
        .await
        .expect(200);
    assert_eq!(changed["plan"]["name"], "acme-pg:standard-0");
    assert_eq!(config(&ann, "ticks").await.as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn a_service_whose_provider_is_no_more_is_removed_by_force() {
    let platform = Platform::start().await;
    let provider = Provider::known_to(&platform).await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    create(&ann, "ticks", json!({"name": "mine"})).await;
    provider.will_reply((0..20).map(|_| Reply::Text(500, "")));
    ann.delete("/apps/ticks").await.expect(200);
    provider.called(&Method::DELETE, 1).await;
    let path = "/addon-services/acme-pg";
    let (_, message) = platform.admin.delete(path).await.error(422);
    assert!(
        message.contains("has not taken away yet: mine"),
        "{message}"
    );
    let force = Some(json!({"force": true}));
    let answer = platform.admin.call(Method::DELETE, path, force, &[]).await;
    answer.expect(200);
    eventually("nothing is left of it", async || {
        leftovers(&platform).await == 0
    })
    .await;
}

#[tokio::test]
async fn what_never_came_to_be_can_be_destroyed_and_its_name_used_again() {
    let platform = Platform::start().await;
    let provider = Provider::known_to(&platform).await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    let spoiled = json!({"id": "r-1", "config": {"OTHER": "x"}});
    provider.will_reply([Reply::Json(201, spoiled)]);
    ask(&ann, "ticks", json!({"name": "mine"})).await.error(422);
    eventually("it has failed", async || {
        let listed = addons(&ann, "ticks").await;
        listed.iter().any(|one| one["state"] == "deprovisioned")
    })
    .await;
    provider.called(&Method::DELETE, 1).await;
    let answer = ann.delete("/apps/ticks/addons/mine").await.expect(200);
    assert_eq!(answer["state"], "deprovisioned");
    eventually("its name is free", async || {
        addons(&ann, "ticks").await.is_empty()
    })
    .await;
    create(&ann, "ticks", json!({"name": "mine"})).await;
}
