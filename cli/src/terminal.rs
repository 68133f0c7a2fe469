//! The terminal we run in: its size, raw mode, and passwords typed without echo.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::{Context as _, Result};
use rustix::stdio;
use rustix::termios::{self, LocalModes, OptionalActions, Termios};

use crate::failure::Failure;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) columns: u16,
    pub(crate) lines: u16,
}

/// Whether a person is at both ends: only then does a remote command get a terminal.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// The size of the window, where there is one that tells.
pub(crate) fn size() -> Option<Size> {
    let size = termios::tcgetwinsize(stdio::stdout()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some(Size {
        columns: size.ws_col,
        lines: size.ws_row,
    })
}

/// The terminal passes keys on untouched while this lives, and is as before afterwards.
#[derive(Debug)]
pub(crate) struct Mode {
    before: Termios,
}

impl Mode {
    /// Every key goes to the remote command, Ctrl-C too.
    pub(crate) fn raw() -> io::Result<Self> {
        Self::change(Termios::make_raw)
    }

    fn without_echo() -> io::Result<Self> {
        Self::change(|termios| termios.local_modes.remove(LocalModes::ECHO))
    }

    fn change(change: impl FnOnce(&mut Termios)) -> io::Result<Self> {
        let before = termios::tcgetattr(stdio::stdin())?;
        let mut after = before.clone();
        change(&mut after);
        termios::tcsetattr(stdio::stdin(), OptionalActions::Drain, &after)?;
        Ok(Self { before })
    }
}

impl Drop for Mode {
    fn drop(&mut self) {
        // A terminal that has gone away needs no restoring.
        let _ = termios::tcsetattr(stdio::stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Asks for a line.
pub(crate) fn ask(question: &str) -> Result<String> {
    need_terminal(question)?;
    let mut stderr = io::stderr().lock();
    write!(stderr, "{question}")?;
    stderr.flush()?;
    read_line()
}

/// Asks for a line that does not show.
pub(crate) fn ask_secret(question: &str) -> Result<String> {
    need_terminal(question)?;
    let hidden = Mode::without_echo()?;
    let answer = ask(question);
    drop(hidden);
    writeln!(io::stderr())?;
    answer
}

/// Between two questions.
pub(crate) fn say(text: &str) -> Result<()> {
    Ok(writeln!(io::stderr(), "{text}")?)
}

fn need_terminal(question: &str) -> Result<()> {
    if io::stdin().is_terminal() {
        return Ok(());
    }
    let asked = question.trim().trim_end_matches(':');
    Err(Failure::usage(format!(
        "{asked:?} cannot be asked: standard input is no terminal"
    ))
    .advise("Give it on the command line; see --help.")
    .into())
}

/// A line of standard input without its end; an error when there is none.
pub(crate) fn read_line() -> Result<String> {
    let mut line = String::new();
    io::stdin()
        .read_line(&mut line)
        .context("could not read standard input")?;
    if line.is_empty() {
        return Err(Failure::new("Standard input ended before an answer").into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
