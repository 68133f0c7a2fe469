//! Setting an app up from code that says in an `app.json` what it needs.

use serde::{Deserialize, Serialize};

use crate::repository::Archive;
use crate::{Actor, AppId, AppName, AppSetupId, BuildId, BuildpackRef, DynoId, Sealed, Timestamp};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppSetup {
    pub id: AppSetupId,
    pub app: AppId,
    pub app_name: AppName,
    pub actor: Actor,
    /// Where the code is said to be; what is shown of it.
    pub url: String,
    pub archive: Archive,
    /// Config vars, in place of what `app.json` says.
    pub env: Sealed,
    /// Buildpacks, likewise; none are none.
    pub buildpacks: Vec<BuildpackRef>,
    /// Of those that `app.json` may name, such as `review`.
    #[serde(default)]
    pub environment: Option<String>,
    pub stage: SetupStage,
    pub build: Option<BuildId>,
    /// Where the app's maker wants whoever set it up to go, below the app's own address or elsewhere.
    pub success_url: Option<String>,
    pub postdeploy: Option<Postdeploy>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// How far it is. Each step is one commit, so whoever goes on finds what was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum SetupStage {
    /// Somebody is to look into the archive.
    Reading,
    /// The build was asked for; then its release is waited for.
    Building {
        /// The command to run after it.
        postdeploy: Option<String>,
    },
    PostDeploying {
        dyno: DynoId,
    },
    Succeeded,
    Failed {
        message: String,
        manifest_errors: Vec<String>,
    },
}

/// What the script did that an app wants to be run once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Postdeploy {
    pub exit_code: i64,
    pub output: String,
}

impl SetupStage {
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed { .. })
    }
}
