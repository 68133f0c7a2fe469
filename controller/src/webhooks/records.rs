//! What an app consists of, as far as webhooks are told of it: read once, and kept up by the store's changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::{
    AccountId, Acm, Actor, App, AppId, Build, BuildStatus, Collaborator, Domain, Dyno, DynoKind,
    DynoStatus, Email, Owner, ProcessType, Release, ReleaseVersion, Slug, SniEndpoint,
    WebhookEntity,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use store::{Event, Key, Store, StoreError, Table, Versioned, key};
use tracing::error;

use crate::context::Context;
use crate::find::{self, KnownDyno};
use crate::handlers;
use crate::owners::{self, Owned};
use crate::views;
use crate::views::domain::Certificates;

/// One thing that webhooks may be told of. Its id is the last segment of its record's key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Thing {
    pub(super) entity: WebhookEntity,
    pub(super) id: String,
}

/// What a changed record may have changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Touched {
    One(Thing),
    All(WebhookEntity),
}

#[derive(Debug)]
pub(super) struct Records {
    id: AppId,
    app: BTreeMap<String, App>,
    acm: BTreeMap<String, Acm>,
    builds: BTreeMap<String, Build>,
    collaborators: BTreeMap<String, Collaborator>,
    domains: BTreeMap<String, Domain>,
    dynos: BTreeMap<String, Dyno>,
    statuses: BTreeMap<String, DynoStatus>,
    endpoints: BTreeMap<String, SniEndpoint>,
    releases: BTreeMap<String, Release>,
    /// The slug of the target release.
    slug: Option<Slug>,
    emails: HashMap<AccountId, Email>,
    owner: Option<(Owner, Owned)>,
}

impl Records {
    pub(super) async fn load(store: &dyn Store, id: AppId) -> Result<Self, StoreError> {
        let mut records = Self {
            id,
            app: BTreeMap::new(),
            acm: BTreeMap::new(),
            builds: BTreeMap::new(),
            collaborators: BTreeMap::new(),
            domains: BTreeMap::new(),
            dynos: BTreeMap::new(),
            statuses: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            releases: BTreeMap::new(),
            slug: None,
            emails: HashMap::new(),
            owner: None,
        };
        for place in [key::app(id), key::acm(id)] {
            if let Some(entry) = store.get(&place).await? {
                records.apply(&Event::Put(entry));
            }
        }
        for prefix in [
            key::builds_of(id),
            key::collaborators_of(id),
            key::DOMAINS.prefix(),
            key::dynos_of(id),
            key::dyno_statuses_of(id),
            key::certificates_of(id),
            key::releases_of(id),
        ] {
            for entry in store.list(&prefix).await?.entries {
                records.apply(&Event::Put(entry));
            }
        }
        records.prepare(store).await?;
        Ok(records)
    }

    /// Takes a change in, and says what to look at again. Changes of other apps' records may come too.
    pub(super) fn apply(&mut self, event: &Event) -> Vec<Touched> {
        use WebhookEntity as E;
        let place = event.key();
        let one = |entity| {
            let id = place.name().to_owned();
            vec![Touched::One(Thing { entity, id })]
        };
        if key::DOMAINS.holds(place) {
            return match keep(&mut self.domains, &key::DOMAINS, event, |d| {
                d.app == self.id
            }) {
                true => one(E::Domain),
                false => Vec::new(),
            };
        }
        if place.app() != Some(self.id) {
            return Vec::new();
        }
        if key::APPS.holds(place) {
            keep(&mut self.app, &key::APPS, event, |_| true);
            return [one(E::App), vec![Touched::All(E::Formation)]].concat();
        }
        if key::ACM.holds(place) {
            keep(&mut self.acm, &key::ACM, event, |_| true);
            return one(E::App);
        }
        if key::DYNO_STATUS.holds(place) {
            keep(&mut self.statuses, &key::DYNO_STATUS, event, |_| true);
            return one(E::Dyno);
        }
        let (is_ours, entity) = if key::BUILDS.holds(place) {
            (
                keep(&mut self.builds, &key::BUILDS, event, |_| true),
                E::Build,
            )
        } else if key::COLLABORATORS.holds(place) {
            let kept = keep(&mut self.collaborators, &key::COLLABORATORS, event, |_| {
                true
            });
            (kept, E::Collaborator)
        } else if key::DYNOS.holds(place) {
            (keep(&mut self.dynos, &key::DYNOS, event, |_| true), E::Dyno)
        } else if key::CERTIFICATES.holds(place) {
            let kept = keep(&mut self.endpoints, &key::CERTIFICATES, event, |_| true);
            (kept, E::SniEndpoint)
        } else if key::RELEASES.holds(place) {
            (
                keep(&mut self.releases, &key::RELEASES, event, |_| true),
                E::Release,
            )
        } else {
            return Vec::new();
        };
        if is_ours { one(entity) } else { Vec::new() }
    }

