//! What each endpoint asks of a token. One that is on no list asks for the most that its rule could mean, so an endpoint
//! that is added without a thought is kept from tokens that were meant for less.

use axum::http::Method;
use model::scope::Need;

use crate::routes::Rule;

pub(crate) fn needed(method: &Method, path: &str, rule: Rule) -> Need {
    let is_on = |list: &[(Method, &str)]| {
        list.iter()
            .any(|(listed, of)| listed == method && *of == path)
    };
    match rule {
        Rule::Public | Rule::Internal => Need::Identity,
        Rule::Admin => Need::Global,
        // It logs whoever asks in at the provider's.
        Rule::App(_) if path.ends_with("/sso") => Need::WriteProtected,
        Rule::Account if is_on(IDENTITY) => Need::Identity,
        Rule::Account | Rule::App(_) if is_on(READ) => Need::Read,
        Rule::Account | Rule::App(_) if is_on(WRITE) => Need::Write,
        Rule::Account if is_on(WRITE_PROTECTED) => Need::WriteProtected,
        Rule::Team(_) if method == Method::GET => Need::Read,
        Rule::Addon(_) if is_on(READ) => Need::Read,
        Rule::Addon(_) if method == Method::GET => Need::ReadProtected,
        Rule::Addon(_) => Need::WriteProtected,
        // Who is in a team decides who may do what with all its apps.
        Rule::Account | Rule::Team(_) => Need::Global,
        Rule::App(_) if method == Method::GET => Need::ReadProtected,
        Rule::App(_) => Need::WriteProtected,
    }
}

/// Whether it takes no second factor, though one is asked of the account: getting one, and leaving.
pub(crate) fn enrols(method: &Method, path: &str) -> bool {
    path == "/account/two-factor"
        || path == "/account/two-factor/actions/confirm"
        || (method == Method::GET && path == "/account")
        || (method == Method::DELETE && path.starts_with("/oauth/"))
}

const IDENTITY: &[(Method, &str)] = &[
    (Method::GET, "/account"),
    (Method::GET, "/account/rate-limits"),
    (Method::GET, "/users/{user}"),
    // Of others than the token itself, the handler asks for more.
    (Method::DELETE, "/oauth/authorizations/{authorization}"),
];

const READ: &[(Method, &str)] = &[
    (Method::GET, "/account/features"),
    (Method::GET, "/account/features/dashboard-repositories-api"),
    (Method::POST, "/actions/addon-attachments/resolve"),
    (Method::POST, "/actions/addons/resolve"),
    (Method::GET, "/addon-attachments"),
    (Method::GET, "/addon-attachments/{attachment}"),
    (Method::GET, "/addon-region-capabilities"),
    (Method::GET, "/addon-services"),
    (Method::GET, "/addon-services/{service}"),
    (Method::GET, "/addon-services/{service}/plans"),
    (Method::GET, "/addon-services/{service}/plans/{plan}"),
    (Method::GET, "/addon-services/{service}/region-capabilities"),
    (Method::GET, "/addons"),
    (Method::GET, "/addons/{addon}"),
    (Method::GET, "/addons/{addon}/addon-attachments"),
    (Method::GET, "/apps"),
    (Method::GET, "/apps/{app}"),
    (Method::GET, "/apps/{app}/addon-attachments"),
    (Method::GET, "/apps/{app}/addon-attachments/{attachment}"),
    (Method::GET, "/apps/{app}/addons"),
    (Method::GET, "/apps/{app}/addons/{addon}"),
    (Method::GET, "/apps/{app}/buildpack-installations"),
    (Method::GET, "/apps/{app}/builds"),
    (Method::GET, "/apps/{app}/builds/{build}"),
    (Method::GET, "/apps/{app}/collaborators"),
    (Method::GET, "/apps/{app}/collaborators/{user}"),
    (Method::GET, "/apps/{app}/domains"),
    (Method::GET, "/apps/{app}/domains/{domain}"),
    (Method::GET, "/apps/{app}/dynos"),
    (Method::GET, "/apps/{app}/dynos/{dyno}"),
    (Method::GET, "/apps/{app}/features"),
    (Method::GET, "/apps/{app}/features/{feature}"),
    (Method::GET, "/apps/{app}/formation"),
    (Method::GET, "/apps/{app}/formation/{type}"),
    (Method::GET, "/apps/{app}/pipeline-couplings"),
    (Method::GET, "/apps/{app}/placement"),
    (Method::GET, "/apps/{app}/review-app"),
    (Method::GET, "/apps/{app}/routing"),
    (Method::GET, "/apps/{app}/slugs/{slug}"),
    (Method::GET, "/apps/{app}/sni-endpoints"),
    (Method::GET, "/apps/{app}/sni-endpoints/{sni_endpoint}"),
    (Method::GET, "/apps/{app}/traffic"),
    (Method::POST, "/apps/{app}/log-sessions"),
    (Method::GET, "/dyno-sizes"),
    (Method::GET, "/dyno-sizes/{size}"),
    (Method::POST, "/filters/apps"),
    (Method::GET, "/pipeline-couplings"),
    (Method::GET, "/pipeline-couplings/{coupling}"),
    (Method::GET, "/pipeline-promotions/{promotion}"),
    (
        Method::GET,
        "/pipeline-promotions/{promotion}/promotion-targets",
    ),
    (Method::GET, "/pipelines"),
    (Method::GET, "/pipelines/{pipeline}"),
    (Method::GET, "/pipelines/{pipeline}/pipeline-couplings"),
    (Method::GET, "/pipelines/{pipeline}/review-app-config"),
    (Method::GET, "/pipelines/{pipeline}/review-apps"),
    (Method::GET, "/plans/{plan}"),
    (Method::GET, "/regions"),
    (Method::GET, "/regions/{region}"),
    (Method::GET, "/regions/{region}/addon-region-capabilities"),
    (Method::GET, "/review-apps/{review_app}"),
    (Method::GET, "/spaces"),
    (Method::GET, "/stacks"),
    (Method::GET, "/stacks/{stack}"),
    (Method::GET, "/teams"),
    (Method::GET, "/teams/apps/{app}"),
    (Method::GET, "/teams/apps/{app}/collaborators"),
    (Method::GET, "/teams/apps/{app}/collaborators/{user}"),
    (Method::GET, "/teams/permissions"),
    (Method::GET, "/users/{user}/addons"),
    (Method::GET, "/users/{user}/apps"),
    (Method::GET, "/users/{user}/pipeline-couplings"),
];

