//! Setting apps up from an `app.json`.

use std::collections::BTreeMap;

use model::{AppId, AppName, AppSetupId, BuildId};
use serde::{Deserialize, Serialize};

use super::{AppCreate, BuildpackGiven, SourceBlobCreate};
use crate::WireTime;

/// `POST /app-setups`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AppSetupCreate {
    pub source_blob: SourceBlobCreate,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppCreate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<AppSetupOverrides>,
}

/// What counts for more than what `app.json` says.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AppSetupOverrides {
    #[serde(default)]
    pub buildpacks: Vec<BuildpackGiven>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppSetup {
    pub app: AppSetupApp,
    pub build: Option<AppSetupBuild>,
    pub created_at: WireTime,
    pub failure_message: Option<String>,
    pub id: AppSetupId,
    pub manifest_errors: Vec<String>,
    pub postdeploy: Option<AppSetupPostdeploy>,
    pub resolved_success_url: Option<String>,
    /// `pending`, `succeeded` or `failed`.
    pub status: String,
    pub updated_at: WireTime,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppSetupApp {
    pub id: AppId,
    pub name: AppName,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppSetupBuild {
    pub id: BuildId,
    pub output_stream_url: String,
    pub status: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppSetupPostdeploy {
    pub exit_code: i64,
    pub output: String,
}
