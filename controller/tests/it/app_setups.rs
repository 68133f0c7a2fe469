//! Setting apps up from an `app.json`, with a builder that says what is in every archive.

use axum::routing::post;
use axum::{Json, Router};
use model::{
    AppId, Build, BuildStatus, BuilderReport, Dyno, DynoKind, DynoState, DynoStatus, Exit,
    ExitReason, NodeId, ServiceId, Timestamp,
};
use reqwest::Method;
use serde_json::{Value, json};
use store::{Txn, key};
use tokio::net::TcpListener;

use crate::harness::{Platform, User, eventually};
use crate::provider::{Provider, Reply};
use crate::world::id_of;

/// Whoever asks for an archive is told this.
async fn builder_says(platform: &Platform, looked: Value) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let answer = post(async move || Json(looked));
    let router = Router::new().route("/internal/archives", answer);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let report = BuilderReport {
        id: ServiceId::new(),
        host: NodeId::new(),
        addr,
        max_builds: 1,
        started_at: Timestamp::now(),
    };
    let txn = Txn::new().put(&key::ALIVE_BUILDERS, key::alive_builder(report.id), &report);
    txn.commit(&*platform.store).await.unwrap();
}

/// No manifest where it is null.
pub(crate) async fn found(platform: &Platform, manifest: Value) {
    let blob = platform.blobs.put_bytes("a tarball".into()).await.unwrap();
    let manifest = (!manifest.is_null()).then(|| manifest.to_string());
    let looked = json!({"looked": "found", "blob": blob, "manifest": manifest});
    builder_says(platform, looked).await;
}

async fn set_up(user: &User, more: Value) -> Value {
    let mut body = json!({"source_blob": {"url": "https://example.com/x.tgz", "version": "v1"}});
    let more = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    user.post("/app-setups", body).await.expect(202)
}

async fn show(user: &User, setup: &Value) -> Value {
    let path = format!("/app-setups/{}", setup["id"].as_str().unwrap());
    user.get(&path).await.expect(200)
}

pub(crate) async fn over(user: &User, setup: &Value) -> Value {
    eventually("it is over", async || {
        show(user, setup).await["status"] != "pending"
    })
    .await;
    show(user, setup).await
}

impl Platform {
    async fn asked_build(&self, app: AppId) -> Build {
        let builds = async || {
            let builds = key::BUILDS.list(&*self.store, &key::builds_of(app)).await;
            builds.unwrap()
        };
        eventually("a build is asked for", async || !builds().await.is_empty()).await;
        builds().await[0].value.clone()
    }

    async fn end_build(&self, build: &Build, status: BuildStatus) {
        let place = key::build(build.app, build.id);
        let ended = Build {
            status,
            ..build.clone()
        };
        let txn = Txn::new()
            .put(&key::BUILDS, place, &ended)
            .delete(key::build_source(build.app, build.id));
        txn.commit(&*self.store).await.unwrap();
    }

    /// As a builder and a scheduler do it.
    pub(crate) async fn deploy(&self, app: AppId, by: &User) {
        let build = self.asked_build(app).await;
        let release = self.push(app, by, &[("web", "serve")]).await;
        let status = BuildStatus::Succeeded {
            slug: release.slug.unwrap(),
            release: release.version,
        };
        self.end_build(&build, status).await;
        self.prove(app).await;
    }

    async fn script(&self, app: AppId) -> Dyno {
        let dynos = async || {
            let dynos = key::DYNOS.list(&*self.store, &key::dynos_of(app)).await;
            dynos.unwrap()
        };
        eventually("the script is started", async || !dynos().await.is_empty()).await;
        dynos().await[0].value.clone()
    }

    async fn exits(&self, dyno: &Dyno, status: i64, tail: &[&str]) {
        let exit = Exit {
            reason: ExitReason::Exited { status },
            log_tail: tail.iter().map(|line| (*line).to_owned()).collect(),
        };
        let status = DynoStatus {
            dyno: dyno.id,
            app: dyno.app,
            node: NodeId::new(),
            state: DynoState::Stopped {
                at: Timestamp::now(),
                exit: Some(exit),
            },
            restarts: 0,
            updated_at: Timestamp::now(),
        };
        let place = key::dyno_status(dyno.app, dyno.id);
        let txn = Txn::new().put(&key::DYNO_STATUS, place, &status);
        txn.commit(&*self.store).await.unwrap();
    }
}

