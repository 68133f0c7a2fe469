//! Where words go: data to standard output, everything said about the work to standard error.
//!
//! Writes return their error, so that a closed pipe ends the program quietly and not with a panic.

mod action;
mod paint;
mod printable;
mod table;
mod when;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

pub(crate) use action::Action;
pub(crate) use paint::{Colour, Paint};
pub(crate) use printable::printable;
pub(crate) use table::Table;
pub(crate) use when::{ago, clock};

/// In front of every line that speaks to the user rather than answers.
const MARK: &str = " ▸    ";

#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) paint: Paint,
    pub(crate) err_paint: Paint,
    live: bool,
}

impl Output {
    pub(crate) fn detect() -> Self {
        let stderr_is_terminal = io::stderr().is_terminal();
        Self {
            paint: Paint::detect(io::stdout().is_terminal()),
            err_paint: Paint::detect(stderr_is_terminal),
            live: stderr_is_terminal && std::env::var_os("TERM").is_some_and(|term| term != "dumb"),
        }
    }

    /// A line of the answer.
    pub(crate) fn line(&self, text: impl Display) -> io::Result<()> {
        writeln!(io::stdout().lock(), "{text}")
    }

    /// `=== myapp Config Vars`, and an empty line.
    pub(crate) fn heading(&self, text: impl Display) -> io::Result<()> {
        writeln!(
            io::stdout().lock(),
            "{} {text}\n",
            self.paint.in_colour(Colour::Dim, "===")
        )
    }

    pub(crate) fn table(&self, table: &Table) -> io::Result<()> {
        io::stdout().lock().write_all(table.render().as_bytes())
    }

    pub(crate) fn json(&self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string_pretty(value)?;
        writeln!(io::stdout().lock(), "{text}")
    }

    /// A remark about the work, on standard error.
    pub(crate) fn note(&self, text: impl Display) -> io::Result<()> {
        writeln!(io::stderr().lock(), "{text}")
    }

    /// A remark that should be seen: each line marked.
    pub(crate) fn hint(&self, text: impl Display) -> io::Result<()> {
        self.marked(Colour::Yellow, &text.to_string())
    }

    /// Something failed. Losing this line loses nothing more, so its own error is dropped.
    pub(crate) fn error(&self, text: &str) {
        let _ = self.marked(Colour::Red, text);
    }

    fn marked(&self, colour: Colour, text: &str) -> io::Result<()> {
        let mut stderr = io::stderr().lock();
        let mark = self.err_paint.in_colour(colour, MARK);
        text.lines()
            .try_for_each(|line| writeln!(stderr, "{mark}{line}"))
    }

    /// `⬢ myapp` as standard error shows it.
    pub(crate) fn app(&self, name: &str) -> String {
        self.err_paint.app(name)
    }

    /// Starts saying what is being done: `Creating ⬢ myapp... `.
    pub(crate) fn action(&self, text: impl Into<String>) -> Action {
        Action::start(text.into(), self.err_paint, self.live)
    }
}
