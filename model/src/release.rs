//! The release ledger: append-only, versions strictly grow, nothing is ever reused.
//!
//! Build + config = release. A release is born `Pending`, and the scheduler moves it once: to `Succeeded` when its dynos
//! are ready and routed, to `Failed` when they are not, to `Superseded` when a newer release took its place before it was
//! proven. A failed release stays in the list and is never the base of a later one.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{
    AccountId, App, AppId, Attached, ConfigVarName, ConfigVars, Email, InvalidName, ReleaseId,
    SlugId, Timestamp,
};

/// `v12`. The first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReleaseVersion(pub u64);

impl ReleaseVersion {
    pub const FIRST: Self = Self(1);

    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for ReleaseVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl FromStr for ReleaseVersion {
    type Err = InvalidName;

    /// `v12` or `12`.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let digits = text.strip_prefix('v').unwrap_or(text);
        match digits.parse() {
            Ok(version) if version > 0 && digits.bytes().all(|b| b.is_ascii_digit()) => {
                Ok(Self(version))
            }
            _ => Err(InvalidName {
                kind: "release version",
                text: text.chars().take(100).collect(),
                rule: "must be a number such as v12",
            }),
        }
    }
}

/// Who did it, as it was when it was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    pub account: AccountId,
    pub email: Email,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    pub id: ReleaseId,
    pub app: AppId,
    pub version: ReleaseVersion,
    pub description: String,
    pub actor: Actor,
    pub slug: Option<SlugId>,
    pub status: ReleaseStatus,
    /// Pages of the app's own that routers show, from its config.
    #[serde(default)]
    pub pages: Pages,
    /// What of it is its add-ons'.
    #[serde(default, skip_serializing_if = "OfAddons::is_empty")]
    pub addons: OfAddons,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// What a release has of the app's add-ons.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OfAddons {
    /// `acme-pg:dev`
    pub plans: BTreeSet<String>,
    /// The config vars that are theirs.
    pub vars: BTreeSet<ConfigVarName>,
}

impl OfAddons {
    pub fn is_empty(&self) -> bool {
        self.plans.is_empty() && self.vars.is_empty()
    }
}

impl From<&Attached> for OfAddons {
    fn from(attached: &Attached) -> Self {
        Self {
            plans: attached.plans(),
            vars: attached.vars().into_keys().collect(),
        }
    }
}

/// Where an app's own error and maintenance pages are: the config vars `ERROR_PAGE_URL` and `MAINTENANCE_PAGE_URL`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pages {
    pub error: Option<String>,
    pub maintenance: Option<String>,
}

impl Pages {
    pub fn of(config: &ConfigVars) -> Self {
        Self {
            error: config.get("ERROR_PAGE_URL").map(str::to_owned),
            maintenance: config.get("MAINTENANCE_PAGE_URL").map(str::to_owned),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum ReleaseStatus {
    Pending,
    Succeeded,
    Failed(ReleaseFailure),
    /// A newer release replaced it before it was proven.
    Superseded {
        by: ReleaseVersion,
    },
}

/// Why a release failed, in words for its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseFailure {
    /// `web.1 exited with status 1`, `Error R10 (Boot timeout) -> …`.
    pub reason: String,
    /// The last lines the failing dyno wrote, oldest first.
    pub log_tail: Vec<String>,
}

impl ReleaseStatus {
    pub const fn is_pending(&self) -> bool {
        matches!(self, Self::Pending)
    }

    pub const fn is_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

/// What a new release takes from whoever makes it; the ledger adds the version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseDraft {
    pub description: String,
    pub actor: Actor,
    pub slug: Option<SlugId>,
}

/// The next entry of an app's ledger, and the app as it is once that entry is made.
///
/// A release without a slug has nothing to prove and is born `Succeeded`.
pub fn append(app: &App, draft: ReleaseDraft, pages: Pages, now: Timestamp) -> (App, Release) {
    let version = app.latest.next();
    let status = if draft.slug.is_some() {
        ReleaseStatus::Pending
    } else {
        ReleaseStatus::Succeeded
    };
    let release = Release {
        id: ReleaseId::new(),
        app: app.id,
        version,
        description: draft.description,
        actor: draft.actor,
        slug: draft.slug,
        status,
        pages,
        addons: OfAddons::default(),
        created_at: now,
        updated_at: now,
    };
    let mut app = app.clone();
    app.latest = version;
    app.target = version;
    if !release.status.is_pending() {
        app.current = version;
    }
    app.released_at = Some(now);
    app.updated_at = now;
    (app, release)
}

/// The release that a change starts from: the target, which is either proven or being proven, and never a failed one.
pub const fn merge_base(app: &App) -> ReleaseVersion {
    app.target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_people_write_them() {
        assert_eq!("v12".parse(), Ok(ReleaseVersion(12)));
        assert_eq!("12".parse(), Ok(ReleaseVersion(12)));
        for bad in ["", "v", "v0", "0", "-1", "+1", "v1.2", "vv1"] {
            assert!(bad.parse::<ReleaseVersion>().is_err(), "{bad}");
        }
    }
}
