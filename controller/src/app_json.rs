//! `app.json`: what an app wants to be given when it is set up. Pure: text in, or a list of what is wrong with it.
//!
//! What is not known is left alone, as Heroku does; what is known must be of its kind.

use std::collections::BTreeMap;

use model::addon::MAX_ADDONS;
use model::app::MAX_QUANTITY;
use model::{ConfigVarName, DynoSize, Formation, ProcessType, Secret};
use serde_json::{Map, Value};

const MAX_ERRORS: usize = 20;
const MAX_TEXT: usize = 32 * 1024;
/// Of a plan's name.
const MAX_PLAN: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Manifest {
    pub(crate) env: BTreeMap<ConfigVarName, Wanted>,
    pub(crate) formation: BTreeMap<ProcessType, Formation>,
    pub(crate) buildpacks: Vec<String>,
    pub(crate) stack: Option<String>,
    pub(crate) postdeploy: Option<String>,
    pub(crate) success_url: Option<String>,
    pub(crate) addons: Vec<WantedAddon>,
}

/// An add-on as a manifest asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WantedAddon {
    /// `acme-pg:dev`, or `acme-pg`.
    pub(crate) plan: String,
    pub(crate) attached_as: Option<String>,
    /// What its provider is told.
    pub(crate) options: BTreeMap<String, Value>,
}

/// How a config var gets its value, unless whoever sets the app up gives it one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    Value(Secret<String>),
    /// A new secret.
    Secret,
    /// Nobody has one, and the app cannot do without.
    Required,
    Optional,
}

/// The manifest, with what it says of one of its `environments` over the rest.
pub(crate) fn parse(text: &str, environment: Option<&str>) -> Result<Manifest, Vec<String>> {
    let json: Value = serde_json::from_str(text)
        .map_err(|error| vec![format!("app.json is not valid JSON: {error}")])?;
    let Value::Object(object) = json else {
        return Err(vec!["app.json must be a JSON object".to_owned()]);
    };
    let mut reading = Reading::default();
    reading.object(&object);
    let other = environment.and_then(|name| object.get("environments")?.get(name));
    match other {
        Some(Value::Object(other)) => reading.object(other),
        None | Some(Value::Null) => {}
        Some(_) => reading.wrong("environments", "an object of objects"),
    }
    if reading.errors.is_empty() {
        Ok(reading.manifest)
    } else {
        reading.errors.truncate(MAX_ERRORS);
        Err(reading.errors)
    }
}

#[derive(Debug, Default)]
struct Reading {
    manifest: Manifest,
    errors: Vec<String>,
}

impl Reading {
    fn wrong(&mut self, what: &str, expected: &str) {
        let what: String = what.chars().take(100).collect();
        self.errors
            .push(format!("{what} in app.json must be {expected}"));
    }

    fn object(&mut self, object: &Map<String, Value>) {
        for text in ["name", "description"] {
            self.text(object, text);
        }
        for (name, wanted) in self.entries(object, "env") {
            self.env(name, wanted);
        }
        for (name, formation) in self.entries(object, "formation") {
            self.formation(name, formation);
        }
        if let Some(stack) = self.text(object, "stack") {
            self.manifest.stack = Some(stack);
        }
        if let Some(url) = self.text(object, "success_url") {
            self.manifest.success_url = Some(url);
        }
        match object.get("scripts") {
            Some(Value::Object(scripts)) => match scripts.get("postdeploy") {
                // Some say it as an object with the command in it.
                Some(Value::Object(script)) => self.postdeploy(script, "command"),
                _ => self.postdeploy(scripts, "postdeploy"),
            },
            None | Some(Value::Null) => {}
            Some(_) => self.wrong("scripts", "an object"),
        }
        self.buildpacks(object);
        self.addons(object);
    }

    fn postdeploy(&mut self, object: &Map<String, Value>, key: &str) {
        if let Some(command) = self.text(object, key) {
            self.manifest.postdeploy = Some(command);
        }
    }

