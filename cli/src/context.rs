//! What every verb starts from: where to write, which platform, which app.

use std::sync::OnceLock;

use anyhow::Result;
use controller_api::Client;
use controller_api::client::Warnings;

use crate::args::AppArgs;
use crate::failure::Failure;
use crate::git::{self, GitHosts, Remote};
use crate::output::{Output, printable};
use crate::session::{Session, SessionFile};

#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) output: Output,
    session: OnceLock<Session>,
    /// The app that the verb is about, once it is known.
    app: OnceLock<String>,
    warnings: Warnings,
}

impl Context {
    pub(crate) fn new(output: Output) -> Self {
        Self {
            output,
            session: OnceLock::new(),
            app: OnceLock::new(),
            warnings: Warnings::default(),
        }
    }

    /// The session; read when first asked for, since not every verb needs one.
    pub(crate) fn session(&self) -> Result<&Session> {
        if let Some(session) = self.session.get() {
            return Ok(session);
        }
        let session = Session::load(&SessionFile::locate()?)?;
        Ok(self.session.get_or_init(|| session))
    }

    pub(crate) fn client(&self) -> Result<Client> {
        let session = self.session()?;
        let client = session.client(Some(session.token()?))?;
        Ok(client.telling(&self.warnings))
    }

    /// Whatever the platform wants everybody to know, after what was asked for. Losing it loses nothing more.
    pub(crate) fn tell_warnings(&self) {
        for warning in self.warnings.take() {
            let _ = self
                .output
                .hint(format!("Warning: {}", printable(&warning)));
        }
    }

    /// The app a verb is about: the one named, else the one of this directory's git remote.
    pub(crate) fn app(&self, args: &AppArgs) -> Result<String> {
        Ok(self.about(self.find_app(args)?))
    }

    /// The app that is named, else the one of this directory, if it has one and no more.
    pub(crate) fn app_if_any(&self, args: &AppArgs) -> Result<Option<String>> {
        // An empty `PAAS_APP` is how somebody says that this once it is none.
        let is_named = args.app.as_ref().is_some_and(|app| !app.is_empty());
        if is_named || args.remote.is_some() {
            return self.app(args).map(Some);
        }
        let git = &self.session()?.git;
        let found = infer(&git::remotes(), None, git).ok();
        Ok(found.map(|app| self.about(app)))
    }

    /// A verb is about this app, and has it some other way.
    pub(crate) fn about(&self, app: String) -> String {
        self.app.get_or_init(|| app.clone());
        app
    }

    /// The app that a verb was found to be about.
    pub(crate) fn asked_for(&self) -> Option<&str> {
        self.app.get().map(String::as_str)
    }

    fn find_app(&self, args: &AppArgs) -> Result<String> {
        if let (Some(app), None) = (&args.app, &args.remote) {
            return Ok(app.clone());
        }
        if let (Some(_), Some(_)) = (&args.app, &args.remote) {
            // PAAS_APP may be in the environment; a remote that is named is meant.
            if std::env::var_os("PAAS_APP").as_deref() != args.app.as_deref().map(AsRef::as_ref) {
                return Err(Failure::usage("Give either an app or a remote, not both").into());
            }
        }
        let git = &self.session()?.git;
        Ok(infer(&git::remotes(), args.remote.as_deref(), git)?)
    }
}

/// The one app that the remotes speak of.
fn infer(remotes: &[Remote], wanted: Option<&str>, git: &GitHosts) -> Result<String, Failure> {
    if let Some(wanted) = wanted {
        let remote = remotes
            .iter()
            .find(|remote| remote.name == wanted)
            .ok_or_else(|| {
                Failure::new(format!("There is no git remote {wanted} here"))
                    .advise("List the remotes with `git remote -v`, or name the app with --app.")
            })?;
        return git.app_of(&remote.url).ok_or_else(|| {
            Failure::new(format!(
                "The git remote {wanted} is not an app of {}: it is {}",
                git.https,
                git::without_secret(&remote.url)
            ))
            .advise("Name the app with --app.")
        });
    }
    let found: Vec<(&str, String)> = remotes
        .iter()
        .filter_map(|remote| Some((remote.name.as_str(), git.app_of(&remote.url)?)))
        .collect();
    match found.as_slice() {
        [] => Err(no_app(remotes, git)),
        [(_, app), rest @ ..] if rest.iter().all(|(_, other)| other == app) => Ok(app.clone()),
        several => {
            let list: Vec<String> = several
                .iter()
                .map(|(remote, app)| format!("  {app} (--remote {remote})"))
                .collect();
            Err(
                Failure::new("This directory has git remotes of several apps").advise(format!(
                    "Say which one with --remote or --app:\n{}",
                    list.join("\n")
                )),
            )
        }
    }
}

fn no_app(remotes: &[Remote], git: &GitHosts) -> Failure {
    let elsewhere = remotes.iter().find(|remote| remote.name == "paas");
    let message = match elsewhere {
        Some(remote) => format!(
            "No app is given, and the git remote paas is not of {}: it is {}",
            git.https,
            git::without_secret(&remote.url)
        ),
        None => "No app is given, and this directory has no git remote of one".to_owned(),
    };
    Failure::new(message).advise(
        "Name it with --app, set PAAS_APP, or add its remote with `paas git:remote --app NAME`.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(name: &str, url: &str) -> Remote {
        Remote {
            name: name.into(),
            url: url.into(),
        }
    }

    fn hosts() -> GitHosts {
        GitHosts::beside(&"https://api.example.com".parse().unwrap())
    }

    #[test]
    fn the_only_app_of_the_remotes_is_meant() {
        let remotes = [
            remote("origin", "git@github.com:me/code.git"),
            remote("paas", "https://git.example.com/myapp.git"),
            remote("ssh", "ssh://git@git.example.com:2222/myapp.git"),
        ];
        assert_eq!(infer(&remotes, None, &hosts()).unwrap(), "myapp");
        assert!(infer(&remotes[..1], None, &hosts()).is_err());
    }

    #[test]
    fn several_apps_are_named_so_that_one_can_be_chosen() {
        let remotes = [
            remote("production", "https://git.example.com/myapp.git"),
            remote("staging", "https://git.example.com/myapp-staging.git"),
        ];
        let verdict =
            crate::failure::Verdict::of(&infer(&remotes, None, &hosts()).unwrap_err().into())
                .unwrap();
        assert!(
            verdict.text.contains("myapp-staging (--remote staging)"),
            "{}",
            verdict.text
        );
        assert_eq!(
            infer(&remotes, Some("staging"), &hosts()).unwrap(),
            "myapp-staging"
        );
        assert!(infer(&remotes, Some("nosuch"), &hosts()).is_err());
    }

    #[test]
    fn a_remote_of_another_platform_is_not_taken_for_ours() {
        let remotes = [remote("paas", "https://git.other.org/myapp.git")];
        let error = infer(&remotes, None, &hosts()).unwrap_err().to_string();
        assert!(error.contains("git.other.org"), "{error}");
        assert!(infer(&remotes, Some("paas"), &hosts()).is_err());
    }
}
