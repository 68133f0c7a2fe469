//! One app's repository on this builder's disk: what git is asked of it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use store::{BlobError, StoreError};
use tokio::io::AsyncWriteExt as _;

use super::Git;
use super::repos::Local;
use crate::hook::wire::Quarantine;

/// Branches that deploy, the preferred one first.
pub(crate) const DEPLOY_BRANCHES: [&str; 2] = ["main", "master"];

#[derive(Debug, thiserror::Error)]
pub(crate) enum RepoError {
    #[error("could not {doing} the repository at {path}")]
    Io {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("git could not {doing} in {path}: {stderr}")]
    Git {
        doing: &'static str,
        path: PathBuf,
        stderr: String,
    },
    #[error("could not read or write the record of a repository")]
    Record(#[from] StoreError),
    #[error("could not {doing} the blob store")]
    Blob {
        doing: &'static str,
        #[source]
        source: BlobError,
    },
    #[error("git left objects outside of a pack in {path}")]
    LooseObjects { path: PathBuf },
}

impl RepoError {
    /// For the pusher: whether it is worth another try, and whose business it is.
    pub(crate) const fn in_words(&self) -> &'static str {
        match self {
            Self::Record(_) | Self::Blob { .. } => {
                "The platform cannot reach the place where repositories are kept. Please try again in a minute.\n"
            }
            Self::Io { .. } | Self::Git { .. } | Self::LooseObjects { .. } => {
                "The repository could not be used. The platform's operators can read why in its log.\n"
            }
        }
    }
}

/// One app's repository. While a handle to it is held, this builder does not drop its copy.
#[derive(Debug, Clone)]
pub(crate) struct Repo {
    path: PathBuf,
    git: Git,
    pub(super) local: Arc<Local>,
    /// Objects of a push that is not yet accepted, to be seen as well.
    quarantine: Option<Quarantine>,
}

