//! What is to be done here for an app that is somewhere else. Pure: a description there, a description here, a plan.
//!
//! The plan only adds, unless it was asked to overwrite: whoever has changed something here since the last import meant
//! it. So an import that was broken off is mended by another, and another after that does nothing.

use std::collections::BTreeMap;

use controller_api::wire::{FormationChange, FormationUpdate, Quantity};
use controller_api::{ConfigVarName, DrainUrl, DynoSize, Email, Hostname, Secret};

use super::described::{Described, Item, PersonThere, ProcessThere, SizeThere, Tie};
use super::size;
use crate::args::Part;

/// What is here: the platform, and the app if there is one.
#[derive(Debug, Default)]
pub(super) struct Here {
    pub(super) email: String,
    pub(super) stacks: Vec<String>,
    /// Those that ship: `heroku/python`.
    pub(super) buildpacks: Vec<String>,
    pub(super) app: Option<AppHere>,
}

#[derive(Debug, Default)]
pub(super) struct AppHere {
    /// Owner and collaborators.
    pub(super) people: Vec<String>,
    pub(super) config: BTreeMap<String, Secret<String>>,
    pub(super) domains: Vec<String>,
    pub(super) formation: BTreeMap<String, (u32, DynoSize)>,
    /// Something was pushed: its process types are known.
    pub(super) has_code: bool,
    pub(super) buildpacks: Vec<String>,
    pub(super) drains: Vec<String>,
    pub(super) session_affinity: bool,
}

/// What of it is wanted.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) skip: Vec<Part>,
    pub(super) addon_vars: bool,
    pub(super) overwrite: bool,
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) app: String,
    pub(super) is_new: bool,
    pub(super) has_code: bool,
    /// In this order.
    pub(super) steps: Vec<Step>,
    /// What somebody has set here and loses by it.
    pub(super) overwritten: Vec<String>,
    /// What is otherwise here than there, and stays so.
    pub(super) kept: Vec<Item>,
    /// What has no place here, and why.
    pub(super) left: Vec<Item>,
    /// Config vars that the app will miss.
    pub(super) missing: Vec<String>,
}

/// One call, or one for all of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Create {
        stack: Option<String>,
    },
    Buildpacks(Vec<String>),
    Config(BTreeMap<String, Secret<String>>),
    /// With a remark on each, where there is one to make.
    Scale(Vec<Scaled>),
    Domain(String),
    Drain(Secret<String>),
    SessionAffinity,
    Person(PersonThere),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scaled {
    pub(super) process_type: String,
    pub(super) quantity: u32,
    pub(super) size: DynoSize,
    pub(super) note: Option<String>,
}

pub(super) fn plan(there: &Described, here: &Here, wanted: &Wanted) -> Plan {
    let mut planning = Planning {
        there,
        here,
        wanted,
        fresh: AppHere::default(),
        plan: Plan {
            app: wanted.name.clone(),
            is_new: here.app.is_none(),
            has_code: here.app.as_ref().is_some_and(|app| app.has_code),
            steps: Vec::new(),
            overwritten: Vec::new(),
            kept: Vec::new(),
            left: there.left.clone(),
            missing: Vec::new(),
        },
    };
    planning.stack();
    for part in PARTS.iter().filter(|part| !wanted.skip.contains(part)) {
        match part {
            Part::Buildpacks => planning.buildpacks(),
            Part::Config => planning.config(),
            Part::Formation => planning.formation(),
            Part::Features => planning.features(),
            Part::Domains => planning.domains(),
            Part::Drains => planning.drains(),
            Part::Collaborators => planning.people(),
        }
    }
    planning.plan
}

/// What needs nothing of the others first; what may be refused last.
const PARTS: [Part; 7] = [
    Part::Buildpacks,
    Part::Config,
    Part::Formation,
    Part::Features,
    Part::Domains,
    Part::Drains,
    Part::Collaborators,
];

struct Planning<'a> {
    there: &'a Described,
    here: &'a Here,
    wanted: &'a Wanted,
    /// What an app that is not there yet has: nothing.
    fresh: AppHere,
    plan: Plan,
}

