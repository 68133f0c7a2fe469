//! Log sessions: a URL from which log lines can be read for a while.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::WireTime;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSession {
    pub created_at: WireTime,
    pub id: Uuid,
    pub logplex_url: String,
    pub updated_at: WireTime,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LogSessionCreate {
    /// `web.1`, `router`, or a bare process type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dyno: Option<String>,
    /// `app` or `heroku`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Lines of backlog; 100 when absent, at most 1500.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::lenient::small_number"
    )]
    pub lines: Option<u16>,
    /// Go on after the backlog.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::lenient::flag"
    )]
    pub tail: Option<bool>,
}
