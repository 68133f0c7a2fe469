//! Where an app's dynos may run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{InvalidName, ProcessType};

/// What a node must be like to get the app's dynos. Empty: any node will do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Tags that every node of the app's must have, builds apart.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// What one process type asks for beyond that.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub types: BTreeMap<ProcessType, TypePlacement>,
}

/// One process type's own wishes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypePlacement {
    /// Over the app's: another value of a tag takes the place of the app's value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// No two dynos of the type are ever placed on one node; rather than that, one of them waits.
    #[serde(default, skip_serializing_if = "is_false")]
    pub one_per_node: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Placement {
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.types.is_empty()
    }

    /// The tags a node must have for dynos of the type.
    pub fn tags_for(&self, process_type: &ProcessType) -> BTreeMap<String, String> {
        let mut tags = self.tags.clone();
        if let Some(own) = self.types.get(process_type) {
            tags.extend(own.tags.clone());
        }
        tags
    }

    /// Whether a node with these tags may run dynos of the type.
    pub fn admits(&self, process_type: &ProcessType, node_tags: &BTreeMap<String, String>) -> bool {
        has_all(node_tags, &self.tags_for(process_type))
    }

    pub fn is_one_per_node(&self, process_type: &ProcessType) -> bool {
        self.types
            .get(process_type)
            .is_some_and(|own| own.one_per_node)
    }
}

/// Whether all of `wanted` are among `tags`.
pub fn has_all(tags: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted
        .iter()
        .all(|(name, value)| tags.get(name) == Some(value))
}

/// `disk=ssd and gpu=yes`.
pub fn listed(tags: &BTreeMap<String, String>) -> String {
    let tags = tags.iter().map(|(name, value)| format!("{name}={value}"));
    tags.collect::<Vec<_>>().join(" and ")
}

/// The most characters in a tag's name or value.
pub const MAX_TAG_CHARS: usize = 63;

/// `disk=ssd` as a tag's name and value: letters, digits, `.`, `_`, `-` and `/`, up to [`MAX_TAG_CHARS`] each.
pub fn parse_tag(text: &str) -> Result<(String, String), InvalidName> {
    let (name, value) = text.split_once('=').ok_or_else(|| invalid(text))?;
    Ok((parse_tag_part(name)?, parse_tag_part(value)?))
}

/// A tag's name, or its value.
pub fn parse_tag_part(text: &str) -> Result<String, InvalidName> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    let fits = (1..=MAX_TAG_CHARS).contains(&text.len());
    if fits && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(invalid(text))
    }
}

fn invalid(text: &str) -> InvalidName {
    InvalidName {
        kind: "tag",
        text: text.chars().take(100).collect(),
        rule: "must look like disk=ssd: letters, digits, '.', '_', '-' and '/', up to 63 of them on each side",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_name_and_a_value() {
        let tag = ("disk".to_owned(), "ssd".to_owned());
        assert_eq!(parse_tag("disk=ssd").unwrap(), tag);
        for bad in ["", "disk", "disk=", "=ssd", "a b=c", "a=b=c", "a=ü"] {
            assert!(parse_tag(bad).is_err(), "{bad}");
        }
        assert!(parse_tag(&format!("{}=x", "a".repeat(64))).is_err());
    }

    #[test]
    fn a_types_own_tags_go_over_the_apps() {
        let tag = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let worker: ProcessType = "worker".parse().unwrap();
        let own = TypePlacement {
            tags: BTreeMap::from([tag("disk", "hdd")]),
            one_per_node: true,
        };
        let placement = Placement {
            tags: BTreeMap::from([tag("disk", "ssd"), tag("gpu", "no")]),
            types: BTreeMap::from([(worker.clone(), own)]),
        };
        let wanted = BTreeMap::from([tag("disk", "hdd"), tag("gpu", "no")]);
        assert_eq!(placement.tags_for(&worker), wanted);
        assert_eq!(placement.tags_for(&ProcessType::web()), placement.tags);
        assert!(placement.is_one_per_node(&worker));
        assert!(
            placement.admits(&worker, &wanted) && !placement.admits(&ProcessType::web(), &wanted)
        );
        assert!(!placement.is_one_per_node(&ProcessType::web()));
    }

    #[test]
    fn records_from_before_there_were_constraints_have_none() {
        let placement: Placement = serde_json::from_str("{}").unwrap();
        assert!(placement.is_empty());
        assert_eq!(serde_json::to_string(&placement).unwrap(), "{}");
    }
}
