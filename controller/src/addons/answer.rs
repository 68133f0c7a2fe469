//! What a provider's answer means, and so what is to be done.
//!
//! Whoever may have made something and did not say so properly is told to take it away: the rule of the Open Service
//! Broker's orphans. <https://github.com/openservicebrokerapi/servicebroker/blob/v2.17/spec.md#orphan-mitigation>

use std::collections::{BTreeMap, BTreeSet};

use model::{AddonConfig, ConfigVarName, DrainUrl, Secret};
use serde::Deserialize;
use serde_json::Value;

/// Of all that one add-on gives; an app's config vars are twice that.
pub(crate) const MAX_CONFIG_BYTES: usize = 32 * 1024;
const MAX_MESSAGE: usize = 1000;
const MAX_ID: usize = 200;

/// What came of asking for an add-on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    Given(Given),
    /// It takes its time, and says so when it is done.
    Accepted(Given),
    /// There will be none, for a reason that the provider gives.
    Refused(String),
    /// There may be one that is of no use.
    Spoiled {
        provider_id: Option<String>,
        why: String,
    },
    /// Nobody knows; to be asked again.
    Unknown(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) provider_id: String,
    pub(crate) config: AddonConfig,
    pub(crate) message: Option<String>,
    /// Where it wants the app's log.
    pub(crate) drain: Option<DrainUrl>,
}

/// What came of asking to change something that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Changed {
    Done {
        config: AddonConfig,
        message: Option<String>,
        /// Why what it gave with that is not taken.
        complaint: Option<String>,
    },
    Refused(String),
    Unknown(String),
}

/// An answer as it came, or why there is none.
pub(crate) type Heard = Result<(u16, Vec<u8>), String>;

#[derive(Debug, Deserialize)]
struct Body {
    id: Option<Value>,
    config: Option<BTreeMap<String, Value>>,
    message: Option<String>,
    log_drain_url: Option<String>,
}

pub(crate) fn asked(heard: Heard, declared: &BTreeSet<ConfigVarName>) -> Asked {
    let (status, body) = match heard {
        Ok(answer) => answer,
        Err(why) => return Asked::Unknown(why),
    };
    match status {
        200..=202 => given(status, &body, declared),
        203..=299 => Asked::Spoiled {
            provider_id: None,
            why: format!("its provider answered {status}, which means nothing here"),
        },
        408 | 425 | 429 | 500.. => Asked::Unknown(format!("its provider answered {status}")),
        _ => Asked::Refused(reason(status, &body)),
    }
}

fn given(status: u16, body: &[u8], declared: &BTreeSet<ConfigVarName>) -> Asked {
    let spoiled = |provider_id, why: &str| Asked::Spoiled {
        provider_id,
        why: why.to_owned(),
    };
    let Ok(body) = serde_json::from_slice::<Body>(body) else {
        return spoiled(None, "its provider's answer makes no sense");
    };
    let Some(provider_id) = body.id.as_ref().and_then(id) else {
        return spoiled(None, "its provider's answer has no id");
    };
    let config = match config(body.config.unwrap_or_default(), declared) {
        Ok(config) => config,
        Err(why) => return spoiled(Some(provider_id), &why),
    };
    let drain = match body.log_drain_url.as_deref().map(str::parse).transpose() {
        Ok(drain) => drain,
        Err(_) => {
            let why = "its provider's log_drain_url is no drain's";
            return spoiled(Some(provider_id), why);
        }
    };
    let given = Given {
        provider_id,
        config,
        drain,
        message: body.message.as_deref().and_then(shown),
    };
    match status {
        202 => Asked::Accepted(given),
        _ => Asked::Given(given),
    }
}

pub(crate) fn changed(heard: Heard, declared: &BTreeSet<ConfigVarName>) -> Changed {
    let (status, body) = match heard {
        Ok(answer) => answer,
        Err(why) => return Changed::Unknown(why),
    };
    match status {
        200..=299 => {
            let body = serde_json::from_slice::<Body>(&body);
            let (given, message) = body.map_or_else(
                |_| (None, None),
                |body| (body.config, body.message.as_deref().and_then(shown)),
            );
            let given = config(given.unwrap_or_default(), declared);
            let (config, complaint) = match given {
                Ok(config) => (config, None),
                Err(why) => (AddonConfig::default(), Some(why)),
            };
            Changed::Done {
                config,
                message,
                complaint,
            }
        }
        408 | 425 | 429 | 500.. => Changed::Unknown(format!("its provider answered {status}")),
        _ => Changed::Refused(reason(status, &body)),
    }
}

/// Whether it is gone, or never was.
pub(crate) fn is_gone(heard: &Heard) -> bool {
    matches!(heard, Ok((200..=299 | 404 | 410, _)))
}

/// What the config vars may be that a provider gives.
pub(crate) fn config(
    given: BTreeMap<String, Value>,
    declared: &BTreeSet<ConfigVarName>,
) -> Result<AddonConfig, String> {
    let mut config = BTreeMap::new();
    for (name, value) in given {
        let value = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(is) => is.to_string(),
            Value::Null => continue,
            Value::Array(_) | Value::Object(_) => {
                return Err(format!(
                    "its provider gave the config var {} no text for a value",
                    short(&name)
                ));
            }
        };
        let name = declared_name(&name, declared)?;
        config.insert(name, Secret::from(value.as_str()));
    }
    let config = AddonConfig(config);
    check(&config)?;
    Ok(config)
}

pub(crate) fn declared_name(
    name: &str,
    declared: &BTreeSet<ConfigVarName>,
) -> Result<ConfigVarName, String> {
    let parsed = name.parse::<ConfigVarName>().ok();
    parsed
        .filter(|name| declared.contains(name))
        .ok_or_else(|| {
            let name = short(name);
            format!("its provider gave the config var {name}, which its manifest does not have")
        })
}

