//! run, run:detached: a command in a dyno of its own. run:inside: a command in one that is there.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use controller_api::Client;
use controller_api::wire::{Dyno, DynoCreate, InsideCreate, LogSessionCreate};

use super::{config, logs};
use crate::args::{AppArgs, OneOffArgs, RunArgs, RunDetachedArgs, RunInsideArgs};
use crate::attach::{self, End, Kind, Socket};
use crate::context::Context;
use crate::failure::{FAILED, Failure};
use crate::follow;
use crate::git::shell_quoted;
use crate::terminal;

const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(crate) async fn attached(context: &Context, args: RunArgs) -> Result<ExitCode> {
    let kind = kind(args.no_tty);
    let (one_off, words) = options_at_end(args.one_off, args.command, separator_typed());
    let app = context.app(&one_off.app)?;
    let (client, output) = (context.client()?, &context.output);
    let command = command_line(&words);
    let mut create = wanted(&one_off, &command)?;
    create.attach = Some(true);
    match kind {
        Kind::Terminal => create.env.extend(terminal_env()),
        Kind::Pipes => create.force_no_tty = Some(true),
    }

    let shown = output.err_paint.command(&words.join(" "));
    let action = output.action(format!("Running {shown} on {}", output.app(&app)));
    let dyno = client.run(&app, &create).await?;
    action.progress(format!("starting, {}", dyno.name));
    let mut socket = connect(context, &client, &dyno).await?;
    let first = attach::first_word(&mut socket, is_up(&client, &app, &dyno)).await?;
    action.end(&format!("up, {}", dyno.name));
    Ok(exit_code(
        attach::pump(socket, first, kind, attach::ADVICE_ONE_OFF).await?,
    ))
}

pub(crate) async fn inside(context: &Context, args: RunInsideArgs) -> Result<ExitCode> {
    let kind = kind(args.no_tty);
    // The dyno counts as the first word: what is left of it may be the app alone.
    let words = std::iter::once(args.dyno).chain(args.command).collect();
    let (app, mut words) = app_at_end(args.app, words, separator_typed());
    let dyno = words.remove(0);
    let app = context.app(&app)?;
    let (client, output) = (context.client()?, &context.output);
    let mut create = InsideCreate {
        command: (!words.is_empty()).then(|| command_line(&words)),
        env: variables(&args.env)?,
        force_no_tty: None,
    };
    match kind {
        Kind::Terminal => create.env.extend(terminal_env()),
        Kind::Pipes => create.force_no_tty = Some(true),
    }

    let what = match words.as_slice() {
        [] => "a shell".to_owned(),
        words => output.err_paint.command(&words.join(" ")),
    };
    let action = output.action(format!(
        "Running {what} inside {dyno} of {}",
        output.app(&app)
    ));
    let dyno = client.run_inside(&app, &dyno, &create).await?;
    let mut socket = connect(context, &client, &dyno).await?;
    let first = attach::met(&mut socket).await?;
    action.end(&format!("up, {}", dyno.name));
    Ok(exit_code(
        attach::pump(socket, first, kind, attach::ADVICE_INSIDE).await?,
    ))
}

fn kind(no_tty: bool) -> Kind {
    if no_tty || !terminal::is_interactive() {
        Kind::Pipes
    } else {
        Kind::Terminal
    }
}

async fn connect(context: &Context, client: &Client, dyno: &Dyno) -> Result<Socket> {
    let attach_url = dyno
        .attach_url
        .as_deref()
        .ok_or_else(|| Failure::new("The platform gave no way to attach to the dyno"))?;
    let ca_pem = context.session()?.ca_pem()?;
    attach::connect(client, ca_pem.as_deref(), attach_url).await
}

fn exit_code(end: End) -> ExitCode {
    let status = match end {
        End::Exited(status) => u8::try_from(status),
        End::Signalled(number) => u8::try_from(128 + number),
    };
    ExitCode::from(status.unwrap_or(FAILED))
}

