//! Settings as they are written on the command line, `hsts=1y,subdomains`, and what they are in the API.

use controller_api::wire::{ClientLimit, DynoProtocol, Hsts, Routing};
use serde_json::{Map, Value, json};

use crate::failure::Failure;

/// One change to the API's object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Setting {
    field: &'static str,
    /// Below the field.
    key: Option<String>,
    value: Value,
}

/// All but paths, on the command line and in the API.
const FIELDS: [(&str, &str); 11] = [
    ("https-only", "https_only"),
    ("hsts", "hsts"),
    ("canonical-host", "canonical_host"),
    ("allow", "allow"),
    ("deny", "deny"),
    ("rate-limit", "rate_limit"),
    ("canary", "canary"),
    ("session-affinity", "session_affinity"),
    ("compression", "compression"),
    ("dyno-protocol", "dyno_protocol"),
    ("requests-per-dyno", "requests_per_dyno"),
];

/// What a setting is of.
pub(super) fn name(text: &str) -> &str {
    text.split_once('=').map_or(text, |(name, _)| name)
}

/// The JSON merge patch of several settings.
pub(super) fn patch(settings: impl IntoIterator<Item = Setting>) -> Map<String, Value> {
    let mut patch = Map::new();
    for Setting { field, key, value } in settings {
        match key {
            None => {
                patch.insert(field.to_owned(), value);
            }
            Some(key) => {
                let inner = patch.entry(field).or_insert_with(|| json!({}));
                if let Value::Object(inner) = inner {
                    inner.insert(key, value);
                }
            }
        }
    }
    patch
}

/// Of `NAME=VALUE`.
pub(super) fn parse(text: &str) -> Result<Setting, Failure> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, value)| !name.is_empty() && !value.is_empty())
        .ok_or_else(|| {
            Failure::usage(format!("{text} sets nothing"))
                .advise("Settings are written NAME=VALUE: paas routing:set https-only=on")
        })?;
    if name.starts_with('/') {
        return Ok(path(name, value.into()));
    }
    let field = field(name)?;
    let (read, shape) = match name {
        "https-only" | "session-affinity" | "compression" => (switch(value), "on or off"),
        "hsts" => (hsts(value), "1y, or 1y,subdomains,preload"),
        "rate-limit" => (rate_limit(value), "100/1m, or 100/1m,burst=20,block=10m"),
        "canary" => (canary(value), "APP:PERCENT, such as new-app:5"),
        "requests-per-dyno" => (value.parse::<u32>().ok().map(Value::from), "a number"),
        "allow" | "deny" => (Some(value.split(',').collect()), "10.0.0.0/8,192.0.2.1"),
        _ => (Some(value.into()), "a word"),
    };
    let value = read.ok_or_else(|| {
        Failure::usage(format!("{value} is no value of {name}"))
            .advise(format!("It is written as {shape}."))
    })?;
    Ok(plain(field, value))
}

pub(super) fn unset(name: &str) -> Result<Setting, Failure> {
    if let Some((name, _)) = name.split_once('=') {
        return Err(Failure::usage("Settings are unset by name alone")
            .advise(format!("Try `paas routing:unset {name}`.")));
    }
    if name.starts_with('/') {
        return Ok(path(name, Value::Null));
    }
    Ok(plain(field(name)?, Value::Null))
}

pub(super) fn paused(is_paused: bool) -> Setting {
    plain("paused", is_paused.into())
}

fn plain(field: &'static str, value: Value) -> Setting {
    Setting {
        field,
        key: None,
        value,
    }
}

fn path(prefix: &str, app: Value) -> Setting {
    Setting {
        field: "paths",
        key: Some(prefix.to_owned()),
        value: app,
    }
}

fn field(name: &str) -> Result<&'static str, Failure> {
    if name == "paused" {
        return Err(Failure::usage("Holding requests has commands of its own")
            .advise("Try `paas routing:pause` and `paas routing:resume`."));
    }
    let known = FIELDS.iter().find(|(known, _)| *known == name);
    known.map(|(_, field)| *field).ok_or_else(|| {
        let known: Vec<&str> = FIELDS.iter().map(|(known, _)| *known).collect();
        Failure::usage(format!("There is no setting {name}")).advise(format!(
            "There are {}, and paths such as /api.",
            known.join(", ")
        ))
    })
}

fn switch(text: &str) -> Option<Value> {
    match text {
        "on" | "true" | "yes" => Some(true.into()),
        "off" | "false" | "no" => Some(false.into()),
        _ => None,
    }
}

const UNITS: [(char, u64); 5] = [
    ('y', 365 * 24 * 3600),
    ('d', 24 * 3600),
    ('h', 3600),
    ('m', 60),
    ('s', 1),
];

/// Seconds.
fn duration(text: &str) -> Option<u64> {
    let unit = text.chars().next_back()?;
    let (count, seconds) = match UNITS.iter().find(|(known, _)| *known == unit) {
        Some((_, seconds)) => (&text[..text.len() - 1], *seconds),
        None => (text, 1),
    };
    count.parse::<u64>().ok()?.checked_mul(seconds)
}