fn short(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// # Errors
/// If no app could have them.
pub(crate) fn check(config: &AddonConfig) -> Result<(), String> {
    let bytes: usize = (config.0.iter())
        .map(|(name, value)| name.as_str().len() + value.expose().len())
        .sum();
    if bytes > MAX_CONFIG_BYTES {
        return Err(format!(
            "its provider gave config vars of {bytes} bytes; {MAX_CONFIG_BYTES} are allowed"
        ));
    }
    match (config.0.iter()).find(|(_, value)| value.expose().contains('\0')) {
        Some((name, _)) => Err(format!(
            "its provider gave the config var {name} a value with a NUL byte"
        )),
        None => Ok(()),
    }
}

fn id(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let fits = (1..=MAX_ID).contains(&text.len()) && !text.chars().any(char::is_control);
    fits.then_some(text)
}

fn reason(status: u16, body: &[u8]) -> String {
    let told = serde_json::from_slice::<Value>(body).ok();
    let told = told.as_ref().and_then(|body| {
        ["message", "error"]
            .iter()
            .find_map(|field| shown(body.get(*field)?.as_str()?))
    });
    told.unwrap_or_else(|| format!("Its provider answered {status} and gave no reason."))
}

/// A message as people may be shown it.
pub(super) fn shown(text: &str) -> Option<String> {
    let text: String = text
        .chars()
        .filter(|c| !c.is_control() || *c == '\n')
        .take(MAX_MESSAGE)
        .collect();
    (!text.trim().is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn declared() -> BTreeSet<ConfigVarName> {
        [
            "ACME_PG_URL".parse().unwrap(),
            "ACME_PG_PORT".parse().unwrap(),
        ]
        .into()
    }

    fn hear(status: u16, body: Value) -> Asked {
        asked(Ok((status, body.to_string().into_bytes())), &declared())
    }

    #[test]
    fn an_answer_gives_refuses_or_leaves_one_in_the_dark() {
        let config = json!({"ACME_PG_URL": "postgres://x", "ACME_PG_PORT": 5432});
        let good = json!({"id": 17, "config": config, "message": "ready"});
        for status in [200, 201] {
            let Asked::Given(given) = hear(status, good.clone()) else {
                panic!("{status}")
            };
            assert_eq!(
                (given.provider_id.as_str(), given.message.as_deref()),
                ("17", Some("ready"))
            );
            assert_eq!(given.config.0.len(), 2);
        }
        assert!(matches!(hear(202, good), Asked::Accepted(_)));
        let refused = |told: &str| Asked::Refused(told.to_owned());
        assert_eq!(hear(422, json!({"message": "no room"})), refused("no room"));
        assert_eq!(
            hear(403, json!({"error": "paid only"})),
            refused("paid only")
        );
        let Asked::Refused(why) = hear(302, json!({})) else {
            panic!()
        };
        assert!(why.contains("302"), "{why}");
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(
                matches!(hear(status, json!({})), Asked::Unknown(_)),
                "{status}"
            );
        }
        let silent = asked(Err("no answer within 25 s".to_owned()), &declared());
        assert!(matches!(silent, Asked::Unknown(_)));
    }

    #[test]
    fn what_was_made_badly_is_to_be_taken_away() {
        let long = "x".repeat(MAX_CONFIG_BYTES);
        for (status, body, id) in [
            (204, json!({"id": "r"}), None),
            (200, json!("<html>"), None),
            (200, json!({"config": {}}), None),
            (200, json!({"id": ""}), None),
            (200, json!({"id": {}}), None),
            (201, json!({"id": "r", "config": {"OTHER": "x"}}), Some("r")),
            (
                201,
                json!({"id": "r", "log_drain_url": "ftp://x"}),
                Some("r"),
            ),
            (
                201,
                json!({"id": "r", "config": {"acme_pg_url": "x"}}),
                Some("r"),
            ),
            (
                201,
                json!({"id": "r", "config": {"ACME_PG_URL": []}}),
                Some("r"),
            ),
            (
                201,
                json!({"id": "r", "config": {"ACME_PG_URL": "\0"}}),
                Some("r"),
            ),
            (
                201,
                json!({"id": "r", "config": {"ACME_PG_URL": long}}),
                Some("r"),
            ),
        ] {
            let Asked::Spoiled { provider_id, .. } = hear(status, body.clone()) else {
                panic!("{status} {body}")
            };
            assert_eq!(provider_id.as_deref(), id, "{status} {body}");
        }
    }

    #[test]
    fn a_change_is_done_refused_or_unknown_and_what_is_gone_is_gone() {
        let hear =
            |status, body: Value| changed(Ok((status, body.to_string().into_bytes())), &declared());
        for status in [200, 202] {
            let done = hear(status, json!({"config": {"ACME_PG_URL": "y"}}));
            assert!(matches!(done, Changed::Done { config, .. } if config.0.len() == 1));
        }
        let empty = changed(Ok((204, Vec::new())), &declared());
        assert!(matches!(empty, Changed::Done { .. }));
        assert_eq!(
            hear(422, json!({"message": "cannot shrink"})),
            Changed::Refused("cannot shrink".to_owned())
        );
        assert!(matches!(hear(500, json!({})), Changed::Unknown(_)));
        for (status, gone) in [
            (200, true),
            (204, true),
            (404, true),
            (410, true),
            (500, false),
        ] {
            assert_eq!(is_gone(&Ok((status, Vec::new()))), gone, "{status}");
        }
        assert!(!is_gone(&Err("silent".to_owned())));
    }
}
