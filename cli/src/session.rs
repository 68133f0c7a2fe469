//! Which platform, and who we are there: the saved login, with the environment over it.
//!
//! The file is `$PAAS_CONFIG`, else `$XDG_CONFIG_HOME/paas/config.toml`, readable by its owner only. A token is sent to
//! the platform it is from and to no other: `PAAS_API_URL` for another platform needs its own `PAAS_API_KEY`.

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use controller_api::{Client, ClientOptions};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::failure::Failure;
use crate::git::{self, GitHosts};

/// What login keeps.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) api: Url,
    pub(crate) email: String,
    pub(crate) token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) git_host: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ssh_host: Option<String>,
}

/// Where the saved login is.
#[derive(Debug, Clone)]
pub(crate) struct SessionFile(PathBuf);

/// What this run uses.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) api: Url,
    pub(crate) token: Option<String>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) git: GitHosts,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("api", &self.api.as_str())
            .finish_non_exhaustive()
    }
}

impl SessionFile {
    pub(crate) fn locate() -> Result<Self> {
        let set = |name: &str| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        if let Some(path) = set("PAAS_CONFIG") {
            return Ok(Self(path));
        }
        let directory = set("XDG_CONFIG_HOME")
            .or_else(|| env::home_dir().map(|home| home.join(".config")))
            .ok_or_else(|| {
                Failure::new("There is no home directory").advise("Set HOME or PAAS_CONFIG.")
            })?;
        Ok(Self(directory.join("paas/config.toml")))
    }

    pub(crate) fn load(&self) -> Result<Option<Saved>> {
        let text = match fs_err::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // The parser's own message would quote the line, and with it perhaps the token.
        let saved = toml::from_str(&text).map_err(|_| {
            Failure::new(format!("{} is not a valid configuration", self.0.display()))
                .advise("Remove it and log in again with `paas login`.")
        })?;
        Ok(Some(saved))
    }

    pub(crate) fn save(&self, saved: &Saved) -> Result<()> {
        let text = toml::to_string(saved).context("could not write the configuration")?;
        write_private(&self.0, text.as_bytes())
    }

    /// Keeps a copy of the CA beside the configuration, in a directory of its own: git trusts all that is in it.
    pub(crate) fn keep_ca(&self, pem: &str) -> Result<PathBuf> {
        let path = std::path::absolute(self.ca_directory())?.join("ca.pem");
        write_private(&path, pem.as_bytes())?;
        Ok(path)
    }

    /// A global configuration of git for the official heroku CLI, which writes to that: what git knew before, and what comes.
    pub(crate) fn keep_git_config(&self) -> Result<PathBuf> {
        let path = std::path::absolute(self.0.with_extension("gitconfig"))?;
        let mut text = "[include]\n".to_owned();
        for known in git::global_configs(&path) {
            let known = known.to_string_lossy();
            let quoted = known.replace('\\', "\\\\").replace('"', "\\\"");
            text += &format!("\tpath = \"{quoted}\"\n");
        }
        let written = fs_err::read_to_string(&path).unwrap_or_default();
        if !written.starts_with(&text) {
            // What git was told since stays.
            text += written.find("\n[").map_or("", |at| &written[at + 1..]);
            write_private(&path, text.as_bytes())?;
        }
        Ok(path)
    }

    fn ca_directory(&self) -> PathBuf {
        self.0.with_extension("ca")
    }

    /// Where completion keeps names for a while.
    pub(crate) fn completion_cache(&self) -> PathBuf {
        self.0.with_extension("completion.json")
    }

    pub(crate) fn forget(&self) -> Result<()> {
        for removed in [
            fs_err::remove_file(&self.0),
            fs_err::remove_file(self.completion_cache()),
            fs_err::remove_dir_all(self.ca_directory()),
        ] {
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error.into());
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// All or nothing, and mode 0600 from the first byte on.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs_err::create_dir_all(directory)?;
    // The temporary file is made 0600 and keeps that mode when it takes its place.
    let mut file = tempfile::NamedTempFile::new_in(directory)
        .with_context(|| format!("could not write in {}", directory.display()))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)
        .with_context(|| format!("could not write {}", path.display()))?;
    Ok(())
}

