//! What Dokku's commands say, understood. Pure.
//!
//! It is text for people and has changed over the years, so it is read line by line, and each line counts wherever it
//! stands: several answers, one, in any order, with other things between.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;

use crate::failure::Failure;
use crate::output::printable;

/// What was understood.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) apps: BTreeSet<String>,
    pub(super) config: Option<BTreeMap<String, String>>,
    pub(super) scale: BTreeMap<String, u32>,
    /// `domains app vhosts` → what follows the colon.
    pub(super) facts: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Scale {
    process_type: String,
    quantity: u32,
}

#[derive(Deserialize)]
struct Pair {
    name: String,
    value: String,
}

pub(super) fn parse(text: &str) -> Result<Said> {
    let mut said = Said::default();
    let mut rest = text;
    let mut in_scale = false;
    while !rest.is_empty() {
        if rest.starts_with(['{', '[']) {
            if let Some(length) = said.json(rest)? {
                rest = &rest[length..];
                continue;
            }
        } else if let Some(exported) = rest.strip_prefix("export ")
            && let Some((name, value, after)) = exported_var(exported)
        {
            said.config.get_or_insert_default().insert(name, value);
            rest = after;
            continue;
        }
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        rest = after;
        said.line(line.trim_end(), &mut in_scale);
    }
    if said.config.is_none() && said.scale.is_empty() && said.facts.is_empty() {
        return Err(Failure::new("There is nothing of Dokku's in it")
            .advise("See `paas import dokku --help` for the commands whose answers it reads.")
            .into());
    }
    Ok(said)
}

impl Said {
    /// How many bytes of `text` are JSON of a kind that Dokku says.
    fn json(&mut self, text: &str) -> Result<Option<usize>> {
        let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        let Some(Ok(value)) = stream.next() else {
            return Ok(None);
        };
        let length = stream.byte_offset();
        match value {
            // An app without any has [] and {}.
            Value::Array(list) if list.is_empty() => {}
            Value::Array(list) if list.iter().all(|one| one.get("process_type").is_some()) => {
                let scale: Vec<Scale> = serde_json::from_value(Value::Array(list))?;
                self.scale.extend(
                    scale
                        .into_iter()
                        .map(|one| (one.process_type, one.quantity)),
                );
            }
            Value::Array(list) => {
                let pairs: Vec<Pair> =
                    serde_json::from_value(Value::Array(list)).map_err(|_| {
                        Failure::new("There is a JSON list in it that is none of Dokku's")
                    })?;
                let config = self.config.get_or_insert_default();
                config.extend(pairs.into_iter().map(|pair| (pair.name, pair.value)));
            }
            Value::Object(object) => self.object(object)?,
            _ => return Ok(None),
        }
        Ok(Some(length))
    }

    fn object(&mut self, object: serde_json::Map<String, Value>) -> Result<()> {
        let mut vars = BTreeMap::new();
        for (name, value) in object {
            let Value::String(value) = value else {
                return Err(Failure::new(format!(
                    "{} in the JSON is no text, so it is not from config:export",
                    printable(&name)
                ))
                .advise("Make it with `dokku config:export --format json APP`.")
                .into());
            };
            vars.insert(name, value);
        }
        // `…:report APP --format json` says its keys with dashes, which no config var has.
        if vars.keys().any(|name| name.contains('-')) {
            let facts = vars
                .into_iter()
                .map(|(name, value)| (name.replace(['-', '.'], " "), value));
            self.facts.extend(facts);
        } else {
            self.config.get_or_insert_default().extend(vars);
        }
        Ok(())
    }

    fn line(&mut self, line: &str, in_scale: &mut bool) {
        if let Some(heading) = line.strip_prefix("=====> ") {
            *in_scale = false;
            // `=====> shop domains information`, or the name alone.
            let mut words = heading.split_whitespace();
            let (name, last) = (words.next(), words.next_back());
            if let Some(name) = name.filter(|_| matches!(last, None | Some("information"))) {
                self.apps.insert(name.to_owned());
            }
            return;
        }
        let text = line.strip_prefix("-----> ").unwrap_or(line);
        if let Some(name) = text.strip_prefix("Scaling for ") {
            *in_scale = true;
            self.apps
                .insert(name.trim().trim_end_matches("...").to_owned());
        } else if *in_scale && is_of_scale(text) {
            self.scale.extend(scaled(text));
        } else if line.starts_with("       ")
            && let Some((key, value)) = line.trim_start().split_once(':')
        {
            *in_scale = false;
            self.facts
                .insert(key.trim().to_lowercase(), value.trim().to_owned());
        } else {
            *in_scale = false;
        }
    }

    pub(super) fn fact(&self, key: &str) -> Option<&str> {
        self.facts
            .get(key)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

/// Also the title of the table, and the line below.
fn is_of_scale(text: &str) -> bool {
    scaled(text).is_some() || text.starts_with("proctype") || text.starts_with("--------")
}

/// `web:  2`, and as Dokku before 0.22 had it, `web                2`.
fn scaled(line: &str) -> Option<(String, u32)> {
    if line.starts_with(char::is_whitespace) {
        return None;
    }
    let mut words = line.split_whitespace();
    let process_type = words.next()?.trim_end_matches(':');
    let quantity = words.next()?.parse().ok()?;
    (words.next().is_none() && !process_type.is_empty())
        .then(|| (process_type.to_owned(), quantity))
}

/// `A='it'\''s'` and what is after it; the value may go on over several lines.
fn exported_var(text: &str) -> Option<(String, String, &str)> {
    let (name, mut rest) = text.split_once('=')?;
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !is_name || !rest.starts_with('\'') {
        return None;
    }
    let mut value = String::new();
    loop {
        let (quoted, after) = rest.strip_prefix('\'')?.split_once('\'')?;
        value.push_str(quoted);
        let Some(after_quote) = after.strip_prefix("\\'") else {
            let after = after.strip_prefix('\r').unwrap_or(after);
            return Some((
                name.to_owned(),
                value,
                after.strip_prefix('\n').unwrap_or(after),
            ));
        };
        value.push('\'');
        rest = after_quote;
    }
}