    /// Reads what views need besides: to be called after changes, before anything is viewed.
    pub(super) async fn prepare(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let Some(app) = self.app() else { return Ok(()) };
        let target = self.release(app.target).and_then(|release| release.slug);
        let owner = app.owner;
        let accounts: Vec<_> = (self.collaborators.values().map(|c| c.account))
            .filter(|account| !self.emails.contains_key(account))
            .collect();
        if self.slug.as_ref().map(|slug| slug.id) != target {
            self.slug = find::slug(store, self.id, target).await?;
        }
        self.emails.extend(find::emails(store, accounts).await?);
        if self.owner.as_ref().map(|(known, _)| *known) != Some(owner) {
            let shown = owners::show(store, owner).await?;
            self.owner = shown.map(|shown| (owner, shown));
        }
        Ok(())
    }

    /// `None` once the app is destroyed.
    pub(super) fn app(&self) -> Option<&App> {
        self.app.values().next()
    }

    pub(super) fn has(&self, thing: &Thing) -> bool {
        let id = &thing.id;
        match thing.entity {
            WebhookEntity::App => self.app.contains_key(id),
            WebhookEntity::Build => self.builds.contains_key(id),
            WebhookEntity::Collaborator => self.collaborators.contains_key(id),
            WebhookEntity::Domain => self.domains.contains_key(id),
            WebhookEntity::Dyno => self.dynos.contains_key(id),
            WebhookEntity::Formation => self.types().any(|name| name.as_str() == id),
            WebhookEntity::Release => self.releases.contains_key(id),
            WebhookEntity::SniEndpoint => self.endpoints.contains_key(id),
        }
    }

    /// What there is of a kind.
    pub(super) fn ids(&self, entity: WebhookEntity) -> BTreeSet<String> {
        match entity {
            WebhookEntity::App => self.app.keys().cloned().collect(),
            WebhookEntity::Build => self.builds.keys().cloned().collect(),
            WebhookEntity::Collaborator => self.collaborators.keys().cloned().collect(),
            WebhookEntity::Domain => self.domains.keys().cloned().collect(),
            WebhookEntity::Dyno => self.dynos.keys().cloned().collect(),
            WebhookEntity::Formation => self.types().map(ToString::to_string).collect(),
            WebhookEntity::Release => self.releases.keys().cloned().collect(),
            WebhookEntity::SniEndpoint => self.endpoints.keys().cloned().collect(),
        }
    }

    /// The API's own view of it. `None` if it is not there, or cannot be shown.
    pub(super) fn view(
        &self,
        context: &Context,
        thing: &Thing,
    ) -> Result<Option<Value>, StoreError> {
        let Some(app) = self.app() else {
            return Ok(None);
        };
        let id = &thing.id;
        Ok(match thing.entity {
            WebhookEntity::App => self.owner.as_ref().map(|(_, owner)| {
                json(views::app::app(
                    &context.config,
                    app,
                    owner,
                    !self.acm.is_empty(),
                ))
            }),
            WebhookEntity::Build => match self.builds.get(id) {
                Some(build) => Some(json(self.build(context, build)?)),
                None => None,
            },
            WebhookEntity::Collaborator => self.collaborators.get(id).and_then(|collaborator| {
                let email = self.emails.get(&collaborator.account)?.clone();
                Some(json(views::collaborator::collaborator(
                    app,
                    collaborator,
                    email,
                )))
            }),
            WebhookEntity::Domain => self.domains.get(id).map(|domain| {
                let certificates = self.certificates();
                json(views::domain::domain(
                    &context.config,
                    app,
                    domain,
                    &certificates,
                ))
            }),
            WebhookEntity::Dyno => self.dynos.get(id).map(|dyno| {
                let known = KnownDyno {
                    dyno: Versioned {
                        key: key::dyno(self.id, dyno.id),
                        revision: 0,
                        value: dyno.clone(),
                    },
                    status: self.statuses.get(id).cloned(),
                };
                json(views::dyno::dyno(app, &known))
            }),
            WebhookEntity::Formation => self
                .types()
                .find(|name| name.as_str() == id)
                .map(|name| json(views::formation::formation(app, self.slug.as_ref(), name))),
            WebhookEntity::Release => {
                (self.releases.get(id)).map(|release| json(views::release::release(app, release)))
            }
            WebhookEntity::SniEndpoint => self.endpoints.get(id).map(|endpoint| {
                let ids = self.domains.values().map(|d| (d.hostname.clone(), d.id));
                json(views::certificate::endpoint(app, endpoint, &ids.collect()))
            }),
        })
    }

