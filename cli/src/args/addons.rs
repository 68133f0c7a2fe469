//! Options of the verbs about add-ons; Heroku's. Those about who provides them are for administrators.

use clap::Args;

use super::{AppArgs, JsonArgs};

pub(super) const LIST_EXAMPLES: &str = "\
Shown are the add-ons of the app, and those of others that are attached to it.
In a directory of no app it is all that you may see.

Examples:
  $ paas addons
  $ paas addons -a myapp --json
  $ paas addons --all";

pub(super) const CREATE_EXAMPLES: &str = "\
What the provider is to know stands after a double dash: --key value, --key=value, or --key alone.

Examples:
  $ paas addons:create acme-pg
  $ paas addons:create acme-pg:standard-0 --as DATABASE --wait
  $ paas addons:create acme-pg:standard-0 -a myapp -- --version 17 --encrypted";

pub(super) const DESTROY_EXAMPLES: &str = "\
What is in it is gone then.

Examples:
  $ paas addons:destroy acme-pg-calm-1234
  $ paas addons:destroy DATABASE CACHE -a myapp --confirm myapp";

pub(super) const UPGRADE_EXAMPLES: &str = "\
Upgrade and downgrade are the same: either changes the plan to what you say.

Examples:
  $ paas addons:upgrade acme-pg:standard-0
  $ paas addons:upgrade acme-pg-calm-1234 standard-0";

pub(super) const SERVICE_ADD_EXAMPLES: &str = "\
The manifest is that of Heroku's Add-on Partner API. `-` reads it from standard input.

Examples:
  $ paas addon-services:add addon-manifest.json
  $ paas addon-services:add - < addon-manifest.json";

#[derive(Debug, Args)]
pub(crate) struct AddonsArgs {
    #[command(flatten)]
    pub(crate) app: AppArgs,
    /// Of all apps that you may see
    #[arg(short = 'A', long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AddonPlansArgs {
    /// Service to show the plans of
    pub(crate) service: String,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AddonCreateArgs {
    /// Service, and the plan if it is not to be the default one
    #[arg(value_name = "SERVICE[:PLAN]")]
    pub(crate) plan: String,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    /// What the names of its config vars begin with in the app [default: the service's]
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) attachment: Option<String>,
    /// Name of the add-on [default: one is made up]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The app's name, if config vars or an attachment may be replaced
    #[arg(long, value_name = "APP")]
    pub(crate) confirm: Option<String>,
    /// Wait until it is there
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
    /// What the provider is told
    #[arg(last = true, value_name = "OPTION")]
    pub(crate) options: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct AddonAttachArgs {
    /// Name or id of the add-on
    pub(crate) addon: String,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    /// What the names of its config vars begin with in the app [default: the service's]
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) attachment: Option<String>,
    /// The app's name, if config vars or an attachment may be replaced
    #[arg(long, value_name = "APP")]
    pub(crate) confirm: Option<String>,
    /// Credential of the add-on; there is only the default one here
    #[arg(long, hide = true)]
    pub(crate) credential: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct AddonDetachArgs {
    /// What the names of its config vars begin with in the app, such as DATABASE
    pub(crate) attachment: String,
    #[command(flatten)]
    pub(crate) app: AppArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AddonDestroyArgs {
    /// Name or id of the add-on, or of its attachment
    #[arg(value_name = "ADDON", required = true)]
    pub(crate) addons: Vec<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    /// The app's name; without it you are asked
    #[arg(short, long, value_name = "APP")]
    pub(crate) confirm: Option<String>,
    /// Though other apps use it
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Wait until it is gone
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AddonInfoArgs {
    /// Name or id of the add-on, or of its attachment
    pub(crate) addon: String,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AddonOpenArgs {
    /// Name or id of the add-on, or of its attachment
    pub(crate) addon: String,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    /// Print the address, and open nothing
    #[arg(long)]
    pub(crate) show_url: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AddonRenameArgs {
    /// Name or id of the add-on
    pub(crate) addon: String,
    /// Its new name
    pub(crate) new_name: String,
    #[command(flatten)]
    pub(crate) app: AppArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AddonUpgradeArgs {
    /// Name or id of the add-on, or its service where the app has one of it
    #[arg(value_name = "ADDON[:PLAN]")]
    pub(crate) addon: String,
    /// Plan to change to
    pub(crate) plan: Option<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AddonWaitArgs {
    /// Name or id of the add-on [default: all of the app]
    pub(crate) addon: Option<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    /// How long to wait before looking again
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) wait_interval: u64,
}

#[derive(Debug, Args)]
pub(crate) struct AddonManifestArgs {
    /// File of the manifest; `-` for standard input
    #[arg(value_name = "MANIFEST", value_hint = clap::ValueHint::FilePath)]
    pub(crate) manifest: String,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AddonServiceRemoveArgs {
    /// Service to remove
    pub(crate) service: String,
    /// The service's name once more; without it you are asked
    #[arg(short, long, value_name = "SERVICE")]
    pub(crate) confirm: Option<String>,
    /// Though its provider has not taken away all that it was told to, and is told no more
    #[arg(short, long)]
    pub(crate) force: bool,
}