/// Returns once the dyno has started, or is known never to. Any other that is no longer there has had its say on the
/// socket.
async fn is_up(client: &Client, app: &str, dyno: &Dyno) -> Result<()> {
    loop {
        match client.dyno(app, &dyno.name).await {
            Ok(dyno) if dyno.state != "starting" => return Ok(()),
            Err(error) if error.status() == Some(404) => {
                if let Some(failure) = follow::never_placed(client, app, dyno).await {
                    return Err(failure.into());
                }
            }
            _ => {}
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

pub(crate) async fn detached(context: &Context, args: RunDetachedArgs) -> Result<()> {
    let (one_off, words) = options_at_end(args.one_off, args.command, separator_typed());
    let app = context.app(&one_off.app)?;
    let (client, output) = (context.client()?, &context.output);
    let create = wanted(&one_off, &command_line(&words))?;
    let shown = output.err_paint.command(&words.join(" "));
    let action = output.action(format!("Running {shown} on {}", output.app(&app)));
    let dyno = client.run(&app, &create).await?;
    action.done_with(&dyno.name);
    if args.json.json {
        output.json(&dyno)?;
    }
    if args.tail {
        let wanted = LogSessionCreate {
            dyno: Some(dyno.name),
            tail: Some(true),
            ..LogSessionCreate::default()
        };
        return logs::show(output, &client, &app, &wanted).await;
    }
    let follow = format!("paas logs --app {app} --dyno {}", dyno.name);
    Ok(output.hint(format!(
        "See what it prints with: {}",
        output.err_paint.command(&follow)
    ))?)
}

fn wanted(args: &OneOffArgs, command: &str) -> Result<DynoCreate, Failure> {
    Ok(DynoCreate {
        command: command.to_owned(),
        env: variables(&args.env)?,
        size: args.size.clone(),
        process_type: args.r#type.clone(),
        ..DynoCreate::default()
    })
}

fn variables(pairs: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let pairs = pairs.iter().map(|pair| config::split_pair(pair));
    pairs
        .map(|pair| pair.map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect()
}

fn terminal_env() -> Vec<(String, String)> {
    let mut env = Vec::new();
    if let Ok(term) = std::env::var("TERM") {
        env.push(("TERM".to_owned(), term));
    }
    if let Some(size) = terminal::size() {
        env.push(("COLUMNS".to_owned(), size.columns.to_string()));
        env.push(("LINES".to_owned(), size.lines.to_string()));
    }
    env
}

/// One word is a line for the shell; several are a command and its arguments, which arrive as they were typed.
fn command_line(words: &[String]) -> String {
    match words {
        [line] => line.clone(),
        words => words
            .iter()
            .map(|word| shell_quoted(word))
            .collect::<Vec<_>>()
            .join(" "),
    }
}

fn separator_typed() -> bool {
    std::env::args_os().any(|word| word == "--")
}

/// As with Heroku's, the app may be named after the command (`paas run bash -a myapp`), unless `--` sets them apart.
fn options_at_end(
    args: OneOffArgs,
    words: Vec<String>,
    separated: bool,
) -> (OneOffArgs, Vec<String>) {
    let (app, words) = app_at_end(args.app, words, separated);
    (OneOffArgs { app, ..args }, words)
}

fn app_at_end(given: AppArgs, mut words: Vec<String>, separated: bool) -> (AppArgs, Vec<String>) {
    let named_before = given.remote.is_some()
        || (given.app.is_some() && std::env::var("PAAS_APP").ok() != given.app);
    if separated || named_before {
        return (given, words);
    }
    let app = |app: &str| AppArgs {
        app: Some(app.to_owned()),
        remote: None,
    };
    let remote = |remote: &str| AppArgs {
        app: None,
        remote: Some(remote.to_owned()),
    };
    let found = match words.as_slice() {
        [_, .., flag, value] if flag == "-a" || flag == "--app" => Some((app(value), 2)),
        [_, .., flag, value] if flag == "-r" || flag == "--remote" => Some((remote(value), 2)),
        [_, .., last] => last
            .strip_prefix("--app=")
            .map(app)
            .or_else(|| last.strip_prefix("--remote=").map(remote))
            .map(|named| (named, 1)),
        _ => None,
    };
    match found {
        Some((named, length)) => {
            words.truncate(words.len() - length);
            (named, words)
        }
        None => (given, words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    fn no_args() -> OneOffArgs {
        OneOffArgs {
            env: Vec::new(),
            size: None,
            r#type: None,
            app: AppArgs::default(),
        }
    }

    #[test]
    fn one_word_is_a_shell_line_and_several_are_arguments() {
        assert_eq!(
            command_line(&["echo $HOME | wc".to_owned()]),
            "echo $HOME | wc"
        );
        let words = ["bash", "-c", "echo $HOME"].map(str::to_owned);
        assert_eq!(command_line(&words), "bash -c 'echo $HOME'");
    }

    #[test]
    fn the_app_may_be_named_after_the_command() {
        let (args, rest) = options_at_end(no_args(), words("rails console -a myapp"), false);
        assert_eq!(
            (args.app.app.as_deref(), rest),
            (Some("myapp"), words("rails console"))
        );
        let (args, rest) = options_at_end(no_args(), words("bash --remote=staging"), false);
        assert_eq!(
            (args.app.remote.as_deref(), rest),
            (Some("staging"), words("bash"))
        );
    }

    #[test]
    fn what_belongs_to_the_command_stays_with_it() {
        for (line, separated) in [
            ("ls -a dir", true),
            ("ls -a", false),
            ("ls -l", false),
            ("ls", false),
        ] {
            let (args, rest) = options_at_end(no_args(), words(line), separated);
            assert_eq!((args.app.app, rest), (None, words(line)), "{line}");
        }
        let mut named = no_args();
        named.app.remote = Some("staging".to_owned());
        assert_eq!(
            options_at_end(named, words("ls -a dir"), false).1,
            words("ls -a dir")
        );
    }
}
