//! Config vars: what an app is told through its environment.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{ConfigVarName, Secret};

/// Heroku's limit on all config vars of an app together (keys and values).
pub const MAX_TOTAL_BYTES: usize = 64 * 1024;

/// The config of one release: exact values, any UTF-8 without NUL.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConfigVars(pub BTreeMap<ConfigVarName, Secret<String>>);

/// What a `PATCH config-vars` asks for: `Some` sets, `None` unsets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfigChange(pub BTreeMap<ConfigVarName, Option<Secret<String>>>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    #[error("config vars are {bytes} bytes in all; at most {MAX_TOTAL_BYTES} are allowed")]
    TooLarge { bytes: usize },
    #[error("the value of {name} contains a NUL byte, which no environment variable can hold")]
    Nul { name: ConfigVarName },
}

impl ConfigVars {
    pub fn get(&self, name: &str) -> Option<&str> {
        let name: ConfigVarName = name.parse().ok()?;
        self.0.get(&name).map(|value| value.expose().as_str())
    }

    /// This config but what is named.
    #[must_use]
    pub fn without(&self, names: &BTreeSet<ConfigVarName>) -> Self {
        let vars = self.0.iter().filter(|(name, _)| !names.contains(*name));
        Self(
            vars.map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        )
    }

    /// This config with `change` applied.
    pub fn with(&self, change: &ConfigChange) -> Result<Self, InvalidConfig> {
        let mut vars = self.0.clone();
        for (name, value) in &change.0 {
            match value {
                Some(value) if value.expose().contains('\0') => {
                    return Err(InvalidConfig::Nul { name: name.clone() });
                }
                Some(value) => {
                    vars.insert(name.clone(), value.clone());
                }
                None => {
                    vars.remove(name);
                }
            }
        }
        let bytes = vars
            .iter()
            .map(|(name, value)| name.as_str().len() + value.expose().len())
            .sum();
        if bytes > MAX_TOTAL_BYTES {
            return Err(InvalidConfig::TooLarge { bytes });
        }
        Ok(Self(vars))
    }
}

impl ConfigChange {
    /// The release's description in Heroku's words: `Set A, B config vars`, `Remove C config vars`, or both.
    pub fn description(&self) -> String {
        let names = |wanted: bool| {
            let names: Vec<_> = self
                .0
                .iter()
                .filter(|(_, v)| v.is_some() == wanted)
                .map(|(name, _)| name.as_str())
                .collect();
            names.join(", ")
        };
        match (names(true), names(false)) {
            (set, removed) if removed.is_empty() => format!("Set {set} config vars"),
            (set, removed) if set.is_empty() => format!("Remove {removed} config vars"),
            (set, removed) => format!("Set {set} config vars, remove {removed}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(pairs: &[(&str, Option<&str>)]) -> ConfigChange {
        ConfigChange(
            pairs
                .iter()
                .map(|(k, v)| (k.parse().unwrap(), v.map(Secret::from)))
                .collect(),
        )
    }

    #[test]
    fn a_change_sets_and_unsets_and_keeps_the_rest() {
        let base = ConfigVars::default()
            .with(&change(&[("A", Some("1")), ("B", Some("2"))]))
            .unwrap();
        let next = base
            .with(&change(&[("A", None), ("C", Some("x\ny"))]))
            .unwrap();
        assert_eq!(
            (next.get("A"), next.get("B"), next.get("C")),
            (None, Some("2"), Some("x\ny"))
        );
    }

    #[test]
    fn too_much_config_and_nul_bytes_are_refused() {
        let big = "x".repeat(MAX_TOTAL_BYTES);
        assert!(matches!(
            ConfigVars::default().with(&change(&[("A", Some(&big))])),
            Err(InvalidConfig::TooLarge { .. })
        ));
        assert!(matches!(
            ConfigVars::default().with(&change(&[("A", Some("a\0b"))])),
            Err(InvalidConfig::Nul { .. })
        ));
    }

    #[test]
    fn descriptions_are_herokus() {
        assert_eq!(
            change(&[("B", Some("1")), ("A", Some("1"))]).description(),
            "Set A, B config vars"
        );
        assert_eq!(change(&[("A", None)]).description(), "Remove A config vars");
    }
}
