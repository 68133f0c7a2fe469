//! The apps' repositories: bare, named by the app's id, made on first authorized use.

use std::io;
use std::path::{Path, PathBuf};

use model::AppId;

use super::Git;
use super::command::OWN_REFS;
use crate::hook::wire::Quarantine;
use crate::housekeeping::blocking;

/// Branches that deploy, the preferred one first.
pub(crate) const DEPLOY_BRANCHES: [&str; 2] = ["main", "master"];

/// What repositories are called while they are made.
pub(crate) const UNFINISHED: &str = ".new-";

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
}

/// The directory of all repositories.
#[derive(Debug, Clone)]
pub(crate) struct Repos {
    dir: PathBuf,
    git: Git,
}

/// One app's repository; it exists.
#[derive(Debug, Clone)]
pub(crate) struct Repo {
    path: PathBuf,
    git: Git,
    /// Objects of a push that is not yet accepted, to be seen as well.
    quarantine: Option<Quarantine>,
}

impl Repos {
    pub(crate) const fn new(dir: PathBuf, git: Git) -> Self {
        Self { dir, git }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The app's repository, made if there is none. Two at once agree on one.
    pub(crate) async fn open(&self, app: AppId) -> Result<Repo, RepoError> {
        let repo = self.at(app);
        if !repo.path.join("HEAD").exists() {
            self.create(&repo.path).await?;
        }
        Ok(repo)
    }

    /// The app's repository, whether or not it exists.
    pub(crate) fn at(&self, app: AppId) -> Repo {
        Repo {
            path: self.dir.join(format!("{app}.git")),
            git: self.git.clone(),
            quarantine: None,
        }
    }

    async fn create(&self, path: &Path) -> Result<(), RepoError> {
        let failed = |doing| {
            move |source| RepoError::Io {
                doing,
                path: path.to_owned(),
                source,
            }
        };
        fs_err::create_dir_all(&self.dir).map_err(failed("make room for"))?;
        let fresh = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(&self.dir)
            .map_err(failed("make"))?;
        let mut command = self.git.in_dir(fresh.path());
        command.args([
            "init",
            "--quiet",
            "--bare",
            "--template=",
            "--initial-branch=main",
            ".",
        ]);
        run(command, "make a repository", path).await?;
        match fs_err::rename(fresh.path(), path) {
            Ok(()) => {
                let _ = fresh.keep();
                Ok(())
            }
            // Somebody was quicker: theirs is as good.
            Err(_) if path.join("HEAD").exists() => Ok(()),
            Err(source) => Err(failed("put in place")(source)),
        }
    }
}

impl Repo {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The same, seeing what a push has brought.
    pub(crate) fn with_quarantine(self, quarantine: Option<Quarantine>) -> Self {
        Self { quarantine, ..self }
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

    /// Lets a ref hold what a push has brought, even if the push is cut short from now on.
    pub(crate) async fn hold(&self, name: &str, commit: &str) -> Result<(), RepoError> {
        if let Some(quarantine) = &self.quarantine {
            let from = self.path.join(&quarantine.object_directory);
            let to = self.path.join("objects");
            blocking(move || link_objects(&from, &to))
                .await
                .map_err(|source| RepoError::Io {
                    doing: "keep a push's objects in",
                    path: self.path.clone(),
                    source,
                })?;
        }
        self.move_ref(name, commit, None).await
    }

    /// Sets a ref to an object that is not in quarantine; with `from`, only if it is there still (`""`: not there yet).
    pub(crate) async fn move_ref(
        &self,
        name: &str,
        to: &str,
        from: Option<&str>,
    ) -> Result<(), RepoError> {
        // Git refuses refs to objects in quarantine, so this must not see one.
        let mut command = self.clone().with_quarantine(None).git();
        command.args(["update-ref", name, to]).args(from);
        run(command, "set a ref", &self.path).await
    }

    pub(crate) async fn delete_ref(&self, name: &str) -> Result<(), RepoError> {
        let mut command = self.clone().with_quarantine(None).git();
        command.args(["update-ref", "-d", name]);
        run(command, "delete a ref", &self.path).await
    }

    /// Whether there may be refs of the builder's own; cheaper to ask than for the refs.
    pub(crate) fn has_own_refs(&self) -> bool {
        let packed = fs_err::read_to_string(self.path.join("packed-refs")).unwrap_or_default();
        self.path.join(OWN_REFS).exists() || packed.contains(OWN_REFS)
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

    /// Packs the repository if many pushes have left many packs.
    pub(crate) async fn collect_garbage(&self) -> Result<(), RepoError> {
        let packs = fs_err::read_dir(self.path.join("objects/pack"))
            .map(|entries| {
                entries
                    .flatten()
                    .filter(|entry| entry.path().extension().is_some_and(|e| e == "pack"))
                    .count()
            })
            .unwrap_or(0);
        if packs < MAX_PACKS {
            return Ok(());
        }
        let mut command = self.git();
        command.args([
            "-c",
            "pack.threads=1",
            "-c",
            "pack.windowMemory=128m",
            "gc",
            "--quiet",
            "--prune=2.weeks.ago",
        ]);
        run(command, "collect garbage", &self.path).await
    }
}

const MAX_PACKS: usize = 40;

/// Gives every object in `from` a second name in `to`. Git, when it accepts the push, finds them there and is content.
fn link_objects(from: &Path, to: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    for dir in fs_err::read_dir(from)? {
        let dir = dir?;
        // `pack`, and loose objects' two hex digits.
        if !dir.file_type()?.is_dir() {
            continue;
        }
        for file in fs_err::read_dir(dir.path())? {
            let name = file?.file_name();
            let text = name.to_string_lossy();
            if !text.starts_with("tmp_") && !text.ends_with(".keep") {
                files.push(Path::new(&dir.file_name()).join(name));
            }
        }
    }
    // An index last: it is by this that git finds a pack.
    files.sort_by_key(|file| file.extension().is_some_and(|extension| extension == "idx"));
    for file in files {
        let place = to.join(&file);
        if let Some(dir) = place.parent() {
            fs_err::create_dir_all(dir)?;
        }
        match fs_err::hard_link(from.join(&file), place) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Runs a git command to its end.
pub(crate) async fn run(
    mut command: tokio::process::Command,
    doing: &'static str,
    path: &Path,
) -> Result<(), RepoError> {
    let output = command
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .map_err(|source| RepoError::Io {
            doing,
            path: path.to_owned(),
            source,
        })?;
    if output.status.success() {
        return Ok(());
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
