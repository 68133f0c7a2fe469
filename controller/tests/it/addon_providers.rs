//! What providers do by themselves: those that take their time, change what they give, and let browsers in.

use reqwest::Method;
use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use crate::harness::{Answer, Platform, User, eventually};
use crate::provider::{Provider, Reply, SALT};

/// A provider's calls, in its name.
fn by(user: &User, token: &str) -> User {
    user.with_token(token)
}

async fn exchange(user: &User, fields: &[(&str, &str)]) -> (u16, Value) {
    let url = format!("http://{}/oauth/token", user.addr);
    let body: String = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    let request = user.http.post(url).body(body);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

struct Slow {
    platform: Platform,
    provider: Provider,
    ann: User,
    /// As it was made: on its way.
    addon: Value,
    grant: String,
}

/// A provider that takes its time over an add-on.
async fn slow() -> Slow {
    let platform = Platform::start().await;
    let provider = Provider::known_to(&platform).await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    let accepted = json!({"id": "r-17", "message": "Some three minutes."});
    provider.will_reply([Reply::Json(202, accepted)]);
    let body = json!({"plan": "acme-pg"});
    let addon = ann.post("/apps/ticks/addons", body).await.expect(201);
    let asked = &provider.calls(&Method::POST)[0].body;
    let grant = asked["oauth_grant"]["code"].as_str().unwrap().to_owned();
    Slow {
        platform,
        provider,
        ann,
        addon,
        grant,
    }
}

impl Slow {
    async fn token(&self) -> String {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", self.grant.as_str()),
            ("client_secret", "of the provider"),
        ];
        let (status, token) = exchange(&self.ann, &fields).await;
        assert_eq!(
            (status, &token["token_type"]),
            (200, &json!("Bearer")),
            "{token}"
        );
        assert_eq!(token["expires_in"], 28800);
        token["access_token"].as_str().unwrap().to_owned()
    }

    fn path(&self, rest: &str) -> String {
        format!("/addons/{}{rest}", self.addon["id"].as_str().unwrap())
    }

    async fn config(&self) -> Value {
        self.ann.get("/apps/ticks/config-vars").await.expect(200)
    }

    async fn set(&self, token: &str, config: Value) -> Answer {
        let body = json!({"config": config});
        by(&self.ann, token)
            .patch(&self.path("/config"), body)
            .await
    }
}

#[tokio::test]
async fn a_provider_that_takes_its_time_says_when_it_is_done() {
    let slow = slow().await;
    assert_eq!(slow.addon["state"], "provisioning");
    assert_eq!(slow.addon["provision_message"], "Some three minutes.");
    let token = slow.token().await;
    let provider = by(&slow.ann, &token);
    let shown = provider.get(&slow.path("")).await.expect(200);
    assert_eq!(shown["id"], slow.addon["id"]);
    let given = json!([{"name": "ACME_PG_URL", "value": "postgres://1"}]);
    assert_eq!(slow.set(&token, given.clone()).await.expect(200), given);
    assert_eq!(provider.get(&slow.path("/config")).await.expect(200), given);
    assert_eq!(slow.config().await, json!({}), "not before it is there");
    let release = slow
        .platform
        .admin
        .get("/apps/ticks/releases")
        .await
        .expect(200);
    assert_eq!(
        release.as_array().unwrap().len(),
        1,
        "and no restart for it"
    );

    let done = provider
        .post(&slow.path("/actions/provision"), json!({}))
        .await;
    assert_eq!(done.expect(200)["state"], "provisioned");
    assert_eq!(slow.config().await, json!({"ACME_PG_URL": "postgres://1"}));
    // Saying so twice does no harm, and taking it back is not the provider's.
    let again = provider
        .post(&slow.path("/actions/provision"), json!({}))
        .await;
    again.expect(200);
    let path = slow.path("/actions/deprovision");
    provider.post(&path, json!({})).await.error(422);

    // What it gives later reaches every app that has it.
    slow.ann.app("tocks").await;
    let attach = json!({"addon": slow.addon["id"], "app": "tocks", "name": "DB"});
    slow.ann
        .post("/addon-attachments", attach)
        .await
        .expect(201);
    let given = json!([{"name": "ACME_PG_URL", "value": "postgres://2"}, {"name": "ACME_PG_POOL", "value": "5"}]);
    slow.set(&token, given).await.expect(200);
    eventually("both apps have it", async || {
        let tocks = slow.ann.get("/apps/tocks/config-vars").await.expect(200);
        slow.config().await == json!({"ACME_PG_URL": "postgres://2", "ACME_PG_POOL": "5"})
            && tocks == json!({"DB_URL": "postgres://2", "DB_POOL": "5"})
    })
    .await;
    let gone = json!([{"name": "ACME_PG_POOL", "value": null}]);
    slow.set(&token, gone).await.expect(200);
    eventually("what it gives no more is gone", async || {
        slow.config().await == json!({"ACME_PG_URL": "postgres://2"})
    })
    .await;
    // One release for each change, no more, and the second not before the first could be proven.
    let count = async || {
        let releases = slow.ann.get("/apps/ticks/releases").await.expect(200);
        releases.as_array().unwrap().len()
    };
    assert_eq!(count().await, 3);
    eventually("the second change is released", async || count().await == 4).await;
}

