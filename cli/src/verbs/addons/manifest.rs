//! A provider's manifest, of the Add-on Partner API. What is in it is for the platform to judge, but JSON it must be.

use std::io;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value};

use crate::failure::Failure;

#[derive(Debug)]
pub(super) struct Manifest {
    /// Where it was read, for people.
    source: String,
    pub(super) content: Value,
}

impl Manifest {
    /// Of a file, or of standard input where that is `-`.
    pub(super) fn read(path: &str) -> Result<Self> {
        let (source, text) = match path {
            "-" => (
                "Standard input",
                io::read_to_string(io::stdin()).context("could not read standard input")?,
            ),
            path => (path, fs_err::read_to_string(path)?),
        };
        Ok(Self::parse(source, &text)?)
    }

    fn parse(source: &str, text: &str) -> Result<Self, Failure> {
        match serde_json::from_str::<Map<String, Value>>(text) {
            Ok(object) => Ok(Self {
                source: source.to_owned(),
                content: Value::Object(object),
            }),
            Err(error) => Err(
                Failure::new(format!("{source} is no manifest: {}", told(&error))).advise(
                    "It must be a JSON object, as `addon-manifest.json` of the Add-on Partner API.",
                ),
            ),
        }
    }

    /// What the service is called.
    pub(super) fn id(&self) -> Result<&str, Failure> {
        let id = self.content["id"].as_str().filter(|id| !id.is_empty());
        id.ok_or_else(|| {
            Failure::new(format!(
                "{} has no \"id\", which says what service it is of",
                self.source
            ))
        })
    }
}

/// A manifest holds passwords: of what stands there nothing is repeated.
fn told(error: &serde_json::Error) -> String {
    match error.is_data() {
        true => format!(
            "a JSON object should begin at line {} column {}",
            error.line(),
            error.column()
        ),
        false => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Manifest::parse("m.json", text).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_object_is_refused_with_the_place_and_without_what_stands_there() {
        assert_eq!(
            refused("{\n  \"id\": \"acme\",\n}"),
            "m.json is no manifest: trailing comma at line 3 column 1"
        );
        assert_eq!(
            refused(""),
            "m.json is no manifest: EOF while parsing a value at line 1 column 0"
        );
        for text in ["[1]", "\"s3cret\"", "17", "null"] {
            let error = refused(text);
            assert!(
                error.contains("a JSON object should begin at line 1 column"),
                "{error}"
            );
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn the_id_is_the_services_name() {
        let manifest = |text: &str| Manifest::parse("m.json", text).unwrap();
        assert_eq!(manifest("{\"id\": \"acme-pg\"}").id().unwrap(), "acme-pg");
        for text in ["{}", "{\"id\": \"\"}", "{\"id\": 7}"] {
            assert!(manifest(text).id().is_err(), "{text}");
        }
    }
}
