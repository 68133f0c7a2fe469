//! Colour, only where someone sees it: a terminal, and neither `NO_COLOR` nor `TERM=dumb`.

use std::env;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    Red,
    Green,
    Yellow,
    Blue,
    Magenta,
    Cyan,
    BrightGreen,
    BrightYellow,
    BrightBlue,
    BrightMagenta,
    BrightCyan,
    Bold,
    Dim,
}

impl Colour {
    const fn code(self) -> &'static str {
        match self {
            Self::Red => "31",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Blue => "34",
            Self::Magenta => "35",
            Self::Cyan => "36",
            Self::BrightGreen => "92",
            Self::BrightYellow => "93",
            Self::BrightBlue => "94",
            Self::BrightMagenta => "95",
            Self::BrightCyan => "96",
            Self::Bold => "1",
            Self::Dim => "2",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    Plain,
    Coloured,
}

impl Paint {
    pub(crate) fn detect(is_terminal: bool) -> Self {
        let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        if set("NO_COLOR") {
            Self::Plain
        } else if env::var_os("CLICOLOR_FORCE")
            .is_some_and(|value| !value.is_empty() && value != "0")
            || (is_terminal && !dumb)
        {
            Self::Coloured
        } else {
            Self::Plain
        }
    }

    pub(crate) fn in_colour(self, colour: Colour, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Coloured => format!("\x1b[{}m{text}\x1b[0m", colour.code()),
        }
    }

    /// `⬢ myapp`.
    pub(crate) fn app(self, name: &str) -> String {
        self.in_colour(Colour::Magenta, &format!("⬢ {name}"))
    }

    /// A command to type.
    pub(crate) fn command(self, text: &str) -> String {
        self.in_colour(Colour::Cyan, text)
    }

    /// A dyno's or release's state.
    pub(crate) fn state(self, state: &str) -> String {
        let colour = match state {
            "up" | "succeeded" | "on" | "ready" | "created" => Colour::Green,
            "starting" | "idle" | "pending" | "stopping" | "draining" | "cordoned" | "creating"
            | "destroying" => Colour::Yellow,
            "crashed" | "failed" | "dead" | "errored" => Colour::Red,
            _ => return state.to_owned(),
        };
        self.in_colour(colour, state)
    }
}
