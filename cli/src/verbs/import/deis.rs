//! Deis as the source, by its controller's API: `/v1` of Deis up to 1.13, `/v2` of Deis (and Hephy) Workflow.
//!
//! The two say the same in the same words as far as is read here; only their paging differs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use controller_api::Secret;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::described::{Described, DomainThere, Item, PersonThere, ProcessThere, SizeThere, Tie};
use super::fetch::{Fetch, MAX_PAGES, Other, or_left, refused};
use super::size;
use crate::args::ImportDeisArgs;
use crate::failure::Failure;
use crate::output::Output;

/// What `deis login` leaves.
#[derive(Deserialize)]
struct Profile {
    username: String,
    controller: String,
    token: Secret<String>,
}

#[derive(Debug, Deserialize)]
struct App {
    id: String,
    owner: String,
    /// How many of each process type.
    #[serde(default)]
    structure: BTreeMap<String, u32>,
}

#[derive(Debug, Default, Deserialize)]
struct Config {
    #[serde(default)]
    values: BTreeMap<String, Value>,
    #[serde(default)]
    memory: BTreeMap<String, Value>,
    #[serde(default)]
    cpu: BTreeMap<String, Value>,
    #[serde(default)]
    tags: BTreeMap<String, Value>,
    #[serde(default)]
    registry: BTreeMap<String, Value>,
    #[serde(default)]
    healthcheck: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Page<T> {
    next: Option<String>,
    results: Vec<T>,
}

#[derive(Debug, Deserialize)]
struct Domain {
    domain: String,
}

#[derive(Debug, Default, Deserialize)]
struct Perms {
    users: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct User {
    username: String,
    #[serde(default)]
    email: String,
}

#[derive(Debug, Deserialize)]
struct Build {
    #[serde(default)]
    sha: Option<String>,
    #[serde(default)]
    dockerfile: Option<String>,
}

/// Of Workflow only.
#[derive(Debug, Default, Deserialize)]
struct Settings {
    #[serde(default)]
    maintenance: Option<bool>,
    #[serde(default)]
    routable: Option<bool>,
    #[serde(default)]
    whitelist: Option<Vec<String>>,
    #[serde(default)]
    autoscale: Option<BTreeMap<String, Value>>,
}

#[derive(Debug, Default, Deserialize)]
struct Tls {
    #[serde(default)]
    https_enforced: Option<bool>,
}

struct Answers {
    app: App,
    config: Config,
    domains: Vec<Domain>,
    perms: Perms,
    users: Vec<User>,
    build: Option<Build>,
    settings: Settings,
    tls: Tls,
    unread: Vec<Item>,
}

pub(super) async fn read(output: &Output, args: &ImportDeisArgs) -> Result<Described> {
    let profile = profile()?;
    let base = controller(&profile.controller)?;
    if base.scheme() == "http" {
        output.hint(format!(
            "{} is asked without TLS, as your Deis client does: the token and the config vars cross the network in the clear.",
            profile.controller
        ))?;
    }
    let ca_pem = args.from_ca_file.as_ref().map(fs_err::read_to_string);
    let fetch = Fetch::new(Other {
        base: &base,
        ca_pem: ca_pem
            .transpose()
            .context("could not read the CA certificate")?,
        accept: "application/json",
        authorization: format!("token {}", profile.token.expose()),
    })?;
    let answers = ask(&fetch, &args.app)
        .await
        .map_err(|error| explained(error, &fetch.host(), &args.app))?;
    Ok(describe(answers, fetch.host(), &profile.username))
}

/// As Deis's own client finds it: `~/.deis/client.json`, another name there, or a path.
fn profile() -> Result<Profile> {
    let named = std::env::var("DEIS_PROFILE")
        .ok()
        .filter(|name| !name.is_empty());
    let name = named.unwrap_or_else(|| "client".to_owned());
    let path = if name.contains('/') && name.ends_with(".json") {
        PathBuf::from(name)
    } else {
        let home = std::env::home_dir()
            .ok_or_else(|| Failure::new("There is no home directory").advise("Set HOME."))?;
        home.join(".deis").join(format!("{name}.json"))
    };
    let text = match fs_err::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Failure::new(format!("There is no login to Deis: {} is not there", path.display()))
                .advise("Log in with `deis login URL`, bring the file from where you are logged in, or name another profile in DEIS_PROFILE.")
                .into());
        }
        Err(error) => return Err(error).context("could not read the login to Deis"),
    };
    // The parser's own message might quote the token.
    serde_json::from_str(&text).map_err(|_| {
        Failure::new(format!("{} is no login of Deis's client", path.display()))
            .advise("Log in again with `deis login URL`.")
            .into()
    })
}

