//! Heroku as the source, or any platform with its Platform API v3: ours, too.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use clap::ValueEnum as _;
use clap::builder::PossibleValue;
use controller_api::Secret;
use futures::{join, try_join};
use serde::Deserialize;
use url::Url;

use super::credentials::{self, is_heroku};
use super::described::{Described, DomainThere, Item, PersonThere, ProcessThere, SizeThere, Tie};
use super::fetch::{Fetch, Other, host, or_left, refused};
use crate::args::{ImportHerokuArgs, Part};
use crate::failure::Failure;
use crate::session::{Session, parse_api_url};

const ACCEPT: &str = "application/vnd.heroku+json; version=3";

/// From the most to the least.
const PERMISSIONS: [&str; 4] = ["manage", "operate", "deploy", "view"];

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

#[derive(Debug, Default, Deserialize)]
struct User {
    email: String,
}

#[derive(Debug, Deserialize)]
struct App {
    name: String,
    stack: Option<Named>,
    build_stack: Option<Named>,
    #[serde(default)]
    maintenance: bool,
    #[serde(default)]
    acm: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Formation {
    #[serde(rename = "type")]
    process_type: String,
    quantity: u32,
    dyno_size: Option<Named>,
    size: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Domain {
    hostname: String,
    kind: String,
    cname: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Buildpack {
    buildpack: BuildpackName,
}

#[derive(Debug, Deserialize)]
struct BuildpackName {
    name: String,
    url: String,
}

#[derive(Debug, Deserialize)]
struct Collaborator {
    user: User,
    role: Option<String>,
    #[serde(default)]
    permissions: Vec<Named>,
}

#[derive(Debug, Deserialize)]
struct Addon {
    name: String,
    plan: Named,
    #[serde(default)]
    config_vars: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Attachment {
    name: String,
    addon: AttachedAddon,
}

#[derive(Debug, Deserialize)]
struct AttachedAddon {
    name: String,
    app: Option<Named>,
}

#[derive(Debug, Deserialize)]
struct Drain {
    addon: Option<serde::de::IgnoredAny>,
    url: Option<Secret<String>>,
}

#[derive(Debug, Deserialize)]
struct Feature {
    name: String,
    enabled: bool,
}

/// All that is asked of the API.
struct Answers {
    app: App,
    /// Who asks.
    me: User,
    config: BTreeMap<String, Option<Secret<String>>>,
    formation: Vec<Formation>,
    domains: Vec<Domain>,
    buildpacks: Vec<Buildpack>,
    collaborators: Vec<Collaborator>,
    addons: Vec<Addon>,
    attachments: Vec<Attachment>,
    drains: Vec<Drain>,
    features: Vec<Feature>,
    endpoints: Vec<Named>,
    unread: Vec<Item>,
}

pub(super) async fn read(args: &ImportHerokuArgs, ours: &Session) -> Result<Described> {
    let base = parse_api_url(&args.from_url)?;
    let token = credentials::token(&base, ours)?;
    let ca_pem = args.from_ca_file.as_ref().map(fs_err::read_to_string);
    let fetch = Fetch::new(Other {
        base: &base,
        ca_pem: ca_pem
            .transpose()
            .context("could not read the CA certificate")?,
        accept: ACCEPT,
        authorization: format!("Bearer {}", token.expose()),
    })?;
    let answers = ask(&fetch, &args.app, &args.how.skip)
        .await
        .map_err(|error| explained(error, &base, &args.app))?;
    Ok(describe(answers, fetch.host()))
}

/// Nothing of a part that is left out, and it is not asked for: the token may not be allowed to.
async fn unless_skipped<T: Default>(
    skip: &[Part],
    part: Part,
    answer: impl Future<Output = Result<T>>,
) -> Result<T> {
    if skip.contains(&part) {
        return Ok(T::default());
    }
    answer.await
}

/// What an app is not whole without, unless whoever imports says so.
async fn needed<T: Default>(
    skip: &[Part],
    part: Part,
    answer: impl Future<Output = Result<T>>,
) -> Result<T> {
    let answer = unless_skipped(skip, part, answer).await;
    answer.map_err(|error| match refused(&error).map(|no| no.status) {
        Some(403) => {
            let name = part.to_possible_value();
            let name = name.as_ref().map_or("PART", PossibleValue::get_name);
            Failure::new(format!("The {name} could not be read: {error}"))
                .advise(format!(
                    "Use a token of the app's owner, or leave it out with --skip {name}."
                ))
                .into()
        }
        _ => error,
    })
}

async fn ask(fetch: &Fetch, app: &str, skip: &[Part]) -> Result<Answers> {
    // By itself: what is wrong with the token or the name is said once.
    let found: App = fetch.get(&["apps", app]).await?;
    let of = |what| ["apps", app, what];
    let (config, formation, domains, buildpacks) = (
        of("config-vars"),
        of("formation"),
        of("domains"),
        of("buildpack-installations"),
    );
    // What runs there is to be stopped in the end, also where the formation is left out.
    let formation = async {
        let formation = fetch.list::<Formation>(&formation).await;
        if skip.contains(&Part::Formation) {
            return or_left(formation, "formation", &mut Vec::new());
        }
        formation
    };
    let needed = async {
        try_join!(
            needed(skip, Part::Config, fetch.get(&config)),
            needed(&[], Part::Formation, formation),
            needed(skip, Part::Domains, fetch.list(&domains)),
            needed(skip, Part::Buildpacks, fetch.list(&buildpacks)),
        )
    };
    let (collaborators, addons, attachments) =
        (of("collaborators"), of("addons"), of("addon-attachments"));
    let (drains, features, endpoints) = (of("log-drains"), of("features"), of("sni-endpoints"));
    let wished = async {
        join!(
            unless_skipped(skip, Part::Collaborators, fetch.list(&collaborators)),
            fetch.list::<Addon>(&addons),
            fetch.list::<Attachment>(&attachments),
            unless_skipped(skip, Part::Drains, fetch.list(&drains)),
            unless_skipped(skip, Part::Features, fetch.list(&features)),
            fetch.list::<Named>(&endpoints),
        )
    };
    let account = ["account"];
    let (me, needed, wished) = join!(fetch.get::<User>(&account), needed, wished);
    let (config, formation, domains, buildpacks) = needed?;
    let mut unread = Vec::new();
    // A token may be good for apps and not for who it is of.
    let me = or_left(me, "account", &mut Vec::new())?;
    Ok(Answers {
        app: found,
        me,
        config,
        formation,
        domains,
        buildpacks,
        collaborators: or_left(wished.0, "collaborators", &mut unread)?,
        addons: or_left(wished.1, "add-ons", &mut unread)?,
        attachments: or_left(wished.2, "attachments", &mut unread)?,
        drains: or_left(wished.3, "drains", &mut unread)?,
        features: or_left(wished.4, "features", &mut unread)?,
        endpoints: or_left(wished.5, "certificates", &mut unread)?,
        unread,
    })
}

fn explained(error: anyhow::Error, base: &Url, app: &str) -> anyhow::Error {
    let host = host(base);
    let advice = match refused(&error).map(|no| no.status) {
        Some(401) if is_heroku(base) => {
            "Give a token that is good there in HEROKU_API_KEY: `heroku auth:token` prints one."
        }
        Some(401) => "Give a token that is good there in PAAS_IMPORT_TOKEN.",
        Some(403) => "The token's account may not read all of the app. Use one of its owner.",
        Some(404) => {
            return Failure::new(format!(
                "There is no app {app} at {host} that this token may see"
            ))
            .advise("List those that there are with `heroku apps --all`, and check the name.")
            .into();
        }
        Some(429) => "It was asked too often within the hour. Try again later.",
        Some(_) => "Nothing was changed here. Try again.",
        None => return error,
    };
    Failure::new(error.to_string()).advise(advice).into()
}

fn describe(answers: Answers, whence: String) -> Described {
    let Answers { app, me, .. } = answers;
    let mut left = answers.unread;
    let ties = ties(&app.name, &answers.addons, &answers.attachments);
    for addon in &answers.addons {
        left.push(Item::new("add-on", &addon.plan.name, of_addon(addon)));
    }
    left.extend(foreign(&app.name, &answers.attachments));
    for endpoint in &answers.endpoints {
        let why = "its key cannot be read; paas certs:add CERT KEY, or paas certs:auto:enable";
        left.push(Item::new("certificate", &endpoint.name, why));
    }
    if app.maintenance {
        left.push(Item::new(
            "maintenance",
            "on",
            "the app here is not in maintenance",
        ));
    }
    let (drains, of_addons): (Vec<Drain>, Vec<Drain>) = answers
        .drains
        .into_iter()
        .partition(|drain| drain.addon.is_none());
    if !of_addons.is_empty() {
        let count = format!("{} of add-ons", of_addons.len());
        left.push(Item::new("drain", count, "the add-ons stay where they are"));
    }
    // The API orders by id, which says nothing to anybody.
    let mut formation: Vec<ProcessThere> = answers.formation.into_iter().map(process).collect();
    formation.sort_by(|a, b| a.process_type.cmp(&b.process_type));
    let has_certificates = app.acm == Some(true) || !answers.endpoints.is_empty();
    Described {
        kind: "heroku",
        whence,
        name: app.name,
        config: answers
            .config
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect(),
        ties,
        domains: answers.domains.into_iter().filter_map(domain).collect(),
        formation,
        buildpacks: answers.buildpacks.into_iter().map(buildpack).collect(),
        people: people(answers.collaborators, &me, &mut left),
        drains: drains.into_iter().filter_map(|drain| drain.url).collect(),
        session_affinity: answers
            .features
            .iter()
            .any(|feature| feature.name == "http-session-affinity" && feature.enabled),
        stack: app.build_stack.or(app.stack).map(|stack| stack.name),
        has_certificates,
        left,
    }
}

fn of_addon(addon: &Addon) -> String {
    let vars = match addon.config_vars.as_slice() {
        [] => String::new(),
        vars => format!(" with {}", vars.join(", ")),
    };
    format!("{} stays there{vars}; its data does too", addon.name)
}

/// Attachments of what other apps own: it is in no list of this app's add-ons.
fn foreign(app: &str, attachments: &[Attachment]) -> Vec<Item> {
    let mut seen = BTreeSet::new();
    let mut items = Vec::new();
    for attachment in attachments {
        let Some(owner) = attachment
            .addon
            .app
            .as_ref()
            .filter(|owner| owner.name != app)
        else {
            continue;
        };
        if seen.insert(&attachment.addon.name) {
            let why = format!(
                "it is attached as {}, and is of the app {}",
                attachment.name, owner.name
            );
            items.push(Item::new("add-on", &attachment.addon.name, why));
        }
    }
    items
}

/// Which config vars the add-ons have made.
fn ties(app: &str, addons: &[Addon], attachments: &[Attachment]) -> BTreeMap<String, Tie> {
    let mut ties = BTreeMap::new();
    for attachment in attachments {
        let of = &attachment.addon;
        let plan = addons.iter().find(|addon| addon.name == of.name);
        let owner = match (plan, &of.app) {
            (Some(addon), _) => format!("{} ({})", addon.plan.name, addon.name),
            (None, Some(owner)) if owner.name != app => {
                format!("{} of the app {}", of.name, owner.name)
            }
            (None, _) => of.name.clone(),
        };
        ties.insert(format!("{}_URL", attachment.name), Tie::Addon(owner));
    }
    for addon in addons {
        for var in &addon.config_vars {
            let owner = format!("{} ({})", addon.plan.name, addon.name);
            ties.insert(var.clone(), Tie::Addon(owner));
        }
    }
    ties
}

fn domain(domain: Domain) -> Option<DomainThere> {
    (domain.kind != "heroku").then_some(DomainThere {
        hostname: domain.hostname,
        target: domain.cname,
    })
}

fn process(formation: Formation) -> ProcessThere {
    let size = formation.dyno_size.map(|size| size.name).or(formation.size);
    ProcessThere {
        process_type: formation.process_type,
        quantity: formation.quantity,
        size: size.map_or(SizeThere::Any, SizeThere::Named),
    }
}

/// Official ones have a URN, others the address of an archive that the registry keeps.
fn buildpack(installed: Buildpack) -> String {
    let BuildpackName { name, url } = installed.buildpack;
    if url.contains("://") || url.starts_with("urn:") {
        url
    } else {
        name
    }
}

fn people(all: Vec<Collaborator>, me: &User, left: &mut Vec<Item>) -> Vec<PersonThere> {
    let mut people = Vec::new();
    for one in all {
        let email = one.user.email;
        let role = one.role.unwrap_or_default();
        if email.eq_ignore_ascii_case(&me.email) {
            continue;
        }
        // The address Heroku makes up for a team.
        if let Some(team) = email.strip_suffix("@herokumanager.com") {
            left.push(Item::new(
                "team",
                team,
                "the team itself is not imported; its people are added one by one",
            ));
            continue;
        }
        let has = |wanted: &&&str| {
            one.permissions
                .iter()
                .any(|permission| permission.name == **wanted)
        };
        let permission = PERMISSIONS.iter().find(has).copied();
        people.push(PersonThere {
            permission: if role == "owner" {
                Some("manage")
            } else {
                permission
            },
            name: email,
        });
    }
    people
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addon(name: &str, plan: &str, vars: &[&str]) -> Addon {
        Addon {
            name: name.to_owned(),
            plan: Named {
                name: plan.to_owned(),
            },
            config_vars: vars.iter().map(|var| (*var).to_owned()).collect(),
        }
    }

    fn attachment(name: &str, addon: &str, app: &str) -> Attachment {
        Attachment {
            name: name.to_owned(),
            addon: AttachedAddon {
                name: addon.to_owned(),
                app: Some(Named {
                    name: app.to_owned(),
                }),
            },
        }
    }

    #[test]
    fn config_vars_of_add_ons_are_known_by_the_add_on_and_by_its_attachments() {
        let addons = [
            addon(
                "postgresql-round-1",
                "heroku-postgresql:mini",
                &["HEROKU_POSTGRESQL_RED_URL"],
            ),
            addon(
                "sendgrid-flat-2",
                "sendgrid:starter",
                &["SENDGRID_USERNAME", "SENDGRID_PASSWORD"],
            ),
        ];
        let attachments = [
            attachment("DATABASE", "postgresql-round-1", "shop"),
            attachment("EVENTS", "kafka-long-3", "other"),
        ];
        let ties = ties("shop", &addons, &attachments);
        let owner = |var: &str| match ties.get(var) {
            Some(Tie::Addon(owner)) => Some(owner.as_str()),
            _ => None,
        };
        let database = Some("heroku-postgresql:mini (postgresql-round-1)");
        assert_eq!(owner("DATABASE_URL"), database);
        assert_eq!(owner("HEROKU_POSTGRESQL_RED_URL"), database);
        assert_eq!(
            owner("SENDGRID_PASSWORD"),
            Some("sendgrid:starter (sendgrid-flat-2)")
        );
        assert_eq!(owner("EVENTS_URL"), Some("kafka-long-3 of the app other"));
        assert_eq!(owner("DATABASE_POOL"), None);
        let foreign = foreign("shop", &attachments);
        assert_eq!(foreign.len(), 1);
        assert_eq!(foreign[0].name, "kafka-long-3");
    }

    #[test]
    fn people_keep_what_they_may_and_teams_are_told_of() {
        let person = |email: &str, role: &str, permissions: &[&str]| Collaborator {
            user: User {
                email: email.to_owned(),
            },
            role: Some(role.to_owned()),
            permissions: permissions
                .iter()
                .map(|name| Named {
                    name: (*name).to_owned(),
                })
                .collect(),
        };
        let mut left = Vec::new();
        let found = people(
            vec![
                person("me@x.com", "owner", &[]),
                person("chief@x.com", "owner", &[]),
                person("dev@x.com", "collaborator", &["view", "deploy"]),
                person("old@x.com", "collaborator", &[]),
                person("shops@herokumanager.com", "owner", &[]),
            ],
            &User {
                email: "Me@x.com".to_owned(),
            },
            &mut left,
        );
        let told: Vec<_> = found
            .iter()
            .map(|one| (one.name.as_str(), one.permission))
            .collect();
        assert_eq!(
            told,
            [
                ("chief@x.com", Some("manage")),
                ("dev@x.com", Some("deploy")),
                ("old@x.com", None)
            ]
        );
        assert_eq!((left.len(), left[0].name.as_str()), (1, "shops"));
    }
}
