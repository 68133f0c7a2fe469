//! Options of import.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::JsonArgs;

pub(super) const EXAMPLES: &str = "\
Each shows what it will do and what cannot be taken over, does it, and says what is left to do:
push, DNS. It can be run again at any time: what is here already is left as it is.

Examples:
  $ paas import heroku shop --dry-run
  $ paas import deis shop --to shop-eu
  $ paas import dokku shop.dokku";

const HEROKU_EXAMPLES: &str = "\
Heroku's token is HEROKU_API_KEY, else the one in ~/.netrc. HEROKU_API_KEY goes to Heroku only: the
token of another platform is PAAS_IMPORT_TOKEN, else the one that ~/.netrc has for its API's host.
The app there is only read.

Examples:
  $ export HEROKU_API_KEY=\"$(heroku auth:token)\"
  $ paas import heroku shop --dry-run
  $ paas import heroku shop
  $ paas import heroku shop --to shop-eu --skip domains,collaborators
  $ paas import heroku shop --overwrite --confirm shop
  $ PAAS_IMPORT_TOKEN=\"$(cat other-paas.token)\" \\
      paas import heroku shop --from-url https://api.other-paas.example.com";

const DEIS_EXAMPLES: &str = "\
The controller and the token are those that `deis login` left in ~/.deis/client.json, or in the
profile that DEIS_PROFILE names. The app there is only read.

Examples:
  $ paas import deis shop --dry-run
  $ paas import deis shop
  $ DEIS_PROFILE=production paas import deis shop --from-ca-file deis-ca.pem";

const DOKKU_EXAMPLES: &str = "\
What it reads are the answers of three commands of Dokku's, in one file, in several in a directory,
or on standard input:

  $ (for question in 'config:export --format json' ps:scale report; do
      ssh -n dokku@dokku.example.com $question shop; echo; done) > shop.dokku

Examples:
  $ paas import dokku shop.dokku --dry-run
  $ paas import dokku shop.dokku --to shop-eu
  $ (for question in 'config:export --format json' ps:scale report; do
      ssh -n dokku@dokku.example.com $question shop; echo; done) | paas import dokku -";

// Without a source, clap would say all of the help and call it an error.
#[derive(Debug, Args)]
#[command(arg_required_else_help = false)]
pub(crate) struct ImportArgs {
    #[command(subcommand)]
    pub(crate) source: ImportSource,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImportSource {
    /// Import an app of Heroku, or of another platform with its API
    #[command(after_help = HEROKU_EXAMPLES)]
    Heroku(ImportHerokuArgs),
    /// Import an app of Deis v1 or Deis Workflow
    #[command(after_help = DEIS_EXAMPLES)]
    Deis(ImportDeisArgs),
    /// Import an app of Dokku, from what its commands say of it
    #[command(after_help = DOKKU_EXAMPLES)]
    Dokku(ImportDokkuArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ImportHerokuArgs {
    /// Name of the app there
    #[arg(value_name = "THEIR_APP")]
    pub(crate) app: String,
    /// Address of the API to read from
    #[arg(long, value_name = "URL", default_value = "https://api.heroku.com")]
    pub(crate) from_url: String,
    /// CA certificate of the API to read from, where it is private
    #[arg(long, value_name = "FILE")]
    pub(crate) from_ca_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) how: ImportHow,
}

#[derive(Debug, Args)]
pub(crate) struct ImportDeisArgs {
    /// Name of the app there
    #[arg(value_name = "THEIR_APP")]
    pub(crate) app: String,
    /// CA certificate of the Deis controller, where it is private
    #[arg(long, value_name = "FILE")]
    pub(crate) from_ca_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) how: ImportHow,
}

#[derive(Debug, Args)]
pub(crate) struct ImportDokkuArgs {
    /// File, or directory of files, with what Dokku said; - is standard input
    #[arg(value_name = "FILE|DIR")]
    pub(crate) from: PathBuf,
    #[command(flatten)]
    pub(crate) how: ImportHow,
}

/// What is wanted of any source.
#[derive(Debug, Args)]
pub(crate) struct ImportHow {
    /// Name of the app here [default: the one it has there]
    #[arg(long, value_name = "NAME")]
    pub(crate) to: Option<String>,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Leave these out; give it again, or separate them by commas
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    pub(crate) skip: Vec<Part>,
    /// Take over the config vars of add-ons too, which lead to the old side
    #[arg(long)]
    pub(crate) addon_vars: bool,
    /// Where the app here differs, change it to what it is there
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// With --overwrite: the name of the app here; without it you are asked
    #[arg(short, long, value_name = "APP")]
    pub(crate) confirm: Option<String>,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

/// A part of an app that need not come along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    Config,
    Domains,
    Formation,
    Buildpacks,
    Collaborators,
    Drains,
    Features,
}
