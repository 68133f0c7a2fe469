//! Every endpoint, with the rule about who may use it.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodFilter, on};
use model::Permission::{self, Manage, Operate, View};
use model::TeamRole::{self, Collaborator, Viewer};

use crate::context::Ctx;
use crate::error::ApiError;
use crate::guard::{Guard, enforce};
use crate::handlers::{
    accounts, addon_providers, addon_services, addons, app_setups, apps, attachments, audit,
    authorizations, browser_login, buildpacks, builds, certificates, collaborators, config_vars,
    domains, dynos, empty, features, formation, internal, invitations, joining, keys, log_drains,
    logs, nodes, notice, oidc, pipelines, placement, platform, platform_certificate,
    platform_status, promotions, rebalance, registry, releases, review_apps, routers, routing,
    second_factor, slugs, sources, tcp_routes, team_apps, team_members, teams, terminals,
    transfers, webhooks,
};
use crate::http::body::MAX_BODY_BYTES;
use crate::http::{etag, plaintext, request_id};
use crate::scope::{enrols, needed};

/// Who may use an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Anybody; the endpoint itself looks at what was brought (a password, a secret in the path).
    Public,
    /// Whoever has a token.
    Account,
    /// Administrators of the platform.
    Admin,
    /// Whoever has this permission on the app of the path; to strangers the app does not exist.
    App(Permission),
    /// Whoever has this role in the team of the path, or more; to strangers the team does not exist.
    Team(TeamRole),
    /// The provider of the add-on of the path, and, if one is named, whoever has this permission on the add-on's app.
    Addon(Option<Permission>),
    /// The platform's other roles, and never through a router.
    Internal,
}

use Rule::{Account, Addon, Admin, App, Internal, Public, Team};