const WRITE: &[(Method, &str)] = &[
    (Method::POST, "/apps"),
    (Method::PATCH, "/apps/{app}"),
    (Method::DELETE, "/apps/{app}"),
    (Method::POST, "/apps/{app}/acm"),
    (Method::PATCH, "/apps/{app}/acm"),
    (Method::DELETE, "/apps/{app}/acm"),
    (Method::DELETE, "/apps/{app}/build-cache"),
    (Method::DELETE, "/apps/{app}/builds/{build}"),
    (Method::POST, "/apps/{app}/domains"),
    (Method::PATCH, "/apps/{app}/domains/{domain}"),
    (Method::DELETE, "/apps/{app}/domains/{domain}"),
    (Method::DELETE, "/apps/{app}/dynos"),
    (Method::DELETE, "/apps/{app}/dynos/{dyno}"),
    (Method::POST, "/apps/{app}/dynos/{dyno}/actions/stop"),
    (Method::PATCH, "/apps/{app}/features/{feature}"),
    (Method::PATCH, "/apps/{app}/formation"),
    (Method::PATCH, "/apps/{app}/formation/{type}"),
    (Method::DELETE, "/apps/{app}/formations/{type}"),
    (Method::POST, "/apps/{app}/formations/{type}/actions/stop"),
    (Method::PATCH, "/apps/{app}/placement"),
    (Method::POST, "/apps/{app}/sni-endpoints"),
    (Method::PATCH, "/apps/{app}/sni-endpoints/{sni_endpoint}"),
    (Method::DELETE, "/apps/{app}/sni-endpoints/{sni_endpoint}"),
    (Method::POST, "/apps/{app}/sources"),
    (Method::POST, "/pipeline-couplings"),
    (Method::PATCH, "/pipeline-couplings/{coupling}"),
    (Method::DELETE, "/pipeline-couplings/{coupling}"),
    (Method::POST, "/pipelines"),
    (Method::PATCH, "/pipelines/{pipeline}"),
    (Method::DELETE, "/pipelines/{pipeline}"),
    (Method::POST, "/pipelines/{pipeline}/review-app-config"),
    (Method::PATCH, "/pipelines/{pipeline}/review-app-config"),
    (Method::DELETE, "/pipelines/{pipeline}/review-app-config"),
    (Method::DELETE, "/review-apps/{review_app}"),
    (Method::POST, "/sources"),
    (Method::POST, "/teams/apps"),
];

/// A release of another app's code, or an app with config of its own. What a script printed may be a secret.
const WRITE_PROTECTED: &[(Method, &str)] = &[
    (Method::POST, "/addon-attachments"),
    (Method::DELETE, "/addon-attachments/{attachment}"),
    (Method::POST, "/app-setups"),
    (Method::GET, "/app-setups/{setup}"),
    (Method::POST, "/pipeline-promotions"),
    (Method::POST, "/review-apps"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_name_endpoints_that_there_are() {
        let rules = crate::routes::rules();
        let all = IDENTITY
            .iter()
            .chain(READ)
            .chain(WRITE)
            .chain(WRITE_PROTECTED);
        for (method, path) in all {
            let is_there = |(of, at, _): &&(Method, &str, Rule)| of == method && at == path;
            assert!(rules.iter().any(|rule| is_there(&rule)), "{method} {path}");
        }
    }

    #[test]
    fn what_secrets_can_be_read_by_is_protected() {
        for (method, path, rule) in crate::routes::rules() {
            let need = needed(&method, path, rule);
            let secrets = [
                "buildpack-installations",
                "routing",
                "config-vars",
                "releases",
                "collaborators",
                "log-drains",
                "webhooks",
                "addon",
            ];
            let is_run = method == Method::POST
                && (path.ends_with("/dynos") || path.ends_with("/dynos/{dyno}"));
            let touches = is_run || secrets.iter().any(|word| path.contains(word));
            // Looking something up takes a body, and does nothing.
            let is_lookup = path.ends_with("/resolve");
            if touches && method != Method::GET && !is_lookup {
                assert!(
                    matches!(need, Need::WriteProtected | Need::Global),
                    "{method} {path}"
                );
            }
            if path.contains("config-vars") || path.contains("/releases") {
                assert!(!matches!(need, Need::Read | Need::Write), "{method} {path}");
            }
            // Its handler has a test of its own.
            let is_revocation =
                method == Method::DELETE && path == "/oauth/authorizations/{authorization}";
            if path.starts_with("/oauth") && rule == Rule::Account && !is_revocation {
                assert_eq!(need, Need::Global, "{method} {path}");
            }
        }
    }
}
