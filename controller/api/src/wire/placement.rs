//! Where an app's dynos may run. Ours; Heroku's API has no such thing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Dynos of the formation that are still on nodes without the tags.
    pub misplaced: u32,
    /// Tags that every node of the app's must have.
    pub tags: BTreeMap<String, String>,
    /// By process type: what it asks for beyond that.
    pub types: BTreeMap<String, TypePlacement>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypePlacement {
    /// No two dynos of the type share a node.
    pub one_per_node: bool,
    /// Another value of one of the app's tags takes its place.
    pub tags: BTreeMap<String, String>,
}

/// What is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementUpdate {
    /// Tags to set; `null` takes one away.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, Option<String>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub types: BTreeMap<String, TypePlacementUpdate>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypePlacementUpdate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_per_node: Option<bool>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, Option<String>>,
}
