//! Review apps: an app for each branch of a pipeline's code, for as long as somebody looks at it.

use serde::{Deserialize, Serialize};

use crate::{AccountId, AppId, AppSetupId, PipelineId, ReviewAppId, Timestamp};

/// That a pipeline has review apps, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewAppConfig {
    pub pipeline: PipelineId,
    /// What its code's repository is called where that is kept.
    pub repo: Option<String>,
    pub automatic_review_apps: bool,
    pub destroy_stale_apps: bool,
    /// Days without a release after which a review app is stale.
    pub stale_days: u32,
    pub wait_for_ci: bool,
    /// What the names of review apps begin with.
    pub base_name: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewApp {
    pub id: ReviewAppId,
    pub pipeline: PipelineId,
    pub app: AppId,
    pub setup: AppSetupId,
    pub branch: String,
    pub pr_number: Option<i64>,
    pub fork_repo_id: Option<i64>,
    pub creator: AccountId,
    pub created_at: Timestamp,
}

impl ReviewAppConfig {
    /// Whether nothing was released to an app for so long that it is to go.
    pub fn is_stale(&self, last_release: Timestamp, now: Timestamp) -> bool {
        let days = i64::from(self.stale_days);
        self.destroy_stale_apps && now.duration_since(last_release).as_hours() >= days * 24
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_stale_after_so_many_days_where_that_is_wanted() {
        let now = Timestamp::UNIX_EPOCH;
        let config = |destroy_stale_apps| ReviewAppConfig {
            pipeline: PipelineId::new(),
            repo: None,
            automatic_review_apps: false,
            destroy_stale_apps,
            stale_days: 5,
            wait_for_ci: false,
            base_name: None,
            created_at: now,
            updated_at: now,
        };
        let later = |hours| now + jiff::SignedDuration::from_hours(hours);
        for (hours, wanted, expected) in [
            (0, true, false),
            (119, true, false),
            (120, true, true),
            (999, false, false),
        ] {
            assert_eq!(
                config(wanted).is_stale(now, later(hours)),
                expected,
                "{hours}"
            );
        }
    }
}
