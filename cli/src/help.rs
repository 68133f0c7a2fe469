//! `paas help`: all commands by topic, one topic, or one command; and what to say when a command line makes no sense.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory as _};

use crate::args::{Cli, HelpArgs};
use crate::failure::{Failure, USAGE};
use crate::output::{Output, Table};

/// Topics in the order in which a newcomer needs them, with their verbs.
const TOPICS: &[(&str, &[&str])] = &[
    (
        "Platform",
        &[
            "login",
            "logout",
            "whoami",
            "auth:token",
            "heroku-env",
            "heroku-proxy",
            "platform:status",
            "platform:notice",
            "router:status",
            "platform:certs",
            "platform:certs:set",
            "nodes",
            "nodes:info",
            "nodes:cordon",
            "nodes:drain",
            "nodes:uncordon",
            "nodes:token",
            "nodes:tag",
            "nodes:rebalance",
            "nodes:remove",
        ],
    ),
    (
        "Apps",
        &[
            "apps",
            "apps:create",
            "import",
            "apps:info",
            "apps:open",
            "apps:rename",
            "apps:destroy",
            "apps:transfer",
            "apps:transfers",
            "apps:transfers:accept",
            "apps:transfers:decline",
            "apps:transfers:cancel",
            "apps:lock",
            "apps:unlock",
            "apps:join",
            "apps:leave",
            "git:remote",
            "git:credentials",
        ],
    ),
    (
        "Config",
        &["config", "config:get", "config:set", "config:unset"],
    ),
    (
        "Add-ons",
        &[
            "addons",
            "addons:services",
            "addons:plans",
            "addons:create",
            "addons:info",
            "addons:open",
            "addons:attach",
            "addons:detach",
            "addons:rename",
            "addons:upgrade",
            "addons:wait",
            "addons:destroy",
            "addon-services:add",
            "addon-services:update",
            "addon-services:remove",
        ],
    ),
    (
        "Dynos",
        &[
            "ps",
            "ps:scale",
            "ps:restart",
            "ps:stop",
            "ps:apart",
            "tags",
            "tags:set",
            "tags:unset",
            "run",
            "run:detached",
            "run:inside",
        ],
    ),
    ("Logs", &["logs", "drains", "drains:add", "drains:remove"]),
    (
        "Releases",
        &[
            "releases",
            "releases:info",
            "releases:rollback",
            "builds",
            "builds:output",
            "builds:create",
            "builds:cancel",
            "builds:cache:purge",
        ],
    ),
    (
        "Pipelines",
        &[
            "pipelines",
            "pipelines:info",
            "pipelines:create",
            "pipelines:add",
            "pipelines:update",
            "pipelines:remove",
            "pipelines:promote",
            "pipelines:rename",
            "pipelines:transfer",
            "pipelines:destroy",
        ],
    ),
    (
        "Routing",
        &[
            "domains",
            "domains:add",
            "domains:update",
            "domains:remove",
            "certs",
            "certs:add",
            "certs:update",
            "certs:remove",
            "certs:info",
            "certs:auto",
            "certs:auto:enable",
            "certs:auto:disable",
            "certs:auto:refresh",
            "maintenance",
            "maintenance:on",
            "maintenance:off",
            "routing",
            "routing:set",
            "routing:unset",
            "routing:pause",
            "routing:resume",
            "tcp-routes",
            "tcp-routes:add",
            "tcp-routes:remove",
        ],
    ),
    (
        "Webhooks",
        &[
            "webhooks",
            "webhooks:add",
            "webhooks:info",
            "webhooks:update",
            "webhooks:remove",
            "webhooks:deliveries",
            "webhooks:deliveries:info",
            "webhooks:events",
            "webhooks:events:info",
        ],
    ),
    (
        "Buildpacks",
        &[
            "buildpacks",
            "buildpacks:add",
            "buildpacks:set",
            "buildpacks:remove",
            "buildpacks:clear",
        ],
    ),
    (
        "People",
        &[
            "access",
            "access:add",
            "access:update",
            "access:remove",
            "audit",
            "audit:verify",
            "authorizations",
            "authorizations:create",
            "authorizations:info",
            "authorizations:update",
            "authorizations:rotate",
            "authorizations:revoke",
            "keys",
            "keys:add",
            "keys:remove",
            "auth:2fa",
            "auth:2fa:enable",
            "auth:2fa:disable",
            "auth:2fa:gen-recovery-codes",
            "accounts:create",
            "accounts:reset-2fa",
            "accounts:unlink",
            "accounts:suspend",
            "accounts:resume",
            "accounts:invite",
            "accounts:invitations",
            "accounts:uninvite",
        ],
    ),
    (
        "Teams",
        &[
            "teams",
            "teams:create",
            "teams:info",
            "teams:rename",
            "teams:destroy",
            "members",
            "members:add",
            "members:set",
            "members:remove",
        ],
    ),
    ("Help", &["help", "doctor", "completion", "man", "version"]),
];