    fn text(&mut self, object: &Map<String, Value>, key: &str) -> Option<String> {
        match object.get(key) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.len() <= MAX_TEXT && !text.contains('\0') => {
                let text = text.trim();
                (!text.is_empty()).then(|| text.to_owned())
            }
            Some(_) => {
                self.wrong(key, "text");
                None
            }
        }
    }

    fn entries<'a>(
        &mut self,
        object: &'a Map<String, Value>,
        key: &str,
    ) -> Vec<(&'a String, &'a Value)> {
        match object.get(key) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Object(entries)) => entries.iter().collect(),
            Some(_) => {
                self.wrong(key, "an object");
                Vec::new()
            }
        }
    }

    fn env(&mut self, name: &str, given: &Value) {
        let Ok(parsed) = name.parse::<ConfigVarName>() else {
            return self.wrong(&format!("env.{name}"), "named as config vars are");
        };
        let wanted = match given {
            Value::Object(object) => {
                let generator = object.get("generator").and_then(Value::as_str);
                let required = object.get("required").and_then(Value::as_bool);
                match (object.get("value").and_then(value), generator) {
                    (Some(value), _) => Wanted::Value(value),
                    (None, Some("secret")) => Wanted::Secret,
                    (None, Some(_)) => {
                        return self.wrong(
                            &format!("env.{name}.generator"),
                            "\"secret\", the only one there is",
                        );
                    }
                    (None, None) if required == Some(false) => Wanted::Optional,
                    (None, None) => Wanted::Required,
                }
            }
            given => match value(given) {
                Some(value) => Wanted::Value(value),
                None => return self.wrong(&format!("env.{name}"), "text or an object"),
            },
        };
        self.manifest.env.insert(parsed, wanted);
    }

    fn formation(&mut self, name: &str, given: &Value) {
        let Ok(process_type) = name.parse::<ProcessType>() else {
            return self.wrong(&format!("formation.{name}"), "named as process types are");
        };
        let quantity = match given.get("quantity") {
            None | Some(Value::Null) => 1,
            Some(quantity) => match quantity.as_u64().and_then(|q| u32::try_from(q).ok()) {
                Some(quantity) if quantity <= MAX_QUANTITY => quantity,
                _ => {
                    let expected = format!("a number of at most {MAX_QUANTITY}");
                    return self.wrong(&format!("formation.{name}.quantity"), &expected);
                }
            },
        };
        let size = match given.get("size") {
            None | Some(Value::Null) => DynoSize::default(),
            Some(size) => match size.as_str().map(str::parse::<DynoSize>) {
                Some(Ok(size)) => size,
                _ => return self.wrong(&format!("formation.{name}.size"), "a dyno size"),
            },
        };
        let formation = Formation { quantity, size };
        self.manifest.formation.insert(process_type, formation);
    }

    fn buildpacks(&mut self, object: &Map<String, Value>) {
        match object.get("buildpacks") {
            None | Some(Value::Null) => {}
            Some(Value::Array(given)) => {
                let urls = given
                    .iter()
                    .map(|pack| pack.get("url").unwrap_or(pack).as_str());
                match urls.collect::<Option<Vec<_>>>() {
                    Some(urls) => {
                        self.manifest.buildpacks = urls.into_iter().map(str::to_owned).collect();
                    }
                    None => self.wrong("buildpacks", "a list of {\"url\": …}"),
                }
            }
            Some(_) => self.wrong("buildpacks", "a list"),
        }
    }

    fn addons(&mut self, object: &Map<String, Value>) {
        let given = match object.get("addons") {
            None | Some(Value::Null) => return,
            Some(Value::Array(given)) if given.len() <= MAX_ADDONS => given,
            Some(_) => return self.wrong("addons", "a list, of at most 50"),
        };
        let wanted: Option<Vec<_>> = given.iter().map(addon).collect();
        match wanted {
            Some(wanted) => self.manifest.addons = wanted,
            None => self.wrong(
                "addons",
                "a list of \"service:plan\" or {\"plan\": …, \"as\": …, \"options\": {…}}",
            ),
        }
    }
}

fn addon(given: &Value) -> Option<WantedAddon> {
    let text = |field| match given.get(field) {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(text)) => Some(Some(text.clone())),
        Some(_) => None,
    };
    let options = match given.get("options") {
        None | Some(Value::Null) => BTreeMap::new(),
        Some(Value::Object(options)) => options.clone().into_iter().collect(),
        Some(_) => return None,
    };
    let plan = given.get("plan").unwrap_or(given).as_str()?;
    Some(WantedAddon {
        plan: plan.chars().take(MAX_PLAN).collect(),
        attached_as: text("as")?,
        options,
    })
}

/// As an environment variable has it.
fn value(json: &Value) -> Option<Secret<String>> {
    let text = match json {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(is) => is.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    Some(Secret::from(text.as_str()))
}

impl Manifest {
    /// The config vars to set: those given, and what the manifest says of the others. `secret` makes one.
    pub(crate) fn config(
        &self,
        given: &BTreeMap<ConfigVarName, Secret<String>>,
        mut secret: impl FnMut() -> String,
    ) -> Result<BTreeMap<ConfigVarName, Secret<String>>, Vec<String>> {
        let mut config = given.clone();
        let mut missing = Vec::new();
        for (name, wanted) in &self.env {
            if config.contains_key(name) {
                continue;
            }
            let value = match wanted {
                Wanted::Value(value) => value.clone(),
                Wanted::Secret => Secret::from(secret().as_str()),
                Wanted::Required => {
                    missing.push(format!("config var {} is required", name.as_str()));
                    continue;
                }
                Wanted::Optional => continue,
            };
            config.insert(name.clone(), value);
        }
        missing.truncate(MAX_ERRORS);
        if missing.is_empty() {
            Ok(config)
        } else {
            Err(missing)
        }
    }
}

#[cfg(test)]
mod tests;
