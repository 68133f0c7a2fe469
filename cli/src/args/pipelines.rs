//! Arguments of the verbs about pipelines.

use clap::Args;
use controller_api::wire::Stage;

use super::{AppArgs, ForTeamArgs, JsonArgs};

const STAGE: &str = "development, staging or production";

#[derive(Debug, Args)]
pub(crate) struct PipelineArgs {
    /// Name or id of the pipeline
    pub(crate) pipeline: String,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PipelineCreateArgs {
    /// Name of the new pipeline [default: the app's name]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) team: ForTeamArgs,
    #[arg(short, long, help = format!("Stage of the app: {STAGE} [default: by its name]"))]
    pub(crate) stage: Option<Stage>,
}

#[derive(Debug, Args)]
pub(crate) struct PipelineAddArgs {
    /// Name or id of the pipeline
    pub(crate) pipeline: String,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[arg(short, long, help = format!("Stage of the app: {STAGE} [default: by its name]"))]
    pub(crate) stage: Option<Stage>,
}

#[derive(Debug, Args)]
pub(crate) struct PipelineUpdateArgs {
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[arg(short, long, help = format!("New stage of the app: {STAGE}"))]
    pub(crate) stage: Stage,
}

#[derive(Debug, Args)]
pub(crate) struct PipelineRenameArgs {
    /// Name or id of the pipeline
    pub(crate) pipeline: String,
    /// Its new name
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct PipelineTransferArgs {
    /// Name or id of the pipeline
    pub(crate) pipeline: String,
    /// E-mail address of whom it is given to, or name of a team
    pub(crate) owner: String,
    /// Name of the pipeline, instead of being asked for it
    #[arg(short, long, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PromoteArgs {
    #[command(flatten)]
    pub(crate) app: AppArgs,
    /// Apps to promote to [default: all of the next stage]
    #[arg(short, long, value_delimiter = ',', value_name = "APP")]
    pub(crate) to: Vec<String>,
}

pub(super) const PROMOTE_EXAMPLES: &str = "\
What runs is released as it was built, with the config vars of the app that it goes to.

Examples:
  $ paas pipelines:promote -a myapp-staging
  $ paas pipelines:promote -a myapp-staging --to myapp,myapp-eu";
