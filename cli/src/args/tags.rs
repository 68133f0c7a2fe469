//! Options of the verbs about where an app's dynos may run.

use clap::Args;

use super::{AppArgs, JsonArgs, WaitArgs};

pub(super) const SET_EXAMPLES: &str = "\
Dynos on other hosts are replaced, without a lost request. Tags of a process type go over those of the app.

Examples:
  $ paas tags:set disk=ssd
  $ paas tags:set gpu=yes disk=hdd --type worker";

#[derive(Debug, Args)]
pub(crate) struct TagSetArgs {
    /// Tags that a host must have, such as disk=ssd
    #[arg(value_name = "NAME=VALUE", required = true)]
    pub(crate) tags: Vec<String>,
    #[command(flatten)]
    pub(crate) of: TagArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TagUnsetArgs {
    /// Tags that a host need not have any more
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) of: TagArgs,
}

/// Whose tags they are.
#[derive(Debug, Args)]
pub(crate) struct TagArgs {
    /// Of this process type only [default: of all the app's dynos]
    #[arg(short, long = "type", value_name = "TYPE")]
    pub(crate) process_type: Option<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ApartArgs {
    /// Process type, such as web
    #[arg(value_name = "TYPE")]
    pub(crate) process_type: String,
    /// Let its dynos share hosts again
    #[arg(long)]
    pub(crate) off: bool,
    #[command(flatten)]
    pub(crate) app: AppArgs,
}
