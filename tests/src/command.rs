//! Running a program to its end, with a deadline, and keeping what it said.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::Command;

/// What a program answered.
#[derive(Debug, Clone)]
pub struct Said {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    pub fn success(&self) -> bool {
        self.status == 0
    }

    /// Both streams, for looking through.
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// # Panics
    /// If it failed, with all it said.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(
            self.success(),
            "exit status {}\n{}\n{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self
    }

    /// # Panics
    /// If it did not fail.
    #[track_caller]
    pub fn failed(self) -> Self {
        assert!(
            !self.success(),
            "it should have failed\n{}\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// # Panics
    /// If neither stream holds `text`.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        let all = self.all();
        assert!(all.contains(text), "{text:?} is not in\n{all}");
        self
    }
}

impl Said {
    /// # Panics
    /// If no line holds all `parts`, in order.
    #[track_caller]
    pub fn says_line(self, parts: &[&str]) -> Self {
        let all = self.all();
        let holds = |line: &str| {
            parts
                .iter()
                .try_fold(line, |rest, part| Some(rest.split_once(part)?.1))
                .is_some()
        };
        assert!(all.lines().any(holds), "no line holds {parts:?}\n{all}");
        self
    }
}

/// Runs it to the end; it is killed when `within` is over.
pub async fn run(command: &mut Command, within: Duration) -> anyhow::Result<Said> {
    let shown = format!("{:?}", command.as_std());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let child = command
        .spawn()
        .with_context(|| format!("could not start {shown}"))?;
    let Ok(output) = tokio::time::timeout(within, child.wait_with_output()).await else {
        bail!("{shown} did not end within {within:?}");
    };
    let output = output.with_context(|| format!("could not wait for {shown}"))?;
    Ok(Said {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
