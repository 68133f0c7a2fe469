//! Who may do what, over every endpoint there is. An endpoint that is not on the list below fails the test.

use controller::Rule;
use model::{Permission, TeamRole};
use reqwest::Method;
use serde_json::json;

use crate::harness::{Platform, User};
use crate::world::id_of;

/// Who gets in, besides which 401, 403 or 404 is the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Anybody,
    AnyAccount,
    Administrators,
    /// Owner, administrators, and whoever was let do this with the app.
    May(Permission),
    /// Whoever is in the team, and administrators.
    InTeam,
    /// They, and who works on one of its apps.
    AroundTeam,
    /// The team's administrators, and the platform's.
    TeamAdmins,
    /// Those of the add-on's app; its provider, too.
    OfAddon(Permission),
    /// An add-on's provider, and no user.
    Provider,
    OtherRoles,
}

use Permission::{Deploy, Manage, Operate, View};
use Who::{
    Administrators, AnyAccount, Anybody, AroundTeam, InTeam, May, OfAddon, OtherRoles, Provider,
    TeamAdmins,
};

const EXPECTED: &[(&str, &str, Who)] = &[
    ("GET", "/healthz", Anybody),
    ("GET", "/buildpacks", Anybody),
    ("GET", "/buildpacks/{buildpack}", Anybody),
    ("POST", "/oauth/authorizations", AnyAccount),
    ("GET", "/oauth/authorizations", AnyAccount),
    ("GET", "/oauth/authorizations/{authorization}", AnyAccount),
    (
        "DELETE",
        "/oauth/authorizations/{authorization}",
        AnyAccount,
    ),
    ("PATCH", "/oauth/authorizations/{authorization}", AnyAccount),
    (
        "POST",
        "/oauth/authorizations/{authorization}/actions/regenerate-tokens",
        AnyAccount,
    ),
    ("DELETE", "/oauth/sessions/{session}", AnyAccount),
    ("POST", "/auth", Anybody),
    ("GET", "/auth/cli/{login}", Anybody),
    ("GET", "/auth/browser/{login}", Anybody),
    ("POST", "/auth/browser/{login}", Anybody),
    ("POST", "/auth/browser/{login}/decision", Anybody),
    ("GET", "/auth/browser/{login}/provider", Anybody),
    ("GET", "/auth/callback", Anybody),
    ("GET", "/auth/invitation/{token}", Anybody),
    ("POST", "/auth/invitation/{token}", Anybody),
    ("GET", "/account-invitations", Administrators),
    ("POST", "/account-invitations", Administrators),
    (
        "DELETE",
        "/account-invitations/{invitation}",
        Administrators,
    ),
    ("POST", "/account-invitations/actions/accept", Anybody),
    ("POST", "/accounts", Administrators),
    ("GET", "/account", AnyAccount),
    ("PATCH", "/account", AnyAccount),
    ("GET", "/users/{user}", AnyAccount),
    ("PATCH", "/users/{user}", AnyAccount),
    ("GET", "/account/rate-limits", AnyAccount),
    ("GET", "/account/two-factor", AnyAccount),
    ("POST", "/account/two-factor", AnyAccount),
    ("POST", "/account/two-factor/actions/confirm", AnyAccount),
    ("POST", "/account/two-factor/actions/disable", AnyAccount),
    ("POST", "/account/two-factor/recovery-codes", AnyAccount),
    ("DELETE", "/accounts/{account}/two-factor", Administrators),
    ("DELETE", "/accounts/{account}/identity", Administrators),
    ("POST", "/account-identities/actions/unlink", Administrators),
    (
        "POST",
        "/accounts/{account}/actions/suspend",
        Administrators,
    ),
    ("POST", "/accounts/{account}/actions/resume", Administrators),
    ("PUT", "/apps/{app}/pre-authorizations", May(View)),
    ("GET", "/account/keys", AnyAccount),
    ("POST", "/account/keys", AnyAccount),
    ("GET", "/account/keys/{key}", AnyAccount),
    ("DELETE", "/account/keys/{key}", AnyAccount),
    ("GET", "/apps", AnyAccount),
    ("GET", "/users/{user}/apps", AnyAccount),
    ("POST", "/apps", AnyAccount),
    ("GET", "/apps/{app}", May(View)),
    ("PATCH", "/apps/{app}", May(Operate)),
    ("DELETE", "/apps/{app}", May(Manage)),
    ("GET", "/apps/{app}/config-vars", May(Operate)),
    ("PATCH", "/apps/{app}/config-vars", May(Operate)),
    ("GET", "/apps/{app}/releases", May(View)),
    ("POST", "/apps/{app}/releases", May(Deploy)),
    ("GET", "/apps/{app}/releases/{release}", May(View)),
    (
        "GET",
        "/apps/{app}/releases/{release}/config-vars",
        May(Operate),
    ),
    ("GET", "/apps/{app}/releases/{release}/failure", May(View)),
    ("GET", "/apps/{app}/slugs/{slug}", May(View)),
    ("GET", "/apps/{app}/builds", May(View)),
    ("GET", "/apps/{app}/builds/{build}", May(View)),
    ("POST", "/apps/{app}/builds", May(Deploy)),
    ("DELETE", "/apps/{app}/builds/{build}", May(Deploy)),
    ("DELETE", "/apps/{app}/build-cache", May(Deploy)),
    ("GET", "/teams", AnyAccount),
    ("POST", "/teams", AnyAccount),
    ("GET", "/teams/permissions", AnyAccount),
    ("GET", "/teams/{team}", AroundTeam),
    ("PATCH", "/teams/{team}", TeamAdmins),
    ("DELETE", "/teams/{team}", TeamAdmins),
    ("GET", "/teams/{team}/features", AroundTeam),
    ("GET", "/teams/{team}/invitations", InTeam),
    ("GET", "/teams/{team}/preferences", InTeam),
    ("GET", "/teams/{team}/members", InTeam),
    ("PUT", "/teams/{team}/members", TeamAdmins),
    ("POST", "/teams/{team}/members", TeamAdmins),
    ("PATCH", "/teams/{team}/members", TeamAdmins),
    ("DELETE", "/teams/{team}/members/{member}", InTeam),
    ("GET", "/teams/{team}/members/{member}/apps", InTeam),
    ("GET", "/teams/{team}/apps", InTeam),
    ("POST", "/teams/apps", AnyAccount),
    ("GET", "/teams/apps/{app}", May(View)),
    ("PATCH", "/teams/apps/{app}", May(Manage)),
    ("GET", "/teams/apps/{app}/collaborators", May(View)),
    ("POST", "/teams/apps/{app}/collaborators", May(View)),
    ("GET", "/teams/apps/{app}/collaborators/{user}", May(View)),
    (
        "PATCH",
        "/teams/apps/{app}/collaborators/{user}",
        May(Manage),
    ),
    (
        "DELETE",
        "/teams/apps/{app}/collaborators/{user}",
        May(View),
    ),
    ("GET", "/pipelines/{pipeline}/review-app-config", AnyAccount),
    (
        "POST",
        "/pipelines/{pipeline}/review-app-config",
        AnyAccount,
    ),
    (
        "PATCH",
        "/pipelines/{pipeline}/review-app-config",
        AnyAccount,
    ),
    (
        "DELETE",
        "/pipelines/{pipeline}/review-app-config",
        AnyAccount,
    ),
    ("GET", "/pipelines/{pipeline}/review-apps", AnyAccount),
    ("POST", "/review-apps", AnyAccount),
    ("GET", "/review-apps/{review_app}", AnyAccount),
    ("DELETE", "/review-apps/{review_app}", AnyAccount),
    ("GET", "/apps/{app}/review-app", May(View)),
    (
        "GET",
        "/account/features/dashboard-repositories-api",
        AnyAccount,
    ),
    ("POST", "/app-setups", AnyAccount),
    ("GET", "/app-setups/{setup}", AnyAccount),
    ("POST", "/sources", AnyAccount),
    ("POST", "/apps/{app}/sources", May(View)),
    ("PUT", "/sources/{token}", Anybody),
    ("GET", "/sources/{token}", Anybody),
    ("GET", "/streams/builds/{token}", Anybody),
    ("GET", "/apps/{app}/buildpack-installations", May(View)),
    ("PUT", "/apps/{app}/buildpack-installations", May(Operate)),
    ("GET", "/apps/{app}/formation", May(View)),
    ("PATCH", "/apps/{app}/formation", May(Operate)),
    ("GET", "/apps/{app}/formation/{type}", May(View)),
    ("PATCH", "/apps/{app}/formation/{type}", May(Operate)),
    ("GET", "/apps/{app}/traffic", May(View)),
    ("GET", "/apps/{app}/placement", May(View)),
    ("PATCH", "/apps/{app}/placement", May(Operate)),
    ("GET", "/apps/{app}/routing", May(View)),
    ("PATCH", "/apps/{app}/routing", May(Operate)),
    ("GET", "/apps/{app}/dynos", May(View)),
    ("POST", "/apps/{app}/dynos", May(Operate)),
    ("DELETE", "/apps/{app}/dynos", May(Operate)),
    ("GET", "/apps/{app}/dynos/{dyno}", May(View)),
    ("POST", "/apps/{app}/dynos/{dyno}", May(Operate)),
    ("DELETE", "/apps/{app}/dynos/{dyno}", May(Operate)),
    (
        "POST",
        "/apps/{app}/dynos/{dyno}/actions/stop",
        May(Operate),
    ),
    ("DELETE", "/apps/{app}/formations/{type}", May(Operate)),
    (
        "POST",
        "/apps/{app}/formations/{type}/actions/stop",
        May(Operate),
    ),
    ("GET", "/apps/{app}/domains", May(View)),
    ("POST", "/apps/{app}/domains", May(Operate)),
    ("GET", "/apps/{app}/domains/{domain}", May(View)),
    ("PATCH", "/apps/{app}/domains/{domain}", May(Operate)),
    ("DELETE", "/apps/{app}/domains/{domain}", May(Operate)),
    ("GET", "/apps/{app}/sni-endpoints", May(View)),
    ("POST", "/apps/{app}/sni-endpoints", May(Operate)),
    ("GET", "/apps/{app}/sni-endpoints/{sni_endpoint}", May(View)),
    (
        "PATCH",
        "/apps/{app}/sni-endpoints/{sni_endpoint}",
        May(Operate),
    ),
    (
        "DELETE",
        "/apps/{app}/sni-endpoints/{sni_endpoint}",
        May(Operate),
    ),
    ("POST", "/apps/{app}/acm", May(Operate)),
    ("PATCH", "/apps/{app}/acm", May(Operate)),
    ("DELETE", "/apps/{app}/acm", May(Operate)),
    ("GET", "/apps/{app}/collaborators", May(View)),
    ("POST", "/apps/{app}/collaborators", May(Manage)),
    ("GET", "/apps/{app}/collaborators/{user}", May(View)),
    ("PATCH", "/apps/{app}/collaborators/{user}", May(Manage)),
    ("DELETE", "/apps/{app}/collaborators/{user}", May(View)),
    ("GET", "/apps/{app}/log-drains", May(Operate)),
    ("POST", "/apps/{app}/log-drains", May(Operate)),
    ("GET", "/apps/{app}/log-drains/{drain}", May(Operate)),
    ("PUT", "/apps/{app}/log-drains/{drain}", May(Operate)),
    ("DELETE", "/apps/{app}/log-drains/{drain}", May(Operate)),
    ("POST", "/apps/{app}/log-sessions", May(View)),
    ("GET", "/streams/logs/{token}", Anybody),
    ("GET", "/attach/{secret}", Anybody),
    ("GET", "/apps/{app}/webhooks", May(Operate)),
    ("POST", "/apps/{app}/webhooks", May(Operate)),
    ("GET", "/apps/{app}/webhooks/{webhook}", May(Operate)),
    ("PATCH", "/apps/{app}/webhooks/{webhook}", May(Operate)),
    ("DELETE", "/apps/{app}/webhooks/{webhook}", May(Operate)),
    ("GET", "/apps/{app}/webhook-deliveries", May(View)),
    (
        "GET",
        "/apps/{app}/webhook-deliveries/{delivery}",
        May(View),
    ),
    ("GET", "/apps/{app}/webhook-events", May(View)),
    ("GET", "/apps/{app}/webhook-events/{event}", May(View)),
    ("GET", "/stacks", AnyAccount),
    ("GET", "/stacks/{stack}", AnyAccount),
    ("GET", "/regions", AnyAccount),
    ("GET", "/regions/{region}", AnyAccount),
    ("GET", "/dyno-sizes", AnyAccount),
    ("GET", "/dyno-sizes/{size}", AnyAccount),
    ("GET", "/platform/status", Administrators),
    ("GET", "/platform/notice", Administrators),
    ("PUT", "/platform/notice", Administrators),
    ("DELETE", "/platform/notice", Administrators),
    ("GET", "/platform/routers", Administrators),
    ("GET", "/platform/certificate", Administrators),
    ("PUT", "/platform/certificate", Administrators),
    ("GET", "/tcp-routes", Administrators),
    ("POST", "/tcp-routes", Administrators),
    ("DELETE", "/tcp-routes/{port}", Administrators),
    ("GET", "/platform/rebalance", Administrators),
    ("POST", "/platform/rebalance", Administrators),
    ("DELETE", "/platform/rebalance", Administrators),
    ("GET", "/audit-entries", Administrators),
    ("GET", "/apps/{app}/audit-entries", May(Manage)),
    ("GET", "/audit-chain", Administrators),
    ("GET", "/nodes", Administrators),
    ("GET", "/nodes/{node}", Administrators),
    ("PATCH", "/nodes/{node}", Administrators),
    ("DELETE", "/nodes/{node}", Administrators),
    ("POST", "/node-tokens", Administrators),
    ("POST", "/nodes", Anybody),
    ("GET", "/account/features", AnyAccount),
    ("GET", "/spaces", AnyAccount),
    ("GET", "/addon-services", AnyAccount),
    ("POST", "/addon-services", Administrators),
    ("GET", "/addon-services/{service}", AnyAccount),
    ("PUT", "/addon-services/{service}", Administrators),
    ("DELETE", "/addon-services/{service}", Administrators),
    ("GET", "/addon-services/{service}/plans", AnyAccount),
    ("GET", "/addon-services/{service}/plans/{plan}", AnyAccount),
    ("GET", "/plans/{plan}", AnyAccount),
    ("GET", "/addon-region-capabilities", AnyAccount),
    (
        "GET",
        "/addon-services/{service}/region-capabilities",
        AnyAccount,
    ),
    (
        "GET",
        "/regions/{region}/addon-region-capabilities",
        AnyAccount,
    ),
    ("GET", "/addons", AnyAccount),
    ("GET", "/users/{user}/addons", AnyAccount),
    ("GET", "/teams/{team}/addons", InTeam),
    ("GET", "/apps/{app}/addons", May(View)),
    ("POST", "/apps/{app}/addons", May(Operate)),
    ("GET", "/apps/{app}/addons/{addon}", May(View)),
    ("PATCH", "/apps/{app}/addons/{addon}", May(Operate)),
    ("DELETE", "/apps/{app}/addons/{addon}", May(Operate)),
    ("GET", "/apps/{app}/addons/{addon}/sso", May(Operate)),
    ("POST", "/actions/addons/resolve", AnyAccount),
    ("GET", "/addons/{addon}", OfAddon(View)),
    ("GET", "/addons/{addon}/addon-attachments", OfAddon(View)),
    ("GET", "/addons/{addon}/config", OfAddon(Operate)),
    (
        "GET",
        "/addons/{addon}/config/{namespace}",
        OfAddon(Operate),
    ),
    ("PATCH", "/addons/{addon}/config", Provider),
    ("GET", "/addons/{addon}/log-drains", OfAddon(Operate)),
    ("PUT", "/addons/{addon}/log-drains/{drain}", Provider),
    ("POST", "/addons/{addon}/actions/provision", Provider),
    ("POST", "/addons/{addon}/actions/deprovision", Provider),
    ("GET", "/addons/{addon}/dashboard", Anybody),
    ("GET", "/addon-attachments", AnyAccount),
    ("POST", "/addon-attachments", AnyAccount),
    ("GET", "/addon-attachments/{attachment}", AnyAccount),
    ("DELETE", "/addon-attachments/{attachment}", AnyAccount),
    ("GET", "/apps/{app}/addon-attachments", May(View)),
    (
        "GET",
        "/apps/{app}/addon-attachments/{attachment}",
        May(View),
    ),
    ("POST", "/actions/addon-attachments/resolve", AnyAccount),
    ("POST", "/oauth/token", Anybody),
    ("GET", "/sso/{link}", Anybody),
    ("GET", "/pipelines", AnyAccount),
    ("POST", "/pipelines", AnyAccount),
    ("GET", "/pipelines/{pipeline}", AnyAccount),
    ("PATCH", "/pipelines/{pipeline}", AnyAccount),
    ("DELETE", "/pipelines/{pipeline}", AnyAccount),
    (
        "GET",
        "/pipelines/{pipeline}/pipeline-couplings",
        AnyAccount,
    ),
    ("GET", "/users/{user}/pipeline-couplings", AnyAccount),
    ("GET", "/apps/{app}/pipeline-couplings", May(View)),
    ("GET", "/pipeline-couplings", AnyAccount),
    ("POST", "/pipeline-couplings", AnyAccount),
    ("GET", "/pipeline-couplings/{coupling}", AnyAccount),
    ("PATCH", "/pipeline-couplings/{coupling}", AnyAccount),
    ("DELETE", "/pipeline-couplings/{coupling}", AnyAccount),
    ("POST", "/pipeline-promotions", AnyAccount),
    ("GET", "/pipeline-promotions/{promotion}", AnyAccount),
    (
        "GET",
        "/pipeline-promotions/{promotion}/promotion-targets",
        AnyAccount,
    ),
    ("POST", "/pipeline-transfers", AnyAccount),
    ("POST", "/filters/apps", AnyAccount),
    ("GET", "/account/app-transfers", AnyAccount),
    ("POST", "/account/app-transfers", AnyAccount),
    ("GET", "/account/app-transfers/{transfer}", AnyAccount),
    ("PATCH", "/account/app-transfers/{transfer}", AnyAccount),
    ("DELETE", "/account/app-transfers/{transfer}", AnyAccount),
    ("GET", "/oauth/clients", AnyAccount),
    ("GET", "/oauth/sessions", AnyAccount),
    ("GET", "/apps/{app}/features", May(View)),
    ("GET", "/apps/{app}/features/{feature}", May(View)),
    ("PATCH", "/apps/{app}/features/{feature}", May(Operate)),
    ("POST", "/internal/logs", OtherRoles),
    ("POST", "/internal/logs/read", OtherRoles),
    ("POST", "/internal/drains", OtherRoles),
    ("GET", "/internal/attach/{secret}", OtherRoles),
    ("POST", "/internal/certificates", OtherRoles),
];

