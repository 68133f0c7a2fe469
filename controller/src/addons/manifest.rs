//! What an operator says of a service: the manifest of Heroku's Add-on Partner API, and under `$paas` what Heroku keeps
//! elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use model::addon::{Plan, Price, ProviderSecrets};
use model::{AddonServiceName, AttachmentName, ConfigVarName, PlanId, PlanName, Secret};
use serde::Deserialize;
use serde_json::Value;
use url::{Host, Url};

const MAX_PLANS: usize = 100;
const MAX_CONFIG_VARS: usize = 100;
const MAX_URL: usize = 2000;
/// What a provider could ask for that add-ons do not get here.
const NOT_GIVEN: &str = "log_input";

/// A service as its manifest has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) name: AddonServiceName,
    pub(crate) human_name: String,
    pub(crate) base_url: String,
    pub(crate) sso_url: Option<String>,
    pub(crate) secrets: ProviderSecrets,
    pub(crate) prefix: AttachmentName,
    pub(crate) config_vars: BTreeSet<ConfigVarName>,
    pub(crate) many_per_app: bool,
    pub(crate) attachable: bool,
    pub(crate) takes_logs: bool,
    pub(crate) tells_status: bool,
    pub(crate) plans: Vec<Plan>,
}

#[derive(Debug, Deserialize)]
struct Given {
    id: String,
    name: Option<String>,
    api: Api,
    #[serde(rename = "$paas", default)]
    paas: Ours,
}

#[derive(Debug, Deserialize)]
struct Api {
    config_vars_prefix: Option<String>,
    #[serde(default)]
    config_vars: Vec<String>,
    password: String,
    sso_salt: Option<String>,
    client_secret: Option<String>,
    #[serde(default)]
    requires: Vec<String>,
    production: Urls,
    version: Option<Value>,
}

/// As an object, or, in manifests of old, as the base URL alone.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Urls {
    Base(String),
    Both {
        base_url: String,
        sso_url: Option<String>,
    },
}

#[derive(Debug, Default, Deserialize)]
struct Ours {
    #[serde(default)]
    plans: Vec<GivenPlan>,
    #[serde(default)]
    status_path: bool,
    /// Over plain http to other places than this very host, too.
    #[serde(default)]
    allow_http: bool,
}

#[derive(Debug, Deserialize)]
struct GivenPlan {
    name: String,
    human_name: Option<String>,
    description: Option<String>,
    #[serde(default)]
    default: bool,
    price: Option<Price>,
}

/// # Errors
/// In words for whoever wrote it: what is wrong, and where.
pub(crate) fn parse(manifest: &Value) -> Result<Manifest, String> {
    // Where, and not what: the words of such an error have the value, which may be a password.
    let given: Given = serde_path_to_error::deserialize(manifest.clone()).map_err(|error| {
        let missing = error.inner().to_string();
        let missing = missing.strip_prefix("missing field ");
        let at = error.path();
        match missing {
            Some(field) => format!("The manifest lacks {field} at {at}."),
            None => format!("The manifest is not as expected at {at}."),
        }
    })?;
    let name: AddonServiceName = valid("id", given.id.parse())?;
    let api = given.api;
    if let Some(version) = &api.version
        && version.as_str() != Some("3")
        && version.as_u64() != Some(3)
    {
        return Err(format!(
            "api.version is {version}; version 3 of the Add-on Partner API is spoken here."
        ));
    }
    let requires = |what: &str| api.requires.iter().any(|asked| asked == what);
    if requires(NOT_GIVEN) {
        return Err(format!(
            "api.requires has {NOT_GIVEN}, which add-ons do not get here. Where the service does without, leave it out."
        ));
    }
    let prefix = match &api.config_vars_prefix {
        Some(prefix) => valid("api.config_vars_prefix", prefix.parse())?,
        None => valid("id", name.as_str().parse::<AttachmentName>())?,
    };
    let (base_url, sso_url) = match &api.production {
        Urls::Base(base_url) => (base_url, None),
        Urls::Both { base_url, sso_url } => (base_url, sso_url.as_ref()),
    };
    let base_url = url("api.production.base_url", base_url, given.paas.allow_http)?;
    let sso_url = sso_url
        .map(|sso| url("api.production.sso_url", sso, given.paas.allow_http))
        .transpose()?;
    if api.password.len() < 8 {
        return Err(
            "api.password must have 8 characters or more: with it the provider knows the platform."
                .to_owned(),
        );
    }
    let sso_salt = match (&sso_url, &api.sso_salt) {
        (_, Some(salt)) if salt.len() >= 8 => salt.as_str(),
        (None, None) => "",
        _ => {
            return Err(
                "api.sso_salt must have 8 characters or more where there is an api.production.sso_url."
                    .to_owned(),
            );
        }
    };
    Ok(Manifest {
        human_name: text(given.name.as_deref()).unwrap_or_else(|| name.to_string()),
        secrets: ProviderSecrets {
            client_secret: Secret::from(api.client_secret.as_deref().unwrap_or(&api.password)),
            password: Secret::from(api.password.as_str()),
            sso_salt: Secret::from(sso_salt),
        },
        config_vars: config_vars(&api.config_vars, &prefix)?,
        prefix,
        base_url: base_url.trim_end_matches('/').to_owned(),
        sso_url,
        many_per_app: requires("many_per_app"),
        attachable: requires("attachable"),
        takes_logs: requires("syslog_drain"),
        tells_status: given.paas.status_path,
        plans: plans(given.paas.plans)?,
        name,
    })
}

