//! Pipelines: apps in stages, and code that goes from one stage to the next as it was built.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    Actor, AppId, CouplingId, InvalidName, Owner, PipelineId, PipelineName, PromotionId,
    PromotionTargetId, ReleaseId, ReleaseVersion, Timestamp,
};

/// The most apps of one pipeline: they go with it in one commit.
pub const MAX_APPS: usize = 25;

/// A promotion that has not reached one of its apps by then has lost whoever made it.
pub const PROMOTED_WITHIN: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipeline {
    pub id: PipelineId,
    pub name: PipelineName,
    pub owner: Owner,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// That an app is in a pipeline. An app is in one at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coupling {
    pub id: CouplingId,
    pub app: AppId,
    pub pipeline: PipelineId,
    pub stage: Stage,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    Test,
    Review,
    Development,
    Staging,
    Production,
}

impl Stage {
    pub const ALL: [Self; 5] = [
        Self::Test,
        Self::Review,
        Self::Development,
        Self::Staging,
        Self::Production,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Review => "review",
            Self::Development => "development",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }

    /// Where the code of this stage goes; `None` after the last.
    pub const fn next(self) -> Option<Self> {
        match self {
            Self::Test | Self::Production => None,
            Self::Review | Self::Development => Some(Self::Staging),
            Self::Staging => Some(Self::Production),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Stage {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::ALL
            .into_iter()
            .find(|stage| stage.as_str() == text)
            .ok_or_else(|| InvalidName {
                kind: "stage",
                text: text.chars().take(40).collect(),
                rule: "must be test, review, development, staging or production",
            })
    }
}

/// One app's code to others of its pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    pub id: PromotionId,
    pub pipeline: PipelineId,
    pub source: AppId,
    /// What ran there.
    pub release: ReleaseId,
    pub targets: Vec<PromotionTarget>,
    pub actor: Actor,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionTarget {
    pub id: PromotionTargetId,
    pub app: AppId,
    /// `None`: not tried yet.
    pub outcome: Option<PromotionOutcome>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromotionOutcome {
    /// That release was made. How it fares is in its own record.
    Released { version: ReleaseVersion },
    /// In words for the user.
    Failed { message: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_lead_to_production() {
        for stage in Stage::ALL {
            assert_eq!(stage.as_str().parse(), Ok(stage));
            if let Some(next) = stage.next() {
                assert!(next > stage);
            }
        }
        assert_eq!(Stage::Review.next(), Some(Stage::Staging));
        let error = "prod".parse::<Stage>().unwrap_err().to_string();
        assert!(error.contains("staging or production"), "{error}");
    }
}
