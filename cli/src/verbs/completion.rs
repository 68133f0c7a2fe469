//! completion: the script for a shell, or where it belongs.

use std::path::Path;

use anyhow::Result;

use crate::args::CompletionArgs;
use crate::completion;
use crate::context::Context;

pub(crate) fn script(context: &Context, args: &CompletionArgs) -> Result<()> {
    let text = match args.shell {
        Some(shell) => completion::script(shell),
        None => advice(std::env::var("SHELL").ok().as_deref()),
    };
    Ok(context.output.line(text.trim_end())?)
}

/// For the shell that somebody logs in with.
fn advice(shell: Option<&str>) -> &'static str {
    let name = shell.and_then(|shell| Path::new(shell).file_name()?.to_str());
    match name {
        Some("zsh") => {
            "Put this into ~/.zshrc, after compinit, and open a new terminal:\n\n  eval \"$(paas completion zsh)\""
        }
        Some("fish") => {
            "Type this once:\n\n  paas completion fish > ~/.config/fish/completions/paas.fish"
        }
        Some("bash") => {
            "Put this into ~/.bashrc, and open a new terminal:\n\n  eval \"$(paas completion bash)\""
        }
        _ => "There is completion for bash, zsh and fish: see `paas completion --help`.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_is_for_the_shell_that_is_used() {
        assert!(advice(Some("/usr/bin/zsh")).contains("~/.zshrc"));
        assert!(advice(Some("/bin/bash")).contains("~/.bashrc"));
        assert!(advice(Some("fish")).contains("config/fish"));
        assert!(advice(Some("/bin/dash")).contains("--help"));
        assert!(advice(None).contains("--help"));
    }
}
