//! Holding answers against Heroku's published hyper-schema, which lies beside the project and is no part of it.
//!
//! The link with the fewest placeholders that matches method and path gives the schema of the answer. Every property it
//! lists must be there, and where it is strict no other may be.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use jsonschema::{Draft, Validator};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::harness::Answer;

/// Where we differ on purpose: what is taken out of the schema, and why.
const DEVIATIONS: [(&str, &str); 6] = [
    (
        "/definitions/add-on/definitions/state/enum",
        "one on its way out is deprovisioning, as Heroku's clients know it",
    ),
    (
        "/definitions/app/definitions/git_url/pattern",
        "ours is not git.heroku.com",
    ),
    (
        "/definitions/app/definitions/web_url/pattern",
        "ours is not herokuapp.com",
    ),
    (
        "/definitions/region/definitions/provider/properties/region/enum",
        "the platform is not in an AWS region",
    ),
    (
        "/definitions/domain/definitions/hostname/format",
        "a host name is no URI; Heroku's own answers are none either",
    ),
    (
        "/definitions/team/definitions/role/enum",
        "a viewer can be made one by it, and is not in its list of what can be read",
    ),
];

/// Endpoints the schema does not have.
const OURS: &[(&str, &str)] = &[
    ("POST", "/addon-services"),
    ("PUT", "/addon-services/*"),
    ("DELETE", "/addon-services/*"),
    ("GET", "/apps/*/addons/*/sso"),
    ("GET", "/addons/*/dashboard"),
    ("GET", "/addons/*/config/*"),
    ("POST", "/oauth/token"),
    ("GET", "/sso/*"),
    ("PATCH", "/apps/*/collaborators/*"),
    ("POST", "/apps/*/dynos/*"),
    ("GET", "/oauth/sessions"),
    ("GET", "/audit-entries"),
    ("GET", "/apps/*/audit-entries"),
    ("GET", "/audit-chain"),
    ("PUT", "/sources/*"),
    ("GET", "/sources/*"),
    ("GET", "/buildpacks"),
    ("POST", "/pipeline-transfers"),
    ("GET", "/buildpacks/*"),
    ("GET", "/platform/certificate"),
    ("PUT", "/platform/certificate"),
    ("GET", "/healthz"),
    ("POST", "/auth"),
    ("GET", "/auth/cli/*"),
    ("GET", "/auth/browser/*"),
    ("POST", "/auth/browser/*"),
    ("POST", "/auth/browser/*/decision"),
    ("GET", "/auth/browser/*/provider"),
    ("GET", "/auth/callback"),
    ("GET", "/auth/invitation/*"),
    ("POST", "/auth/invitation/*"),
    ("GET", "/account-invitations"),
    ("POST", "/account-invitations"),
    ("DELETE", "/account-invitations/*"),
    ("POST", "/account-invitations/actions/accept"),
    ("POST", "/accounts"),
    ("GET", "/account/two-factor"),
    ("POST", "/account/two-factor"),
    ("POST", "/account/two-factor/actions/*"),
    ("POST", "/account/two-factor/recovery-codes"),
    ("DELETE", "/accounts/*/two-factor"),
    ("DELETE", "/accounts/*/identity"),
    ("POST", "/accounts/*/actions/*"),
    ("POST", "/account-identities/actions/unlink"),
    ("PUT", "/apps/*/pre-authorizations"),
    ("GET", "/platform/status"),
    ("GET", "/platform/notice"),
    ("PUT", "/platform/notice"),
    ("DELETE", "/platform/notice"),
    ("GET", "/platform/routers"),
    ("GET", "/tcp-routes"),
    ("POST", "/tcp-routes"),
    ("DELETE", "/tcp-routes/*"),
    ("GET", "/apps/*/traffic"),
    ("GET", "/platform/rebalance"),
    ("POST", "/platform/rebalance"),
    ("DELETE", "/platform/rebalance"),
    ("GET", "/apps/*/placement"),
    ("PATCH", "/apps/*/placement"),
    ("GET", "/apps/*/routing"),
    ("PATCH", "/apps/*/routing"),
    ("GET", "/nodes"),
    ("POST", "/nodes"),
    ("GET", "/nodes/*"),
    ("PATCH", "/nodes/*"),
    ("DELETE", "/nodes/*"),
    ("POST", "/node-tokens"),
    ("POST", "/internal/certificates"),
    ("GET", "/apps/*/releases/*/failure"),
    ("GET", "/streams/logs/*"),
    ("GET", "/streams/builds/*"),
    ("GET", "/attach/*"),
    // The schema has it for add-ons alone.
    ("PUT", "/apps/*/log-drains/*"),
    ("POST", "/internal/logs"),
    ("GET", "/internal/attach/*"),
    ("POST", "/account/keys"),
    ("DELETE", "/account/keys/*"),
    ("DELETE", "/oauth/sessions/*"),
];

