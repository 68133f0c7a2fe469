//! An app somewhere else, in words that are no platform's own.

use std::collections::BTreeMap;

use controller_api::Secret;

/// What a source tells of an app.
#[derive(Debug, Default)]
pub(super) struct Described {
    /// `heroku`, `deis`, `dokku`.
    pub(super) kind: &'static str,
    /// The host or file it was read from.
    pub(super) whence: String,
    pub(super) name: String,
    pub(super) config: BTreeMap<String, Secret<String>>,
    /// Whose the config vars are that nobody has set.
    pub(super) ties: BTreeMap<String, Tie>,
    pub(super) domains: Vec<DomainThere>,
    pub(super) formation: Vec<ProcessThere>,
    /// In order: names, or URLs.
    pub(super) buildpacks: Vec<String>,
    pub(super) people: Vec<PersonThere>,
    /// Their URLs, which may have passwords in them.
    pub(super) drains: Vec<Secret<String>>,
    pub(super) session_affinity: bool,
    pub(super) stack: Option<String>,
    /// The other side cares for the certificates of the app's domains.
    pub(super) has_certificates: bool,
    /// What the source knows to have no counterpart.
    pub(super) left: Vec<Item>,
}

/// What a config var belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tie {
    /// It leads to something that stays on the other side.
    Addon(String),
    /// The other platform needs it for itself.
    Platform(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DomainThere {
    pub(super) hostname: String,
    /// Where its DNS leads.
    pub(super) target: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProcessThere {
    pub(super) process_type: String,
    pub(super) quantity: u32,
    pub(super) size: SizeThere,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SizeThere {
    /// Nobody has said.
    Any,
    Named(String),
    Bytes(u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PersonThere {
    /// An e-mail address, where the other side tells it.
    pub(super) name: String,
    /// The most that they may do, in the platform's own words.
    pub(super) permission: Option<&'static str>,
}

/// One thing of an app, and something to be said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) note: String,
}

impl Item {
    pub(super) fn new(
        kind: &'static str,
        name: impl Into<String>,
        note: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            name: name.into(),
            note: note.into(),
        }
    }
}