const INTRODUCTION: &str = "\
Deploy apps with git push, and run them.

Usage: paas COMMAND [OPTIONS]

  $ paas create myapp
  $ git push paas main
  $ paas open

";

/// All commands.
pub(crate) fn overview(output: &Output) -> Result<()> {
    let command = Cli::command();
    let mut text = INTRODUCTION.to_owned();
    for (topic, verbs) in TOPICS {
        let _ = writeln!(text, "{topic}");
        let verbs = verbs
            .iter()
            .filter_map(|name| command.find_subcommand(name));
        let _ = writeln!(text, "{}", listed(verbs));
    }
    text.push_str("Each command explains itself with --help. Most find the app by the git remote, or take --app.");
    Ok(output.line(text)?)
}

/// A command, or all commands that begin with a topic's name.
pub(crate) fn topic(output: &Output, args: &HelpArgs) -> Result<()> {
    let Some(topic) = &args.topic else {
        return overview(output);
    };
    let mut command = Cli::command();
    command.build();
    let prefix = format!("{topic}:");
    let below: Vec<&Command> = command
        .get_subcommands()
        .filter(|verb| verb.get_name().starts_with(&prefix))
        .collect();
    let list = (!below.is_empty()).then(|| listed(below.into_iter()));
    let found = command
        .find_subcommand_mut(topic)
        .map(|verb| verb.render_help());
    if found.is_none() && list.is_none() {
        return Err(
            Failure::usage(format!("There is no command or topic {topic}"))
                .advise("See all commands with `paas help`.")
                .into(),
        );
    }
    if let Some(help) = found {
        output.line(if output.paint == crate::output::Paint::Plain {
            help.to_string()
        } else {
            help.ansi().to_string()
        })?;
    }
    if let Some(list) = list {
        output.line(format!("More about {topic}:\n{}", list.trim_end()))?;
    }
    Ok(())
}

fn listed<'a>(verbs: impl Iterator<Item = &'a Command>) -> String {
    let mut table = Table::new();
    for verb in verbs {
        let about = verb
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        table.row([format!("  {}", verb.get_name()), about]);
    }
    table.render()
}

/// clap's own words, in our form; help and version are no errors.
pub(crate) fn not_understood(output: &Output, error: &clap::Error) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        let about_everything = std::env::args()
            .nth(1)
            .is_some_and(|word| word == "-h" || word == "--help");
        // Nobody reads it: then nobody needs it.
        let _ = if about_everything {
            overview(output)
        } else {
            error.print().map_err(Into::into)
        };
        return ExitCode::SUCCESS;
    }
    let rendered = error.render().to_string();
    let text = rendered.strip_prefix("error: ").unwrap_or(&rendered);
    let (problem, rest) = text.split_once("\n\n").unwrap_or((text, ""));
    output.error(&format!("Error: {}", problem.trim_end()));
    for advice in meant_with_colon(error)
        .into_iter()
        .chain(rest.lines().map(str::to_owned).filter(|l| !l.is_empty()))
    {
        output.error(advice.trim_start());
    }
    ExitCode::from(USAGE)
}

/// `paas config set A=1` is `paas config:set A=1` with a blank for a colon.
fn meant_with_colon(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let verb = std::env::args().nth(1)?;
    let joined = format!("{verb}:{word}");
    Cli::command().find_subcommand(&joined)?;
    Some(format!("Did you mean `paas {joined}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_is_in_one_topic() {
        let command = Cli::command();
        let mut listed: Vec<&str> = TOPICS
            .iter()
            .flat_map(|(_, verbs)| verbs.iter().copied())
            .collect();
        let mut all: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        listed.sort_unstable();
        all.sort_unstable();
        assert_eq!(listed, all);
    }
}
