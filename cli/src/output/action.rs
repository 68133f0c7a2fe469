//! `Setting FOO and restarting ⬢ myapp... done, v4`: what is being done, and how it went, on one line of standard error.
//!
//! On a terminal the part after the dots is rewritten as the work goes on; elsewhere only beginning and end are written.

use std::fmt::Display;
use std::io::{self, Write};

use super::{Colour, Paint};

#[derive(Debug)]
pub(crate) struct Action {
    text: String,
    paint: Paint,
    live: bool,
    ended: bool,
}

impl Action {
    pub(super) fn start(text: String, paint: Paint, live: bool) -> Self {
        let action = Self {
            text,
            paint,
            live,
            ended: false,
        };
        action.write(&format!("{}... ", action.text));
        action
    }

    /// How far it is, for those who watch.
    pub(crate) fn progress(&self, status: impl Display) {
        if self.live {
            self.write(&format!("\r\x1b[K{}... {status}", self.text));
        }
    }

    /// `done`.
    pub(crate) fn done(self) {
        self.end("done");
    }

    /// `done, v4`.
    pub(crate) fn done_with(self, result: impl Display) {
        self.end(&format!("done, {result}"));
    }

    /// Something other than `done`.
    pub(crate) fn end(mut self, result: &str) {
        self.finish(result);
    }

    fn finish(&mut self, result: &str) {
        self.ended = true;
        if self.live {
            self.write(&format!("\r\x1b[K{}... {result}\n", self.text));
        } else {
            self.write(&format!("{result}\n"));
        }
    }

    /// Progress is a courtesy: where it cannot be written, the work still goes on.
    fn write(&self, text: &str) {
        let mut stderr = io::stderr().lock();
        let _ = stderr.write_all(text.as_bytes());
        let _ = stderr.flush();
    }
}

impl Drop for Action {
    /// Left by an error: Heroku's `!`.
    fn drop(&mut self) {
        if !self.ended {
            let mark = self.paint.in_colour(Colour::Red, "!");
            self.finish(&mark);
        }
    }
}
