//! Names that only the platform knows, for completion: asked for at most once a minute, and never waited for long.
//!
//! They are kept beside the login, for its owner only. While the platform cannot be reached, those of before are given,
//! and it is left alone for some seconds.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use controller_api::{Client, ClientError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::args::AppArgs;
use crate::context::Context;
use crate::output::Output;
use crate::session::{Session, SessionFile, write_private};

/// Longer than that nobody waits for a Tab.
const DEADLINE: Duration = Duration::from_millis(700);
const FRESH_SECONDS: i64 = 60;
/// How long a platform that did not answer is not asked again.
const SPARED_SECONDS: i64 = 10;
/// What is kept is bounded, whatever there is.
const MOST_NAMES: usize = 1000;
const MOST_LISTS: usize = 30;

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Apps,
    Teams,
    /// Process types of an app.
    Types(String),
    Dynos(String),
    /// Never their values.
    ConfigVars(String),
    AddonServices,
    /// `acme-pg:dev`
    AddonPlans,
    /// Of an app, or of all.
    Addons(Option<String>),
    Attachments(String),
}

impl Kind {
    fn key(&self) -> String {
        match self {
            Self::Apps => "apps".to_owned(),
            Self::Teams => "teams".to_owned(),
            Self::Types(app) => format!("types of {app}"),
            Self::Dynos(app) => format!("dynos of {app}"),
            Self::ConfigVars(app) => format!("config vars of {app}"),
            Self::AddonServices => "add-on services".to_owned(),
            Self::AddonPlans => "add-on plans".to_owned(),
            Self::Addons(Some(app)) => format!("add-ons of {app}"),
            Self::Addons(None) => "add-ons".to_owned(),
            Self::Attachments(app) => format!("attachments of {app}"),
        }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// Whose they are: other logins see other names.
    login: u64,
    lists: BTreeMap<String, List>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct List {
    /// Until when, in Unix seconds.
    good_until: i64,
    names: Vec<String>,
}

/// The app that the words name, or that of the directory.
pub(super) fn app(words: &[String]) -> Option<String> {
    let args = AppArgs {
        app: value_of(words, "-a", "--app")
            .or_else(|| std::env::var("PAAS_APP").ok().filter(|app| !app.is_empty())),
        remote: value_of(words, "-r", "--remote"),
    };
    Context::new(Output::detect()).app(&args).ok()
}

fn value_of(words: &[String], short: &str, long: &str) -> Option<String> {
    let found = words.windows(2).find_map(|pair| {
        let is_option = pair[0] == short || pair[0] == long;
        is_option.then(|| pair[1].clone())
    });
    let joined = || {
        words.iter().find_map(|word| {
            word.strip_prefix(long)
                .and_then(|rest| rest.strip_prefix('='))
                .map(str::to_owned)
        })
    };
    found.or_else(joined).filter(|value| !value.is_empty())
}

/// Empty where nothing is known.
pub(super) fn of(kind: Kind) -> Vec<String> {
    look_up(&kind).unwrap_or_default()
}

fn look_up(kind: &Kind) -> Result<Vec<String>> {
    let file = SessionFile::locate()?;
    let session = Session::load(&file)?;
    let path = file.completion_cache();
    let now = Timestamp::now().as_second();
    let mut kept = read(&path, login(&session));
    let known = kept.lists.get(&kind.key()).cloned();
    // One from the future is of a clock that has been set since.
    if let Some(list) = &known
        && (now..=now + FRESH_SECONDS).contains(&list.good_until)
    {
        return Ok(list.names.clone());
    }
    let client = session.client(Some(session.token()?))?;
    let list = match ask(client, kind.clone()) {
        Ok(mut names) => {
            names.sort();
            names.truncate(MOST_NAMES);
            List {
                good_until: now + FRESH_SECONDS,
                names,
            }
        }
        Err(_) => List {
            good_until: now + SPARED_SECONDS,
            names: known.map(|list| list.names).unwrap_or_default(),
        },
    };
    if kept.lists.len() >= MOST_LISTS {
        kept.lists.retain(|_, list| list.good_until > now);
        if kept.lists.len() >= MOST_LISTS {
            kept.lists.clear();
        }
    }
    kept.lists.insert(kind.key(), list.clone());
    // Without it the next Tab asks again, which is no harm.
    let _ = write_private(&path, &serde_json::to_vec(&kept)?);
    Ok(list.names)
}

fn login(session: &Session) -> u64 {
    let mut hasher = DefaultHasher::new();
    (session.api.as_str(), &session.token).hash(&mut hasher);
    hasher.finish()
}

/// What is of another login, or not to be read, counts for nothing.
fn read(path: &Path, login: u64) -> Kept {
    let kept = fs_err::read(path)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok())
        .filter(|kept| kept.login == login);
    kept.unwrap_or_else(|| Kept {
        login,
        lists: BTreeMap::new(),
    })
}

fn ask(client: Client, kind: Kind) -> Result<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start")?;
    let answer =
        runtime.block_on(async { tokio::time::timeout(DEADLINE, names(&client, &kind)).await });
    // A thread may still be looking up the platform's name; nobody waits for it.
    runtime.shutdown_background();
    Ok(answer.context("the platform took too long")??)
}