fn controller(text: &str) -> Result<Url> {
    let url = Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some()
            && url.username().is_empty()
    });
    url.ok_or_else(|| {
        Failure::new(format!(
            "The login to Deis names {text:?} as its controller, which is no address"
        ))
        .advise("Log in again with `deis login URL`.")
        .into()
    })
}

async fn ask(fetch: &Fetch, app: &str) -> Result<Answers> {
    let (api, found) = find(fetch, app).await?;
    let of = |what| [api, "apps", app, what, ""];
    let mut unread = Vec::new();
    let config = fetch.get(&of("config")).await?;
    let domains = list(fetch, &of("domains")).await?;
    let perms = or_left(fetch.get(&of("perms")).await, "collaborators", &mut unread)?;
    let builds: Vec<Build> = or_left(first(fetch, &of("builds")).await, "builds", &mut unread)?;
    // Only administrators of Deis may list people; others get along with their names.
    let mut not_told = Vec::new();
    let users = or_left(
        list(fetch, &[api, "users", ""]).await,
        "people",
        &mut not_told,
    )?;
    let mut of_workflow = (Settings::default(), Tls::default());
    if api == "v2" {
        of_workflow = (
            or_left(fetch.get(&of("settings")).await, "settings", &mut unread)?,
            or_left(fetch.get(&of("tls")).await, "TLS", &mut unread)?,
        );
    }
    Ok(Answers {
        app: found,
        config,
        domains,
        perms,
        users,
        build: builds.into_iter().next(),
        settings: of_workflow.0,
        tls: of_workflow.1,
        unread,
    })
}

/// The newest API that knows the app.
async fn find(fetch: &Fetch, app: &str) -> Result<(&'static str, App)> {
    match fetch.get(&["v2", "apps", app, ""]).await {
        Ok(found) => Ok(("v2", found)),
        Err(error) if refused(&error).is_some_and(|no| no.status == 404) => {
            Ok(("v1", fetch.get(&["v1", "apps", app, ""]).await?))
        }
        Err(error) => Err(error),
    }
}

/// Whatever the address of the next page says of hosts, it is asked of the same one.
async fn list<T: DeserializeOwned>(fetch: &Fetch, path: &[&str]) -> Result<Vec<T>> {
    let mut all = Vec::new();
    let mut query: Option<String> = None;
    for _ in 0..MAX_PAGES {
        let (page, _): (Page<T>, _) = fetch.ask(path, query.as_deref(), None).await?;
        all.extend(page.results);
        let Some((_, next)) = page.next.as_deref().and_then(|next| next.split_once('?')) else {
            return Ok(all);
        };
        query = Some(fetch.goes_on(query.as_deref(), next)?);
    }
    Err(fetch.endless().into())
}

/// Of a list that may be long, the newest few.
async fn first<T: DeserializeOwned>(fetch: &Fetch, path: &[&str]) -> Result<Vec<T>> {
    // Deis v1 counts by the one word, Workflow by the other.
    let (page, _): (Page<T>, _) = fetch.ask(path, Some("page_size=1&limit=1"), None).await?;
    Ok(page.results)
}

fn explained(error: anyhow::Error, host: &str, app: &str) -> anyhow::Error {
    let advice = match refused(&error).map(|no| no.status) {
        Some(401) => "Log in again with `deis login URL`.",
        Some(403) => "Ask the app's owner for access: deis perms:create NAME -a APP.",
        Some(404) => {
            return Failure::new(format!("There is no app {app} at {host}"))
                .advise("List those that there are with `deis apps`. Deis v1 and Deis Workflow are understood.")
                .into();
        }
        Some(_) => "Nothing was changed here. Try again.",
        None => return error,
    };
    Failure::new(error.to_string()).advise(advice).into()
}

fn describe(answers: Answers, whence: String, me: &str) -> Described {
    let Answers { app, config, .. } = answers;
    let mut left = answers.unread;
    left.extend(without_counterpart(
        &config,
        &answers.settings,
        &answers.tls,
    ));
    left.extend(how_built(answers.build.as_ref()));
    let mut names: Vec<String> = answers.perms.users;
    names.push(app.owner.clone());
    names.retain(|name| name != me);
    names.sort();
    names.dedup();
    let people = names
        .into_iter()
        .map(|name| person(name, &app.owner, &answers.users));
    let values = config
        .values
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), text(value)?.into())));
    let mut ties = BTreeMap::new();
    for (name, why) in [
        ("PORT", "the platform chooses the port here"),
        ("DEIS_APP", "Deis sets it"),
        ("WORKFLOW_RELEASE", "Deis sets it"),
    ] {
        ties.insert(name.to_owned(), Tie::Platform(why.to_owned()));
    }
    Described {
        kind: "deis",
        whence,
        config: values.collect(),
        ties,
        // The name without a dot is the app's own below the platform's domain.
        domains: answers
            .domains
            .into_iter()
            .filter(|domain| domain.domain.contains('.'))
            .map(|domain| DomainThere {
                hostname: domain.domain,
                target: None,
            })
            .collect(),
        formation: app
            .structure
            .iter()
            .map(|(process_type, quantity)| ProcessThere {
                process_type: process_type.clone(),
                quantity: *quantity,
                size: memory(config.memory.get(process_type)),
            })
            .collect(),
        people: people.collect(),
        name: app.id,
        left,
        ..Described::default()
    }
}