#[rustfmt::skip]
fn table(r: &mut Routes) {
    r.get("/healthz", Public, platform::health);
    r.post("/oauth/authorizations", Public, authorizations::create);
    r.get("/oauth/authorizations", Account, authorizations::list);
    r.get("/oauth/authorizations/{authorization}", Account, authorizations::show);
    r.patch("/oauth/authorizations/{authorization}", Account, authorizations::update);
    r.delete("/oauth/authorizations/{authorization}", Account, authorizations::revoke);
    r.post("/oauth/authorizations/{authorization}/actions/regenerate-tokens", Account, authorizations::rotate);
    r.delete("/oauth/sessions/{session}", Account, authorizations::end_session);

    // The secret of the path, the terminal's token or the browser's cookie is what lets in.
    r.post("/auth", Public, terminals::begin);
    r.get("/auth/cli/{login}", Public, terminals::wait);
    r.get("/auth/browser/{login}", Public, browser_login::show);
    r.post("/auth/browser/{login}", Public, browser_login::identify);
    r.post("/auth/browser/{login}/decision", Public, browser_login::decide);

    r.get("/auth/browser/{login}/provider", Public, oidc::depart);
    r.get("/auth/callback", Public, oidc::arrive);
    r.get("/auth/invitation/{token}", Public, invitations::show);
    r.post("/auth/invitation/{token}", Public, invitations::take_up);
    r.get("/account-invitations", Admin, invitations::list);
    r.post("/account-invitations", Admin, invitations::create);
    r.delete("/account-invitations/{invitation}", Admin, invitations::revoke);
    r.post("/account-invitations/actions/accept", Public, invitations::accept);

    r.post("/accounts", Admin, accounts::create);
    r.get("/account", Account, accounts::show);
    r.patch("/account", Account, accounts::update);
    r.get("/users/{user}", Account, accounts::show_user);
    r.patch("/users/{user}", Account, accounts::update_user);
    r.get("/account/rate-limits", Account, accounts::rate_limit);
    r.get("/account/two-factor", Account, second_factor::show);
    r.post("/account/two-factor", Account, second_factor::enrol);
    r.post("/account/two-factor/actions/confirm", Account, second_factor::confirm);
    r.post("/account/two-factor/actions/disable", Account, second_factor::disable);
    r.post("/account/two-factor/recovery-codes", Account, second_factor::renew_recovery_codes);
    r.delete("/accounts/{account}/two-factor", Admin, second_factor::reset);
    r.delete("/accounts/{account}/identity", Admin, accounts::unlink);
    r.post("/account-identities/actions/unlink", Admin, accounts::unlink_issuer);
    r.post("/accounts/{account}/actions/suspend", Admin, accounts::suspend);
    r.post("/accounts/{account}/actions/resume", Admin, accounts::resume);
    r.put("/apps/{app}/pre-authorizations", App(View), second_factor::pre_authorize);
    r.get("/account/keys", Account, keys::list);
    r.post("/account/keys", Account, keys::create);
    r.get("/account/keys/{key}", Account, keys::show);
    r.delete("/account/keys/{key}", Account, keys::remove);

    r.get("/apps", Account, apps::list);
    r.get("/users/{user}/apps", Account, apps::list_of_user);
    r.post("/apps", Account, apps::create);
    r.get("/apps/{app}", App(View), apps::show);
    r.patch("/apps/{app}", App(Operate), apps::update);
    r.delete("/apps/{app}", App(Manage), apps::destroy);

    r.get("/apps/{app}/config-vars", App(Operate), config_vars::show);
    r.patch("/apps/{app}/config-vars", App(Operate), config_vars::update);

    r.get("/apps/{app}/releases", App(View), releases::list);
    r.post("/apps/{app}/releases", App(Permission::Deploy), releases::create);
    r.get("/apps/{app}/releases/{release}", App(View), releases::show);
    r.get("/apps/{app}/releases/{release}/config-vars", App(Operate), releases::config_vars);
    r.get("/apps/{app}/releases/{release}/failure", App(View), releases::failure);
    r.get("/apps/{app}/slugs/{slug}", App(View), slugs::show);
    r.get("/apps/{app}/builds", App(View), builds::list);
    r.post("/apps/{app}/builds", App(Permission::Deploy), builds::create);
    r.get("/apps/{app}/builds/{build}", App(View), builds::show);
    r.delete("/apps/{app}/builds/{build}", App(Permission::Deploy), builds::cancel);
    r.delete("/apps/{app}/build-cache", App(Permission::Deploy), builds::purge_cache);
    r.get("/streams/builds/{token}", Public, builds::output);
    r.get("/apps/{app}/buildpack-installations", App(View), buildpacks::list);
    r.put("/apps/{app}/buildpack-installations", App(Operate), buildpacks::replace);

    // Whose app is set up, its handler looks at.
    r.post("/app-setups", Account, app_setups::create);
    r.get("/app-setups/{setup}", Account, app_setups::show);
    r.post("/sources", Account, sources::create);
    r.post("/apps/{app}/sources", App(View), sources::create_for_app);
    r.put("/sources/{token}", Public, sources::upload);
    r.get("/sources/{token}", Public, sources::download);

    r.get("/buildpacks", Public, registry::search);
    r.get("/buildpacks/{buildpack}", Public, registry::show);

    r.get("/apps/{app}/formation", App(View), formation::list);
    r.patch("/apps/{app}/formation", App(Operate), formation::update_all);
    r.get("/apps/{app}/formation/{type}", App(View), formation::show);
    r.patch("/apps/{app}/formation/{type}", App(Operate), formation::update);
    r.get("/apps/{app}/traffic", App(View), routers::of_app);
    r.get("/apps/{app}/placement", App(View), placement::show);
    r.patch("/apps/{app}/placement", App(Operate), placement::update);
    r.get("/apps/{app}/routing", App(View), routing::show);
    r.patch("/apps/{app}/routing", App(Operate), routing::update);
    r.get("/apps/{app}/features", App(View), features::list);
    r.get("/apps/{app}/features/{feature}", App(View), features::show);
    r.patch("/apps/{app}/features/{feature}", App(Operate), features::update);
    r.get("/apps/{app}/dynos", App(View), dynos::list);
    r.post("/apps/{app}/dynos", App(Operate), dynos::create);
    r.delete("/apps/{app}/dynos", App(Operate), dynos::restart_all);
    r.get("/apps/{app}/dynos/{dyno}", App(View), dynos::show);
    r.post("/apps/{app}/dynos/{dyno}", App(Operate), dynos::run_inside);
    r.delete("/apps/{app}/dynos/{dyno}", App(Operate), dynos::restart);
    r.post("/apps/{app}/dynos/{dyno}/actions/stop", App(Operate), dynos::stop);
    r.delete("/apps/{app}/formations/{type}", App(Operate), dynos::restart_type);
    r.post("/apps/{app}/formations/{type}/actions/stop", App(Operate), dynos::stop_type);

    r.get("/apps/{app}/domains", App(View), domains::list);
    r.post("/apps/{app}/domains", App(Operate), domains::create);
    r.get("/apps/{app}/domains/{domain}", App(View), domains::show);
    r.patch("/apps/{app}/domains/{domain}", App(Operate), domains::update);
    r.delete("/apps/{app}/domains/{domain}", App(Operate), domains::remove);
    r.get("/apps/{app}/sni-endpoints", App(View), certificates::list);
    r.post("/apps/{app}/sni-endpoints", App(Operate), certificates::create);
    r.get("/apps/{app}/sni-endpoints/{sni_endpoint}", App(View), certificates::show);
    r.patch("/apps/{app}/sni-endpoints/{sni_endpoint}", App(Operate), certificates::update);
    r.delete("/apps/{app}/sni-endpoints/{sni_endpoint}", App(Operate), certificates::remove);
    r.post("/apps/{app}/acm", App(Operate), certificates::enable_acm);
    r.patch("/apps/{app}/acm", App(Operate), certificates::refresh_acm);
    r.delete("/apps/{app}/acm", App(Operate), certificates::disable_acm);
    r.get("/apps/{app}/collaborators", App(View), collaborators::list);
    r.post("/apps/{app}/collaborators", App(Manage), collaborators::create);
    r.get("/apps/{app}/collaborators/{user}", App(View), collaborators::show);
    r.patch("/apps/{app}/collaborators/{user}", App(Manage), collaborators::update);
    // Whoever may see an app may leave it; the action asks for more when somebody else is removed.
    r.delete("/apps/{app}/collaborators/{user}", App(View), collaborators::remove);

    r.get("/teams", Account, teams::list);
    r.post("/teams", Account, teams::create);
    r.get("/teams/permissions", Account, team_apps::permissions);
    r.get("/teams/{team}", Team(Collaborator), teams::show);
    r.patch("/teams/{team}", Team(TeamRole::Admin), teams::update);
    r.delete("/teams/{team}", Team(TeamRole::Admin), teams::destroy);
    r.get("/teams/{team}/features", Team(Collaborator), teams::features);
    r.get("/teams/{team}/invitations", Team(Viewer), teams::no_invitations);
    r.get("/teams/{team}/preferences", Team(Viewer), teams::preferences);
    r.get("/teams/{team}/members", Team(Viewer), team_members::list);
    r.put("/teams/{team}/members", Team(TeamRole::Admin), team_members::set);
    r.post("/teams/{team}/members", Team(TeamRole::Admin), team_members::create);
    r.patch("/teams/{team}/members", Team(TeamRole::Admin), team_members::update);
    // Whoever is in a team may leave it; the handler asks for more when somebody else is removed.
    r.delete("/teams/{team}/members/{member}", Team(Viewer), team_members::remove);
    r.get("/teams/{team}/members/{member}/apps", Team(Viewer), team_members::apps);
    r.get("/teams/{team}/apps", Team(Viewer), team_apps::list);
    // Whose team it is to be, its action looks at.
    r.post("/teams/apps", Account, team_apps::create);
    r.get("/teams/apps/{app}", App(View), team_apps::show);
    r.patch("/teams/apps/{app}", App(Manage), team_apps::update);
    r.get("/teams/apps/{app}/collaborators", App(View), collaborators::list);
    // Whoever may see an app of his team may join it; the action asks for more when somebody else is let in.
    r.post("/teams/apps/{app}/collaborators", App(View), collaborators::create_of_team);
    r.get("/teams/apps/{app}/collaborators/{user}", App(View), collaborators::show);
    r.patch("/teams/apps/{app}/collaborators/{user}", App(Manage), collaborators::update);
    r.delete("/teams/apps/{app}/collaborators/{user}", App(View), collaborators::remove);

    r.get("/addon-services", Account, addon_services::list);
    r.post("/addon-services", Admin, addon_services::create);
    r.get("/addon-services/{service}", Account, addon_services::show);
    r.put("/addon-services/{service}", Admin, addon_services::replace);
    r.delete("/addon-services/{service}", Admin, addon_services::remove);
    r.get("/addon-services/{service}/plans", Account, addon_services::plans);
    r.get("/addon-services/{service}/plans/{plan}", Account, addon_services::plan_of);
    r.get("/plans/{plan}", Account, addon_services::plan);
    r.get("/addon-region-capabilities", Account, addon_services::region_capabilities);
    r.get("/addon-services/{service}/region-capabilities", Account, addon_services::region_capabilities_of);
    r.get("/regions/{region}/addon-region-capabilities", Account, addon_services::region_capabilities_in);
    r.get("/addons", Account, addons::list);
    r.get("/users/{user}/addons", Account, addons::list_of_user);
    r.get("/teams/{team}/addons", Team(Viewer), addons::list_of_team);
    r.get("/apps/{app}/addons", App(View), addons::list_of_app);
    r.post("/apps/{app}/addons", App(Operate), addons::create);
    r.get("/apps/{app}/addons/{addon}", App(View), addons::show_of_app);
    r.patch("/apps/{app}/addons/{addon}", App(Operate), addons::update);
    r.delete("/apps/{app}/addons/{addon}", App(Operate), addons::destroy);
    r.get("/apps/{app}/addons/{addon}/sso", App(Operate), addons::sso);
    r.post("/actions/addons/resolve", Account, addons::resolve);
    r.get("/addons/{addon}", Addon(Some(View)), addons::show);
    r.get("/addons/{addon}/addon-attachments", Addon(Some(View)), attachments::list_of_addon);
    r.get("/addons/{addon}/config", Addon(Some(Operate)), addon_providers::config);
    r.get("/addons/{addon}/config/{namespace}", Addon(Some(Operate)), addon_providers::config_of_namespace);
    r.patch("/addons/{addon}/config", Addon(None), addon_providers::set_config);
    r.get("/addons/{addon}/log-drains", Addon(Some(Operate)), addon_providers::log_drains);
    r.put("/addons/{addon}/log-drains/{drain}", Addon(None), addon_providers::set_log_drain);
    r.post("/addons/{addon}/actions/provision", Addon(None), addon_providers::provisioned);
    r.post("/addons/{addon}/actions/deprovision", Addon(None), addon_providers::not_provisioned);
    r.get("/addon-attachments", Account, attachments::list);
    // Whose app and whose add-on, its handler looks at.
    r.post("/addon-attachments", Account, attachments::create);
    r.get("/addon-attachments/{attachment}", Account, attachments::show);
    r.delete("/addon-attachments/{attachment}", Account, attachments::remove);
    r.get("/apps/{app}/addon-attachments", App(View), attachments::list_of_app);
    r.get("/apps/{app}/addon-attachments/{attachment}", App(View), attachments::show_of_app);
    r.post("/actions/addon-attachments/resolve", Account, attachments::resolve);
    // The grant that a provider was given, or the sealed link, is what lets in.
    r.post("/oauth/token", Public, addon_providers::token);
    r.get("/sso/{link}", Public, addon_providers::enter);
    r.get("/addons/{addon}/dashboard", Public, addon_providers::dashboard);

    // A drain's URL mostly holds a password: who may not see config vars sees no drains either.
    r.get("/apps/{app}/log-drains", App(Operate), log_drains::list);
    r.post("/apps/{app}/log-drains", App(Operate), log_drains::create);
    r.get("/apps/{app}/log-drains/{drain}", App(Operate), log_drains::show);
    r.put("/apps/{app}/log-drains/{drain}", App(Operate), log_drains::replace);
    r.delete("/apps/{app}/log-drains/{drain}", App(Operate), log_drains::remove);

    r.post("/apps/{app}/log-sessions", App(View), logs::create_session);
    r.get("/streams/logs/{token}", Public, logs::stream);
    r.get("/attach/{secret}", Public, dynos::attach);

    // Whose a pipeline is, and whose the apps in it, its handlers look at.
    r.get("/pipelines", Account, pipelines::list);
    r.post("/pipelines", Account, pipelines::create);
    r.get("/pipelines/{pipeline}", Account, pipelines::show);
    r.patch("/pipelines/{pipeline}", Account, pipelines::update);
    r.delete("/pipelines/{pipeline}", Account, pipelines::destroy);
    r.get("/pipelines/{pipeline}/pipeline-couplings", Account, pipelines::couplings);
    r.get("/users/{user}/pipeline-couplings", Account, pipelines::couplings_of_user);
    r.get("/apps/{app}/pipeline-couplings", App(View), pipelines::coupling_of_app);
    r.get("/pipeline-couplings", Account, pipelines::all_couplings);
    r.post("/pipeline-couplings", Account, pipelines::couple);
    r.get("/pipeline-couplings/{coupling}", Account, pipelines::show_coupling);
    r.patch("/pipeline-couplings/{coupling}", Account, pipelines::move_coupling);
    r.delete("/pipeline-couplings/{coupling}", Account, pipelines::remove_coupling);
    r.post("/pipeline-promotions", Account, promotions::create);
    r.get("/pipeline-promotions/{promotion}", Account, promotions::show);
    r.get("/pipeline-promotions/{promotion}/promotion-targets", Account, promotions::targets);
    r.get("/pipelines/{pipeline}/review-app-config", Account, review_apps::show_config);
    r.post("/pipelines/{pipeline}/review-app-config", Account, review_apps::enable);
    r.patch("/pipelines/{pipeline}/review-app-config", Account, review_apps::update);
    r.delete("/pipelines/{pipeline}/review-app-config", Account, review_apps::disable);
    r.get("/pipelines/{pipeline}/review-apps", Account, review_apps::list);
    r.post("/review-apps", Account, review_apps::create);
    r.get("/review-apps/{review_app}", Account, review_apps::show);
    r.delete("/review-apps/{review_app}", Account, review_apps::destroy);
    r.get("/apps/{app}/review-app", App(View), review_apps::of_app);
    r.get("/account/features/dashboard-repositories-api", Account, review_apps::repositories_feature);
    r.post("/pipeline-transfers", Account, transfers::pipeline);
    r.post("/filters/apps", Account, apps::filter);
    r.get("/account/app-transfers", Account, transfers::list);
    r.post("/account/app-transfers", Account, transfers::create);
    r.get("/account/app-transfers/{transfer}", Account, transfers::show);
    r.patch("/account/app-transfers/{transfer}", Account, transfers::decide);
    r.delete("/account/app-transfers/{transfer}", Account, transfers::take_back);

    // As a drain's: whoever knows the URL of a chat's webhook may write there.
    r.get("/apps/{app}/webhooks", App(Operate), webhooks::list);
    r.post("/apps/{app}/webhooks", App(Operate), webhooks::create);
    r.get("/apps/{app}/webhooks/{webhook}", App(Operate), webhooks::show);
    r.patch("/apps/{app}/webhooks/{webhook}", App(Operate), webhooks::update);
    r.delete("/apps/{app}/webhooks/{webhook}", App(Operate), webhooks::remove);
    r.get("/apps/{app}/webhook-deliveries", App(View), webhooks::deliveries);
    r.get("/apps/{app}/webhook-deliveries/{delivery}", App(View), webhooks::delivery);
    r.get("/apps/{app}/webhook-events", App(View), webhooks::events);
    r.get("/apps/{app}/webhook-events/{event}", App(View), webhooks::event);

    r.get("/stacks", Account, platform::stacks);
    r.get("/stacks/{stack}", Account, platform::stack);
    r.get("/regions", Account, platform::regions);
    r.get("/regions/{region}", Account, platform::region);
    r.get("/dyno-sizes", Account, platform::dyno_sizes);
    r.get("/dyno-sizes/{size}", Account, platform::dyno_size);
    r.get("/platform/status", Admin, platform_status::show);
    r.get("/platform/notice", Admin, notice::show);
    r.put("/platform/notice", Admin, notice::say);
    r.delete("/platform/notice", Admin, notice::withdraw);
    r.get("/platform/routers", Admin, routers::list);
    r.get("/platform/certificate", Admin, platform_certificate::show);
    r.put("/platform/certificate", Admin, platform_certificate::replace);
    r.get("/tcp-routes", Admin, tcp_routes::list);
    r.post("/tcp-routes", Admin, tcp_routes::create);
    r.delete("/tcp-routes/{port}", Admin, tcp_routes::remove);
    r.get("/platform/rebalance", Admin, rebalance::show);
    r.post("/platform/rebalance", Admin, rebalance::request);
    r.delete("/platform/rebalance", Admin, rebalance::stop);
    r.get("/audit-entries", Admin, audit::list);
    r.get("/apps/{app}/audit-entries", App(Manage), audit::list_of_app);
    r.get("/audit-chain", Admin, audit::chain);
    r.get("/nodes", Admin, nodes::list);
    r.get("/nodes/{node}", Admin, nodes::show);
    r.patch("/nodes/{node}", Admin, nodes::update);
    r.delete("/nodes/{node}", Admin, joining::remove);
    r.post("/node-tokens", Admin, joining::create_token);
    r.post("/nodes", Public, joining::join);

    // What there is none of yet: clients list it in passing.
    r.get("/account/features", Account, empty::list);
    r.get("/spaces", Account, empty::list);
    r.get("/oauth/clients", Account, empty::list);
    r.get("/oauth/sessions", Account, empty::list);

    r.post("/internal/logs", Internal, internal::logs);
    r.post("/internal/logs/read", Internal, internal::read_logs);
    r.post("/internal/drains", Internal, internal::drains);
    r.get("/internal/attach/{secret}", Internal, internal::attach);
    r.post("/internal/certificates", Internal, joining::renew);
}

