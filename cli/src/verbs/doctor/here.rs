//! This machine and this directory: git, its remotes, and what it asks for the token.

use std::collections::BTreeMap;

use controller_api::{Client, ClientError};
use url::Url;

use super::finding::Finding;
use crate::context::Context;
use crate::git::{self, Remote};
use crate::session::Session;

/// What a push deploys from.
const DEPLOYED: [&str; 2] = ["main", "master"];

pub(super) fn program() -> Vec<Finding> {
    vec![match git::version() {
        Some(version) => Finding::ok("git", format!("git is {version}")),
        None => Finding::problem(
            "git",
            "There is no git on the PATH: nothing can be pushed",
            "Install it, such as with `apt-get install git`.",
        ),
    }]
}

pub(super) fn remotes(session: &Session) -> Vec<Finding> {
    let remotes = git::remotes();
    let ours: Vec<(&Remote, String)> = remotes
        .iter()
        .filter_map(|remote| Some((remote, session.git.app_of(&remote.url)?)))
        .collect();
    let mut findings = Vec::new();
    if let Some(stranger) = remotes
        .iter()
        .find(|remote| remote.name == "paas" && session.git.app_of(&remote.url).is_none())
    {
        findings.push(Finding::warning(
            "remote",
            format!(
                "The git remote paas is not of {}: it is {}",
                session.git.https,
                git::without_secret(&stranger.url)
            ),
            "Lead it here with `paas git:remote --app NAME`, or log in to its platform.",
        ));
    }
    let Some((remote, _)) = ours.first() else {
        return findings;
    };
    findings.extend(
        ours.iter()
            .find_map(|(remote, app)| credentials(remote, app)),
    );
    findings.extend(git::branch().and_then(|branch| undeployed(&branch, &remote.name)));
    findings
}

/// Over HTTPS git needs somebody to ask for the token.
fn credentials(remote: &Remote, app: &str) -> Option<Finding> {
    let url = Url::parse(&remote.url)
        .ok()
        .filter(|url| url.scheme().starts_with("http"))?;
    let origin = url.origin().ascii_serialization();
    if git::helpers(&url)
        .iter()
        .any(|helper| helper.contains("git:credentials"))
    {
        return Some(Finding::ok(
            "credentials",
            format!("git asks paas for the token of {origin}"),
        ));
    }
    Some(Finding::warning(
        "credentials",
        format!("git does not ask paas for the token of {origin}, and will ask you"),
        format!(
            "Set it up with `paas git:remote -a {app} -r {}`.",
            remote.name
        ),
    ))
}

fn undeployed(branch: &str, remote: &str) -> Option<Finding> {
    (!DEPLOYED.contains(&branch)).then(|| {
        Finding::warning(
            "branch",
            format!("The branch here is {branch}: only pushes to main or master are deployed"),
            format!("Deploy it as it is with `git push {remote} HEAD:main`."),
        )
    })
}

/// Whether there is an app behind each remote.
pub(super) async fn apps_of_remotes(context: &Context, client: &Client) -> Vec<Finding> {
    let Ok(session) = context.session() else {
        return Vec::new();
    };
    let mut apps: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for remote in git::remotes() {
        if let Some(app) = session.git.app_of(&remote.url) {
            apps.entry(app).or_default().push(remote.name);
        }
    }
    let mut findings = Vec::new();
    for (app, remotes) in apps {
        let remote = remotes.join(", ");
        match client.app(&app).await {
            Ok(_) => findings.push(Finding::ok(
                "remote",
                format!("The git remote {remote} leads to {app}"),
            )),
            Err(ClientError::Api(error)) if error.status == 404 => {
                findings.push(Finding::problem(
                    "remote",
                    format!("The git remote {remote} leads to {app}, which is gone or not yours"),
                    format!(
                        "Remove it with `git remote remove {remote}`, or lead it to another app with `paas git:remote -a NAME -r {remote}`."
                    ),
                ));
            }
            Err(error) => findings.push(Finding::error("remote", &error.into())),
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_main_and_master_are_deployed() {
        assert_eq!(undeployed("main", "paas"), None);
        assert_eq!(undeployed("master", "paas"), None);
        let finding = undeployed("try/this", "staging").unwrap();
        assert!(
            finding
                .advice
                .unwrap()
                .contains("git push staging HEAD:main")
        );
    }
}
