//! login, logout, whoami, auth:token, and the credentials that git asks for.

use std::io::{self, IsTerminal as _, Read as _};

use anyhow::{Context as _, Result};
use controller_api::wire::{
    AuthorizationCreate, BrowserLoginCreate, BrowserLoginResult, InvitationAccept,
};
use controller_api::{Client, ClientError, ClientOptions};
use serde_json::json;
use url::Url;

use crate::args::{GitCredentialsArgs, JsonArgs, LoginArgs, TokenArgs};
use crate::browser;
use crate::context::Context;
use crate::failure::Failure;
use crate::git::{self, GitHosts, Scope};
use crate::session::{Saved, Session, SessionFile, parse_api_url};
use crate::terminal;

/// How long a token of `paas login` is good for.
const TOKEN_SECONDS: i64 = 365 * 24 * 3600;
/// The most that platforms give to a terminal that a browser lets in.
const BROWSER_TOKEN_SECONDS: i64 = 30 * 24 * 3600;

/// What to send before every token, in place of a user name, which the platform does not look at.
const GIT_USER: &str = "paas";

pub(crate) async fn login(context: &Context, args: &LoginArgs) -> Result<()> {
    let file = SessionFile::locate()?;
    let before = file.load()?;
    let api = api_address(args, before.as_ref())?;
    let before = before.filter(|saved| saved.api == api);
    let ca_pem = ca_pem(args, before.as_ref())?;
    let client = |token: Option<&str>| {
        Client::new(ClientOptions {
            base_url: api.clone(),
            token: token.map(Into::into),
            ca_pem: ca_pem.clone(),
            user_agent: concat!("paas/", env!("CARGO_PKG_VERSION")).to_owned(),
        })
    };

    check_platform(&client(None)?).await?;
    let browser = browser::program();
    let by_browser = wants_browser(args, browser.is_some());
    let token = if let Some(invitation) = &args.invitation {
        token_for_invitation(context, &client(None)?, args, invitation).await?
    } else if args.token_stdin {
        whole_stdin()?
    } else if by_browser
        && let Some(token) = token_by_browser(context, &client(None)?, browser).await?
    {
        token
    } else if args.browser {
        return Err(
            Failure::new("This platform is too old to log in with a browser")
                .advise("Log in with `paas login -i`.")
                .into(),
        );
    } else {
        let known = before.as_ref().map(|saved| saved.email.as_str());
        token_for_password(context, &client(None)?, args, known).await?
    };
    let account = client(Some(&token))?.account().await?;

    let beside = GitHosts::beside(&api);
    let saved = Saved {
        ca_file: ca_pem.as_deref().map(|pem| file.keep_ca(pem)).transpose()?,
        git_host: args
            .git_host
            .clone()
            .or_else(|| before.as_ref()?.git_host.clone()),
        ssh_host: args
            .ssh_host
            .clone()
            .or_else(|| before.as_ref()?.ssh_host.clone()),
        email: account.email.to_string(),
        api,
        token,
    };
    file.save(&saved)?;
    if !args.no_git {
        let host = saved.git_host.as_ref().unwrap_or(&beside.https);
        if let Err(error) = git::trust(
            Scope::User,
            &format!("https://{host}"),
            saved.ca_file.as_deref(),
        ) {
            context
                .output
                .hint(format!("Warning: git was not set up for {host}: {error:#}"))?;
        }
    }
    context.output.note(format!(
        "Logged in as {} at {}",
        account.email,
        origin(&saved.api)
    ))?;
    Ok(())
}

/// That a platform is there, before anything secret is asked for or sent: without a token it asks who is calling.
async fn check_platform(client: &Client) -> Result<()> {
    let answer = match client.account().await {
        Err(ClientError::Api(error)) if error.id != "unexpected" => return Ok(()),
        // A router that cannot reach the platform just now.
        Err(ClientError::Api(error)) if error.status >= 500 => {
            return Err(ClientError::Api(error).into());
        }
        Err(ClientError::Api(error)) => format!("it answered with status {}", error.status),
        Ok(_) | Err(ClientError::Decode { .. }) => "it answered with something else".to_owned(),
        Err(error) => return Err(error.into()),
    };
    Err(Failure::new(format!(
        "There is no paas API at {}: {answer}",
        origin(client.base_url())
    ))
    .advise("The address begins with api, such as https://api.example.com; apps have others.")
    .into())
}

