//! What a buildpack's `bin/release` prints: YAML with the process types an app has without a Procfile.

use std::collections::BTreeMap;

use model::ProcessType;
use serde::Deserialize;

use crate::ProcessTypes;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReleaseYaml {
    pub default_process_types: ProcessTypes,
    /// Add-ons for the app's first deploy.
    pub addons: Vec<String>,
    /// A legacy of the oldest buildpacks: config vars for the app's first deploy.
    pub config_vars: BTreeMap<String, String>,
}

#[derive(Debug, thiserror::Error)]
#[error("bin/release printed YAML that cannot be read: {reason}")]
pub struct InvalidReleaseYaml {
    reason: String,
}

/// As it is written. Each key may be absent or empty, and unknown ones are nobody's business.
#[derive(Deserialize, Default)]
struct Document {
    #[serde(default)]
    default_process_types: Option<BTreeMap<String, Option<Scalar>>>,
    #[serde(default)]
    addons: Option<Vec<String>>,
    #[serde(default)]
    config_vars: Option<BTreeMap<String, Option<Scalar>>>,
}

/// Commands and values are strings, and some look like something else without their quotes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

impl Scalar {
    fn into_text(self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Text(value) => value,
        }
    }
}

/// Reads the output of `bin/release`; printing nothing is legal and common.
pub fn parse(text: &str) -> Result<ReleaseYaml, InvalidReleaseYaml> {
    let document: Option<Document> = if text.trim().is_empty() {
        None
    } else {
        serde_saphyr::from_str(text).map_err(|error| InvalidReleaseYaml {
            reason: first_line(&error.to_string()),
        })?
    };
    let document = document.unwrap_or_default();
    let mut default_process_types = ProcessTypes::new();
    for (name, command) in document.default_process_types.unwrap_or_default() {
        let command = command.map(Scalar::into_text).unwrap_or_default();
        let name: ProcessType =
            name.parse()
                .map_err(|error: model::InvalidName| InvalidReleaseYaml {
                    reason: error.to_string(),
                })?;
        if !command.trim().is_empty() {
            default_process_types.insert(name, command.trim().to_owned());
        }
    }
    Ok(ReleaseYaml {
        default_process_types,
        addons: document.addons.unwrap_or_default(),
        config_vars: document
            .config_vars
            .unwrap_or_default()
            .into_iter()
            .map(|(name, value)| (name, value.map(Scalar::into_text).unwrap_or_default()))
            .collect(),
    })
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn types(text: &str) -> Vec<(String, String)> {
        let release = parse(text).unwrap();
        release
            .default_process_types
            .into_iter()
            .map(|(n, c)| (n.as_str().to_owned(), c))
            .collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected
            .iter()
            .map(|(n, c)| ((*n).to_owned(), (*c).to_owned()))
            .collect()
    }

    #[test]
    fn nothing_is_a_legal_answer() {
        for text in [
            "",
            "\n",
            "---\n",
            "--- {}\n",
            "---\ndefault_process_types:\n",
            "---\ndefault_process_types: {}",
        ] {
            assert_eq!(parse(text).unwrap(), ReleaseYaml::default(), "{text:?}");
        }
    }

    #[test]
    fn process_types_come_in_every_style_of_yaml() {
        let expected = pairs(&[("web", "npm start"), ("worker", "node w.js")]);
        for text in [
            "---\ndefault_process_types:\n  web: npm start\n  worker: node w.js\n",
            "default_process_types:\n    web: 'npm start'\n    worker: \"node w.js\"",
            "--- {default_process_types: {web: npm start, worker: node w.js}}",
            "---\naddons: []\nconfig_vars: {}\ndefault_process_types: { \"web\": \"npm start\", 'worker': node w.js }\n",
        ] {
            assert_eq!(types(text), expected, "{text}");
        }
    }

    #[test]
    fn a_command_with_a_shell_default_is_kept_whole() {
        let text = "default_process_types:\n  web: \"bundle exec rackup -p ${PORT:-5000}\"\n  yes: true\n  n: 5\n  empty:\n";
        assert_eq!(
            types(text),
            pairs(&[
                ("n", "5"),
                ("web", "bundle exec rackup -p ${PORT:-5000}"),
                ("yes", "true")
            ])
        );
    }

    #[test]
    fn addons_and_config_vars_of_old_buildpacks_are_read() {
        let release =
            parse("addons:\n- heroku-postgresql\nconfig_vars:\n  LANG: en_US.UTF-8\n  N: 2\n")
                .unwrap();
        assert_eq!(release.addons, ["heroku-postgresql"]);
        assert_eq!(release.config_vars["LANG"], "en_US.UTF-8");
        assert_eq!(release.config_vars["N"], "2");
    }

    #[test]
    fn what_is_no_map_is_refused_with_a_reason() {
        for text in [
            "just text",
            "- a\n- list",
            "default_process_types: [web]",
            "default_process_types:\n  we b: x",
            "{",
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(
                error.starts_with("bin/release printed YAML that cannot be read: "),
                "{text:?}: {error}"
            );
            assert!(!error.contains('\n'), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_panic(text in "(?s).{0,200}") {
            let _ = parse(&text);
        }
    }
}
