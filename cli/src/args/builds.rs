//! Builds.

use std::path::PathBuf;

use clap::Args;

use super::{AppArgs, JsonArgs};

pub(super) const CREATE_EXAMPLES: &str = "\
What is built is HEAD of the directory's git repository. Where there is none it is all files but those that .gitignore and
.slugignore name.

Examples:
  $ paas builds:create
  $ paas builds:create ./site --version v1.3.0
  $ paas builds:create --source-tar app.tgz
  $ paas builds:create --source-url https://github.com/me/app/archive/main.tar.gz";

#[derive(Debug, Args)]
pub(crate) struct BuildCreateArgs {
    /// Directory with the code
    #[arg(default_value = ".", conflicts_with_all = ["source_tar", "source_url"])]
    pub(crate) dir: PathBuf,
    /// Build this archive (.tar.gz)
    #[arg(long, value_name = "FILE", conflicts_with = "source_url")]
    pub(crate) source_tar: Option<PathBuf>,
    /// Build the archive (.tar.gz) at this URL
    #[arg(long, value_name = "URL")]
    pub(crate) source_url: Option<String>,
    /// What the code is called: a commit, a version [default: the commit, if there is one]
    #[arg(long)]
    pub(crate) version: Option<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct BuildCancelArgs {
    /// Id of the build [default: the newest that has not ended]
    pub(crate) build: Option<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}
