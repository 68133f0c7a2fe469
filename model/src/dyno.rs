//! A dyno as it should be: written by the scheduler (or, for one-off dynos, asked for through the controller).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{
    Actor, AppId, AppName, DynoId, DynoSize, InvalidName, NodeId, ProcessType, ReleaseId,
    ReleaseVersion, Sealed, Secret, Timestamp,
};

/// `web.1`, `run.4242`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DynoName {
    pub process_type: ProcessType,
    pub index: u32,
}

impl DynoName {
    pub const fn new(process_type: ProcessType, index: u32) -> Self {
        Self {
            process_type,
            index,
        }
    }
}

impl fmt::Display for DynoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.process_type, self.index))
    }
}

impl FromStr for DynoName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let parse = || {
            let (process_type, index) = text.rsplit_once('.')?;
            Some(Self {
                process_type: process_type.parse().ok()?,
                index: index.parse().ok().filter(|i| *i > 0)?,
            })
        };
        parse().ok_or_else(|| InvalidName {
            kind: "dyno name",
            text: text.chars().take(100).collect(),
            rule: "must look like web.1",
        })
    }
}

impl TryFrom<String> for DynoName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<DynoName> for String {
    fn from(name: DynoName) -> String {
        name.to_string()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dyno {
    pub id: DynoId,
    pub app: AppId,
    /// The app's name when the dyno was made; for log lines and labels.
    pub app_name: AppName,
    pub name: DynoName,
    pub kind: DynoKind,
    /// The release it runs: slug and config come from there.
    pub release: ReleaseVersion,
    pub release_id: ReleaseId,
    /// Where it runs. `None`: not yet placed.
    pub node: Option<NodeId>,
    pub command: String,
    pub size: DynoSize,
    pub intent: Intent,
    /// A restart was asked for: start another in its place, then stop this one.
    pub replace: bool,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DynoKind {
    /// One of the app's formation; restarted when it ends.
    Formation,
    /// `paas run`; never restarted, gone when it ends.
    OneOff(OneOff),
    /// Runs the release's `release` command before the switch; never restarted.
    ReleasePhase,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneOff {
    /// Variables of this dyno only, over the release's config: `TERM`, `COLUMNS`, …
    pub env: Sealed,
    /// How a terminal or pipe reaches it; `None` when detached.
    pub attach: Option<Attach>,
    /// Seconds after which a detached dyno is ended.
    pub time_to_live_secs: u64,
    pub requested_by: Actor,
    /// Somebody waits for its end, and lets its record go then.
    #[serde(default)]
    pub is_kept: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// What both ends of the stream show; 32 hex digits, single use.
    pub secret: Secret<String>,
    /// A pseudo-terminal (CR LF, echo, signals by key) or three pipes.
    pub tty: bool,
    pub columns: u16,
    pub lines: u16,
}

/// What the node should make of the dyno.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "intent", rename_all = "snake_case")]
pub enum Intent {
    Run,
    /// SIGTERM, 30 s, SIGKILL. The record goes when the status says it has stopped.
    Stop {
        since: Timestamp,
    },
}

impl Dyno {
    pub const fn is_stopping(&self) -> bool {
        matches!(self.intent, Intent::Stop { .. })
    }

    pub fn is_web(&self) -> bool {
        matches!(self.kind, DynoKind::Formation) && self.name.process_type.is_web()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_as_they_print() {
        for text in ["web.1", "my-worker_2.10", "run.4242"] {
            assert_eq!(text.parse::<DynoName>().unwrap().to_string(), text);
        }
        for bad in ["", "web", "web.", "web.0", ".1", "web.x", "we b.1"] {
            assert!(bad.parse::<DynoName>().is_err(), "{bad}");
        }
    }
}