    /// Who did it, where a record says so; else the app's owner stands for whoever it was.
    pub(super) fn actor(&self, thing: &Thing) -> Option<Actor> {
        let of_record = match thing.entity {
            WebhookEntity::Build => self.builds.get(&thing.id).map(|build| &build.actor),
            WebhookEntity::Release => self.releases.get(&thing.id).map(|release| &release.actor),
            WebhookEntity::Dyno => self.dynos.get(&thing.id).and_then(|dyno| match &dyno.kind {
                DynoKind::OneOff(one_off) => Some(&one_off.requested_by),
                DynoKind::Formation | DynoKind::ReleasePhase => {
                    self.release(dyno.release).map(|release| &release.actor)
                }
            }),
            WebhookEntity::App
            | WebhookEntity::Collaborator
            | WebhookEntity::Domain
            | WebhookEntity::Formation
            | WebhookEntity::SniEndpoint => None,
        };
        of_record.cloned().or_else(|| {
            let (owner, shown) = self.owner.as_ref()?;
            Some(Actor {
                account: owner.as_user(),
                email: shown.email.clone(),
            })
        })
    }

    fn types(&self) -> impl Iterator<Item = &ProcessType> {
        let types = self
            .app()
            .map(|app| views::formation::types(app, self.slug.as_ref()));
        types.into_iter().flatten()
    }

    fn release(&self, version: ReleaseVersion) -> Option<&Release> {
        self.releases.get(key::release(self.id, version).name())
    }

    fn certificates(&self) -> Certificates {
        Certificates {
            endpoints: self.endpoints.values().cloned().collect(),
            acm: self.acm.values().next().cloned(),
            // It changes by itself; who wants to know it asks.
            progress: None,
        }
    }

    fn build(
        &self,
        context: &Context,
        build: &Build,
    ) -> Result<controller_api::wire::Build, StoreError> {
        let release = match build.status {
            BuildStatus::Succeeded { release, .. } => self.release(release).map(|r| r.id),
            BuildStatus::Pending | BuildStatus::Failed { .. } => None,
        };
        let url = handlers::builds::output_url(context, build)?;
        Ok(views::build::build(build, release, url))
    }
}

/// Puts in or takes out. Whether it was, or is, among those that are `ours`.
fn keep<T: Serialize + DeserializeOwned>(
    records: &mut BTreeMap<String, T>,
    table: &Table<T>,
    event: &Event,
    ours: impl Fn(&T) -> bool,
) -> bool {
    let place: &Key = event.key();
    let before = records.remove(place.name()).is_some();
    let Event::Put(entry) = event else {
        return before;
    };
    match table.decode(entry) {
        Ok(seen) if ours(&seen.value) => {
            records.insert(place.name().to_owned(), seen.value);
            true
        }
        Ok(_) => before,
        Err(error) => {
            // One app's misfortune: the others' webhooks go on.
            error!(error = &error as &dyn std::error::Error, key = %place, "A record cannot be read, and webhooks are not told of it");
            before
        }
    }
}

/// Views are plain structs of strings, numbers and lists: they cannot fail to be JSON.
fn json(view: impl Serialize) -> Value {
    serde_json::to_value(view).unwrap_or(Value::Null)
}
