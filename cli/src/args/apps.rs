//! Options of the verbs about apps and their git remotes.

use clap::Args;

use super::{AppArgs, ForTeamArgs, JsonArgs};

pub(super) const CREATE_EXAMPLES: &str = "\
Examples:
  $ paas create
  $ paas create myapp
  $ paas create myapp-staging --remote staging
  $ paas create myapp --team acme
  $ paas create myapp --addons acme-pg,acme-redis:mini
  $ paas create myapp --buildpack heroku/nodejs --buildpack heroku/python";

pub(super) const TRANSFER_EXAMPLES: &str = "\
An account is asked first, except by administrators. A team is not, nor is who gets a team's app;
then its collaborators work on it no more.

Examples:
  $ paas apps:transfer bob@example.com -a myapp
  $ paas apps:transfer acme -a myapp --locked";

#[derive(Debug, Args)]
pub(crate) struct AppsArgs {
    /// List every app you may see, not only your own
    #[arg(short = 'A', long, conflicts_with = "personal")]
    pub(crate) all: bool,
    /// List your own apps, though PAAS_TEAM is set
    #[arg(short, long)]
    pub(crate) personal: bool,
    #[command(flatten)]
    pub(crate) team: ForTeamArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Name of the app [default: one is made up]
    pub(crate) name: Option<String>,
    /// Name of the app, as an option
    #[arg(short, long, value_name = "NAME", conflicts_with = "name")]
    pub(crate) app: Option<String>,
    /// Buildpack to use; give it again for several
    #[arg(short, long)]
    pub(crate) buildpack: Vec<String>,
    /// Add-ons to create for it
    #[arg(long, value_name = "SERVICE[:PLAN]", value_delimiter = ',')]
    pub(crate) addons: Vec<String>,
    /// Stack to build and run on
    #[arg(short, long)]
    pub(crate) stack: Option<String>,
    #[command(flatten)]
    pub(crate) team: ForTeamArgs,
    /// Keep others of the team from it
    #[arg(long)]
    pub(crate) locked: bool,
    /// Name of the git remote to make
    #[arg(short, long, default_value = "paas")]
    pub(crate) remote: String,
    /// Make no git remote
    #[arg(short, long)]
    pub(crate) no_remote: bool,
    /// Make the remote for git over SSH, not HTTPS
    #[arg(long)]
    pub(crate) ssh_git: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// App to show
    #[arg(value_name = "APP")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    /// Print shell assignments
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) shell: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RenameArgs {
    /// The new name
    pub(crate) new_name: String,
    #[command(flatten)]
    pub(crate) app: AppArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TransferArgs {
    /// E-mail address of whom it is offered to, or name of a team
    pub(crate) recipient: String,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    /// Lock it at once, for others of the team
    #[arg(short, long)]
    pub(crate) locked: bool,
    /// The app's name once more, where you would be asked for it
    #[arg(short, long, value_name = "APP")]
    pub(crate) confirm: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct TransferDecisionArgs {
    /// Name of the app, or the transfer's id
    pub(crate) app: String,
}

#[derive(Debug, Args)]
pub(crate) struct DestroyArgs {
    /// App to destroy
    #[arg(value_name = "APP")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    /// The app's name once more; without it you are asked
    #[arg(short, long, value_name = "APP")]
    pub(crate) confirm: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct OpenArgs {
    /// Path or address below the app
    pub(crate) path: Option<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
}

#[derive(Debug, Args)]
pub(crate) struct GitRemoteArgs {
    /// App the remote is for
    #[arg(short, long, env = "PAAS_APP", hide_env_values = true)]
    pub(crate) app: Option<String>,
    /// Name of the git remote
    #[arg(short, long, default_value = "paas")]
    pub(crate) remote: String,
    /// Git over SSH, not HTTPS
    #[arg(long)]
    pub(crate) ssh_git: bool,
}
