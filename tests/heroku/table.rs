//! What the official clients are asked, and what is held of it: the tables beside this file, each of which begins on a
//! platform of its own.
//!
//! Part of two test programs: of `paas`'s, for what a controller can answer alone, and of the stories', for what needs dynos.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    /// What it is about, as a heading has it.
    pub(crate) title: String,
    pub(crate) client: String,
    /// What a shell does in the working directory first; `$PAAS` is the command line.
    #[serde(default)]
    pub(crate) before: Vec<String>,
    #[serde(rename = "run")]
    pub(crate) runs: Vec<Run>,
}

/// One invocation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    /// As it is typed, after the client's name. `{name}` stands for what was kept.
    #[serde(rename = "do")]
    pub(crate) command: String,
    /// The exit status.
    #[serde(default)]
    pub(crate) exit: i32,
    /// Each is in what it says, with the same filled in.
    #[serde(default)]
    pub(crate) says: Vec<String>,
    /// The first id that it says is kept under this name.
    pub(crate) keeps: Option<String>,
    /// Whether it is asked again, a while, until it says so.
    #[serde(default)]
    pub(crate) comes_about: bool,
}

/// A table on its way.
#[derive(Debug)]
pub(crate) struct Progress {
    table: Table,
    kept: BTreeMap<String, String>,
    at: usize,
    asked: usize,
    failed: Vec<String>,
}

/// Each takes a second or so.
const MOST_ASKED: usize = 60;

pub(crate) fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/heroku")
}

impl Table {
    pub(crate) fn named(name: &str) -> Self {
        let path = dir().join(format!("{name}.toml"));
        let text = std::fs::read_to_string(&path).unwrap();
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub(crate) fn begin(self, kept: &[(&str, &str)]) -> Progress {
        Progress {
            table: self,
            kept: kept
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            at: 0,
            asked: 0,
            failed: Vec::new(),
        }
    }
}

impl Progress {
    /// What is to be asked next.
    pub(crate) fn next(&self) -> Option<String> {
        let run = self.table.runs.get(self.at)?;
        Some(self.filled(&run.command))
    }

    fn filled(&self, text: &str) -> String {
        self.kept
            .iter()
            .fold(text.to_owned(), |text, (name, value)| {
                text.replace(&format!("{{{name}}}"), value)
            })
    }

    /// What came of it.
    pub(crate) fn heard(&mut self, exit: i32, said: &str) {
        let run = &self.table.runs[self.at];
        self.asked += 1;
        let missing: Vec<_> = run
            .says
            .iter()
            .filter(|words| !said.contains(&self.filled(words)))
            .collect();
        let is_so = exit == run.exit && missing.is_empty();
        if !is_so && run.comes_about && self.asked < MOST_ASKED {
            return;
        }
        if !is_so {
            self.failed.push(format!(
                "{} {}: exit {exit} (not {}), without {missing:?}:\n{said}",
                self.table.client, run.command, run.exit
            ));
        }
        if let Some(name) = &run.keeps {
            let id = said
                .split(|c: char| !c.is_ascii_hexdigit() && c != '-')
                .find(|word| word.len() == 36 && word.matches('-').count() == 4);
            match id {
                Some(id) => drop(self.kept.insert(name.clone(), id.to_owned())),
                None => self
                    .failed
                    .push(format!("{}: no id in\n{said}", run.command)),
            }
        }
        (self.at, self.asked) = (self.at + 1, 0);
    }

    /// At the end.
    #[track_caller]
    pub(crate) fn all_passed(self) {
        let (failed, all) = (self.failed.len(), self.table.runs.len());
        assert_eq!(self.at, all, "not all were asked");
        let Table { title, client, .. } = &self.table;
        println!("{title} ({client}): {} of {all} passed", all - failed);
        assert!(
            self.failed.is_empty(),
            "{failed} of {all} failed\n{}",
            self.failed.join("\n")
        );
    }
}