fn api_address(args: &LoginArgs, before: Option<&Saved>) -> Result<Url> {
    let given = args.api.clone().or_else(|| {
        std::env::var("PAAS_API_URL")
            .ok()
            .filter(|url| !url.is_empty())
    });
    match (given, before) {
        (Some(url), _) => parse_api_url(&url),
        (None, Some(saved)) => Ok(saved.api.clone()),
        (None, None) if io::stdin().is_terminal() => {
            parse_api_url(&terminal::ask("API address (https://api.example.com): ")?)
        }
        (None, None) => Err(Failure::usage("Which platform is not known yet")
            .advise("Say it with --api, such as `paas login --api https://api.example.com`.")
            .into()),
    }
}

fn ca_pem(args: &LoginArgs, before: Option<&Saved>) -> Result<Option<String>> {
    let from_environment = std::env::var_os("PAAS_CA_FILE")
        .filter(|file| !file.is_empty())
        .map(Into::into);
    let file = args
        .ca_file
        .clone()
        .or(from_environment)
        .or_else(|| before?.ca_file.clone());
    file.map(|file| fs_err::read_to_string(file).context("could not read the CA certificate"))
        .transpose()
}

/// Makes the account that somebody was invited to, with a password of his own, and logs in.
async fn token_for_invitation(
    context: &Context,
    client: &Client,
    args: &LoginArgs,
    invitation: &str,
) -> Result<String> {
    // People paste the address that they were given.
    let token = invitation.rsplit('/').next().unwrap_or(invitation);
    let (name, password) = if args.password_stdin {
        (None, whole_stdin()?)
    } else {
        context
            .output
            .note("Welcome. Choose how you log in from now on:")?;
        let name = terminal::ask("Your name: ")?.trim().to_owned();
        (Some(name), new_password()?)
    };
    let accept = InvitationAccept {
        token: token.into(),
        password: password.clone().into(),
        name,
    };
    let account = client.accept_invitation(&accept).await?;
    let create = password_login();
    let made = client
        .create_authorization(account.email.as_str(), &password.into(), None, &create)
        .await?;
    let token = made.access_token.context("the platform sent no token")?;
    Ok(token.token.into_exposed())
}

fn new_password() -> Result<String> {
    loop {
        let password = terminal::ask_secret("Password: ")?;
        if terminal::ask_secret("Password again: ")? == password {
            return Ok(password);
        }
        terminal::say("The passwords differ.")?;
    }
}

fn password_login() -> AuthorizationCreate {
    AuthorizationCreate {
        description: Some(format!("paas login from {}", host_name())),
        expires_in: Some(TOKEN_SECONDS),
        scope: Some(vec!["global".to_owned()]),
    }
}

/// Nobody at a terminal, nobody at a browser.
fn wants_browser(args: &LoginArgs, has_browser: bool) -> bool {
    let in_the_terminal =
        args.interactive || args.email.is_some() || args.password_stdin || args.code.is_some();
    args.browser || (has_browser && !in_the_terminal && io::stdin().is_terminal())
}

async fn token_by_browser(
    context: &Context,
    client: &Client,
    browser: Option<String>,
) -> Result<Option<String>> {
    let create = BrowserLoginCreate {
        description: Some(format!("paas login from {}", host_name())),
        expires_in: Some(BROWSER_TOKEN_SECONDS),
    };
    let login = match client.begin_browser_login(&create).await {
        // Of before there was such a thing.
        Err(ClientError::Api(error)) if error.status == 404 => return Ok(None),
        begun => begun?,
    };
    let url = format!(
        "{}{}",
        origin(client.base_url()),
        login.browser_url.expose()
    );
    let output = &context.output;
    output.note(format!("Log in with your browser at:\n  {url}"))?;
    output.note(format!("It shows the code {}", login.code))?;
    if let Some(program) = browser {
        // Where it fails there is the address.
        let _ = browser::start(&program, &url);
    }
    let action = output.action("Waiting for the browser");
    match client.finish_browser_login(&login).await? {
        BrowserLoginResult::AccessToken(token) => {
            action.done();
            Ok(Some(token.into_exposed()))
        }
        BrowserLoginResult::Error(why) => Err(Failure::new(why.trim_end_matches('.')).into()),
    }
}

