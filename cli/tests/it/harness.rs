//! Runs the built program with a home and a working directory of its own.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::stub::{Stub, TOKEN};

pub(crate) struct Cli {
    pub(crate) stub: Stub,
    pub(crate) home: TempDir,
    pub(crate) dir: TempDir,
    env: Vec<(String, String)>,
}

#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Cli {
    /// Logged in through the environment.
    pub(crate) fn new() -> Self {
        let mut cli = Self::logged_out(Stub::start());
        cli.set("PAAS_API_URL", &format!("http://{}", cli.stub.addr));
        cli.set("PAAS_API_KEY", TOKEN);
        cli
    }

    pub(crate) fn logged_out(stub: Stub) -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = std::env::var("PATH").unwrap();
        let mut cli = Self {
            stub,
            dir: tempfile::tempdir().unwrap(),
            env: Vec::new(),
            home,
        };
        let home = cli.home.path().to_string_lossy().into_owned();
        for (name, value) in [
            ("HOME", home.as_str()),
            ("PATH", path.as_str()),
            ("TZ", "UTC"),
            ("TERM", "xterm"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
        ] {
            cli.set(name, value);
        }
        cli
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.unset(name);
        self.env.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn unset(&mut self, name: &str) {
        self.env.retain(|(other, _)| other != name);
    }

    pub(crate) fn env(&self) -> &[(String, String)] {
        &self.env
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.home.path().join(".config/paas/config.toml")
    }

    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn paas(&self, args: &[&str]) -> Outcome {
        self.paas_with_stdin(args, b"")
    }

    pub(crate) fn paas_with_stdin(&self, args: &[&str], stdin: &[u8]) -> Outcome {
        let mut command = self.command(program());
        command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A program that does not read its input may be gone before it is written.
        let _ = child.stdin.take().unwrap().write_all(stdin);
        let output = child.wait_with_output().unwrap();
        Outcome {
            code: output.status.code().unwrap(),
            stdout: without_ages(&String::from_utf8(output.stdout).unwrap()),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        let output = self.command("git").args(args).output().unwrap();
        assert!(
            output.status.success(),
            "git {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Outcome {
    /// It went well, and this is what it answered.
    #[track_caller]
    pub(crate) fn answers(&self, stdout: &str) -> &Self {
        assert_eq!(self.code, 0, "{}", self.stderr);
        assert_eq!(self.stdout, stdout, "stderr: {}", self.stderr);
        self
    }

    /// It said this about its work.
    #[track_caller]
    pub(crate) fn says(&self, stderr: &str) -> &Self {
        assert_eq!(self.stderr, stderr);
        self
    }

    #[track_caller]
    pub(crate) fn fails(&self, code: i32, stderr: &str) -> &Self {
        assert_eq!(self.stderr, stderr);
        assert_eq!(self.code, code);
        self
    }
}

/// `kind name` of each, of a list in JSON.
pub(crate) fn lines(list: &Value) -> Vec<String> {
    let word = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    let list = list.as_array().unwrap().iter();
    list.map(|one| format!("{} {}", word(one, "kind"), word(one, "name")))
        .collect()
}

pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_paas")
}

/// `(~ 3m ago)` reads `(~ ago)`: how long ago the canned answers are changes every day.
fn without_ages(text: &str) -> String {
    let mut rest = text;
    let mut result = String::new();
    while let Some(start) = rest.find("(~ ") {
        let end = rest[start..].find(" ago)").unwrap();
        result.push_str(&rest[..start]);
        result.push_str("(~ ago)");
        rest = &rest[start + end + " ago)".len()..];
    }
    result + rest
}