/// Every endpoint's method, path and rule.
pub fn rules() -> Vec<(Method, &'static str, Rule)> {
    let mut routes = Routes {
        context: None,
        router: Router::new(),
        rules: Vec::new(),
    };
    table(&mut routes);
    routes.rules
}

pub(crate) fn router(context: &Ctx) -> Router {
    let mut routes = Routes {
        context: Some(context.clone()),
        router: Router::new(),
        rules: Vec::new(),
    };
    table(&mut routes);
    routes
        .router
        .fallback(async || ApiError::no_endpoint())
        .method_not_allowed_fallback(async || ApiError::no_endpoint())
        .layer(from_fn_with_state(context.clone(), plaintext::layer))
        .layer(from_fn(etag::layer))
        .layer(from_fn(request_id::layer))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(context.clone())
}

struct Routes {
    /// Absent when only the rules are asked for.
    context: Option<Ctx>,
    router: Router<Ctx>,
    rules: Vec<(Method, &'static str, Rule)>,
}

impl Routes {
    fn add<T: 'static>(
        &mut self,
        method: Method,
        path: &'static str,
        rule: Rule,
        handler: impl Handler<T, Ctx>,
    ) {
        if let (Some(context), Ok(filter)) = (&self.context, MethodFilter::try_from(method.clone()))
        {
            let guard = Guard {
                context: context.clone(),
                rule,
                need: needed(&method, path, rule),
                path,
                enrols: enrols(&method, path),
            };
            let route = on(filter, handler).layer(from_fn_with_state(guard, enforce));
            self.router = std::mem::take(&mut self.router).route(path, route);
        }
        self.rules.push((method, path, rule));
    }

    fn get<T: 'static>(&mut self, path: &'static str, rule: Rule, handler: impl Handler<T, Ctx>) {
        self.add(Method::GET, path, rule, handler);
    }

    fn post<T: 'static>(&mut self, path: &'static str, rule: Rule, handler: impl Handler<T, Ctx>) {
        self.add(Method::POST, path, rule, handler);
    }

    fn put<T: 'static>(&mut self, path: &'static str, rule: Rule, handler: impl Handler<T, Ctx>) {
        self.add(Method::PUT, path, rule, handler);
    }

    fn patch<T: 'static>(&mut self, path: &'static str, rule: Rule, handler: impl Handler<T, Ctx>) {
        self.add(Method::PATCH, path, rule, handler);
    }

    fn delete<T: 'static>(
        &mut self,
        path: &'static str,
        rule: Rule,
        handler: impl Handler<T, Ctx>,
    ) {
        self.add(Method::DELETE, path, rule, handler);
    }
}
