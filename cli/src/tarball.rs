//! A directory's code as a gzipped tar, made by git: what it ignores is left out, and what it keeps of files is kept.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::failure::Failure;

#[derive(Debug)]
pub(crate) struct Tarball {
    pub(crate) file: tempfile::NamedTempFile,
    /// The commit, where there is one.
    pub(crate) commit: Option<String>,
    /// There is more in the directory than in the commit.
    pub(crate) is_behind: bool,
}

/// Of HEAD, or of the files where there is no commit.
pub(crate) fn of(dir: &Path) -> Result<Tarball> {
    if !dir.is_dir() {
        return Err(Failure::new(format!("{} is no directory", dir.display())).into());
    }
    let file = tempfile::NamedTempFile::new().context("could not make a file for the source")?;
    let commit = head(dir);
    let is_behind = commit.is_some() && has_changes(dir);
    match &commit {
        Some(_) => archive(Command::new("git").current_dir(dir), "HEAD", file.as_file())?,
        None => of_files(dir, file.as_file())?,
    }
    Ok(Tarball {
        file,
        commit,
        is_behind,
    })
}

fn head(dir: &Path) -> Option<String> {
    let output = Command::new("git")
        .args(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])
        .current_dir(dir)
        .stderr(Stdio::null())
        .output();
    let output = output.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn has_changes(dir: &Path) -> bool {
    let output = Command::new("git")
        .args(["status", "--porcelain", "--", "."])
        .current_dir(dir)
        .stderr(Stdio::null())
        .output();
    output.is_ok_and(|output| !output.stdout.is_empty())
}

/// By way of a repository that is thrown away.
fn of_files(dir: &Path, file: &File) -> Result<()> {
    let scratch = tempfile::tempdir().context("could not make a directory for the source")?;
    let dir = dir.canonicalize().context("could not read the directory")?;
    let git = || {
        let mut git = Command::new("git");
        git.current_dir(&dir)
            .env("GIT_DIR", scratch.path())
            .env("GIT_WORK_TREE", &dir)
            .env_remove("GIT_INDEX_FILE");
        git
    };
    run(git().args(["init", "-q"]))?;
    let slugignore = dir.join(".slugignore");
    let mut add = git();
    if slugignore.exists() {
        let setting = format!("core.excludesFile={}", slugignore.display());
        add.args(["-c", &setting]);
    }
    run(add.args(["-c", "core.safecrlf=false", "add", "-A", "."]))?;
    let tree = run(git().arg("write-tree"))?;
    archive(&mut git(), tree.trim(), file)
}

fn archive(git: &mut Command, what: &str, file: &File) -> Result<()> {
    let file = file.try_clone().context("could not write the source")?;
    // One directory around it, so that a tree of one directory keeps it.
    let arguments = ["archive", "--format=tar.gz", "--prefix=source/", what];
    run(git.args(arguments).stdout(file)).map(drop)
}

/// What it prints, if that goes nowhere else.
fn run(git: &mut Command) -> Result<String> {
    let output = git
        .stdin(Stdio::null())
        .output()
        .context("could not run git, which packs the source")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format!("git could not pack the source: {}", said.trim())).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tarball: &Tarball) -> Vec<String> {
        let output = Command::new("tar")
            .arg("-tzf")
            .arg(tarball.file.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .filter_map(|line| line.strip_prefix("source/"))
            .filter(|name| !name.is_empty() && !name.ends_with('/'))
            .map(str::to_owned)
            .collect()
    }

    fn directory() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        };
        write(".gitignore", "*.log\n/node_modules/\n");
        write(".slugignore", "/docs\n");
        write("Procfile", "web: x");
        write("app.log", "no");
        write("node_modules/x/y.js", "no");
        write("docs/read.me", "no");
        write("src/a.js", "yes");
        dir
    }

    #[test]
    fn of_a_directory_without_git_all_goes_but_what_is_ignored() {
        let dir = directory();
        let tarball = of(dir.path()).unwrap();
        assert_eq!((&tarball.commit, tarball.is_behind), (&None, false));
        assert_eq!(
            names(&tarball),
            [".gitignore", ".slugignore", "Procfile", "src/a.js"]
        );
        assert!(!dir.path().join(".git").exists());
        assert!(of(&dir.path().join("nowhere")).is_err());
    }

    #[test]
    fn of_a_repository_the_commit_goes_and_it_is_told_what_does_not() {
        let dir = directory();
        let git = |arguments: &[&str]| {
            let who = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
            run(Command::new("git")
                .current_dir(dir.path())
                .args(who)
                .args(arguments))
            .unwrap()
        };
        git(&["init", "-q"]);
        git(&["add", "Procfile", "src"]);
        git(&["commit", "-qm", "First"]);
        let tarball = of(dir.path()).unwrap();
        assert_eq!(names(&tarball), ["Procfile", "src/a.js"]);
        assert_eq!(
            tarball.commit,
            Some(git(&["rev-parse", "HEAD"]).trim().to_owned())
        );
        assert!(tarball.is_behind);
        assert_eq!(names(&of(&dir.path().join("src")).unwrap()), ["a.js"]);
    }
}
