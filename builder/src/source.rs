//! The pushed commit, taken out of the repository for a build.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use crate::deploy::failure::Failure;
use crate::git::Repo;
use crate::git::repo::RepoError;

/// A submodule as the commit has it: where it goes, where it comes from, and at which commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Submodule {
    pub(crate) path: String,
    pub(crate) url: String,
    pub(crate) commit: String,
}

/// Writes the commit's files to a tar. `.gitattributes` (export-ignore, export-subst) count, as on Heroku.
pub(crate) async fn export(repo: &Repo, commit: &str, tar: &Path) -> Result<(), RepoError> {
    let mut command = repo.git();
    // Whoever reads the tar sets its own modes: what git kept is only whether a file is executable.
    command
        .args(["-c", "tar.umask=0022", "archive", "--format=tar", "-o"])
        .arg(tar)
        .arg(commit);
    crate::git::repo::run(command, "take a commit out", repo.path())
        .await
        .map(drop)
}

/// The first line of a commit's message.
pub(crate) async fn subject(repo: &Repo, commit: &str) -> Option<String> {
    let line = show(repo, commit, "%s").await?;
    let text: String = line.chars().filter(|c| !c.is_control()).take(200).collect();
    (!text.is_empty()).then_some(text)
}

/// When the commit was made, in seconds since 1970, but never in the future: its author's clock is not ours.
pub(crate) async fn time(repo: &Repo, commit: &str) -> u64 {
    let now = jiff::Timestamp::now().as_second();
    let made = show(repo, commit, "%ct").await;
    let made: i64 = made.and_then(|text| text.parse().ok()).unwrap_or(now);
    u64::try_from(made.min(now)).unwrap_or_default()
}

/// The first line of what `git log` says of the commit in this format.
async fn show(repo: &Repo, commit: &str, format: &str) -> Option<String> {
    let mut command = repo.git();
    command
        .args(["log", "-1", "--no-show-signature", "--encoding=UTF-8"])
        .args([&format!("--format={format}"), commit, "--"]);
    let output = command.stdin(Stdio::null()).output().await.ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next()?.to_owned();
    output.status.success().then_some(line)
}

/// The commit's submodules. They are fetched by the build itself, in its container: where they are is the app's word,
/// and nothing that runs outside a container follows it.
pub(crate) async fn submodules(repo: &Repo, commit: &str) -> Result<Vec<Submodule>, Failure> {
    let links = list(repo, &["ls-tree", "-r", "-z", "--full-tree", commit]).await?;
    let links: Vec<_> = links.iter().filter_map(|entry| gitlink(entry)).collect();
    if links.is_empty() {
        return Ok(Vec::new());
    }
    let settings = list(
        repo,
        &[
            "config",
            "--blob",
            &format!("{commit}:.gitmodules"),
            "-z",
            "--get-regexp",
            r"^submodule\..*\.(path|url)$",
        ],
    )
    .await
    // Gitlinks without .gitmodules are somebody's accident; git leaves such directories empty, and so do we.
    .unwrap_or_default();
    links
        .into_iter()
        .filter_map(|(commit, path)| url_of(&settings, path).map(|url| (commit, path, url)))
        .map(|(commit, path, url)| {
            let allowed = url.starts_with("https://") || url.starts_with("http://");
            if !allowed || url.chars().chain(path.chars()).any(|c| c.is_control()) {
                return Err(Failure::refused([
                    format!("The submodule {path} is at {url}, where a build cannot fetch it."),
                    "Give it an https:// address in .gitmodules (with credentials in it, if it is private).".to_owned(),
                ]));
            }
            Ok(Submodule { path: path.to_owned(), url: url.to_owned(), commit: commit.to_owned() })
        })
        .collect()
}

/// Has a build fetch its submodules before its driver runs; the command that does both.
pub(crate) fn fetch_first(
    source_tar: &Path,
    submodules: &[Submodule],
    command: Vec<String>,
) -> io::Result<Vec<String>> {
    if submodules.is_empty() {
        return Ok(command);
    }
    let list: String = submodules
        .iter()
        .map(|s| format!("{}\t{}\t{}\n", s.path, s.url, s.commit))
        .collect();
    fs_err::write(source_tar.with_file_name("submodules.list"), list)?;
    let enter = source_tar.with_file_name("enter");
    fs_err::write(&enter, include_str!("source/enter.sh"))?;
    fs_err::set_permissions(&enter, std::fs::Permissions::from_mode(0o755))?;
    Ok([vec!["/build/enter".to_owned()], command].concat())
}

/// `160000 commit <id>\t<path>`
fn gitlink(entry: &str) -> Option<(&str, &str)> {
    let (head, path) = entry.split_once('\t')?;
    head.strip_prefix("160000 commit ")
        .map(|commit| (commit, path))
}

/// Settings are `submodule.<name>.<path|url>\n<value>`.
fn url_of<'a>(settings: &'a [String], path: &str) -> Option<&'a str> {
    let pairs = || {
        settings
            .iter()
            .filter_map(|setting| setting.split_once('\n'))
    };
    let name = pairs()
        .find(|(key, value)| key.ends_with(".path") && *value == path)?
        .0
        .strip_suffix(".path")?;
    pairs()
        .find(|(key, _)| key.strip_suffix(".url") == Some(name))
        .map(|(_, url)| url)
}

/// A git command's answer, parted at its NULs.
async fn list(repo: &Repo, arguments: &[&str]) -> Result<Vec<String>, Failure> {
    let mut command = repo.git();
    let output = command
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|source| RepoError::Io {
            doing: "read the submodules of",
            path: repo.path().to_owned(),
            source,
        })?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(RepoError::Git {
            doing: "read the submodules",
            path: repo.path().to_owned(),
            stderr,
        }
        .into());
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text
        .split('\0')
        .filter(|entry| !entry.is_empty())
        .map(str::to_owned)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submodule_is_found_by_its_path_whatever_its_name() {
        let settings = [
            "submodule.a.b.path\nvendor/x",
            "submodule.a.b.url\nhttps://x",
            "submodule.y.path\ny",
        ]
        .map(str::to_owned);
        assert_eq!(url_of(&settings, "vendor/x"), Some("https://x"));
        assert_eq!(url_of(&settings, "y"), None);
        assert_eq!(url_of(&settings, "z"), None);
        assert_eq!(
            gitlink("160000 commit abc\tvendor/x"),
            Some(("abc", "vendor/x"))
        );
        assert_eq!(gitlink("100644 blob abc\tx"), None);
    }
}
