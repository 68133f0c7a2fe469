//! Options of the verbs about this program and its surroundings: completion, manual pages.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

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