fn ticks() -> Value {
    json!({
        "name": "Ticks",
        "env": {"MADE": {"generator": "secret"}, "ASKED": {"required": true}, "PLAIN": "1"},
        "formation": {"web": {"quantity": 3, "size": "standard-2x"}},
        "buildpacks": [{"url": "heroku/python"}],
        "scripts": {"postdeploy": "bin/seed --all"},
        "success_url": "/welcome",
    })
}

#[tokio::test]
async fn an_app_is_set_up_as_its_manifest_wants_it() {
    let platform = Platform::start().await;
    let (ann, eve) = (platform.user("ann").await, platform.user("eve").await);
    found(&platform, ticks()).await;
    let more =
        json!({"app": {"name": "ticks"}, "overrides": {"env": {"ASKED": "yes", "PLAIN": "2"}}});
    let setup = set_up(&ann, more).await;
    assert_eq!(
        (&setup["status"], &setup["app"]["name"]),
        (&json!("pending"), &json!("ticks"))
    );
    let path = format!("/app-setups/{}", setup["id"].as_str().unwrap());
    eve.get(&path).await.error(404);
    let app = id_of(&setup["app"]);
    let build = platform.asked_build(app).await;
    assert_eq!(build.commit.as_deref(), Some("v1"));
    let config = ann.get("/apps/ticks/config-vars").await.expect(200);
    assert_eq!(
        (&config["ASKED"], &config["PLAIN"]),
        (&json!("yes"), &json!("2"))
    );
    assert_eq!(config["MADE"].as_str().unwrap().len(), 64);
    let packs = ann
        .get("/apps/ticks/buildpack-installations")
        .await
        .expect(200);
    assert_eq!(packs[0]["buildpack"]["name"], "heroku/python");
    let record = platform.record(app).await.value;
    let web = &record.formation[&"web".parse().unwrap()];
    assert_eq!((web.quantity, web.size.as_str()), (3, "Standard-2X"));
    assert_eq!(show(&ann, &setup).await["build"]["status"], "pending");

    platform.deploy(app, &ann).await;
    let script = platform.script(app).await;
    assert_eq!(script.command, "bin/seed --all");
    assert!(matches!(&script.kind, DynoKind::OneOff(one_off) if one_off.is_kept));
    platform.exits(&script, 0, &["seeded", "all"]).await;
    let done = over(&ann, &setup).await;
    assert_eq!(done["status"], "succeeded", "{done}");
    assert_eq!(
        done["postdeploy"],
        json!({"exit_code": 0, "output": "seeded\nall\n"})
    );
    let url = done["resolved_success_url"].as_str().unwrap();
    assert!(url.starts_with("http://ticks.paas.localhost") && url.ends_with("/welcome"));
    // The scheduler may take it away now.
    assert!(platform.script(app).await.is_stopping());
}

#[tokio::test]
async fn an_app_has_its_add_ons_before_it_is_built() {
    let platform = Platform::start().await;
    let provider = Provider::known_to(&platform).await;
    let ann = platform.user("ann").await;
    let addons = json!([
        "acme-pg",
        {"plan": "acme-pg:standard-0", "as": "CACHE", "options": {"size": "3"}},
    ]);
    let manifest = json!({"addons": addons, "env": {"PLAIN": "1", "CACHE_URL": "not this"}});
    found(&platform, manifest).await;
    provider.will_reply([Reply::Text(500, "")]);
    let setup = set_up(&ann, json!({"app": {"name": "ticks"}})).await;
    let app = id_of(&setup["app"]);
    platform.asked_build(app).await;
    let config = ann.get("/apps/ticks/config-vars").await.expect(200);
    assert_eq!(config["PLAIN"], "1");
    for name in ["ACME_PG_URL", "CACHE_URL"] {
        let value = config[name].as_str().unwrap();
        assert!(value.starts_with("postgres://"), "{config}");
    }
    let asked = provider.calls(&Method::POST);
    assert_eq!(asked.len(), 3, "one of them twice");
    let second = asked.iter().find(|call| call.body["plan"] == "standard-0");
    assert_eq!(second.unwrap().body["options"], json!({"size": "3"}));
    platform.deploy(app, &ann).await;
    assert_eq!(over(&ann, &setup).await["status"], "succeeded");
}

#[tokio::test]
async fn a_setup_whose_add_ons_cannot_be_had_says_why() {
    for (plan, words) in [
        ("heroku-redis", "Couldn't find either the add-on service"),
        ("acme-pg", "We are full."),
    ] {
        let platform = Platform::start().await;
        let provider = Provider::known_to(&platform).await;
        let ann = platform.user("ann").await;
        found(&platform, json!({"addons": [plan]})).await;
        let refusal = json!({"message": "We are full."});
        provider.will_reply([Reply::Json(422, refusal)]);
        let setup = set_up(&ann, json!({})).await;
        let failed = over(&ann, &setup).await;
        let message = failed["failure_message"].as_str().unwrap();
        assert!(
            message.contains(plan) && message.contains(words),
            "{message}"
        );
    }
}