impl Planning<'_> {
    fn app(&self) -> &AppHere {
        self.here.app.as_ref().unwrap_or(&self.fresh)
    }

    fn left(&mut self, kind: &'static str, name: impl Into<String>, why: impl Into<String>) {
        self.plan.left.push(Item::new(kind, name, why));
    }

    /// Whether what is here may be changed; else it is told that it stays.
    fn may_overwrite(&mut self, item: Item) -> bool {
        if self.wanted.overwrite {
            self.plan
                .overwritten
                .push(format!("{} {}", item.kind, item.name));
        } else {
            self.plan.kept.push(item);
        }
        self.wanted.overwrite
    }

    /// Once: the other side may say a thing twice, or in two spellings of which we know but one.
    fn step(&mut self, step: Step) {
        if !self.plan.steps.contains(&step) {
            self.plan.steps.push(step);
        }
    }

    fn stack(&mut self) {
        let known = |stack: &String| self.here.stacks.contains(stack);
        let stack = self.there.stack.as_ref();
        let unknown = stack.filter(|stack| !known(stack)).cloned();
        if let Some(stack) = unknown {
            let why = match (stack.as_str(), self.here.stacks.first()) {
                ("container", _) => {
                    "it was built from a Dockerfile; here a buildpack has to build it".to_owned()
                }
                (_, Some(ours)) => format!("there is no such stack here; it is built on {ours}"),
                (_, None) => "there is no such stack here".to_owned(),
            };
            self.left("stack", stack, why);
        }
        if self.here.app.is_none() {
            let stack = stack.filter(|stack| known(stack)).cloned();
            self.step(Step::Create { stack });
        }
    }

    fn buildpacks(&mut self) {
        let mut ours = Vec::new();
        let mut all_known = true;
        for (at, theirs) in self.there.buildpacks.iter().enumerate() {
            match buildpack(theirs, &self.here.buildpacks) {
                Ok(buildpack) => ours.push(buildpack),
                Err(why) => {
                    all_known = false;
                    let why = format!(
                        "{why}; once you have its git URL: paas buildpacks:add -i {} URL -a {}",
                        at + 1,
                        self.wanted.name
                    );
                    self.left("buildpack", without_secret(theirs), why);
                }
            }
        }
        let same =
            |one: &String| buildpack(one, &self.here.buildpacks).unwrap_or_else(|_| one.clone());
        let now: Vec<String> = self.app().buildpacks.iter().map(same).collect();
        if ours.is_empty() || ours == now {
            return;
        }
        // What is here more may well be what was advised for the one that is not known.
        if !all_known && !now.is_empty() {
            if !ours.iter().all(|one| now.contains(one)) {
                let why = format!(
                    "those here stay, since not all of theirs are known: paas buildpacks:set -a {}",
                    self.wanted.name
                );
                self.left("buildpacks", told(&ours), why);
            }
            return;
        }
        let differs = Item::new("buildpacks", told(&now), format!("{} there", told(&ours)));
        if now.is_empty() || self.may_overwrite(differs) {
            self.step(Step::Buildpacks(ours));
        }
    }

    fn config(&mut self) {
        let mut set = BTreeMap::new();
        for (name, value) in &self.there.config {
            // First: what is missing goes into a command that people paste.
            if let Err(error) = name.parse::<ConfigVarName>() {
                self.left(
                    "config var",
                    name,
                    format!("a config var's name {}", error.rule),
                );
                continue;
            }
            match self.there.ties.get(name) {
                Some(Tie::Platform(why)) => {
                    self.left("config var", name, why);
                    continue;
                }
                Some(Tie::Addon(owner)) if !self.wanted.addon_vars => {
                    self.left("config var", name, format!("it is of {owner}"));
                    if !self.app().config.contains_key(name) {
                        self.plan.missing.push(name.clone());
                    }
                    continue;
                }
                Some(Tie::Addon(_)) | None => {}
            }
            if value.expose().contains('\0') {
                self.left(
                    "config var",
                    name,
                    "its value has a NUL byte, which no environment variable can have",
                );
                continue;
            }
            let now = self.app().config.get(name);
            let is_new = now.is_none();
            if now == Some(value) {
                continue;
            }
            let differs = Item::new("config var", name, "it has another value there");
            if is_new || self.may_overwrite(differs) {
                set.insert(name.clone(), value.clone());
            }
        }
        if !set.is_empty() {
            self.step(Step::Config(set));
        }
    }

    fn formation(&mut self) {
        let mut scaled = Vec::new();
        for process in &self.there.formation {
            let named = |one: &Scaled| one.process_type == process.process_type;
            let Some(mut wanted) = scale(process).filter(|_| !scaled.iter().any(named)) else {
                continue;
            };
            let now = self.app().formation.get(&wanted.process_type).copied();
            // Where nobody has said how large, whoever has said so here is right.
            if let (SizeThere::Any, Some((_, size))) = (&process.size, now) {
                wanted.size = size;
            }
            let differs = |now: (u32, DynoSize)| now != (wanted.quantity, wanted.size);
            match now {
                Some(now) if differs(now) => {
                    let here = format!("{}={}:{}", wanted.process_type, now.0, now.1);
                    let item = Item::new("formation", here, format!("{} there", wanted.told()));
                    if self.may_overwrite(item) {
                        scaled.push(wanted);
                    }
                }
                Some(_) => {}
                None if self.app().has_code => {
                    if wanted.quantity > 0 {
                        self.left(
                            "formation",
                            wanted.told(),
                            "the code that was pushed here has no such process type",
                        );
                    }
                }
                None => scaled.push(wanted),
            }
        }
        if !scaled.is_empty() {
            self.step(Step::Scale(scaled));
        }
    }

    fn features(&mut self) {
        if self.there.session_affinity && !self.app().session_affinity {
            self.step(Step::SessionAffinity);
        }
    }

    fn domains(&mut self) {
        for domain in &self.there.domains {
            match domain.hostname.parse::<Hostname>() {
                Err(error) => self.left(
                    "domain",
                    &domain.hostname,
                    format!("a domain {}", error.rule),
                ),
                Ok(hostname)
                    if self
                        .app()
                        .domains
                        .iter()
                        .any(|has| has == hostname.as_str()) => {}
                Ok(hostname) => self.step(Step::Domain(hostname.to_string())),
            }
        }
    }

    fn drains(&mut self) {
        let here = self.app().drains.iter();
        let mut known: Vec<DrainUrl> = here.filter_map(|drain| drain.parse().ok()).collect();
        for drain in &self.there.drains {
            match drain.expose().parse::<DrainUrl>() {
                Err(error) => {
                    self.left("drain", without_secret(drain.expose()), error.to_string());
                }
                // The same may be written in several ways.
                Ok(url) if known.contains(&url) => {}
                Ok(url) => {
                    known.push(url);
                    self.step(Step::Drain(drain.clone()));
                }
            }
        }
    }

    fn people(&mut self) {
        for person in &self.there.people {
            let Ok(email) = person.name.parse::<Email>() else {
                let why = format!(
                    "the other side does not tell the e-mail address: paas access:add EMAIL -a {}",
                    self.wanted.name
                );
                self.left("collaborator", &person.name, why);
                continue;
            };
            let is_here = |known: &String| known.eq_ignore_ascii_case(email.as_str());
            if is_here(&self.here.email) || self.app().people.iter().any(is_here) {
                continue;
            }
            self.step(Step::Person(PersonThere {
                name: email.to_string(),
                permission: person.permission,
            }));
        }
    }
}

