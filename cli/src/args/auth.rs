//! Options of login and its kin.

use std::path::PathBuf;

use clap::Args;

use super::{AppArgs, JsonArgs};

pub(super) const LOGIN_EXAMPLES: &str = "\
Where there is a browser, that is where you log in; where there is none, e-mail address and password are asked for.

Examples:
  $ paas login --api https://api.example.com
  $ paas login --api https://api.paas.localhost:8443 --ca-file ca.pem
  $ paas login --interactive
  $ paas login --api https://api.example.com --invitation paas_0123456789abcdef
  $ paas login --email ci@example.com --password-stdin < password.txt
  $ paas login --token-stdin < token.txt";

#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// Ask for e-mail address and password here in the terminal, though there is a browser
    #[arg(short, long, conflicts_with = "browser")]
    pub(crate) interactive: bool,
    /// Log in with a browser, though it be on another machine
    #[arg(short, long, conflicts_with_all = ["email", "password_stdin", "token_stdin"])]
    pub(crate) browser: bool,
    /// Take up an invitation: its token, or the address of its page
    #[arg(long, value_name = "TOKEN", conflicts_with_all = ["browser", "email", "token_stdin", "code"])]
    pub(crate) invitation: Option<String>,
    /// E-mail address of the account
    #[arg(short, long)]
    pub(crate) email: Option<String>,
    /// Read the password from standard input
    #[arg(long, conflicts_with = "token_stdin")]
    pub(crate) password_stdin: bool,
    /// Code of the second factor, for an account that has one; without this it is asked for
    #[arg(long, conflicts_with_all = ["token_stdin", "browser"])]
    pub(crate) code: Option<String>,
    /// Read an API token from standard input, in place of e-mail address and password
    #[arg(long, conflicts_with = "email")]
    pub(crate) token_stdin: bool,
    /// Address of the platform's API
    #[arg(long, value_name = "URL")]
    pub(crate) api: Option<String>,
    /// Certificate authority to trust for the platform, a PEM file; a copy is kept
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Host of git over HTTPS, where it is not git.<domain>
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) git_host: Option<String>,
    /// Host of git over SSH, where it is not git.<domain>:2222
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) ssh_host: Option<String>,
    /// Leave the git configuration alone
    #[arg(long)]
    pub(crate) no_git: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    pub(crate) app: AppArgs,
    /// Of the whole platform (administrators)
    #[arg(long, conflicts_with = "app")]
    pub(crate) all: bool,
    /// How many to show
    #[arg(short, long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) num: u32,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

pub(super) const SECOND_FACTOR_EXAMPLES: &str = "\
Shows a QR code for an authenticator app, and ten recovery codes for when the device is lost.

Example:
  $ paas auth:2fa:enable";

#[derive(Debug, Args)]
pub(crate) struct InviteArgs {
    /// E-mail address of the person
    pub(crate) email: String,
    /// Invite as an administrator
    #[arg(long)]
    pub(crate) admin: bool,
    /// Seconds that the invitation is good for [default: a week]
    #[arg(short, long, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) expires_in: Option<i64>,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AccountArgs {
    /// E-mail address of the account
    pub(crate) email: String,
}

#[derive(Debug, Args)]
pub(crate) struct AccountChangeArgs {
    /// E-mail address of the account
    pub(crate) email: String,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UnlinkArgs {
    /// E-mail address of the account
    #[arg(required_unless_present = "issuer")]
    pub(crate) email: Option<String>,
    /// All accounts that are linked with anybody of this issuer
    #[arg(long, value_name = "URL", conflicts_with = "email")]
    pub(crate) issuer: Option<String>,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

pub(super) const AUTHORIZATION_EXAMPLES: &str = "\
Scopes: global (all that you may do), identity, read, write, read-protected, write-protected. What is protected are
config vars and releases, and all by which they can be read: pushing, running commands, sharing.

Examples:
  $ paas authorizations:create -d 'deploys of CI' -s write-protected -e 2592000
  $ TOKEN=$(paas authorizations:create -s read --short)";

#[derive(Debug, Args)]
pub(crate) struct AuthorizationCreateArgs {
    /// What it is for
    #[arg(short, long)]
    pub(crate) description: Option<String>,
    /// What it is good for; several with commas [default: global]
    #[arg(short, long, value_delimiter = ',')]
    pub(crate) scope: Vec<String>,
    /// Seconds after which it is good for nothing [default: never]
    #[arg(short, long, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) expires_in: Option<i64>,
    /// Print the token alone
    #[arg(short = 'S', long, conflicts_with = "json")]
    pub(crate) short: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AuthorizationArgs {
    /// Id of the authorization, as `paas authorizations` has it
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AuthorizationUpdateArgs {
    /// Id of the authorization, as `paas authorizations` has it
    pub(crate) id: String,
    /// What it is for
    #[arg(short, long)]
    pub(crate) description: String,
}

#[derive(Debug, Args)]
pub(crate) struct AccountCreateArgs {
    /// E-mail address of the person
    pub(crate) email: String,
    /// Name of the person
    #[arg(short, long)]
    pub(crate) name: Option<String>,
    /// Make an administrator
    #[arg(long)]
    pub(crate) admin: bool,
    /// Read the password from standard input; without this one is made and shown
    #[arg(long)]
    pub(crate) password_stdin: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct GitCredentialsArgs {
    /// get, store or erase, as git says
    pub(crate) operation: String,
}