/// In the largest unit that fits.
fn written(seconds: u64) -> String {
    let fits = |(_, unit): &&(char, u64)| seconds > 0 && seconds.is_multiple_of(*unit);
    UNITS.iter().find(fits).map_or_else(
        || format!("{seconds}s"),
        |(unit, length)| format!("{}{unit}", seconds / length),
    )
}

fn hsts(text: &str) -> Option<Value> {
    let mut parts = text.split(',');
    let mut hsts = Hsts {
        max_age: duration(parts.next()?)?,
        include_subdomains: false,
        preload: false,
    };
    for part in parts {
        match part {
            "subdomains" => hsts.include_subdomains = true,
            "preload" => hsts.preload = true,
            _ => return None,
        }
    }
    serde_json::to_value(hsts).ok()
}

fn rate_limit(text: &str) -> Option<Value> {
    let mut parts = text.split(',');
    let (requests, period) = parts.next()?.split_once('/')?;
    let (mut burst, mut block) = (Value::Null, 0);
    for part in parts {
        match part.split_once('=')? {
            ("burst", count) => burst = count.parse::<u32>().ok()?.into(),
            ("block", time) => block = duration(time)?,
            _ => return None,
        }
    }
    Some(json!({
        "requests": requests.parse::<u32>().ok()?,
        "per_seconds": duration(period)?,
        "burst": burst,
        "block_seconds": block,
    }))
}

fn canary(text: &str) -> Option<Value> {
    let (app, percent) = text.split_once(':')?;
    let percent: u8 = percent.trim_end_matches('%').parse().ok()?;
    Some(json!({ "app": app, "percent": percent }))
}

/// Those that are not at their defaults, as they would be set.
pub(super) fn listed(routing: &Routing) -> Vec<(String, String)> {
    let mut listed = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        listed.extend(value.map(|value| (name.to_owned(), value)));
    };
    let on = |is_on: bool| is_on.then(|| "on".to_owned());
    let list = |list: &[String]| (!list.is_empty()).then(|| list.join(","));
    add("https-only", on(routing.https_only));
    add("hsts", routing.hsts.map(hsts_written));
    add("canonical-host", routing.canonical_host.clone());
    add("allow", list(&routing.allow));
    add("deny", list(&routing.deny));
    add("rate-limit", routing.rate_limit.map(rate_limit_written));
    for (prefix, app) in &routing.paths {
        add(prefix, Some(app.clone()));
    }
    let canary = routing.canary.as_ref();
    add("canary", canary.map(|c| format!("{}:{}", c.app, c.percent)));
    add("paused", on(routing.paused));
    add("session-affinity", on(routing.session_affinity));
    add("compression", on(routing.compression));
    let is_http2 = routing.dyno_protocol == DynoProtocol::Http2;
    add("dyno-protocol", is_http2.then(|| "http2".to_owned()));
    let most = routing.requests_per_dyno;
    add("requests-per-dyno", most.map(|most| most.to_string()));
    listed
}

fn hsts_written(hsts: Hsts) -> String {
    let mut text = written(hsts.max_age);
    for (is_said, word) in [
        (hsts.include_subdomains, ",subdomains"),
        (hsts.preload, ",preload"),
    ] {
        text.push_str(if is_said { word } else { "" });
    }
    text
}

fn rate_limit_written(limit: ClientLimit) -> String {
    let mut text = format!("{}/{}", limit.requests, written(limit.per_seconds.into()));
    if let Some(burst) = limit.burst {
        text.push_str(&format!(",burst={burst}"));
    }
    if limit.block_seconds > 0 {
        text.push_str(&format!(",block={}", written(limit.block_seconds.into())));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_can_be_set_again() {
        let texts = [
            "https-only=on",
            "hsts=1y,subdomains,preload",
            "canonical-host=www.example.com",
            "allow=10.0.0.0/8,192.0.2.1",
            "deny=10.6.0.0/16",
            "rate-limit=100/1m,burst=20,block=10m",
            "/api=other",
            "canary=other:5",
            "session-affinity=on",
            "compression=on",
            "dyno-protocol=http2",
            "requests-per-dyno=50",
        ];
        let patch = patch(texts.iter().map(|text| parse(text).unwrap()));
        let routing: Routing = serde_json::from_value(Value::Object(patch)).unwrap();
        let again: Vec<String> = listed(&routing)
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(again, texts);
    }

    #[test]
    fn durations_have_units_and_come_back_in_the_largest_that_fits() {
        for (text, seconds, again) in [
            ("90", 90, "90s"),
            ("90s", 90, "90s"),
            ("120s", 120, "2m"),
            ("24h", 86_400, "1d"),
            ("365d", 31_536_000, "1y"),
            ("0", 0, "0s"),
        ] {
            assert_eq!(duration(text), Some(seconds), "{text}");
            assert_eq!(written(seconds), again);
        }
        for bad in ["", "m", "-1s", "1w", "ä", "99999999999999999999y"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            "https-only",
            "https-only=maybe",
            "hsts=long",
            "hsts=1y,everything",
            "rate-limit=100",
            "rate-limit=100/1m,surge=3",
            "canary=other",
            "canary=other:many",
            "requests-per-dyno=few",
            "paused=on",
            "http-only=on",
            "=on",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(unset("hsts=1y").is_err() && unset("nothing").is_err());
    }
}
