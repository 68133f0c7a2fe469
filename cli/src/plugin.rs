//! Verbs that are not ours: `paas foo` runs `paas-foo` from the PATH; failing that, we say what may have been meant.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;

use crate::args::Cli;
use crate::failure::Failure;

/// Becomes the plugin, where there is one. The plugin asks `paas auth:token` for the token if it needs it.
pub(crate) fn run(words: &[OsString]) -> Result<ExitCode> {
    let (verb, rest) = words.split_first().context("no command is given")?;
    if let Some(program) = find(verb) {
        let error = Command::new(&program).args(rest).exec();
        return Err(error).with_context(|| format!("could not run {}", program.display()));
    }
    let verb = verb.to_string_lossy();
    let advice = match nearest(&verb) {
        Some(near) => format!("Did you mean `paas {near}`? All commands: `paas help`."),
        None => "See all commands with `paas help`.".to_owned(),
    };
    Err(Failure::usage(format!("{verb} is not a paas command"))
        .advise(advice)
        .into())
}

fn find(verb: &OsStr) -> Option<PathBuf> {
    if verb.to_string_lossy().contains('/') {
        return None;
    }
    let mut name = OsString::from("paas-");
    name.push(verb);
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|directory| directory.join(&name))
        .find(|program| {
            fs_err::metadata(program)
                .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        })
}

/// The verb that `typed` is most like, if it is much like any.
fn nearest(typed: &str) -> Option<String> {
    let command = Cli::command();
    let names = command.get_subcommands().flat_map(|verb| {
        std::iter::once(verb.get_name().to_owned())
            .chain(verb.get_visible_aliases().map(str::to_owned))
    });
    crate::nearest::nearest(typed, names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_fingers_is_recognised_and_nonsense_is_not() {
        for (typed, meant) in [
            ("confg", Some("config")),
            ("config:st", Some("config:set")),
            ("psscale", Some("ps:scale")),
            ("log", Some("logs")),
            ("craete", Some("create")),
            ("frobnicate", None),
            ("x", None),
        ] {
            assert_eq!(nearest(typed).as_deref(), meant, "{typed}");
        }
    }
}