/// `None` where nothing would be said that is not so anyway.
fn scale(process: &ProcessThere) -> Option<Scaled> {
    let size = size::here(&process.size);
    let is_release = process.process_type == "release";
    let quantity = if is_release { 0 } else { process.quantity };
    let says_something = quantity > 0 || process.process_type == "web" || !size.is_usual();
    says_something.then(|| Scaled {
        process_type: process.process_type.clone(),
        quantity,
        size: size.size,
        note: size.note,
    })
}

impl Scaled {
    /// `web=2:Standard-1X`
    pub(super) fn told(&self) -> String {
        format!("{}={}:{}", self.process_type, self.quantity, self.size)
    }

    pub(super) fn update(&self) -> FormationUpdate {
        FormationUpdate {
            process_type: self.process_type.clone(),
            change: FormationChange {
                quantity: Some(Quantity::Exactly(self.quantity)),
                size: Some(self.size.to_string()),
            },
        }
    }
}

impl Step {
    /// What it makes, one by one, without what is secret.
    pub(super) fn items(&self, app: &str) -> Vec<Item> {
        let one = |kind, name: &str| vec![Item::new(kind, name, "")];
        match self {
            Self::Create { stack } => {
                let note = stack
                    .iter()
                    .map(|stack| format!("on {stack}"))
                    .collect::<String>();
                vec![Item::new("app", app, note)]
            }
            Self::Buildpacks(buildpacks) => one("buildpacks", &told(buildpacks)),
            Self::Config(vars) => vars
                .keys()
                .map(|name| Item::new("config var", name, ""))
                .collect(),
            Self::Scale(scaled) => scaled
                .iter()
                .map(|one| {
                    Item::new(
                        "formation",
                        one.told(),
                        one.note.clone().unwrap_or_default(),
                    )
                })
                .collect(),
            Self::Domain(hostname) => one("domain", hostname),
            Self::Drain(url) => one("drain", &without_secret(url.expose())),
            Self::SessionAffinity => one("feature", "http-session-affinity"),
            Self::Person(person) => {
                let may = person
                    .permission
                    .map(|permission| format!("may {permission}"));
                vec![Item::new(
                    "collaborator",
                    &person.name,
                    may.unwrap_or_default(),
                )]
            }
        }
    }
}

/// The buildpack that a name or URL of theirs is here.
fn buildpack(theirs: &str, shipped: &[String]) -> Result<String, String> {
    let theirs = theirs
        .strip_prefix("urn:buildpack:")
        .unwrap_or(theirs)
        .trim();
    if let Some((scheme, _)) = theirs.split_once("://") {
        return match scheme {
            "https" | "http" | "git" => Ok(theirs.to_owned()),
            _ => Err(format!("buildpacks are not fetched by {scheme} here")),
        };
    }
    let name = match theirs.split_once('/') {
        None => format!("heroku/{theirs}"),
        Some(_) => theirs.to_owned(),
    };
    if shipped.contains(&name) {
        return Ok(name);
    }
    // Heroku's other languages, from where Heroku develops them.
    let official = match name.strip_prefix("heroku/") {
        Some(language @ ("java" | "gradle" | "scala" | "clojure" | "php")) => language,
        Some("jvm") => "jvm-common",
        _ => return Err("there is no buildpack of this name here".to_owned()),
    };
    Ok(format!(
        "https://github.com/heroku/heroku-buildpack-{official}.git"
    ))
}

fn told(buildpacks: &[String]) -> String {
    let told: Vec<_> = buildpacks.iter().map(|one| without_secret(one)).collect();
    told.join(", ")
}

/// A URL without who logs in there, and without what it asks: both are used for tokens.
fn without_secret(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let rest = rest.split('?').next().unwrap_or_default();
    let end = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests;