struct Schema {
    root: Value,
    links: Vec<Link>,
    compiled: Mutex<HashMap<usize, &'static Validator>>,
}

struct Link {
    method: String,
    segments: Vec<Option<String>>,
    target: Value,
}

/// Fails the test if a successful answer is not what the schema promises, or an error is not in Heroku's form.
pub(crate) fn check(method: &Method, path: &str, answer: &Answer) {
    let path = path.split('?').next().unwrap_or(path);
    let status = answer.status.as_u16();
    if answer
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("text/html"))
    {
        return;
    }
    assert!(
        answer.headers.contains_key("request-id") || status == 101,
        "{method} {path} has no Request-Id"
    );
    if status >= 400 {
        let id = answer.body["id"].as_str();
        let message = answer.body["message"].as_str();
        assert!(
            id.is_some_and(|id| !id.is_empty()) && message.is_some_and(|text| !text.is_empty()),
            "{method} {path} answered {status} without id and message: {}",
            answer.text
        );
        assert!(
            status < 500 || status == 503,
            "{method} {path} answered {status}: {}",
            answer.text
        );
        return;
    }
    if !answer.status.is_success() || is_ours(method, path) {
        return;
    }
    let Some(schema) = schema() else { return };
    let Some(validator) = schema.validator(method, path) else {
        panic!("{method} {path} is neither in the schema nor among our own endpoints");
    };
    let errors: Vec<String> = validator
        .iter_errors(&answer.body)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    assert!(
        errors.is_empty(),
        "{method} {path} differs from the schema: {errors:#?}\n{:#}",
        answer.body
    );
}

fn is_ours(method: &Method, path: &str) -> bool {
    OURS.iter().any(|(m, pattern)| {
        let pattern: Vec<_> = pattern.split('/').collect();
        let path: Vec<_> = path.split('/').collect();
        *m == method.as_str()
            && pattern.len() == path.len()
            && pattern.iter().zip(&path).all(|(p, s)| *p == "*" || p == s)
    })
}

fn schema() -> Option<&'static Schema> {
    static SCHEMA: OnceLock<Option<Schema>> = OnceLock::new();
    SCHEMA.get_or_init(load).as_ref()
}

fn load() -> Option<Schema> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/platform-api-schema.json");
    let Ok(text) = fs_err::read_to_string(&path) else {
        eprintln!(
            "answers are not held against the schema: {} is absent",
            path.display()
        );
        return None;
    };
    let mut root: Value = serde_json::from_str(&text).unwrap();
    for (pointer, why) in DEVIATIONS {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let removed = root
            .pointer_mut(parent)
            .and_then(|parent| parent.as_object_mut()?.remove(key));
        assert!(
            removed.is_some(),
            "the schema has no {pointer} any more ({why}): take it off the list"
        );
    }
    let links = links(&root);
    let mut definitions = root["definitions"].take();
    tighten(&mut definitions);
    Some(Schema {
        root: definitions,
        links,
        compiled: Mutex::default(),
    })
}