fn expected(method: &Method, path: &str) -> Who {
    match EXPECTED
        .iter()
        .find(|(m, p, _)| m == &method.as_str() && *p == path)
    {
        Some((_, _, who)) => *who,
        None => {
            panic!("{method} {path} is on no list: decide who may use it, and write it down here")
        }
    }
}

/// What somebody who does not get in is told.
fn refusal(who: Who, person: Person) -> Option<u16> {
    use Person::{Administrator, Collaborator, Internal, Nobody, Owner, Stranger};
    match (who, person) {
        (OtherRoles, Internal) => None,
        (OtherRoles, _) => Some(404),
        (Anybody, _) => None,
        (Provider, Collaborator | Owner | Administrator) => Some(403),
        (_, Nobody | Internal) => Some(401),
        (AnyAccount, _) | (_, Administrator) => None,
        (Administrators, _) => Some(403),
        (_, Owner) => None,
        (_, Stranger) => Some(404),
        (May(permission) | OfAddon(permission), Collaborator) => {
            (permission == Manage).then_some(403)
        }
        (TeamAdmins, Collaborator) => Some(403),
        (InTeam | AroundTeam, Collaborator) => None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Person {
    Nobody,
    Stranger,
    /// Of the app, and a viewer of the team.
    Collaborator,
    /// Of the app, and an administrator of the team.
    Owner,
    Administrator,
    Internal,
}

#[tokio::test]
async fn nobody_gets_in_where_he_should_not_and_everybody_where_he_should() {
    let platform = Platform::start().await;
    let (owner, collaborator, stranger) = (
        platform.user("owner").await,
        platform.user("colin").await,
        platform.user("eve").await,
    );
    let people: [(Person, User); 6] = [
        (Person::Nobody, platform.nobody()),
        (Person::Stranger, stranger),
        (Person::Internal, platform.internal()),
        (Person::Collaborator, collaborator.clone()),
        (Person::Administrator, platform.admin.clone()),
        (Person::Owner, owner.clone()),
    ];
    let rules = controller::rules();
    let _provider = crate::provider::Provider::known_to(&platform).await;
    let fresh_addon = async |app: &str| {
        let create = json!({"plan": "acme-pg", "name": addon_of(app)});
        let made = owner.post(&format!("/apps/{app}/addons"), create).await;
        made.expect(201);
    };
    for (person, user) in &people {
        let fresh = async || {
            let app = owner.post("/apps", json!({})).await.expect(201);
            let name = app["name"].as_str().unwrap().to_owned();
            let share = format!("/apps/{name}/collaborators");
            owner
                .post(&share, json!({"user": collaborator.email}))
                .await
                .expect(201);
            platform
                .push(id_of(&app), &owner, &[("web", "serve")])
                .await;
            fresh_addon(&name).await;
            name
        };
        let fresh_team = async || {
            let made = owner.post("/teams", json!({"name": "crew"})).await;
            made.expect(201);
            let viewer = json!({"email": collaborator.email, "role": "viewer"});
            let made = owner.put("/teams/crew/members", viewer).await;
            made.expect(200);
        };
        let mut app = fresh().await;
        let deleted = owner.delete("/teams/crew").await.status.as_u16();
        assert!(deleted == 200 || deleted == 404);
        fresh_team().await;
        for (method, path, rule) in &rules {
            let who = expected(method, path);
            let of_rule = match rule {
                Rule::Public => Anybody,
                Rule::Account => AnyAccount,
                Rule::Admin => Administrators,
                Rule::App(permission) => May(*permission),
                Rule::Team(TeamRole::Collaborator) => AroundTeam,
                Rule::Team(TeamRole::Viewer) => InTeam,
                Rule::Team(TeamRole::Member | TeamRole::Admin) => TeamAdmins,
                Rule::Addon(Some(permission)) => OfAddon(*permission),
                Rule::Addon(None) => Provider,
                Rule::Internal => OtherRoles,
            };
            // What is public looks at what was brought itself.
            let as_written = who == of_rule || *rule == Rule::Public;
            assert!(as_written, "{method} {path}: {of_rule:?}, not {who:?}");
            let concrete = concrete(path, &app);
            let answer = user
                .call(method.clone(), &concrete, Some(json!({})), &[])
                .await;
            let context = format!(
                "{person:?}: {method} {concrete}: {} {}",
                answer.status, answer.text
            );
            match refusal(who, *person) {
                Some(status) => assert_eq!(answer.status.as_u16(), status, "{context}"),
                // Let in; what is asked for may still make no sense.
                None => assert!(!is_refused(&answer), "{context}"),
            }
            if method == Method::DELETE && *path == "/apps/{app}" {
                app = fresh().await;
            }
            if method == Method::DELETE
                && *path == "/apps/{app}/addons/{addon}"
                && answer.status == 200
            {
                fresh_addon(&app).await;
            }
            if method == Method::DELETE && *path == "/teams/{team}" && answer.status == 200 {
                fresh_team().await;
            }
        }
    }
    assert_eq!(
        rules.len(),
        EXPECTED.len(),
        "an endpoint went: take it off the list"
    );
}

/// Asks what is above somebody, and so harms nothing.
async fn is_kept_from(user: &User, app: &str, may: impl Fn(Permission) -> bool, status: u16) {
    for (method, path, rule) in controller::rules() {
        let Rule::App(permission) = rule else {
            continue;
        };
        if may(permission) {
            continue;
        }
        let concrete = concrete(path, app);
        let answer = user
            .call(method.clone(), &concrete, Some(json!({})), &[])
            .await;
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{}: {method} {path}: {}",
            user.email,
            answer.text
        );
    }
}

#[tokio::test]
async fn whoever_was_let_do_something_is_kept_from_all_that_is_more() {
    let platform = Platform::start().await;
    let (owner, colin) = (platform.user("owner").await, platform.user("colin").await);
    owner.app("ticks").await;
    for most in Permission::ALL {
        let share = json!({"user": colin.email, "permissions": [most.as_str()]});
        owner
            .post("/apps/ticks/collaborators", share)
            .await
            .expect(201);
        is_kept_from(&colin, "ticks", |permission| permission <= most, 403).await;
    }
}

#[tokio::test]
async fn a_team_looks_at_its_apps_and_does_not_see_those_that_are_locked() {
    let platform = Platform::start().await;
    let (owner, vic, bob) = (
        platform.user("owner").await,
        platform.user("vic").await,
        platform.user("bob").await,
    );
    let team = json!({"name": "crew"});
    owner.post("/teams", team).await.expect(201);
    for (user, role) in [(&vic, "viewer"), (&bob, "member")] {
        let member = json!({"email": user.email, "role": role});
        owner.put("/teams/crew/members", member).await.expect(200);
    }
    let create = json!({"name": "ticks", "team": "crew"});
    owner.post("/teams/apps", create).await.expect(201);
    for user in [&vic, &bob] {
        is_kept_from(user, "ticks", |permission| permission == View, 403).await;
    }
    let lock = json!({"locked": true});
    owner.patch("/teams/apps/ticks", lock).await.expect(200);
    for user in [&vic, &bob] {
        is_kept_from(user, "ticks", |_| false, 404).await;
    }
}

fn addon_of(app: &str) -> String {
    format!("{app}-db")
}

fn concrete(path: &str, app: &str) -> String {
    let mut concrete = path.replace("{app}", app).replace("{user}", "~");
    concrete = concrete.replace("{addon}", &addon_of(app));
    for (placeholder, value) in [
        ("{account}", "0"),
        ("{service}", "0"),
        ("{plan}", "0"),
        ("{attachment}", "0"),
        ("{link}", "0"),
        ("{namespace}", "credential:reader"),
        ("{invitation}", "0"),
        ("{login}", "0"),
        ("{type}", "web"),
        ("{release}", "1"),
        ("{stack}", "heroku-24"),
        ("{region}", "us"),
        ("{size}", "Basic"),
        ("{buildpack}", "heroku%2Fpython"),
        // Nothing that is there: nobody should lose a token by this test.
        ("{authorization}", "0"),
        ("{session}", "~"),
        ("{key}", "0"),
        ("{slug}", "0"),
        ("{build}", "0"),
        ("{token}", "0"),
        ("{secret}", "0"),
        ("{dyno}", "web.99"),
        ("{node}", "nowhere"),
        ("{drain}", "https:%2F%2Flogs.example.com%2Fdrain"),
        ("{domain}", "www.example.com"),
        ("{sni_endpoint}", "0"),
        ("{port}", "5432"),
        ("{pipeline}", "0"),
        ("{coupling}", "0"),
        ("{promotion}", "0"),
        ("{transfer}", "0"),
        ("{feature}", "preboot"),
        ("{webhook}", "0"),
        ("{delivery}", "0"),
        ("{event}", "0"),
        ("{setup}", "0"),
        ("{review_app}", "0"),
        ("{team}", "crew"),
        ("{member}", "0"),
    ] {
        concrete = concrete.replace(placeholder, value);
    }
    assert!(
        !concrete.contains('{'),
        "{concrete} has a placeholder this test does not know"
    );
    concrete
}

fn is_refused(answer: &crate::harness::Answer) -> bool {
    let status = answer.status.as_u16();
    let no_such_app =
        status == 404 && (answer.body["resource"] == "app" || answer.body["resource"] == "team");
    let no_endpoint = status == 404
        && answer.body["message"]
            .as_str()
            .unwrap_or_default()
            .contains("endpoint");
    status == 401 || status == 403 || no_such_app || no_endpoint
}

#[tokio::test]
async fn internal_calls_do_not_come_through_a_router() {
    let platform = Platform::start().await;
    let internal = platform.internal();
    let batch = format!("{} 1", uuid::Uuid::new_v4());
    let call = async |extra: &[(&str, &str)]| {
        let headers: Vec<_> = [("paas-log-batch", batch.as_str())]
            .iter()
            .chain(extra)
            .copied()
            .collect();
        internal
            .call(Method::POST, "/internal/logs", None, &headers)
            .await
    };
    call(&[]).await.expect(204);
    for header in ["x-forwarded-for", "via", "forwarded"] {
        call(&[(header, "10.0.0.1")]).await.error(404);
    }
    // A user's token, even an administrator's, is none.
    let headers = [("paas-log-batch", batch.as_str())];
    platform
        .admin
        .call(Method::POST, "/internal/logs", None, &headers)
        .await
        .error(404);
}
