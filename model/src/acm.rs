//! Certificates that the platform gets for an app's domains by itself (Heroku's ACM).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{AppId, Hostname, Timestamp};

/// That an app wants it. Written by the API alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acm {
    pub app: AppId,
    pub enabled_at: Timestamp,
    /// Whatever failed before is tried anew.
    pub asked_at: Timestamp,
}

/// How it goes, for each of the app's domains. Written alone by the controller that leads in this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcmProgress {
    pub app: AppId,
    pub names: BTreeMap<Hostname, NameProgress>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameProgress {
    pub status: AcmStatus,
    /// In words, where it does not go well.
    pub reason: Option<String>,
    /// Failures in a row.
    pub failures: u32,
    /// Not before this.
    pub next_try: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AcmStatus {
    InProgress,
    Ok,
    /// It is tried again by itself.
    Failing,
    /// It is not, unless somebody asks.
    Failed,
}

impl AcmStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in-progress",
            Self::Ok => "ok",
            Self::Failing => "failing",
            Self::Failed => "failed",
        }
    }
}

/// Failures in a row before it is given up: some five days by [`pause_after`].
pub const MAX_FAILURES: u32 = 12;
const FIRST_PAUSE: Duration = Duration::from_secs(5 * 60);
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// How long to leave an authority alone after so many failures in a row, a half more at most by `jitter` (0 to 1): an
/// authority allows few of them an hour, and may shut out who goes on.
pub fn pause_after(failures: u32, jitter: f64) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled
        .min(LONGEST_PAUSE)
        .mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_day_and_no_further() {
        let minutes = |failures| pause_after(failures, 0.0).as_secs() / 60;
        assert_eq!([1, 2, 3, 9].map(minutes), [5, 10, 20, 1280]);
        assert_eq!([10, 40, u32::MAX].map(minutes), [1440; 3]);
        assert_eq!(pause_after(1, 1.0), FIRST_PAUSE.mul_f64(1.5));
    }
}
