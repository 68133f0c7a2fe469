//! Everything we ask of or tell to git, through the `git` program.
//!
//! Only keys of the platform's own git host are ever written; what is set for other hosts is not touched.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use url::Url;

use crate::failure::Failure;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) name: String,
    pub(crate) url: String,
}

/// Where git reaches the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GitHosts {
    /// `host[:port]` over HTTPS.
    pub(crate) https: String,
    /// `host[:port]` over SSH.
    pub(crate) ssh: String,
}

/// Whose configuration is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Repository,
    User,
}

impl GitHosts {
    /// Beside `api.example.com` there is `git.example.com`, and SSH is at its port 2222.
    pub(crate) fn beside(api: &Url) -> Self {
        let host = api.host_str().unwrap_or_default();
        let git = host
            .strip_prefix("api.")
            .map_or_else(|| host.to_owned(), |domain| format!("git.{domain}"));
        let https = match api.port() {
            Some(port) if api.scheme() == "https" => format!("{git}:{port}"),
            _ => git.clone(),
        };
        Self {
            https,
            ssh: format!("{}:2222", ssh_name(&git)),
        }
    }

    pub(crate) fn ssh_url(&self, app: &str) -> String {
        format!("ssh://git@{}/{app}.git", self.ssh)
    }

    /// The app that a remote's URL names, if it is one of this platform's.
    pub(crate) fn app_of(&self, url: &str) -> Option<String> {
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme, rest)) => (scheme, rest),
            // scp's way: git@host:app.git
            None => {
                let (host, path) = url.split_once(':')?;
                return self.is_ssh_host(host).then(|| app_in_path(path))?;
            }
        };
        let (host, path) = rest.split_once('/')?;
        let ours = match scheme {
            "https" | "http" => without_user(host).eq_ignore_ascii_case(&self.https),
            "ssh" => self.is_ssh_host(host),
            _ => false,
        };
        ours.then(|| app_in_path(path))?
    }

    /// Ports do not matter here: behind a tunnel they differ.
    fn is_ssh_host(&self, host: &str) -> bool {
        let name = without_port(without_user(host));
        name.eq_ignore_ascii_case(without_port(&self.ssh))
            || name.eq_ignore_ascii_case(without_port(&self.https))
    }
}

/// SSH resolves names through the system, which need not know that all of `.localhost` is this machine.
fn ssh_name(host: &str) -> &str {
    if host.ends_with(".localhost") {
        "localhost"
    } else {
        host
    }
}

fn without_user(host: &str) -> &str {
    host.rsplit_once('@').map_or(host, |(_, host)| host)
}

/// A remote's URL, fit to be shown: some people keep tokens in them.
pub(crate) fn without_secret(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) if scheme.starts_with("http") => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            format!("{scheme}://{}/{path}", without_user(host))
        }
        _ => url.to_owned(),
    }
}

fn without_port(host: &str) -> &str {
    host.rsplit_once(':').map_or(host, |(host, _)| host)
}

fn app_in_path(path: &str) -> Option<String> {
    let path = path.trim_matches('/');
    let app = path.strip_suffix(".git").unwrap_or(path);
    (!app.is_empty() && !app.contains('/')).then(|| app.to_owned())
}

/// The remotes of the repository around the current directory; none where there is no repository, or no git.
pub(crate) fn remotes() -> Vec<Remote> {
    let output = Command::new("git")
        .args(["config", "--get-regexp", r"^remote\..*\.url$"])
        .stderr(Stdio::null())
        .output();
    let Ok(output) = output else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter_map(parse_remote).collect()
}

/// `2.39.5`; none where there is no git.
pub(crate) fn version() -> Option<String> {
    let text = answer(&["--version"])?;
    Some(text.trim_start_matches("git version ").to_owned())
}

/// The branch that is checked out here, if one is.
pub(crate) fn branch() -> Option<String> {
    answer(&["symbolic-ref", "--quiet", "--short", "HEAD"])
}