impl Session {
    /// The saved login and the environment. Fails where neither says which platform.
    pub(crate) fn load(file: &SessionFile) -> Result<Self> {
        let saved = file.load()?;
        let from_environment = variable("PAAS_API_URL")
            .map(|url| parse_api_url(&url))
            .transpose()?;
        let token = variable("PAAS_API_KEY");
        let ca_file = variable("PAAS_CA_FILE").map(PathBuf::from);
        let api = from_environment
            .or_else(|| saved.as_ref().map(|saved| saved.api.clone()))
            .ok_or_else(not_logged_in)?;
        let saved = saved.filter(|saved| saved.api == api);
        let beside = GitHosts::beside(&api);
        Ok(match saved {
            Some(saved) => Self {
                api,
                token: token.or(Some(saved.token)),
                ca_file: ca_file.or(saved.ca_file),
                git: GitHosts {
                    https: saved.git_host.unwrap_or(beside.https),
                    ssh: saved.ssh_host.unwrap_or(beside.ssh),
                },
            },
            None => Self {
                api,
                token,
                ca_file,
                git: beside,
            },
        })
    }

    pub(crate) fn token(&self) -> Result<&str> {
        self.token.as_deref().ok_or_else(|| not_logged_in().into())
    }

    /// The client that speaks for this session, with this token.
    pub(crate) fn client(&self, token: Option<&str>) -> Result<Client> {
        let options = ClientOptions {
            base_url: self.api.clone(),
            token: token.map(Into::into),
            ca_pem: self.ca_pem()?,
            user_agent: concat!("paas/", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        Ok(Client::new(options)?)
    }

    pub(crate) fn ca_pem(&self) -> Result<Option<String>> {
        let Some(path) = &self.ca_file else {
            return Ok(None);
        };
        let pem =
            fs_err::read_to_string(path).context("could not read the platform's CA certificate")?;
        Ok(Some(pem))
    }
}

fn not_logged_in() -> Failure {
    Failure::new("You are not logged in to a platform").advise(
        "Log in with `paas login --api https://api.example.com`, or set PAAS_API_URL and PAAS_API_KEY.",
    )
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// As people type it: `api.example.com` is meant as https.
pub(crate) fn parse_api_url(text: &str) -> Result<Url> {
    let text = text.trim();
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        format!("https://{text}")
    };
    let url = Url::parse(&whole).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some()
            && url.username().is_empty()
    });
    let mut url = url.ok_or_else(|| {
        Failure::usage(format!("{text:?} is not the address of an API"))
            .advise("It looks like https://api.example.com or https://api.paas.localhost:8443.")
    })?;
    if url.scheme() == "http" && !is_this_machine(&url) {
        return Err(Failure::usage(format!(
            "{text} would have the password or token cross the network in the clear"
        ))
        .advise("Say https:// instead.")
        .into());
    }
    url.set_path("/");
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_addresses_are_taken_as_people_type_them() {
        for (typed, url) in [
            ("api.example.com", "https://api.example.com/"),
            ("https://api.example.com/", "https://api.example.com/"),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5000/"),
            (
                "api.paas.localhost:8443",
                "https://api.paas.localhost:8443/",
            ),
        ] {
            assert_eq!(parse_api_url(typed).unwrap().as_str(), url, "{typed}");
        }
        for bad in [
            "",
            "ftp://x",
            "https://",
            "https://me@x.com",
            "not a host",
            "http://api.example.com",
            "http://192.0.2.1",
        ] {
            assert!(parse_api_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_saved_reads_back_and_only_the_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/config.toml");
        let file = SessionFile(path.clone());
        assert!(file.load().unwrap().is_none());
        let saved = Saved {
            api: "https://api.example.com".parse().unwrap(),
            email: "me@example.com".into(),
            token: "secret".into(),
            ca_file: None,
            git_host: Some("git.example.com".into()),
            ssh_host: None,
        };
        file.save(&saved).unwrap();
        assert_eq!(
            fs_err::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let back = file.load().unwrap().unwrap();
        assert_eq!((back.api, back.token), (saved.api, saved.token));
        fs_err::write(&path, "token = \"secret\"\noops").unwrap();
        let error = file.load().err().unwrap().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
