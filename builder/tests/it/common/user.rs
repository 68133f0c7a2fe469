//! Somebody with a token, a key, and the stock git client.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use model::Account;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::Platform;
use super::host::Host;

#[derive(Clone)]
pub(crate) struct User {
    pub(crate) account: Account,
    pub(crate) token: String,
    home: Arc<TempDir>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    Http,
    Ssh,
}

pub(crate) const BOTH: [Over; 2] = [Over::Http, Over::Ssh];

/// How a git command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert!(self.success, "{}{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn refused(self) -> Self {
        assert!(!self.success, "{}{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text),
            "no {text:?} in:\n{}",
            self.stderr
        );
        self
    }

    /// What the platform said, without git's prefix and padding.
    pub(crate) fn remote(&self) -> String {
        let lines = self.stderr.lines().filter_map(|line| {
            line.strip_prefix("remote: ")
                .or(line.strip_prefix("remote:"))
        });
        lines.map(|line| format!("{}\n", line.trim_end())).collect()
    }
}

impl User {
    pub(crate) fn new(_: &Platform, account: Account, token: String) -> Self {
        let home = tempfile::tempdir().unwrap();
        let made = std::process::Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"])
            .arg(home.path().join("key"))
            .status()
            .unwrap();
        assert!(made.success());
        Self {
            account,
            token,
            home: home.into(),
        }
    }

    /// Fingerprint and key of this user.
    pub(crate) fn public_key(&self) -> (String, String) {
        let path = self.home.path().join("key.pub");
        let printed = std::process::Command::new("ssh-keygen")
            .arg("-lf")
            .arg(&path)
            .output()
            .unwrap();
        let printed = String::from_utf8(printed.stdout).unwrap();
        let fingerprint = printed.split(' ').nth(1).unwrap().to_owned();
        (
            fingerprint,
            std::fs::read_to_string(path).unwrap().trim().to_owned(),
        )
    }

    pub(crate) fn url(&self, platform: &Platform, over: Over, app: &str) -> String {
        match over {
            Over::Http => format!("http://me:{}@{}/{app}.git", self.token, platform.http),
            Over::Ssh => format!("ssh://git@{}/{app}.git", platform.ssh),
        }
    }

    pub(crate) fn url_at(&self, host: &Host, over: Over, app: &str) -> String {
        match over {
            Over::Http => format!("http://me:{}@{}/{app}.git", self.token, host.http),
            Over::Ssh => format!("ssh://git@{}/{app}.git", host.ssh),
        }
    }

    pub(crate) fn command(&self, dir: &Path) -> Command {
        let home = self.home.path();
        let mut command = Command::new("git");
        command
            .current_dir(dir)
            .env("HOME", home)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_AUTHOR_NAME", "Me")
            .env("GIT_AUTHOR_EMAIL", "me@example.com")
            .env("GIT_COMMITTER_NAME", "Me")
            .env("GIT_COMMITTER_EMAIL", "me@example.com")
            .env("GIT_SSH_COMMAND", self.ssh())
            .env_remove("http_proxy")
            .env_remove("HTTP_PROXY")
            .kill_on_drop(true);
        command
    }

    /// The SSH client as git is told to run it.
    pub(crate) fn ssh(&self) -> String {
        let home = self.home.path().display();
        format!(
            "ssh -F none -i {home}/key -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={home}/known_hosts -o LogLevel=ERROR"
        )
    }

    pub(crate) async fn git(&self, dir: &Path, arguments: &[&str]) -> Ended {
        let output = self
            .command(dir)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        Ended {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// A new work tree with one commit of these files, on `main`, with a remote `paas`.
    pub(crate) async fn work_tree(
        &self,
        platform: &Platform,
        over: Over,
        app: &str,
        files: &[(&str, &str)],
    ) -> WorkTree {
        let dir = tempfile::tempdir().unwrap();
        self.git(dir.path(), &["init", "-q", "-b", "main"])
            .await
            .ok();
        self.git(
            dir.path(),
            &["remote", "add", "paas", &self.url(platform, over, app)],
        )
        .await
        .ok();
        let tree = WorkTree {
            user: self.clone(),
            dir,
        };
        tree.commit(files).await;
        tree
    }
}

pub(crate) struct WorkTree {
    user: User,
    dir: TempDir,
}

impl WorkTree {
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the files and commits everything; the commit's id.
    pub(crate) async fn commit(&self, files: &[(&str, &str)]) -> String {
        for (name, content) in files {
            std::fs::create_dir_all(self.file(name).parent().unwrap()).unwrap();
            std::fs::write(self.file(name), content).unwrap();
        }
        self.git(&["add", "-A"]).await.ok();
        self.git(&["commit", "-q", "--allow-empty", "-m", "A change"])
            .await
            .ok();
        self.git(&["rev-parse", "HEAD"])
            .await
            .ok()
            .stdout
            .trim()
            .to_owned()
    }

    pub(crate) async fn git(&self, arguments: &[&str]) -> Ended {
        self.user.git(self.dir.path(), arguments).await
    }

    pub(crate) async fn push(&self, arguments: &[&str]) -> Ended {
        self.git(&[&["push", "paas"], arguments].concat()).await
    }

    /// A push in the background, in a process group of its own, as a terminal has it.
    pub(crate) fn start_push(&self, arguments: &[&str]) -> Push {
        self.start(&[&["push", "paas"], arguments].concat())
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Push {
        let child = self
            .user
            .command(self.dir.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        Push(child)
    }
}

pub(crate) struct Push(Child);

impl Push {
    /// Ctrl-C: SIGINT to git and all it started.
    pub(crate) fn interrupt(&self) {
        let group = i32::try_from(self.0.id().unwrap()).unwrap();
        nix::sys::signal::killpg(
            nix::unistd::Pid::from_raw(group),
            nix::sys::signal::Signal::SIGINT,
        )
        .unwrap();
    }

    pub(crate) async fn end(self) -> Ended {
        let output = self.0.wait_with_output().await.unwrap();
        Ended {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
