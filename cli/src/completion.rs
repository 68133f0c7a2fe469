//! Completion in the shell: a short script for each, which asks `paas __complete` at every Tab.
//!
//! What may come next is read off the same arguments that [`crate::args`] parses; names of apps and such come from the
//! platform, by way of [`names`]. Nothing here ever writes an error: it would land in the middle of a line being typed.

mod line;
mod names;

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Arg, Command, CommandFactory as _};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate, complete};

use crate::args::{Cli, Shell};
use crate::git;
use crate::output::Output;
use line::Line;
use names::Kind;

/// The first word of a line that a script asks with.
const ASKED: &str = "__complete";

pub(crate) const fn script(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => include_str!("completion/scripts/paas.bash"),
        Shell::Zsh => include_str!("completion/scripts/paas.zsh"),
        Shell::Fish => include_str!("completion/scripts/paas.fish"),
    }
}

/// The rest of the line, if it is a script that asks.
pub(crate) fn asked() -> Option<Vec<OsString>> {
    let mut words = std::env::args_os().skip(1);
    (words.next()? == ASKED).then(|| words.collect())
}

/// What may be at the end of the line, in the shell's own form. Silence is an answer, too.
pub(crate) fn answer(output: &Output, asked: &[OsString]) -> Result<ExitCode> {
    let text = match asked {
        [shell, line, breaks] if shell == "bash" => {
            let (line, breaks) = (line.to_string_lossy(), breaks.to_string_lossy());
            let line = Line::read(&line, &breaks);
            bash(&candidates(line.words), line.cut)
        }
        [shell, words @ ..] if shell == "zsh" => zsh(&candidates(words.to_vec())),
        [shell, words @ ..] if shell == "fish" => fish(&candidates(words.to_vec())),
        _ => String::new(),
    };
    if !text.is_empty() {
        output.line(text.trim_end_matches('\n'))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `words` begin with the program's name and end with the word that is being typed, which may be empty.
fn candidates(words: Vec<OsString>) -> Vec<CompletionCandidate> {
    let mut command = tree(&words);
    match words.as_slice() {
        [] | [_] => Vec::new(),
        [_, typed] if !is_option(typed) => verbs_like(&command, &typed.to_string_lossy()),
        // Of somebody else's verb nothing is known.
        [_, verb, _, ..] if command.find_subcommand(verb).is_none() => Vec::new(),
        [.., typed] => {
            let (last, nothing_typed) = (words.len() - 1, typed.is_empty());
            let here = std::env::current_dir().ok();
            let found = complete(&mut command, words, last, here.as_deref());
            worth_showing(found.unwrap_or_default(), nothing_typed)
        }
    }
}

/// An alias only for those who have begun to type it: one thing need not be listed twice.
fn verbs_like(command: &Command, typed: &str) -> Vec<CompletionCandidate> {
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    let spelled = verbs.filter_map(|verb| {
        let mut spellings = std::iter::once(verb.get_name()).chain(verb.get_visible_aliases());
        let found = spellings.find(|spelling| spelling.starts_with(typed))?;
        Some(CompletionCandidate::new(found).help(verb.get_about().cloned()))
    });
    spelled.collect()
}

fn worth_showing(
    mut found: Vec<CompletionCandidate>,
    nothing_typed: bool,
) -> Vec<CompletionCandidate> {
    // Spellings that are only there for who knows them already.
    if !found.iter().all(CompletionCandidate::is_hide_set) {
        found.retain(|candidate| !candidate.is_hide_set());
    }
    // Options are for those who type a dash, where there is something else to say.
    let is_option = |candidate: &CompletionCandidate| is_option(candidate.get_value());
    if nothing_typed && !found.iter().all(is_option) {
        found.retain(|candidate| !is_option(candidate));
    }
    found
}

fn is_option(value: &OsStr) -> bool {
    value.as_encoded_bytes().starts_with(b"-")
}

/// The arguments, those that name something with what they may name.
fn tree(words: &[OsString]) -> Command {
    let words: Vec<String> = words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    Cli::command().mut_subcommands(|verb| verb.mut_args(|arg| with_names(arg, &words)))
}

fn with_names(arg: Arg, words: &[String]) -> Arg {
    let is_new = !arg.get_default_values().is_empty();
    let name = match arg.get_value_names() {
        Some([name]) => name.to_string(),
        _ => return arg,
    };
    let words = words.to_vec();
    match name.as_str() {
        "APP" => arg.add(candidates_of(|| names::of(Kind::Apps))),
        // Apps and pipelines are given to teams, too.
        "TEAM" | "RECIPIENT" | "OWNER" => arg.add(candidates_of(|| names::of(Kind::Teams))),
        "REMOTE" if !is_new => arg.add(candidates_of(|| {
            git::remotes().into_iter().map(|found| found.name).collect()
        })),
        "TYPE" => arg.add(candidates_of(move || types(&words))),
        "DYNO" => arg.add(candidates_of(move || of_app(&words, Kind::Dynos))),
        "DYNO|TYPE" => arg.add(candidates_of(move || {
            [types(&words), of_app(&words, Kind::Dynos)].concat()
        })),
        "CHANGE" => arg.add(candidates_of(move || {
            types(&words)
                .iter()
                .map(|name| format!("{name}="))
                .collect()
        })),
        "NAME" if is_about_config(&words) => {
            arg.add(candidates_of(move || of_app(&words, Kind::ConfigVars)))
        }
        "SERVICE" => arg.add(candidates_of(|| names::of(Kind::AddonServices))),
        "SERVICE[:PLAN]" | "PLAN" => arg.add(candidates_of(|| names::of(Kind::AddonPlans))),
        "ADDON" | "ADDON[:PLAN]" => arg.add(candidates_of(move || addons(&words))),
        "ATTACHMENT" => arg.add(candidates_of(move || of_app(&words, Kind::Attachments))),
        "TOPIC" | "VERB" => arg.add(candidates_of(verbs)),
        _ => arg,
    }
}

fn candidates_of(names: impl Fn() -> Vec<String> + Send + Sync + 'static) -> ArgValueCandidates {
    ArgValueCandidates::new(move || names().into_iter().map(CompletionCandidate::new).collect())
}

fn verbs() -> Vec<String> {
    let command = Cli::command();
    let names = command.get_subcommands().map(Command::get_name);
    names.map(str::to_owned).collect()
}

fn types(words: &[String]) -> Vec<String> {
    of_app(words, Kind::Types)
}

fn of_app(words: &[String], kind: fn(String) -> Kind) -> Vec<String> {
    names::app(words).map_or_else(Vec::new, |app| names::of(kind(app)))
}

/// Those of the app, where there is one; what is to be attached to it is another's.
fn addons(words: &[String]) -> Vec<String> {
    let is_attached = words.get(1).is_some_and(|verb| verb == "addons:attach");
    let app = names::app(words).filter(|_| !is_attached);
    names::of(Kind::Addons(app))
}

/// Many arguments are a NAME; only those of config vars that are there already are known here.
fn is_about_config(words: &[String]) -> bool {
    words.get(1).is_some_and(|verb| {
        ["config:get", "config:unset", "config:remove"].contains(&verb.as_str())
    })
}

/// Whether more may follow without a blank.
fn is_partial(value: &str) -> bool {
    value.ends_with(['=', ':', '/'])
}

fn described(candidate: &CompletionCandidate) -> (String, String) {
    let help = candidate.get_help().map(ToString::to_string);
    let help = help.and_then(|help| help.lines().next().map(str::to_owned));
    (
        candidate.get_value().to_string_lossy().into_owned(),
        help.unwrap_or_default(),
    )
}

/// Bash replaces only what comes after the last of its breaks, and is told with a blank that a word is whole.
fn bash(candidates: &[CompletionCandidate], cut: usize) -> String {
    candidates
        .iter()
        .fold(String::new(), |mut text, candidate| {
            let (value, _) = described(candidate);
            let end = if is_partial(&value) { "" } else { " " };
            let rest = value.get(cut..).unwrap_or_default();
            let _ = writeln!(text, "{}{end}", line::escaped(rest));
            text
        })
}

/// `+` in front of what is whole and `-` in front of what goes on; a colon ends the value.
fn zsh(candidates: &[CompletionCandidate]) -> String {
    candidates
        .iter()
        .fold(String::new(), |mut text, candidate| {
            let (value, help) = described(candidate);
            let kind = if is_partial(&value) { '-' } else { '+' };
            let value = value.replace('\\', "\\\\").replace(':', "\\:");
            let _ = writeln!(text, "{kind}{value}:{help}");
            text
        })
}

fn fish(candidates: &[CompletionCandidate]) -> String {
    candidates
        .iter()
        .fold(String::new(), |mut text, candidate| {
            let (value, help) = described(candidate);
            let _ = writeln!(text, "{value}\t{help}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(words: &[&str]) -> Vec<String> {
        let words = words.iter().map(OsString::from).collect();
        candidates(words)
            .iter()
            .map(|candidate| described(candidate).0)
            .collect()
    }

    #[test]
    fn verbs_options_and_files_come_next_where_they_may() {
        assert_eq!(offered(&["paas", "ps:sc"]), ["ps:scale"]);
        assert_eq!(offered(&["paas", "ps:scale", "--no-w"]), ["--no-wait"]);
        let verbs = offered(&["paas", ""]);
        assert!(verbs.contains(&"apps:create".to_owned()) && verbs.contains(&"ps".to_owned()));
        assert!(!verbs.iter().any(|verb| verb.starts_with('-')));
        assert_eq!(offered(&["paas", "crea"]), ["create"]);
        // Spellings that are taken but not shown.
        assert_eq!(offered(&["paas", "apps:de"]), ["apps:destroy"]);
        assert_eq!(offered(&["paas", "nosuch", ""]), Vec::<String>::new());
        assert!(offered(&["paas", "help", "config:"]).contains(&"config:set".to_owned()));
        assert_eq!(offered(&["paas", "completion", "z"]), ["zsh"]);
        assert_eq!(
            offered(&["paas", "pipelines:update", "--stage", "st"]),
            Vec::<String>::new()
        );
        assert_eq!(offered(&[]), Vec::<String>::new());
    }

    #[test]
    fn each_shell_is_told_in_its_own_form() {
        let words = ["paas", "config:s"].map(OsString::from).to_vec();
        let found = candidates(words);
        assert_eq!(bash(&found, "config:".len()), "set \n");
        assert_eq!(bash(&found, 0), "config:set \n");
        assert!(zsh(&found).starts_with("+config\\:set:Set config vars"));
        assert!(fish(&found).starts_with("config:set\tSet config vars"));
        let partial = [CompletionCandidate::new("web=")];
        assert_eq!(bash(&partial, 0), "web=\n");
        assert_eq!(zsh(&partial), "-web=:\n");
    }
}
