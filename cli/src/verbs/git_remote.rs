//! git:remote, and the same after apps:create.

use anyhow::Result;
use controller_api::wire::App;
use url::Url;

use crate::args::{AppArgs, GitRemoteArgs};
use crate::context::Context;
use crate::failure::Failure;
use crate::git::{self, Scope};
use crate::session::{Session, SessionFile};

pub(crate) async fn add(context: &Context, args: &GitRemoteArgs) -> Result<()> {
    let name = context.app(&AppArgs {
        app: args.app.clone(),
        remote: None,
    })?;
    let app = context.client()?.app(&name).await?;
    if !git::in_repository() {
        return Err(Failure::new("This directory is in no git repository")
            .advise("Make one with `git init`.")
            .into());
    }
    let before = git::remote(&args.remote);
    let url = set(context, &app, &args.remote, args.ssh_git)?;
    // Whoever moves a remote may want to move it back.
    let was = before
        .filter(|before| before.url != url)
        .map(|before| format!(" (it was {})", git::without_secret(&before.url)))
        .unwrap_or_default();
    Ok(context
        .output
        .note(format!("set git remote {} to {url}{was}", args.remote))?)
}

/// Outside a repository an app is made without a remote; that is said and is no error. A remote that leads elsewhere is
/// left as it is: the next push would deploy to another app than the one it was made for.
pub(crate) fn after_create(context: &Context, app: &App, remote: &str, ssh: bool) -> Result<()> {
    let output = &context.output;
    if !git::in_repository() {
        output.hint(format!(
            "This directory is in no git repository, so no remote was made. Later: git init && paas git:remote -a {}",
            app.name
        ))?;
        return Ok(());
    }
    let hosts = &context.session()?.git;
    if let Some(taken) = git::remote(remote)
        && taken.url != app.git_url
        && hosts.app_of(&taken.url).as_deref() != Some(app.name.as_str())
    {
        let leads_to = hosts
            .app_of(&taken.url)
            .unwrap_or_else(|| git::without_secret(&taken.url));
        output.hint(format!(
            "The git remote {remote} leads to {leads_to}, not to {name}, and was left alone.\n\
             Lead it to {name} with `paas git:remote -a {name} -r {remote}`, or add another with `-r OTHER`.",
            name = app.name
        ))?;
        return Ok(());
    }
    set(context, app, remote, ssh)?;
    Ok(output.note(format!("Git remote {remote} added"))?)
}

/// Makes the remote, and lets git in this repository speak to the platform's git host.
fn set(context: &Context, app: &App, remote: &str, ssh: bool) -> Result<String> {
    let session = context.session()?;
    let url = if ssh {
        session.git.ssh_url(app.name.as_str())
    } else {
        app.git_url.clone()
    };
    git::set_remote(remote, &url)?;
    if !ssh && let Some((scheme, host)) = origin(&app.git_url) {
        learn_host(session, &host)?;
        if git::is_private(&scheme, &host) {
            let origin = format!("{scheme}://{host}");
            git::trust(Scope::Repository, &origin, session.ca_file.as_deref())?;
        }
    }
    Ok(url)
}

/// `https` and `git.example.com:8443`, as git names them.
fn origin(git_url: &str) -> Option<(String, String)> {
    let url = Url::parse(git_url).ok()?;
    let host = url.host_str()?;
    let host = url
        .port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    Some((url.scheme().to_owned(), host))
}

/// The platform knows its git host best: what we had guessed from the API's address gives way to it.
fn learn_host(session: &Session, host: &str) -> Result<()> {
    let file = SessionFile::locate()?;
    match file.load()? {
        Some(mut saved) if saved.api == session.api && saved.git_host.as_deref() != Some(host) => {
            saved.git_host = Some(host.to_owned());
            file.save(&saved)
        }
        _ => Ok(()),
    }
}
