//! Options of the verbs about an app's settings: config, releases, domains, drains, buildpacks, keys, access.

use std::path::PathBuf;

use clap::Args;

use super::{AppArgs, JsonArgs, WaitArgs};

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(flatten)]
    pub(crate) app: AppArgs,
    /// Print shell assignments
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) shell: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigGetArgs {
    /// Name of the config var
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    /// Print shell assignments
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) shell: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigSetArgs {
    /// What to set
    #[arg(value_name = "NAME=VALUE", required = true)]
    pub(crate) vars: Vec<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigUnsetArgs {
    /// What to unset
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReleasesArgs {
    /// How many to show
    #[arg(short, long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) num: u32,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// Release, such as v12 [default: the newest]
    pub(crate) release: Option<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// Release to go back to, such as v12 [default: the one before the current]
    pub(crate) release: Option<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// Id of the build [default: the newest]
    pub(crate) build: Option<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DomainArgs {
    /// Host name, such as www.example.com or *.example.com
    pub(crate) hostname: String,
    #[command(flatten)]
    pub(crate) app: AppArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DrainAddArgs {
    /// syslog://, syslog+tls://, https:// or http://, and where
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) app: AppArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// URL, token (d.…) or id of the drain
    #[arg(value_name = "URL|TOKEN")]
    pub(crate) drain: String,
    #[command(flatten)]
    pub(crate) app: AppArgs,
}

#[derive(Debug, Args)]
pub(crate) struct BuildpackAddArgs {
    /// Name (heroku/python) or git URL, with #branch-or-tag if need be
    pub(crate) buildpack: String,
    /// Position in the list, from 1
    #[arg(short, long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) index: Option<u32>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
}

#[derive(Debug, Args)]
pub(crate) struct BuildpackRemoveArgs {
    /// Name, git URL or position in the list
    #[arg(required_unless_present = "index", conflicts_with = "index")]
    pub(crate) buildpack: Option<String>,
    /// Position in the list, from 1
    #[arg(short, long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) index: Option<u32>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
}

#[derive(Debug, Args)]
pub(crate) struct KeyAddArgs {
    /// Public key file [default: the one in ~/.ssh]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct KeyRemoveArgs {
    /// Comment, fingerprint or id of the key
    pub(crate) key: String,
}

pub(super) const ACCESS_ADD_EXAMPLES: &str = "\
Permissions, each with those before it: view (all but config vars), deploy (push and roll back), operate (config, scale,
run, domains), manage (share, rename, destroy).

Examples:
  $ paas access:add friend@example.com
  $ paas access:add ci@example.com -p deploy";

pub(super) const ACCESS_UPDATE_EXAMPLES: &str = "\
Example:
  $ paas access:update friend@example.com -p view";

#[derive(Debug, Args)]
pub(crate) struct AccessAddArgs {
    /// E-mail address of the person
    pub(crate) email: String,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    /// What they may do: view, deploy, operate, manage [default: operate]
    #[arg(short, long, value_delimiter = ',')]
    pub(crate) permissions: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct AccessUpdateArgs {
    /// E-mail address of the person
    pub(crate) email: String,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    /// What they may do: view, deploy, operate, manage
    #[arg(short, long, value_delimiter = ',', required = true)]
    pub(crate) permissions: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct AccessArgs {
    /// E-mail address of the person
    pub(crate) email: String,
    #[command(flatten)]
    pub(crate) app: AppArgs,
}