#[tokio::test]
async fn a_provider_that_cannot_says_so_and_the_add_on_is_shown_as_such() {
    let slow = slow().await;
    let token = slow.token().await;
    let path = slow.path("/actions/deprovision");
    let failed = by(&slow.ann, &token).post(&path, json!({})).await;
    assert_eq!(failed.expect(200)["state"], "deprovisioned");
    let listed = slow.ann.get("/apps/ticks/addons").await.expect(200);
    assert_eq!(listed[0]["state"], "deprovisioned");
    assert_eq!(slow.config().await, json!({}));
    let given = json!([{"name": "ACME_PG_URL", "value": "postgres://1"}]);
    slow.set(&token, given).await.error(410);
    let path = slow.path("/actions/provision");
    by(&slow.ann, &token)
        .post(&path, json!({}))
        .await
        .error(410);
}

#[tokio::test]
async fn a_provider_does_what_it_may_with_its_own_add_on_alone() {
    let slow = slow().await;
    let token = slow.token().await;
    let provider = by(&slow.ann, &token);
    let made = slow
        .ann
        .post("/apps/ticks/addons", json!({"plan": "acme-pg"}))
        .await;
    let other = format!("/addons/{}", made.expect(201)["id"].as_str().unwrap());
    provider.get(&other).await.error(401);
    let body = json!({"config": [{"name": "ACME_PG_URL", "value": "x"}]});
    provider
        .patch(&format!("{other}/config"), body.clone())
        .await
        .error(401);
    for path in [
        "/apps/ticks",
        "/apps/ticks/config-vars",
        "/account",
        "/addons",
    ] {
        provider.get(path).await.error(401);
    }
    for name in ["OTHER_URL", "acme_pg_url", "PATH"] {
        let given = json!([{"name": name, "value": "x"}]);
        let (_, message) = slow.set(&token, given).await.error(422);
        assert!(
            message.contains("which its manifest does not have"),
            "{message}"
        );
    }
    let long = json!([{"name": "ACME_PG_URL", "value": "x".repeat(40_000)}]);
    slow.set(&token, long).await.error(422);
    // And its users do not what is its.
    let path = slow.path("/config");
    let (_, message) = slow.ann.patch(&path, body).await.error(403);
    assert!(message.contains("for the provider"), "{message}");
    let path = slow.path("/actions/provision");
    slow.ann.post(&path, json!({})).await.error(403);
    slow.platform.admin.post(&path, json!({})).await.error(403);
}

#[tokio::test]
async fn a_grant_takes_the_providers_secret_and_ends_with_it() {
    let slow = slow().await;
    let grant = slow.grant.as_str();
    let code = ("code", grant);
    let kind = ("grant_type", "authorization_code");
    for (fields, status, error) in [
        (
            vec![kind, code, ("client_secret", "wrong")],
            401,
            "invalid_client",
        ),
        (vec![kind, code], 401, "invalid_client"),
        (
            vec![
                kind,
                ("code", "made up"),
                ("client_secret", "of the provider"),
            ],
            401,
            "invalid_grant",
        ),
        (
            vec![
                ("grant_type", "password"),
                code,
                ("client_secret", "of the provider"),
            ],
            400,
            "unsupported_grant_type",
        ),
        (vec![code], 400, "invalid_request"),
        // A grant is no refresh token.
        (
            vec![
                ("grant_type", "refresh_token"),
                ("refresh_token", grant),
                ("client_secret", "of the provider"),
            ],
            401,
            "invalid_grant",
        ),
    ] {
        let (answered, told) = exchange(&slow.ann, &fields).await;
        assert_eq!(
            (answered, &told["error"]),
            (status, &json!(error)),
            "{fields:?}: {told}"
        );
    }
    let fields = [kind, code, ("client_secret", "of the provider")];
    let (_, token) = exchange(&slow.ann, &fields).await;
    let refresh = token["refresh_token"].as_str().unwrap();
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh),
        ("client_secret", "of the provider"),
    ];
    let (status, refreshed) = exchange(&slow.ann, &fields).await;
    assert_eq!(status, 200, "{refreshed}");
    let fresh = refreshed["access_token"].as_str().unwrap();
    by(&slow.ann, fresh).get(&slow.path("")).await.expect(200);
    by(&slow.ann, refresh).get(&slow.path("")).await.error(401);

    let mut manifest = slow.provider.manifest();
    manifest["api"]["client_secret"] = json!("another one");
    let path = "/addon-services/acme-pg";
    slow.platform.admin.put(path, manifest).await.expect(200);
    by(&slow.ann, fresh).get(&slow.path("")).await.error(401);
    // With the new one it goes on: there is no other way to a token for an add-on of old.
    let (status, _) = exchange(&slow.ann, &fields).await;
    assert_eq!(status, 401);
    let fields = [fields[0], fields[1], ("client_secret", "another one")];
    let (status, renewed) = exchange(&slow.ann, &fields).await;
    assert_eq!(status, 200, "{renewed}");
}