fn config_vars(
    given: &[String],
    prefix: &AttachmentName,
) -> Result<BTreeSet<ConfigVarName>, String> {
    if given.len() > MAX_CONFIG_VARS {
        return Err(format!(
            "api.config_vars has more than {MAX_CONFIG_VARS} names."
        ));
    }
    given
        .iter()
        .map(|name| {
            let parsed: ConfigVarName = valid("api.config_vars", name.parse())?;
            let rest = parsed.as_str().strip_prefix(prefix.as_str());
            match rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_')) {
                true => Ok(parsed),
                false => Err(format!(
                    "api.config_vars has {name}, which must begin with api.config_vars_prefix, {prefix}_: apps that have the \
                     add-on under another name get it with that in its place."
                )),
            }
        })
        .collect()
}

/// The default one first.
fn plans(given: Vec<GivenPlan>) -> Result<Vec<Plan>, String> {
    let given = match given.is_empty() {
        true => vec![GivenPlan {
            name: "default".to_owned(),
            human_name: None,
            description: None,
            default: true,
            price: None,
        }],
        false => given,
    };
    if given.len() > MAX_PLANS {
        return Err(format!("$paas.plans has more than {MAX_PLANS} plans."));
    }
    if given.iter().filter(|plan| plan.default).count() > 1 {
        return Err("$paas.plans has more than one default.".to_owned());
    }
    let mut seen = BTreeSet::new();
    let mut plans = Vec::new();
    for plan in given {
        let name: PlanName = valid("$paas.plans", plan.name.parse())?;
        if !seen.insert(name.clone()) {
            return Err(format!("$paas.plans has {name} twice."));
        }
        let human_name = text(plan.human_name.as_deref()).unwrap_or_else(|| name.to_string());
        let made = Plan {
            id: PlanId::new(),
            description: text(plan.description.as_deref()).unwrap_or_else(|| human_name.clone()),
            human_name,
            name,
            price: plan.price.unwrap_or_else(|| Price {
                cents: 0,
                contract: false,
                unit: "month".to_owned(),
            }),
        };
        match plan.default {
            true => plans.insert(0, made),
            false => plans.push(made),
        }
    }
    Ok(plans)
}

/// As plans that were there keep their ids.
pub(crate) fn keep_ids(plans: &mut [Plan], before: &[Plan]) {
    let ids: BTreeMap<_, _> = before.iter().map(|plan| (&plan.name, plan.id)).collect();
    for plan in plans {
        plan.id = ids.get(&plan.name).copied().unwrap_or(plan.id);
    }
}

fn url(field: &str, text: &str, allow_http: bool) -> Result<String, String> {
    let example = "such as https://pg.example.com/heroku/resources";
    if text.len() > MAX_URL {
        return Err(format!("{field} may have at most {MAX_URL} characters."));
    }
    let url: Url = text
        .parse()
        .map_err(|_| format!("{field} must be a URL, {example}."))?;
    let has_more = url.query().is_some() || url.fragment().is_some();
    if !url.username().is_empty() || url.password().is_some() || has_more {
        return Err(format!(
            "{field} must have no user, no password, no query and no fragment, {example}."
        ));
    }
    let is_link_local = match url.host() {
        Some(Host::Ipv4(address)) => address.is_link_local(),
        Some(Host::Ipv6(address)) => address.is_unicast_link_local(),
        _ => false,
    };
    if is_link_local {
        return Err(format!(
            "{field} must not be a link-local address, where cloud metadata is."
        ));
    }
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(format!("{field} must name a host, {example}.")),
    };
    match url.scheme() {
        "https" => Ok(text.to_owned()),
        "http" if is_here || allow_http => Ok(text.to_owned()),
        "http" => Err(format!(
            "{field} must begin with https://, for passwords go there. In a network that is trusted, say so: {{\"$paas\": \
             {{\"allow_http\": true}}}}"
        )),
        _ => Err(format!("{field} must begin with https://.")),
    }
}

