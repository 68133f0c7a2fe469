//! Who may do what, over every endpoint there is. An endpoint that is not on the list below fails the test.

use controller::Rule;
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
    /// Owner, administrators, collaborators.
    Members,
    /// Owner and administrators.
    Owners,
    /// Whoever is in the team, and administrators.
    InTeam,
    /// The team's administrators, and the platform's.
    TeamAdmins,
    OtherRoles,
}

use Who::{Administrators, AnyAccount, Anybody, InTeam, Members, OtherRoles, Owners, TeamAdmins};

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
    ("PUT", "/apps/{app}/pre-authorizations", Members),
    ("GET", "/account/keys", AnyAccount),
    ("POST", "/account/keys", AnyAccount),
    ("GET", "/account/keys/{key}", AnyAccount),
    ("DELETE", "/account/keys/{key}", AnyAccount),
    ("GET", "/apps", AnyAccount),
    ("GET", "/users/{user}/apps", AnyAccount),
    ("POST", "/apps", AnyAccount),
    ("GET", "/apps/{app}", Members),
    ("PATCH", "/apps/{app}", Members),
    ("DELETE", "/apps/{app}", Owners),
    ("GET", "/apps/{app}/config-vars", Members),
    ("PATCH", "/apps/{app}/config-vars", Members),
    ("GET", "/apps/{app}/releases", Members),
    ("POST", "/apps/{app}/releases", Members),
    ("GET", "/apps/{app}/releases/{release}", Members),
    ("GET", "/apps/{app}/releases/{release}/config-vars", Members),
    ("GET", "/apps/{app}/releases/{release}/failure", Members),
    ("GET", "/apps/{app}/slugs/{slug}", Members),
    ("GET", "/apps/{app}/builds", Members),
    ("GET", "/apps/{app}/builds/{build}", Members),
    ("POST", "/apps/{app}/builds", Members),
    ("DELETE", "/apps/{app}/builds/{build}", Members),
    ("DELETE", "/apps/{app}/build-cache", Members),
    ("GET", "/teams", AnyAccount),
    ("POST", "/teams", AnyAccount),
    ("GET", "/teams/permissions", AnyAccount),
    ("GET", "/teams/{team}", InTeam),
    ("PATCH", "/teams/{team}", TeamAdmins),
    ("DELETE", "/teams/{team}", TeamAdmins),
    ("GET", "/teams/{team}/features", InTeam),
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
    ("GET", "/teams/apps/{app}", Members),
    ("PATCH", "/teams/apps/{app}", Owners),
    ("GET", "/teams/apps/{app}/collaborators", Members),
    ("POST", "/teams/apps/{app}/collaborators", Members),
    ("GET", "/teams/apps/{app}/collaborators/{user}", Members),
    ("PATCH", "/teams/apps/{app}/collaborators/{user}", Owners),
    ("DELETE", "/teams/apps/{app}/collaborators/{user}", Members),
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
    ("GET", "/apps/{app}/review-app", Members),
    (
        "GET",
        "/account/features/dashboard-repositories-api",
        AnyAccount,
    ),
    ("POST", "/app-setups", AnyAccount),
    ("GET", "/app-setups/{setup}", AnyAccount),
    ("POST", "/sources", AnyAccount),
    ("POST", "/apps/{app}/sources", Members),
    ("PUT", "/sources/{token}", Anybody),
    ("GET", "/sources/{token}", Anybody),
    ("GET", "/streams/builds/{token}", Anybody),
    ("GET", "/apps/{app}/buildpack-installations", Members),
    ("PUT", "/apps/{app}/buildpack-installations", Members),
    ("GET", "/apps/{app}/formation", Members),
    ("PATCH", "/apps/{app}/formation", Members),
    ("GET", "/apps/{app}/formation/{type}", Members),
    ("PATCH", "/apps/{app}/formation/{type}", Members),
    ("GET", "/apps/{app}/traffic", Members),
    ("GET", "/apps/{app}/placement", Members),
    ("PATCH", "/apps/{app}/placement", Members),
    ("GET", "/apps/{app}/routing", Members),
    ("PATCH", "/apps/{app}/routing", Members),
    ("GET", "/apps/{app}/dynos", Members),
    ("POST", "/apps/{app}/dynos", Members),
    ("DELETE", "/apps/{app}/dynos", Members),
    ("GET", "/apps/{app}/dynos/{dyno}", Members),
    ("POST", "/apps/{app}/dynos/{dyno}", Members),
    ("DELETE", "/apps/{app}/dynos/{dyno}", Members),
    ("POST", "/apps/{app}/dynos/{dyno}/actions/stop", Members),
    ("DELETE", "/apps/{app}/formations/{type}", Members),
    (
        "POST",
        "/apps/{app}/formations/{type}/actions/stop",
        Members,
    ),
    ("GET", "/apps/{app}/domains", Members),
    ("POST", "/apps/{app}/domains", Members),
    ("GET", "/apps/{app}/domains/{domain}", Members),
    ("PATCH", "/apps/{app}/domains/{domain}", Members),
    ("DELETE", "/apps/{app}/domains/{domain}", Members),
    ("GET", "/apps/{app}/sni-endpoints", Members),
    ("POST", "/apps/{app}/sni-endpoints", Members),
    ("GET", "/apps/{app}/sni-endpoints/{sni_endpoint}", Members),
    ("PATCH", "/apps/{app}/sni-endpoints/{sni_endpoint}", Members),
    (
        "DELETE",
        "/apps/{app}/sni-endpoints/{sni_endpoint}",
        Members,
    ),
    ("POST", "/apps/{app}/acm", Members),
    ("PATCH", "/apps/{app}/acm", Members),
    ("DELETE", "/apps/{app}/acm", Members),
    ("GET", "/apps/{app}/collaborators", Members),
    ("POST", "/apps/{app}/collaborators", Owners),
    ("GET", "/apps/{app}/collaborators/{user}", Members),
    ("PATCH", "/apps/{app}/collaborators/{user}", Owners),
    ("DELETE", "/apps/{app}/collaborators/{user}", Members),
    ("GET", "/apps/{app}/log-drains", Members),
    ("POST", "/apps/{app}/log-drains", Members),
    ("GET", "/apps/{app}/log-drains/{drain}", Members),
    ("PUT", "/apps/{app}/log-drains/{drain}", Members),
    ("DELETE", "/apps/{app}/log-drains/{drain}", Members),
    ("POST", "/apps/{app}/log-sessions", Members),
    ("GET", "/streams/logs/{token}", Anybody),
    ("GET", "/attach/{secret}", Anybody),
    ("GET", "/apps/{app}/webhooks", Members),
    ("POST", "/apps/{app}/webhooks", Members),
    ("GET", "/apps/{app}/webhooks/{webhook}", Members),
    ("PATCH", "/apps/{app}/webhooks/{webhook}", Members),
    ("DELETE", "/apps/{app}/webhooks/{webhook}", Members),
    ("GET", "/apps/{app}/webhook-deliveries", Members),
    ("GET", "/apps/{app}/webhook-deliveries/{delivery}", Members),
    ("GET", "/apps/{app}/webhook-events", Members),
    ("GET", "/apps/{app}/webhook-events/{event}", Members),
    ("GET", "/stacks", AnyAccount),
    ("GET", "/stacks/{stack}", AnyAccount),
    ("GET", "/regions", AnyAccount),
    ("GET", "/regions/{region}", AnyAccount),
    ("GET", "/dyno-sizes", AnyAccount),
    ("GET", "/dyno-sizes/{size}", AnyAccount),
    ("GET", "/platform/status", Administrators),
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
    ("GET", "/apps/{app}/audit-entries", Owners),
    ("GET", "/audit-chain", Administrators),
    ("GET", "/nodes", Administrators),
    ("GET", "/nodes/{node}", Administrators),
    ("PATCH", "/nodes/{node}", Administrators),
    ("DELETE", "/nodes/{node}", Administrators),
    ("POST", "/node-tokens", Administrators),
    ("POST", "/nodes", Anybody),
    ("GET", "/account/features", AnyAccount),
    ("GET", "/addon-services", AnyAccount),
    ("GET", "/spaces", AnyAccount),
    ("GET", "/addons", AnyAccount),
    ("GET", "/addon-attachments", AnyAccount),
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
    ("GET", "/apps/{app}/pipeline-couplings", Members),
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
    ("GET", "/apps/{app}/features", Members),
    ("GET", "/apps/{app}/features/{feature}", Members),
    ("PATCH", "/apps/{app}/features/{feature}", Members),
    ("GET", "/apps/{app}/*", Members),
    ("POST", "/internal/logs", OtherRoles),
    ("POST", "/internal/logs/read", OtherRoles),
    ("POST", "/internal/drains", OtherRoles),
    ("GET", "/internal/attach/{secret}", OtherRoles),
    ("POST", "/internal/certificates", OtherRoles),
];