async fn token_for_password(
    context: &Context,
    client: &Client,
    args: &LoginArgs,
    known_email: Option<&str>,
) -> Result<String> {
    let (email, password) = match (&args.email, args.password_stdin) {
        (Some(email), true) => (email.clone(), whole_stdin()?),
        (None, true) => {
            return Err(Failure::usage("--password-stdin needs --email").into());
        }
        (email, false) => {
            context.output.note("Enter your login credentials:")?;
            let email = match email {
                Some(email) => email.clone(),
                None => ask_email(known_email)?,
            };
            (email, terminal::ask_secret("Password: ")?)
        }
    };
    let create = password_login();
    let password = password.into();
    let log_in = async |code: Option<&str>| {
        client
            .create_authorization(&email, &password, code, &create)
            .await
    };
    let mut logged_in = log_in(args.code.as_deref()).await;
    // Who gave no code is asked for one; who gave a wrong one is told.
    if let (Err(ClientError::Api(error)), None) = (&logged_in, &args.code)
        && error.id == "two_factor"
        && io::stdin().is_terminal()
    {
        let code = terminal::ask_secret("Two-factor code: ")?;
        logged_in = log_in(Some(&code)).await;
    }
    let authorization = match logged_in {
        Err(ClientError::Api(error)) if error.id == "two_factor" && args.code.is_none() => {
            return Err(Failure::new(error.message)
                .advise("A script gives it with --code; a token needs none.")
                .into());
        }
        Err(ClientError::Api(error)) if error.status == 401 => {
            return Err(Failure::new("The e-mail address or the password is wrong").into());
        }
        other => other?,
    };
    let token = authorization
        .access_token
        .context("the platform sent no token")?;
    Ok(token.token.into_exposed())
}

fn ask_email(known: Option<&str>) -> Result<String> {
    let question = known.map_or_else(
        || "Email: ".to_owned(),
        |known| format!("Email [{known}]: "),
    );
    let answer = terminal::ask(&question)?.trim().to_owned();
    Ok(if answer.is_empty() {
        known.unwrap_or_default().to_owned()
    } else {
        answer
    })
}

/// A secret that is piped in; its line end is not part of it.
pub(super) fn whole_stdin() -> Result<String> {
    let mut text = String::new();
    io::stdin()
        .read_to_string(&mut text)
        .context("could not read standard input")?;
    let text = text.trim_end_matches(['\r', '\n']).to_owned();
    if text.is_empty() {
        return Err(Failure::usage("Standard input is empty").into());
    }
    Ok(text)
}

fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

fn origin(api: &Url) -> String {
    api.as_str().trim_end_matches('/').to_owned()
}

pub(crate) async fn logout(context: &Context) -> Result<()> {
    let file = SessionFile::locate()?;
    let Some(saved) = file.load()? else {
        context.output.note("Nobody is logged in")?;
        return Ok(());
    };
    let action = context.output.action("Logging out");
    let revoked = match context
        .session()
        .and_then(|session| session.client(Some(&saved.token)))
    {
        Ok(client) => client
            .revoke_authorization("~")
            .await
            .map(drop)
            .map_err(Into::into),
        Err(error) => Err(error),
    };
    let git_host = saved
        .git_host
        .unwrap_or_else(|| GitHosts::beside(&saved.api).https);
    git::forget(&git_host);
    file.forget()?;
    action.done();
    if let Err(error) = revoked {
        context.output.hint(format!(
            "Warning: the platform was not told, so the token stays valid there: {error:#}"
        ))?;
    }
    Ok(())
}

pub(crate) async fn whoami(context: &Context, args: JsonArgs) -> Result<()> {
    let account = context.client()?.account().await?;
    if args.json {
        return Ok(context.output.json(&account)?);
    }
    Ok(context.output.line(account.email)?)
}

pub(crate) fn token(context: &Context, args: &TokenArgs) -> Result<()> {
    let session = context.session()?;
    let token = session.token()?;
    if args.json.json {
        return Ok(context
            .output
            .json(&json!({ "api": session.api, "token": token }))?);
    }
    Ok(context.output.line(token)?)
}

/// Git's helper protocol: lines of `key=value` in and out. Only ours is answered, and not over the open net.
pub(crate) fn git_credentials(context: &Context, args: &GitCredentialsArgs) -> Result<()> {
    if args.operation != "get" {
        return Ok(());
    }
    let asked = Asked::read(io::stdin().lock())?;
    // Without a login git goes on to ask its user, which is the better question.
    let Ok(session) = context.session() else {
        return Ok(());
    };
    match &session.token {
        Some(token) if asked.is_for(session) => Ok(context
            .output
            .line(format!("username={GIT_USER}\npassword={token}"))?),
        _ => Ok(()),
    }
}

#[derive(Debug, Default)]
struct Asked {
    protocol: String,
    host: String,
}

impl Asked {
    fn read(lines: impl io::BufRead) -> Result<Self> {
        let mut asked = Self::default();
        for line in lines.lines() {
            match line?.split_once('=') {
                Some(("protocol", value)) => asked.protocol = value.to_owned(),
                Some(("host", value)) => asked.host = value.to_owned(),
                Some(_) => {}
                None => break,
            }
        }
        Ok(asked)
    }

    fn is_for(&self, session: &Session) -> bool {
        self.protocol == session.api.scheme()
            && git::is_private(&self.protocol, &self.host)
            && self.host.eq_ignore_ascii_case(&session.git.https)
    }
}