fn links(root: &Value) -> Vec<Link> {
    let definitions = root["definitions"].as_object().unwrap();
    let all = definitions
        .values()
        .flat_map(|definition| definition["links"].as_array().into_iter().flatten());
    all.map(|link| {
        // Some promise nothing.
        let target = link.get("targetSchema").cloned();
        let mut target = target.unwrap_or_else(|| json!({}));
        tighten(&mut target);
        Link {
            method: link["method"].as_str().unwrap().to_owned(),
            segments: link["href"]
                .as_str()
                .unwrap()
                .split('/')
                .map(segment)
                .collect(),
            target,
        }
    })
    .collect()
}

/// `None` for a placeholder.
fn segment(text: &str) -> Option<String> {
    (!text.starts_with('{')).then(|| text.to_owned())
}

/// Every listed property becomes required; strict objects take no others.
fn tighten(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            // They would change how references are resolved.
            for key in ["id", "$schema"] {
                if object.get(key).is_some_and(Value::is_string) {
                    object.remove(key);
                }
            }
            object.remove("links");
            require_all(object);
            object.values_mut().for_each(tighten);
        }
        Value::Array(items) => items.iter_mut().for_each(tighten),
        _ => {}
    }
}

fn require_all(object: &mut Map<String, Value>) {
    let Some(properties) = object.get("properties").and_then(Value::as_object) else {
        return;
    };
    if properties.values().all(Value::is_object) {
        let names: Vec<_> = properties.keys().cloned().collect();
        if !names.is_empty() {
            object.insert("required".to_owned(), json!(names));
        }
        if object.get("strictProperties") == Some(&Value::Bool(true)) {
            object.insert("additionalProperties".to_owned(), Value::Bool(false));
        }
    }
}

impl Schema {
    fn validator(&self, method: &Method, path: &str) -> Option<&'static Validator> {
        let path: Vec<_> = path.split('/').collect();
        let matching = self
            .links
            .iter()
            .enumerate()
            .filter(|(_, link)| link.matches(method, &path));
        let (index, link) = matching
            .min_by_key(|(_, link)| link.segments.iter().filter(|s| s.is_none()).count())?;
        let mut compiled = self.compiled.lock().unwrap();
        Some(
            compiled
                .entry(index)
                .or_insert_with(|| Box::leak(Box::new(self.compile(link)))),
        )
    }

    fn compile(&self, link: &Link) -> Validator {
        let schema = json!({"allOf": [link.target.clone()], "definitions": self.root.clone()});
        jsonschema::options()
            .with_draft(Draft::Draft4)
            .should_validate_formats(true)
            .with_format("uuid", |text: &str| uuid::Uuid::parse_str(text).is_ok())
            .build(&schema)
            .unwrap()
    }
}

impl Link {
    fn matches(&self, method: &Method, path: &[&str]) -> bool {
        self.method == method.as_str()
            && self.segments.len() == path.len()
            && self
                .segments
                .iter()
                .zip(path)
                .all(|(segment, part)| segment.as_deref().is_none_or(|s| s == *part))
    }
}

#[test]
fn the_checker_sees_what_is_missing_and_what_is_too_much() {
    let Some(schema) = schema() else { return };
    let validator = schema
        .validator(&Method::GET, "/account/rate-limits")
        .unwrap();
    assert!(validator.is_valid(&json!({"remaining": 3})));
    assert!(!validator.is_valid(&json!({})));
    assert!(!validator.is_valid(&json!({"remaining": "3"})));
    assert!(!validator.is_valid(&json!({"remaining": 3, "surplus": 1})));
    let key = schema.validator(&Method::GET, "/account/keys/abc").unwrap();
    assert!(!key.is_valid(&json!({
        "comment": "", "created_at": "2026-01-01T00:00:00Z", "email": "a@x", "fingerprint": "f",
        "id": "no uuid", "public_key": "k", "updated_at": "2026-01-01T00:00:00Z"
    })));
}