impl Repo {
    pub(super) const fn new(path: PathBuf, git: Git, local: Arc<Local>) -> Self {
        Self {
            path,
            git,
            local,
            quarantine: None,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The same, seeing what a push has brought.
    pub(crate) fn with_quarantine(self, quarantine: Option<Quarantine>) -> Self {
        Self { quarantine, ..self }
    }

    pub(crate) const fn quarantine(&self) -> Option<&Quarantine> {
        self.quarantine.as_ref()
    }

    pub(crate) fn git(&self) -> tokio::process::Command {
        let mut command = self.git.in_dir(&self.path);
        command.arg("--git-dir=.");
        if let Some(Quarantine {
            object_directory,
            alternates,
        }) = &self.quarantine
        {
            command.env("GIT_OBJECT_DIRECTORY", object_directory);
            if let Some(alternates) = alternates {
                command.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", alternates);
            }
        }
        command
    }

    /// The object a branch is at.
    pub(crate) async fn branch_tip(&self, branch: &str) -> Result<Option<String>, RepoError> {
        self.resolve(&format!("refs/heads/{branch}")).await
    }

    /// The commit an object is, or stands for; `None` when it is none.
    pub(crate) async fn commit(&self, object: &str) -> Result<Option<String>, RepoError> {
        self.resolve(&format!("{object}^{{commit}}")).await
    }

    async fn resolve(&self, name: &str) -> Result<Option<String>, RepoError> {
        let mut command = self.git();
        command.args(["rev-parse", "--verify", "--quiet", "--end-of-options", name]);
        let output = command.output().await.map_err(|source| RepoError::Io {
            doing: "look something up in",
            path: self.path.clone(),
            source,
        })?;
        let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok((output.status.success() && !found.is_empty()).then_some(found))
    }

    /// Whether all that these objects reach is here, as far as no ref reaches it.
    pub(crate) async fn is_connected(&self, objects: &[String]) -> Result<bool, RepoError> {
        let mut command = self.git();
        command.args([
            "rev-list",
            "--objects",
            "--stdin",
            "--not",
            "--all",
            "--quiet",
        ]);
        match run_with_input(
            command,
            objects.join("\n"),
            "follow a push through",
            &self.path,
        )
        .await
        {
            Ok(_) => Ok(true),
            Err(RepoError::Git { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// All or none of these changes; `None` deletes the ref.
    pub(crate) async fn set_refs(&self, changes: &[(&str, Option<&str>)]) -> Result<(), RepoError> {
        if changes.is_empty() {
            return Ok(());
        }
        let lines: String = changes
            .iter()
            .map(|(name, to)| match to {
                Some(to) => format!("update {name} {to}\n"),
                None => format!("delete {name}\n"),
            })
            .collect();
        // Git refuses refs to objects in quarantine, so this must not see one.
        let mut command = self.clone().with_quarantine(None).git();
        command.args(["update-ref", "--stdin"]);
        run_with_input(command, lines, "set the refs", &self.path)
            .await
            .map(drop)
    }

    /// Refs below `prefix` with the objects they are at.
    pub(crate) async fn refs_below(
        &self,
        prefix: &str,
    ) -> Result<Vec<(String, String)>, RepoError> {
        let mut command = self.git();
        command.args(["for-each-ref", "--format=%(refname) %(objectname)", prefix]);
        let output = command.output().await.map_err(|source| RepoError::Io {
            doing: "list refs of",
            path: self.path.clone(),
            source,
        })?;
        let text = String::from_utf8_lossy(&output.stdout);
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        Ok(pairs
            .map(|(name, object)| (name.to_owned(), object.to_owned()))
            .collect())
    }

    /// Lets `HEAD` name a branch that exists, so that a clone checks something out.
    pub(crate) async fn mend_head(&self) -> Result<(), RepoError> {
        let head =
            fs_err::read_to_string(self.path.join("HEAD")).map_err(|source| RepoError::Io {
                doing: "read HEAD of",
                path: self.path.clone(),
                source,
            })?;
        let current = head
            .trim()
            .strip_prefix("ref: refs/heads/")
            .unwrap_or_default()
            .to_owned();
        if self.branch_tip(&current).await?.is_some() {
            return Ok(());
        }
        for branch in DEPLOY_BRANCHES {
            if branch != current && self.branch_tip(branch).await?.is_some() {
                let mut command = self.git();
                command.args(["symbolic-ref", "HEAD", &format!("refs/heads/{branch}")]);
                run(command, "set HEAD", &self.path).await?;
                break;
            }
        }
        Ok(())
    }
}

/// Runs a git command to its end; what it printed.
pub(crate) async fn run(
    command: tokio::process::Command,
    doing: &'static str,
    path: &Path,
) -> Result<String, RepoError> {
    run_with_input(command, String::new(), doing, path).await
}

/// The same, telling it something on its standard input.
pub(crate) async fn run_with_input(
    mut command: tokio::process::Command,
    input: String,
    doing: &'static str,
    path: &Path,
) -> Result<String, RepoError> {
    let failed = |source| RepoError::Io {
        doing,
        path: path.to_owned(),
        source,
    };
    command
        .stdin(if input.is_empty() {
            Stdio::null()
        } else {
            Stdio::piped()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let stdin = child.stdin.take();
    let telling = async {
        if let Some(mut pipe) = stdin {
            // A git that stops listening says why with its status.
            let _ = pipe.write_all(input.as_bytes()).await;
        }
    };
    let (output, ()) = tokio::join!(child.wait_with_output(), telling);
    ended(output.map_err(failed)?, doing, path)
}

/// What a git command printed, if it ended well.
pub(super) fn ended(
    output: std::process::Output,
    doing: &'static str,
    path: &Path,
) -> Result<String, RepoError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr)
        .trim()
        .chars()
        .take(2000)
        .collect();
    Err(RepoError::Git {
        doing,
        path: path.to_owned(),
        stderr,
    })
}
