//! Options of the verbs about dynos: list, scale, restart, run, log.

use clap::Args;

use super::{AppArgs, JsonArgs, WaitArgs};

pub(super) const SCALE_EXAMPLES: &str = "\
Examples:
  $ paas scale
  web=2:Standard-1X worker=1:Standard-1X
  $ paas scale web=3 worker+1
  $ paas scale web=3:Standard-2X
  $ paas scale worker=0";

pub(super) const LOGS_EXAMPLES: &str = "\
Examples:
  $ paas logs
  $ paas logs --tail
  $ paas logs -n 500 --dyno web.1
  $ paas logs -t --source heroku";

pub(super) const RUN_EXAMPLES: &str = "\
Examples:
  $ paas run bash
  $ paas run python manage.py migrate
  $ paas run -e DEBUG=1 -- ruby -v
  $ paas run 'pg_dump $DATABASE_URL' < /dev/null > dump.sql

One word is a shell line; several are the command and its arguments, passed on as they are.
The command's exit status becomes that of paas. Four Ctrl-C within a second let go of a dyno that hangs.";

pub(super) const RUN_INSIDE_EXAMPLES: &str = "\
Examples:
  $ paas run:inside web.1
  $ paas run:inside web.1 ps aux
  $ paas run:inside worker.1 -- cat /app/tmp/state.json > state.json
  $ paas ps:exec web.2 -a myapp -- top

The command has the dyno's own files, processes, network and environment, and shares its memory. It ends when you leave
or the dyno stops; the dyno runs on. Words and exit status are passed on as by `paas run`.";

#[derive(Debug, Args)]
pub(crate) struct PsArgs {
    /// Only these process types
    #[arg(value_name = "TYPE")]
    pub(crate) types: Vec<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ScaleArgs {
    /// TYPE=QUANTITY[:SIZE], TYPE+N, TYPE-N or TYPE=SIZE; without any, the formation is shown
    #[arg(value_name = "CHANGE")]
    pub(crate) changes: Vec<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RestartArgs {
    /// A dyno (web.1) or process type (web) [default: all]
    #[arg(value_name = "DYNO|TYPE", conflicts_with_all = ["dyno_name", "process_type"])]
    pub(crate) target: Option<String>,
    /// Dyno to restart
    #[arg(
        short,
        long,
        alias = "dyno",
        value_name = "DYNO",
        conflicts_with = "process_type"
    )]
    pub(crate) dyno_name: Option<String>,
    /// Process type to restart
    #[arg(short, long, alias = "ps", value_name = "TYPE")]
    pub(crate) process_type: Option<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// A dyno (run.1828) or process type (worker)
    #[arg(value_name = "DYNO|TYPE", required_unless_present_any = ["dyno_name", "process_type"], conflicts_with_all = ["dyno_name", "process_type"])]
    pub(crate) target: Option<String>,
    /// Dyno to stop
    #[arg(
        short,
        long,
        alias = "dyno",
        value_name = "DYNO",
        conflicts_with = "process_type"
    )]
    pub(crate) dyno_name: Option<String>,
    /// Process type to stop
    #[arg(short, long, alias = "ps", value_name = "TYPE")]
    pub(crate) process_type: Option<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Lines to show, at most 1500
    #[arg(short, long, value_name = "LINES", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) num: Option<u32>,
    /// Go on with new lines as they come
    #[arg(short, long)]
    pub(crate) tail: bool,
    /// Only of this dyno, such as web.1
    #[arg(
        short,
        long,
        alias = "dyno",
        value_name = "DYNO",
        conflicts_with = "process_type"
    )]
    pub(crate) dyno_name: Option<String>,
    /// Only of this process type, such as web
    #[arg(short, long, alias = "ps", value_name = "TYPE")]
    pub(crate) process_type: Option<String>,
    /// Only from this source: app or heroku
    #[arg(short, long)]
    pub(crate) source: Option<String>,
    /// Colour even when not printing to a terminal
    #[arg(long)]
    pub(crate) force_colors: bool,
    #[command(flatten)]
    pub(crate) app: AppArgs,
}

#[derive(Debug, Args)]
pub(crate) struct OneOffArgs {
    /// Variable for this dyno only, over the app's config
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// Size of the dyno
    #[arg(short, long)]
    pub(crate) size: Option<String>,
    /// Process type whose name the dyno gets [default: run]
    #[arg(long, value_name = "TYPE")]
    pub(crate) r#type: Option<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) one_off: OneOffArgs,
    /// Give the command pipes, not a terminal
    #[arg(long)]
    pub(crate) no_tty: bool,
    /// Accepted for Heroku's sake: the exit status is always the command's
    #[arg(short = 'x', long, hide = true)]
    pub(crate) exit_code: bool,
    /// Command to run
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RunDetachedArgs {
    #[command(flatten)]
    pub(crate) one_off: OneOffArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
    /// Show the dyno's log
    #[arg(short, long)]
    pub(crate) tail: bool,
    /// Command to run
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RunInsideArgs {
    /// Variable for this command only, over the dyno's
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    /// Give the command pipes, not a terminal
    #[arg(long)]
    pub(crate) no_tty: bool,
    /// Accepted for Heroku's sake: the exit status is always the command's
    #[arg(short = 'x', long, hide = true)]
    pub(crate) exit_code: bool,
    /// A dyno that is up: web.1
    #[arg(value_name = "DYNO")]
    pub(crate) dyno: String,
    /// Command to run [default: bash]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}
