//! Dynos.

use std::collections::BTreeMap;

use model::{DynoId, DynoSize, ReleaseId};
use serde::{Deserialize, Serialize};

use super::AppRef;
use crate::WireTime;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dyno {
    pub app: AppRef,
    /// `rendezvous://host:port/secret`, in the answer to the creation of an attached dyno, or of a command inside one, only.
    pub attach_url: Option<String>,
    pub command: String,
    pub created_at: WireTime,
    pub id: DynoId,
    /// `web.1`
    pub name: String,
    pub release: DynoRelease,
    pub size: DynoSize,
    /// `starting`, `up`, `crashed`, `down`.
    pub state: String,
    #[serde(rename = "type")]
    pub process_type: String,
    pub updated_at: WireTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DynoRelease {
    pub id: ReleaseId,
    pub version: u64,
}

/// `POST …/dynos`: a one-off dyno.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct DynoCreate {
    pub command: String,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::lenient::flag"
    )]
    pub attach: Option<bool>,
    /// Variables of this dyno only; `COLUMNS` and `LINES` also give the terminal's first size.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "super::lenient::string_map"
    )]
    pub env: BTreeMap<String, String>,
    /// Pipes instead of a terminal.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::lenient::flag"
    )]
    pub force_no_tty: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// The process type, and so the first part of its name; `run` when absent.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub process_type: Option<String>,
    /// Seconds until it is ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_live: Option<i64>,
}

/// `POST …/dynos/{dyno}`: a command inside a dyno that is up.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct InsideCreate {
    /// A shell when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Variables of this command only; `COLUMNS` and `LINES` also give the terminal's first size.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "super::lenient::string_map"
    )]
    pub env: BTreeMap<String, String>,
    /// Pipes instead of a terminal.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::lenient::flag"
    )]
    pub force_no_tty: Option<bool>,
}