fn person(name: String, owner: &str, users: &[User]) -> PersonThere {
    let permission = (name == owner).then_some("manage");
    let known = users
        .iter()
        .find(|user| user.username == name && user.email.contains('@'));
    PersonThere {
        name: known.map_or(name, |user| user.email.clone()),
        permission,
    }
}

/// `512M`, or what is reserved and the limit: `256M/512M`.
fn memory(limit: Option<&Value>) -> SizeThere {
    let bytes = limit.and_then(text).and_then(|text| {
        let limit = text.rsplit('/').next().unwrap_or_default();
        size::memory(limit, 1)
    });
    bytes.map_or(SizeThere::Any, SizeThere::Bytes)
}

/// Deis has kept numbers as numbers.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

fn without_counterpart(config: &Config, settings: &Settings, tls: &Tls) -> Vec<Item> {
    let names = |map: &BTreeMap<String, Value>| map.keys().cloned().collect::<Vec<_>>().join(", ");
    let mut left = Vec::new();
    for (kind, map, why) in [
        (
            "CPU limit",
            &config.cpu,
            "CPU comes with the dyno's size: paas ps:scale TYPE=SIZE",
        ),
        (
            "tags",
            &config.tags,
            "hosts have other tags here: paas tags:set",
        ),
        (
            "registry",
            &config.registry,
            "images are not pulled here: code is pushed",
        ),
        (
            "health check",
            &config.healthcheck,
            "a web dyno is ready when it listens on $PORT",
        ),
    ] {
        if !map.is_empty() {
            left.push(Item::new(kind, names(map), why));
        }
    }
    if let Some(addresses) = settings.whitelist.as_ref().filter(|list| !list.is_empty()) {
        let why = "let nobody else in with paas routing:set allow=ADDRESS,ADDRESS";
        left.push(Item::new("allowed addresses", addresses.join(", "), why));
    }
    if let Some(types) = settings
        .autoscale
        .as_ref()
        .filter(|types| !types.is_empty())
    {
        left.push(Item::new(
            "autoscaling",
            names(types),
            "dynos are as many as you say: paas ps:scale",
        ));
    }
    if settings.maintenance == Some(true) {
        left.push(Item::new(
            "maintenance",
            "on",
            "the app here is not in maintenance",
        ));
    }
    if settings.routable == Some(false) {
        left.push(Item::new(
            "routing",
            "off",
            "every app with a web dyno is reached here",
        ));
    }
    if tls.https_enforced == Some(true) {
        left.push(Item::new(
            "HTTPS only",
            "on",
            "once it has a certificate: paas routing:set https-only=on",
        ));
    }
    left
}

fn how_built(build: Option<&Build>) -> Option<Item> {
    let build = build?;
    let is_given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let how = if is_given(&build.dockerfile) {
        "from a Dockerfile"
    } else if !is_given(&build.sha) {
        "elsewhere, and pulled as an image"
    } else {
        return None;
    };
    Some(Item::new(
        "build",
        how,
        "here a buildpack has to build it from the code that you push",
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn limits_are_read_as_both_versions_write_them() {
        let of = |value: Value| memory(Some(&value));
        assert_eq!(of(json!("512M")), SizeThere::Bytes(512 << 20));
        assert_eq!(of(json!("256M/1G")), SizeThere::Bytes(1 << 30));
        assert_eq!(of(json!(null)), SizeThere::Any);
        assert_eq!(memory(None), SizeThere::Any);
    }

    #[test]
    fn a_build_that_no_buildpack_made_is_told_of() {
        let build = |sha: &str, dockerfile: &str| Build {
            sha: Some(sha.to_owned()),
            dockerfile: Some(dockerfile.to_owned()),
        };
        assert_eq!(how_built(Some(&build("abc", ""))), None);
        assert_eq!(how_built(None), None);
        assert_eq!(
            how_built(Some(&build("abc", "FROM x"))).unwrap().name,
            "from a Dockerfile"
        );
        assert!(
            how_built(Some(&build("", "")))
                .unwrap()
                .name
                .contains("image")
        );
    }
}