/// Whom git asks here for the credentials of an address.
pub(crate) fn helpers(url: &Url) -> Vec<String> {
    let found = answer(&[
        "config",
        "--get-urlmatch",
        "credential.helper",
        url.as_str(),
    ]);
    found
        .iter()
        .flat_map(|text| text.lines())
        .map(str::to_owned)
        .collect()
}

/// What git answers to a question, if it has an answer.
fn answer(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(arguments)
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The remote of this name.
pub(crate) fn remote(name: &str) -> Option<Remote> {
    remotes().into_iter().find(|remote| remote.name == name)
}

fn parse_remote(line: &str) -> Option<Remote> {
    let (key, url) = line.split_once(' ')?;
    let name = key.strip_prefix("remote.")?.strip_suffix(".url")?;
    Some(Remote {
        name: name.to_owned(),
        url: url.to_owned(),
    })
}

pub(crate) fn in_repository() -> bool {
    let status = Command::new("git")
        .args(["rev-parse", "--git-dir"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

pub(crate) fn set_remote(name: &str, url: &str) -> Result<()> {
    let verb = if remote(name).is_some() {
        "set-url"
    } else {
        "add"
    };
    git(&["remote", verb, name, url])
}

pub(crate) fn remove_remote(name: &str) -> Result<()> {
    git(&["remote", "remove", name])
}

/// Lets git ask us for the token at this origin (`https://git.example.com`), and trust the platform's certificate there.
pub(crate) fn trust(whose: Scope, origin: &str, ca_file: Option<&Path>) -> Result<()> {
    let scope = match whose {
        Scope::Repository => "--local",
        Scope::User => "--global",
    };
    let us = std::env::current_exe().context("could not find the path of this program")?;
    let helper = format!("!{} git:credentials", shell_quoted(&us.to_string_lossy()));
    let key = format!("credential.{origin}.helper");
    // The empty entry keeps other helpers, which may hold an old token, out of this host.
    git(&["config", scope, "--replace-all", &key, ""])?;
    git(&["config", scope, "--add", &key, &helper])?;
    let Some(ca_file) = ca_file else {
        return Ok(());
    };
    let key = format!("http.{origin}/.sslCAInfo");
    git(&[
        "config",
        scope,
        "--replace-all",
        &key,
        &ca_file.to_string_lossy(),
    ])?;
    // GIT_SSL_CAINFO, which many build machines set, overrides the file; a directory counts besides. Only the copy that
    // login keeps is alone in its directory: a repository's file may be anywhere.
    let Some(directory) = ca_file.parent().filter(|_| whose == Scope::User) else {
        return Ok(());
    };
    name_for_openssl(ca_file, directory);
    let key = format!("http.{origin}/.sslCAPath");
    git(&[
        "config",
        scope,
        "--replace-all",
        &key,
        &directory.to_string_lossy(),
    ])
}

/// Only by the hash of its subject does OpenSSL find a certificate in a directory; GnuTLS, which Debian's git uses,
/// reads every file. Where there is no `openssl` the file alone has to do.
fn name_for_openssl(ca_file: &Path, directory: &Path) {
    let hash = Command::new("openssl")
        .args(["x509", "-noout", "-hash", "-in"])
        .arg(ca_file)
        .stderr(Stdio::null())
        .output();
    if let Ok(output) = hash
        && output.status.success()
    {
        let hash = String::from_utf8_lossy(&output.stdout);
        let link = directory.join(format!("{}.0", hash.trim()));
        // It is there already after an earlier login.
        let _ = fs_err::os::unix::fs::symlink("ca.pem", link);
    }
}

/// Takes back what [`trust`] wrote for the user.
pub(crate) fn forget(host: &str) {
    for key in [
        format!("credential.https://{host}.helper"),
        format!("credential.http://{host}.helper"),
        format!("http.https://{host}/.sslCAInfo"),
        format!("http.https://{host}/.sslCAPath"),
    ] {
        // Fails where nothing was set, which is what is wanted.
        let _ = git(&["config", "--global", "--unset-all", &key]);
    }
}

/// Whether a token may be sent there: over TLS, or without leaving this machine.
pub(crate) fn is_private(protocol: &str, host: &str) -> bool {
    let name = without_port(host);
    protocol == "https"
        || (protocol == "http"
            && (name == "localhost" || name.ends_with(".localhost") || name == "127.0.0.1"))
}

fn git(arguments: &[&str]) -> Result<()> {
    let output = Command::new("git")
        .args(arguments)
        .output()
        .map_err(|error| {
            anyhow::Error::new(error).context("could not run git; is it installed?")
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said
        .trim()
        .trim_start_matches("error: ")
        .trim_start_matches("fatal: ");
    let command = arguments
        .iter()
        .take(2)
        .copied()
        .collect::<Vec<_>>()
        .join(" ");
    Err(Failure::new(format!("git {command} failed: {said}")).into())
}

/// The files that git takes for the user's own configuration, in the order in which it reads them; as if `ours`, which stands
/// in for them, were not in force.
pub(crate) fn global_configs(ours: &Path) -> Vec<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(only) = set("GIT_CONFIG_GLOBAL").filter(|only| Path::new(only) != ours) {
        return vec![only.into()];
    }
    let home = std::env::home_dir();
    let xdg = set("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| home.as_ref().map(|home| home.join(".config")));
    let xdg = xdg.map(|directory| directory.join("git/config"));
    let plain = home.map(|home| home.join(".gitconfig"));
    xdg.into_iter().chain(plain).collect()
}

/// One word of a POSIX shell line.
pub(crate) fn shell_quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-+=./:@%,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(api: &str) -> GitHosts {
        GitHosts::beside(&api.parse().unwrap())
    }

    #[test]
    fn git_hosts_follow_from_the_apis_address() {
        let remote = hosts("https://api.example.com");
        assert_eq!(
            (remote.https.as_str(), remote.ssh.as_str()),
            ("git.example.com", "git.example.com:2222")
        );
        let local = hosts("https://api.paas.localhost:8443");
        assert_eq!(
            (local.https.as_str(), local.ssh.as_str()),
            ("git.paas.localhost:8443", "localhost:2222")
        );
        assert_eq!(
            hosts("http://api.paas.localhost:8080").https,
            "git.paas.localhost"
        );
        assert_eq!(hosts("http://127.0.0.1:5000").https, "127.0.0.1");
    }

    #[test]
    fn remotes_of_this_platform_name_an_app() {
        let hosts = hosts("https://api.example.com:8443");
        for url in [
            "https://git.example.com:8443/myapp.git",
            "https://git.example.com:8443/myapp",
            "https://paas@git.example.com:8443/myapp.git",
            "ssh://git@git.example.com:2222/myapp.git",
            "ssh://git@git.example.com/myapp.git",
            "git@git.example.com:myapp.git",
        ] {
            assert_eq!(hosts.app_of(url).as_deref(), Some("myapp"), "{url}");
        }
        for url in [
            "https://git.example.com/myapp.git",
            "https://git.example.com.evil.org:8443/myapp.git",
            "https://github.com/me/myapp.git",
            "git@github.com:me/myapp.git",
            "https://git.example.com:8443/",
            "https://git.example.com:8443/a/b.git",
            "ftp://git.example.com:8443/myapp.git",
            "/srv/git/myapp.git",
            "",
        ] {
            assert_eq!(hosts.app_of(url), None, "{url}");
        }
    }

    #[test]
    fn words_are_quoted_for_the_shell_only_where_needed() {
        assert_eq!(shell_quoted("/usr/bin/paas"), "/usr/bin/paas");
        assert_eq!(shell_quoted("/my bin/paas"), "'/my bin/paas'");
        assert_eq!(shell_quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(shell_quoted(""), "''");
    }
}