#[tokio::test]
async fn what_a_setup_fails_of_is_told() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let manifest = json!({
        "env": {"ASKED": {}}, "addons": [7], "formation": {"web": {"size": "huge"}},
    });
    found(&platform, manifest).await;
    let setup = set_up(&ann, json!({})).await;
    let failed = over(&ann, &setup).await;
    assert_eq!(failed["status"], "failed");
    assert_eq!(failed["failure_message"], "invalid app.json");
    let errors = failed["manifest_errors"].to_string();
    assert!(
        errors.contains("addons in app.json") && errors.contains("web.size"),
        "{errors}"
    );

    for bad in [
        json!({"source_blob": {"url": "https://x/y"}, "app": {"name": "UPPER CASE"}}),
        json!({"source_blob": {"url": "https://x/y"}, "overrides": {"env": {"A B": "x"}}}),
        json!({"source_blob": {"url": "nowhere"}}),
        json!({}),
    ] {
        ann.post("/app-setups", bad).await.error(422);
    }
}

#[tokio::test]
async fn a_required_var_that_nobody_gave_a_build_that_fails_and_a_script_that_fails_end_it() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    found(&platform, ticks()).await;
    let setup = set_up(&ann, json!({})).await;
    let failed = over(&ann, &setup).await;
    assert_eq!(
        failed["manifest_errors"],
        json!(["config var ASKED is required"])
    );

    let given = json!({"overrides": {"env": {"ASKED": "1"}}});
    let setup = set_up(&ann, given.clone()).await;
    let build = platform.asked_build(id_of(&setup["app"])).await;
    let reason = "It does not compile".to_owned();
    platform
        .end_build(&build, BuildStatus::Failed { reason })
        .await;
    let failed = over(&ann, &setup).await;
    assert_eq!(
        failed["failure_message"],
        "The build failed: It does not compile"
    );
    assert_eq!(failed["build"]["status"], "failed");

    let setup = set_up(&ann, given).await;
    let app = id_of(&setup["app"]);
    platform.deploy(app, &ann).await;
    let script = platform.script(app).await;
    platform.exits(&script, 3, &["no such table"]).await;
    let failed = over(&ann, &setup).await;
    assert_eq!(failed["status"], "failed");
    assert_eq!(
        failed["postdeploy"],
        json!({"exit_code": 3, "output": "no such table\n"})
    );
    let message = failed["failure_message"].as_str().unwrap();
    assert!(message.contains("exited with status 3"), "{message}");
}

#[tokio::test]
async fn an_archive_that_is_refused_or_has_no_manifest_ends_it() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let reason = "The source is no gzipped tar archive (.tar.gz).";
    builder_says(&platform, json!({"looked": "refused", "reason": reason})).await;
    let setup = set_up(&ann, json!({})).await;
    assert_eq!(over(&ann, &setup).await["failure_message"], reason);

    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    found(&platform, Value::Null).await;
    let setup = set_up(&ann, json!({})).await;
    let message = &over(&ann, &setup).await["failure_message"];
    assert_eq!(message, "The source has no app.json at its top.");
}

#[tokio::test]
async fn a_setup_goes_on_where_its_controller_was_stopped() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    // No builder is there to look yet.
    let given = json!({"overrides": {"env": {"ASKED": "1"}}});
    let setup = set_up(&ann, given).await;
    let app = id_of(&setup["app"]);
    let (store, dir) = (platform.store.clone(), platform.dir.clone());
    platform.stop().await;
    let (platform, ann) = Platform::restart_on(store, dir, ann, |_| {}).await;
    found(&platform, ticks()).await;
    platform.asked_build(app).await;
    let (store, dir) = (platform.store.clone(), platform.dir.clone());
    platform.stop().await;
    let (platform, ann) = Platform::restart_on(store, dir, ann, |_| {}).await;
    platform.deploy(app, &ann).await;
    let script = platform.script(app).await;
    let (store, dir) = (platform.store.clone(), platform.dir.clone());
    platform.stop().await;
    let (platform, ann) = Platform::restart_on(store, dir, ann, |_| {}).await;
    platform.exits(&script, 0, &[]).await;
    assert_eq!(over(&ann, &setup).await["status"], "succeeded");
    let dynos = key::DYNOS.list(&*platform.store, &key::dynos_of(app)).await;
    assert_eq!(dynos.unwrap().len(), 1);
}