const LISTS_OF_NOTHING: [&str; 2] = ["addons", "addon-attachments"];

fn expected(method: &Method, path: &str) -> Who {
    let path = match path.strip_prefix("/apps/{app}/") {
        Some(rest) if LISTS_OF_NOTHING.contains(&rest) => "/apps/{app}/*",
        _ => path,
    };
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
        (_, Nobody | Internal) => Some(401),
        (AnyAccount, _)
        | (Administrators | Members | Owners | InTeam | TeamAdmins, Administrator)
        | (Members | Owners | InTeam | TeamAdmins, Owner) => None,
        (Administrators, _) | (Owners | TeamAdmins, Collaborator) => Some(403),
        (Members | InTeam, Collaborator) => None,
        (Members | Owners | InTeam | TeamAdmins, Stranger) => Some(404),
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
            assert_eq!(
                matches!(rule, Rule::Internal),
                who == OtherRoles,
                "{method} {path}"
            );
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
            if method == Method::DELETE && *path == "/teams/{team}" && answer.status == 200 {
                fresh_team().await;
            }
        }
    }
    assert_eq!(
        rules.len(),
        EXPECTED.len() - 1 + LISTS_OF_NOTHING.len(),
        "an endpoint went: take it off the list"
    );
}

fn concrete(path: &str, app: &str) -> String {
    let mut concrete = path.replace("{app}", app).replace("{user}", "~");
    for (placeholder, value) in [
        ("{account}", "0"),
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
