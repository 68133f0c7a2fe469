//! man: manual pages, made from what clap knows of each verb.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::Command as Process;

use anyhow::{Context as _, Result};
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use roff::{Roff, roman};

use crate::args::{Cli, HelpArgs, ManArgs};
use crate::context::Context;
use crate::failure::Failure;
use crate::help;

pub(crate) fn man(context: &Context, args: &ManArgs) -> Result<()> {
    let mut command = Cli::command().about("Deploy apps with git push, and run them");
    command.build();
    if let Some(directory) = &args.output {
        return write_all(context, &command, directory);
    }
    let page = match &args.verb {
        None => page(&command)?,
        Some(verb) => page(find(&command, verb).ok_or_else(|| unknown(verb))?)?,
    };
    if !std::io::stdout().is_terminal() {
        return Ok(context.output.line(page.trim_end())?);
    }
    if read_by_man(&page)? {
        return Ok(());
    }
    // No `man` here; what the page says, help says too.
    let topic = args.verb.clone();
    help::topic(&context.output, &HelpArgs { topic })
}

/// `ps:scale`, or `import heroku`: what has words below it has a page for each.
fn find<'a>(command: &'a Command, verb: &str) -> Option<&'a Command> {
    verb.split_whitespace()
        .try_fold(command, |command, word| command.find_subcommand(word))
}

fn unknown(verb: &str) -> Failure {
    Failure::usage(format!("There is no command {verb}"))
        .advise("See all commands with `paas help`.")
}

/// `paas.1`, and `paas-<verb>.1` for each.
fn write_all(context: &Context, command: &Command, directory: &Path) -> Result<()> {
    fs_err::create_dir_all(directory)?;
    let mut count = 0;
    for command in with_below(command) {
        fs_err::write(
            directory.join(format!("{}.1", title(command))),
            page(command)?,
        )?;
        count += 1;
    }
    Ok(context
        .output
        .note(format!("Wrote {count} pages into {}", directory.display()))?)
}

/// It, and all that is below it and shown.
fn with_below(command: &Command) -> Vec<&Command> {
    let below = command
        .get_subcommands()
        .filter(|below| !below.is_hide_set());
    std::iter::once(command)
        .chain(below.flat_map(with_below))
        .collect()
}

/// `paas-ps:scale`
fn title(command: &Command) -> String {
    command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
        .to_owned()
}

fn page(command: &Command) -> Result<String> {
    let man = Man::new(command.clone())
        .source(concat!("paas ", env!("CARGO_PKG_VERSION")))
        .manual("paas");
    let mut bytes = Vec::new();
    man.render_title(&mut bytes)?;
    man.render_name_section(&mut bytes)?;
    man.render_synopsis_section(&mut bytes)?;
    man.render_description_section(&mut bytes)?;
    if command.get_arguments().any(|arg| !arg.is_hide_set()) {
        man.render_options_section(&mut bytes)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut bytes)?;
    }
    if let Some(more) = command.get_after_help() {
        notes(&more.to_string()).to_writer(&mut bytes)?;
    }
    String::from_utf8(bytes).context("a manual page is no text")
}

/// Line for line: examples are to be typed as they are.
fn notes(text: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["NOTES"]).control("nf", []);
    for line in text.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff
}

/// Whether there was a `man` to read it with. It takes what has a slash in it for a file.
fn read_by_man(page: &str) -> Result<bool> {
    let mut file = tempfile::Builder::new().suffix(".1").tempfile()?;
    file.write_all(page.as_bytes())?;
    match Process::new("man").arg(file.path()).status() {
        Ok(status) => Ok(status.success()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).context("could not run man"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_the_options_and_the_examples_line_for_line() {
        let mut command = Cli::command();
        command.build();
        let scale = command.find_subcommand("ps:scale").unwrap();
        assert_eq!(title(scale), "paas-ps:scale");
        let page = page(scale).unwrap();
        assert!(page.contains("\\-\\-no\\-wait"), "{page}");
        assert!(page.contains("$ paas scale web=3 worker+1\n"), "{page}");
        assert!(page.contains(".TH paas-ps:scale 1"), "{page}");
    }
}