#[tokio::test]
async fn what_a_provider_does_is_on_record() {
    let slow = slow().await;
    let token = slow.token().await;
    let given = json!([{"name": "ACME_PG_URL", "value": "postgres://tell-nobody"}]);
    slow.set(&token, given).await.expect(200);
    let entries = slow.platform.admin.get("/audit-entries").await.expect(200);
    let text = entries.to_string();
    let of_app = slow.ann.get("/apps/ticks/audit-entries").await.expect(200);
    let of_app = of_app.to_string();
    assert!(of_app.contains("PATCH /addons/{addon}/config"), "{of_app}");
    let entry = entries.as_array().unwrap().iter();
    let mut entry =
        entry.filter(|entry| entry.to_string().contains("PATCH /addons/{addon}/config"));
    let entry = entry.next().unwrap().to_string();
    assert!(
        entry.contains("by the provider") && entry.contains("acme-pg"),
        "{entry}"
    );
    assert!(!text.contains("tell-nobody"), "{text}");
}

#[tokio::test]
async fn a_browser_is_sent_to_the_dashboard_with_proof_of_who_sent_it() {
    let slow = slow().await;
    let ann = &slow.ann;
    let name = slow.addon["name"].as_str().unwrap();
    let resolve = async |user: &User| {
        let body = json!({"addon": name, "app": "ticks"});
        let found = user.post("/actions/addons/resolve", body).await.expect(200);
        found[0]["web_url"].as_str().unwrap().to_owned()
    };
    let url = resolve(ann).await;
    let (_, path) = url.split_once("/sso/").unwrap();
    let page = ann.with_token("").get(&format!("/sso/{path}")).await;
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").unwrap();
    let origin = format!("form-action http://{} https:;", slow.provider.addr);
    assert!(policy.contains(&origin), "{policy}");
    let field = |name: &str| {
        let (_, rest) = page
            .text
            .split_once(&format!("name=\"{name}\" value=\""))
            .unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    let (id, timestamp) = (field("resource_id"), field("timestamp"));
    assert_eq!(id, "r-17");
    let expected = hex::encode(Sha1::digest(format!("{id}:{SALT}:{timestamp}")));
    assert_eq!(field("resource_token"), expected);
    assert_eq!(
        (field("email"), field("app")),
        (ann.email.clone(), "ticks".to_owned())
    );
    assert!(!page.text.contains(SALT));

    // By hand, as some clients have it.
    let sso = ann
        .get(&format!("/apps/ticks/addons/{name}/sso"))
        .await
        .expect(200);
    assert_eq!(sso["action"], format!("http://{}/sso", slow.provider.addr));
    assert_eq!(sso["params"]["resource_id"], "r-17");

    // Whoever may only look gets no link, nor does a token that may only read.
    let bob = slow.platform.user("bob").await;
    let share = json!({"user": bob.email, "permissions": ["view"]});
    ann.post("/apps/ticks/collaborators", share)
        .await
        .expect(201);
    assert!(!resolve(&bob).await.contains("/sso/"));
    let made = ann
        .post("/oauth/authorizations", json!({"scope": ["read"]}))
        .await
        .expect(201);
    let may_read = ann
        .post(
            "/oauth/authorizations",
            json!({"scope": ["read-protected"]}),
        )
        .await
        .expect(201);
    let may_read = ann.with_token(may_read["access_token"]["token"].as_str().unwrap());
    let sso = format!("/apps/ticks/addons/{name}/sso");
    may_read.get(&sso).await.error(403);
    let reader = ann.with_token(made["access_token"]["token"].as_str().unwrap());
    let url = resolve(&reader).await;
    assert!(!url.contains("/sso/"), "{url}");
    let (_, path) = url.split_once("/addons/").unwrap();
    let page = ann.with_token("").get(&format!("/addons/{path}")).await;
    assert!(page.text.contains("paas addons:open"), "{}", page.text);
    let made_up = ann.with_token("").get("/sso/made-up").await;
    assert_eq!(made_up.status, 404);
}

#[tokio::test]
async fn a_provider_that_tells_how_it_goes_need_not_call_back() {
    let platform = Platform::start().await;
    let provider = Provider::start().await;
    let mut manifest = provider.manifest();
    manifest["$paas"]["status_path"] = json!(true);
    platform
        .admin
        .post("/addon-services", manifest)
        .await
        .expect(201);
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    let done = json!({"state": "provisioned", "config": {"ACME_PG_URL": "postgres://1"}});
    provider.will_reply([
        Reply::Json(202, json!({"id": "r-17"})),
        Reply::Json(200, done),
    ]);
    let made = ann
        .post("/apps/ticks/addons", json!({"plan": "acme-pg"}))
        .await;
    let made = made.expect(201);
    assert_eq!(
        provider.called(&Method::GET, 1).await[0].path,
        "/r-17/status"
    );
    eventually("the app has it", async || {
        let vars = ann.get("/apps/ticks/config-vars").await.expect(200);
        vars["ACME_PG_URL"] == "postgres://1"
    })
    .await;
    let shown = ann
        .get(&format!("/addons/{}", made["id"].as_str().unwrap()))
        .await;
    assert_eq!(shown.expect(200)["state"], "provisioned");
}

#[tokio::test]
async fn an_add_on_that_wants_the_apps_log_gets_a_drain_that_goes_with_it() {
    let platform = Platform::start().await;
    let provider = Provider::start().await;
    let mut manifest = provider.manifest();
    manifest["api"]["requires"] = json!(["syslog_drain", "many_per_app"]);
    let made = platform.admin.post("/addon-services", manifest).await;
    made.expect(201);
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    let reply = json!({"id": "r-1", "log_drain_url": "https://logs.example.com/1"});
    provider.will_reply([Reply::Json(202, reply)]);
    let body = json!({"plan": "acme-pg", "name": "logs"});
    ann.post("/apps/ticks/addons", body).await.expect(201);
    let drains = async || ann.get("/apps/ticks/log-drains").await.expect(200);
    assert_eq!(drains().await, json!([]), "not before it is there");

    let asked = &provider.calls(&Method::POST)[0].body;
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", asked["oauth_grant"]["code"].as_str().unwrap()),
        ("client_secret", "of the provider"),
    ];
    let (_, token) = exchange(&ann, &fields).await;
    let by_provider = ann.with_token(token["access_token"].as_str().unwrap());
    let done = "/addons/logs/actions/provision";
    by_provider.post(done, json!({})).await.expect(200);
    let drain = drains().await[0].clone();
    assert_eq!(drain["url"], "https://logs.example.com/1");
    assert_eq!(drain["token"], asked["log_drain_token"]);
    assert_eq!(drain["addon"]["name"], "logs");
    let of_addon = by_provider.get("/addons/logs/log-drains").await;
    assert_eq!(of_addon.expect(200), json!([drain]));

    let path = format!("/log-drains/{}", drain["token"].as_str().unwrap());
    let of_app = format!("/apps/ticks{path}");
    let (_, message) = ann.delete(&of_app).await.error(422);
    assert!(message.contains("goes with it"), "{message}");
    let other = json!({"url": "https://logs.example.com/2"});
    ann.put(&of_app, other.clone()).await.error(422);
    let of_addon = format!("/addons/logs{path}");
    ann.put(&of_addon, other.clone()).await.error(403);
    let changed = by_provider.put(&of_addon, other).await.expect(200);
    assert_eq!(changed["token"], drain["token"]);
    assert_eq!(drains().await[0]["url"], "https://logs.example.com/2");
    let inside = json!({"url": "https://169.254.169.254/"});
    by_provider.put(&of_addon, inside).await.error(422);

    ann.delete("/apps/ticks/addons/logs").await.expect(200);
    assert_eq!(drains().await, json!([]));
}