fn valid<T>(field: &str, parsed: Result<T, model::InvalidName>) -> Result<T, String> {
    parsed.map_err(|error| format!("In {field}: {error}."))
}

fn text(given: Option<&str>) -> Option<String> {
    let text: String = given?
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    (!text.trim().is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manifest() -> Value {
        json!({
            "id": "acme-pg",
            "name": "Acme PG",
            "api": {
                "version": "3",
                "config_vars_prefix": "ACME_PG",
                "config_vars": ["ACME_PG_URL"],
                "password": "hunter2hunter2",
                "sso_salt": "salty-salt",
                "regions": ["*"],
                "requires": ["attachable", "many_per_app"],
                "production": {
                    "base_url": "https://pg.acme.test/heroku/resources/",
                    "sso_url": "https://pg.acme.test/sso/login",
                },
            },
            "$paas": {"plans": [
                {"name": "standard-0", "price": {"cents": 5000, "unit": "month"}},
                {"name": "dev", "default": true},
            ]},
        })
    }

    #[test]
    fn a_partners_manifest_says_what_a_service_is() {
        let parsed = parse(&manifest()).unwrap();
        assert_eq!(parsed.name.as_str(), "acme-pg");
        assert_eq!(parsed.base_url, "https://pg.acme.test/heroku/resources");
        assert!(parsed.attachable && parsed.many_per_app && !parsed.tells_status);
        let plans: Vec<_> = parsed.plans.iter().map(|plan| plan.name.as_str()).collect();
        assert_eq!(plans, ["dev", "standard-0"], "the default one first");
        assert_eq!(parsed.plans[1].price.cents, 5000);
        assert_eq!(parsed.secrets.client_secret.expose(), "hunter2hunter2");
    }

    #[test]
    fn what_cannot_be_is_refused_with_where_it_is() {
        for (pointer, value, words) in [
            ("/id", json!("Acme PG"), "In id:"),
            ("/api/version", json!("1"), "version 3"),
            ("/api/requires", json!(["log_input"]), "log_input"),
            ("/api/config_vars", json!(["OTHER_URL"]), "begin with"),
            ("/api/config_vars", json!(["ACME_PGX"]), "begin with"),
            ("/api/config_vars", json!(["A-B"]), "In api.config_vars"),
            ("/api/password", json!("short"), "api.password"),
            ("/api/sso_salt", json!(""), "api.sso_salt"),
            (
                "/api/production/base_url",
                json!("http://pg.acme.test/"),
                "https://",
            ),
            ("/api/production/base_url", json!("ftp://x/"), "https://"),
            ("/api/production/base_url", json!("x"), "must be a URL"),
            (
                "/api/production/base_url",
                json!("https://u:p@x/"),
                "no user",
            ),
            (
                "/$paas/plans",
                json!([{"name": "a1"}, {"name": "a1"}]),
                "twice",
            ),
            (
                "/$paas/plans",
                json!([{"name": "a1", "default": true}, {"name": "b1", "default": true}]),
                "more than one default",
            ),
            ("/api", json!(null), "not as expected"),
            ("/api/password", json!(123_456_789), "at api.password"),
            (
                "/api/production/base_url",
                json!("https://x/?a=b"),
                "no query",
            ),
            (
                "/api/production/base_url",
                json!("https://169.254.169.254/"),
                "link-local",
            ),
        ] {
            let mut manifest = manifest();
            *manifest.pointer_mut(pointer).unwrap() = value;
            let refused = parse(&manifest).unwrap_err();
            assert!(refused.contains(words), "{pointer}: {refused}");
            assert!(!refused.contains("123456789"), "{refused}");
        }
    }

    #[test]
    fn plain_http_is_for_this_host_and_for_whom_it_is_allowed() {
        let mut manifest = manifest();
        manifest["api"]["production"] = json!("http://127.0.0.1:5000/heroku/resources");
        let parsed = parse(&manifest).unwrap();
        assert_eq!(
            (parsed.sso_url, parsed.base_url.as_str()),
            (None, "http://127.0.0.1:5000/heroku/resources")
        );
        manifest["api"]["production"] = json!("http://10.1.2.3/");
        parse(&manifest).unwrap_err();
        manifest["$paas"]["allow_http"] = json!(true);
        parse(&manifest).unwrap();
    }
}
