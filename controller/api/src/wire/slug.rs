//! Slugs.

use std::collections::BTreeMap;

use model::SlugId;
use serde::{Deserialize, Serialize};

use super::Named;
use crate::WireTime;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slug {
    pub blob: Blob,
    pub buildpack_provided_description: Option<String>,
    pub checksum: Option<String>,
    pub commit: Option<String>,
    pub commit_description: Option<String>,
    pub created_at: WireTime,
    pub deleted_at: Option<WireTime>,
    pub id: SlugId,
    pub process_types: BTreeMap<String, String>,
    pub size: Option<u64>,
    pub stack: Named,
    pub updated_at: WireTime,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    pub method: String,
    pub url: String,
}
