//! Options of the verbs about this program and its surroundings: completion, manual pages, doctor.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{AppArgs, JsonArgs};

pub(super) const COMPLETION_EXAMPLES: &str = "\
Without a shell it says where the script belongs for yours.

Examples:
  $ echo 'eval \"$(paas completion bash)\"' >> ~/.bashrc
  $ echo 'eval \"$(paas completion zsh)\"' >> ~/.zshrc
  $ paas completion fish > ~/.config/fish/completions/paas.fish";

pub(super) const MAN_EXAMPLES: &str = "\
Examples:
  $ paas man
  $ paas man ps:scale
  $ paas man --output /usr/local/share/man/man1";

pub(super) const DOCTOR_EXAMPLES: &str = "\
It looks at this machine, the way to the platform, the login, git, and the app, if there is one; for administrators also
at the platform. It changes nothing. The exit status is 1 if there is a problem, and 0 if there are warnings at most.

Examples:
  $ paas doctor
  $ paas doctor -a myapp
  $ paas doctor --json | jq '.checks[] | select(.state != \"ok\")'";

#[derive(Debug, Args)]
pub(crate) struct NoticeArgs {
    /// What everybody is to know; without it, what they are told now
    pub(crate) message: Vec<String>,
    /// Take the notice back
    #[arg(long, conflicts_with = "message")]
    pub(crate) clear: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// Shell to print the script for
    pub(crate) shell: Option<Shell>,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Command to explain [default: all of paas]
    pub(crate) verb: Option<String>,
    /// Write the pages of all commands into this directory
    #[arg(short, long, value_name = "DIR", conflicts_with = "verb")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}
