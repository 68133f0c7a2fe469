//! heroku-env and heroku-proxy: the official heroku CLI against this platform.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{DEFAULT_PORT, HerokuEnvArgs, HerokuProxyArgs};
use crate::context::Context;
use crate::failure::Failure;
use crate::forwarder::Forwarder;
use crate::git::shell_quoted;
use crate::session::{Session, SessionFile};

pub(crate) fn env(context: &Context, args: &HerokuEnvArgs) -> Result<()> {
    let session = context.session()?;
    session.token()?;
    let mut variables = variables(session, args.port)?;
    if args.json.json {
        return Ok(context.output.json(&variables)?);
    }
    // What is printed may be kept in a file; the token stays where it is.
    variables.remove(API_KEY);
    for (name, value) in &variables {
        context
            .output
            .line(format!("export {name}={}", shell_quoted(value)))?;
    }
    Ok(context
        .output
        .line(format!("export {API_KEY}=\"$(paas auth:token)\""))?)
}

pub(crate) async fn proxy(context: &Context, args: &HerokuProxyArgs) -> Result<ExitCode> {
    let session = context.session()?;
    let forwarder = Forwarder::bind(session.client(None)?, args.port()).await?;
    let port = forwarder.port();
    let Some((program, rest)) = args.command.split_first() else {
        context.output.note(format!(
            "http://127.0.0.1:{port} leads to {} until Ctrl-C. In another terminal:\n  eval \"$(paas heroku-env{})\"",
            session.api,
            if port == DEFAULT_PORT { String::new() } else { format!(" --port {port}") },
        ))?;
        tokio::select! {
            () = forwarder.serve() => {}
            interrupted = tokio::signal::ctrl_c() => interrupted.context("could not wait for Ctrl-C")?,
        }
        return Ok(ExitCode::SUCCESS);
    };
    session.token()?;
    let mut command = Command::new(program);
    command
        .args(rest)
        .envs(variables(session, port)?)
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| {
        Failure::new(format!(
            "could not run {}: {error}",
            program.to_string_lossy()
        ))
    })?;
    // Ctrl-C is the command's, which may still have something to say to the platform.
    let mut interrupts = signal(SignalKind::interrupt()).context("could not watch for Ctrl-C")?;
    let ignoring = async { while interrupts.recv().await.is_some() {} };
    let status = tokio::select! {
        ((), ()) = async { tokio::join!(forwarder.serve(), ignoring) } => return Ok(ExitCode::FAILURE),
        status = child.wait() => status.context("could not wait for the command")?,
    };
    // As a shell has it.
    let code = status.code().or_else(|| Some(128 + status.signal()?));
    let code = code.and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

const API_KEY: &str = "HEROKU_API_KEY";
/// Of those in the environment, so many are looked through.
const MAX_GIT_CONFIGS: u32 = 1000;

/// All that leads to Heroku's own hosts leads here, and what would tell them something is off.
fn variables(session: &Session, port: u16) -> Result<BTreeMap<String, String>> {
    let here = format!("http://127.0.0.1:{port}");
    let git = &session.git.https;
    let set = |name: &str| std::env::var(name).ok();
    let mut variables = BTreeMap::from([
        ("HEROKU_GIT_HOST", git.clone()),
        ("HEROKU_DATA_HOST", format!("127.0.0.1:{port}")),
        ("DISABLE_TELEMETRY", "true".to_owned()),
        ("HEROKU_DISABLE_AUTOUPDATE", "1".to_owned()),
        ("HEROKU_SKIP_NEW_VERSION_CHECK", "1".to_owned()),
    ])
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect::<BTreeMap<_, _>>();
    // What goes to this machine goes to no company's proxy.
    for name in ["NO_PROXY", "no_proxy"] {
        let others = set(name).filter(|others| !others.is_empty() && !others.contains("127.0.0.1"));
        let others = others.map_or_else(String::new, |others| format!("{others},"));
        variables.insert(name.to_owned(), format!("{others}127.0.0.1"));
    }
    for name in [
        "HEROKU_HOST",
        "HEROKU_PARTICLEBOARD_URL",
        "HEROKU_LOGIN_HOST",
        "HEROKU_STATUS_HOST",
        "HEROKU_BUILDPACK_REGISTRY_URL",
    ] {
        variables.insert(name.to_owned(), here.clone());
    }
    // Which app and which team are meant, where it is said for good.
    for (ours, theirs) in [("PAAS_APP", "HEROKU_APP"), ("PAAS_TEAM", "HEROKU_TEAM")] {
        if let Some(value) = set(ours).filter(|value| !value.is_empty()) {
            variables.insert(theirs.to_owned(), value);
        }
    }
    if let Some(token) = &session.token {
        variables.insert(API_KEY.to_owned(), token.clone());
    }
    if let Some(ca) = &session.ca_file {
        let ca = ca.to_string_lossy().into_owned();
        // Besides what Node trusts anyhow; and for git, at this host alone.
        variables.insert("NODE_EXTRA_CA_CERTS".to_owned(), ca.clone());
        let key = format!("http.https://{git}/.sslCAInfo");
        // After what there is, unless it is there from before.
        let count: u32 = set("GIT_CONFIG_COUNT")
            .and_then(|count| count.parse().ok())
            .unwrap_or(0);
        let is_key = |index: &u32| set(&format!("GIT_CONFIG_KEY_{index}")).as_ref() == Some(&key);
        let index = (0..count.min(MAX_GIT_CONFIGS))
            .find(is_key)
            .unwrap_or(count);
        variables.insert(
            "GIT_CONFIG_COUNT".to_owned(),
            count.max(index + 1).to_string(),
        );
        variables.insert(format!("GIT_CONFIG_KEY_{index}"), key);
        variables.insert(format!("GIT_CONFIG_VALUE_{index}"), ca);
    }
    // That CLI makes itself the one helper for the host's credentials, and fails where login has made ours.
    let git_config = SessionFile::locate()?.keep_git_config()?;
    let git_config = git_config.to_string_lossy().into_owned();
    variables.insert("GIT_CONFIG_GLOBAL".to_owned(), git_config);
    Ok(variables)
}