async fn names(client: &Client, kind: &Kind) -> Result<Vec<String>, ClientError> {
    Ok(match kind {
        Kind::Apps => {
            let apps = client.apps().await?;
            apps.iter().map(|app| app.name.to_string()).collect()
        }
        Kind::Teams => {
            let teams = client.teams().await?;
            teams.iter().map(|team| team.name.to_string()).collect()
        }
        Kind::Types(app) => {
            let formation = client.formation(app).await?;
            formation.into_iter().map(|one| one.process_type).collect()
        }
        Kind::Dynos(app) => {
            let dynos = client.dynos(app).await?;
            dynos.into_iter().map(|dyno| dyno.name).collect()
        }
        Kind::ConfigVars(app) => {
            let vars = client.config_vars(app).await?;
            vars.into_keys().collect()
        }
        Kind::AddonServices => services(client).await?,
        Kind::AddonPlans => {
            let services = services(client).await?;
            let plans = services.iter().map(|service| client.plans(service));
            let plans = futures::future::try_join_all(plans).await?;
            plans.into_iter().flatten().map(|plan| plan.name).collect()
        }
        Kind::Addons(app) => {
            let addons = match app {
                Some(app) => client.addons(app).await?,
                None => client.all_addons().await?,
            };
            addons.iter().map(|addon| addon.name.to_string()).collect()
        }
        Kind::Attachments(app) => {
            let attachments = client.attachments(app).await?;
            attachments.iter().map(|one| one.name.to_string()).collect()
        }
    })
}

async fn services(client: &Client) -> Result<Vec<String>, ClientError> {
    let services = client.addon_services().await?;
    Ok(services.iter().map(|one| one.name.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_app_is_found_where_it_is_named() {
        let app = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            value_of(&words, "-a", "--app")
        };
        assert_eq!(app("paas ps:scale -a shop w").as_deref(), Some("shop"));
        assert_eq!(app("paas ps:scale --app shop w").as_deref(), Some("shop"));
        assert_eq!(app("paas ps:scale --app=shop w").as_deref(), Some("shop"));
        assert_eq!(app("paas ps:scale w"), None);
        assert_eq!(app("paas ps:scale -a"), None);
    }

    #[test]
    fn what_is_of_another_login_is_not_given() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kept");
        let list = List {
            good_until: 1,
            names: vec!["shop".to_owned()],
        };
        let kept = Kept {
            login: 7,
            lists: BTreeMap::from([("apps".to_owned(), list)]),
        };
        fs_err::write(&path, serde_json::to_vec(&kept).unwrap()).unwrap();
        assert_eq!(read(&path, 7).lists.len(), 1);
        assert_eq!(read(&path, 8).lists.len(), 0);
        fs_err::write(&path, b"nonsense").unwrap();
        assert_eq!(read(&path, 7).lists.len(), 0);
    }
}
