//! What the planner looks at: every record it decides by, typed, kept up to date change by change.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use model::{
    App, AppId, BuildPlace, BuildRequest, BuilderReport, Dyno, DynoId, DynoStatus, Hostname, Node,
    NodeHeartbeat, NodeId, RebalanceProgress, RebalanceRequest, Release, ReleaseVersion, Resources,
    Revision, Route, RouterId, RouterReport, ServiceId, Slug, SlugId,
};
use store::{Entry, Event, Key, StoreError, Update, Versioned, key};
use tracing::error;

/// The platform as of one store revision.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub revision: Revision,
    pub apps: BTreeMap<AppId, AppState>,
    pub nodes: BTreeMap<NodeId, NodeState>,
    pub routers: BTreeMap<RouterId, RouterReport>,
    /// Somebody wants the nodes' loads evened out.
    pub rebalance: Option<Versioned<RebalanceRequest>>,
    pub rebalance_progress: Option<RebalanceProgress>,
    pub builders: BTreeMap<ServiceId, Versioned<BuilderReport>>,
    /// Builds that run, or are to.
    pub build_requests: BTreeMap<AppId, Versioned<BuildRequest>>,
    pub build_places: BTreeMap<AppId, Versioned<BuildPlace>>,
    domains: BTreeMap<Key, (AppId, Hostname)>,
    touched: Touched,
}

/// What has changed since it was last asked: who plans need look at nothing else.
#[derive(Debug, Clone, Default)]
pub struct Touched {
    /// Everything is new.
    pub all: bool,
    pub apps: BTreeSet<AppId>,
    pub nodes: BTreeSet<NodeId>,
    /// Nodes that have been heard of, though they may be gone again.
    pub heard_of: BTreeSet<NodeId>,
    pub routers: bool,
}

/// Everything about one app. Parts outlive the app itself until they are swept.
#[derive(Debug, Clone, Default)]
pub struct AppState {
    pub app: Option<Versioned<App>>,
    pub releases: BTreeMap<ReleaseVersion, Versioned<Release>>,
    pub slugs: BTreeMap<SlugId, Slug>,
    pub dynos: BTreeMap<DynoId, Versioned<Dyno>>,
    pub statuses: BTreeMap<DynoId, Versioned<DynoStatus>>,
    pub route: Option<Versioned<Route>>,
    pub domains: BTreeSet<Hostname>,
}

#[derive(Debug, Clone, Default)]
pub struct NodeState {
    pub node: Option<Node>,
    /// Its heartbeat, while its lease lives.
    pub alive: Option<Versioned<NodeHeartbeat>>,
    /// Every dyno placed on it, those that are stopping too: they hold their memory until they are gone.
    pub dynos: BTreeMap<DynoId, OnNode>,
    /// What they reserve together.
    pub reserved: Resources,
}

/// A dyno as its node's books have it.
#[derive(Debug, Clone, Copy)]
pub struct OnNode {
    pub app: AppId,
    pub reserved: Resources,
    /// It is meant to run on.
    pub runs: bool,
}

/// The tables the planner follows.
pub fn followed() -> Vec<Key> {
    vec![
        key::APPS.prefix(),
        key::RELEASES.prefix(),
        key::SLUGS.prefix(),
        key::DYNOS.prefix(),
        key::DYNO_STATUS.prefix(),
        key::ROUTES.prefix(),
        key::DOMAINS.prefix(),
        key::NODES.prefix(),
        key::ALIVE_NODES.prefix(),
        key::ALIVE_ROUTERS.prefix(),
        key::BUILD_REQUESTS.prefix(),
        key::BUILD_PLACES.prefix(),
        key::ALIVE_BUILDERS.prefix(),
        key::REBALANCE.prefix(),
        key::REBALANCE_PROGRESS.prefix(),
    ]
}

impl Snapshot {
    /// Brings the snapshot to the update's revision. A record that cannot be read is logged and treated as absent, so
    /// that it hurts only what it belongs to.
    pub fn apply(&mut self, update: Update) {
        match update {
            Update::Snapshot { revision, entries } => {
                *self = Self::default();
                self.touched.all = true;
                for entry in &entries {
                    self.put(entry);
                }
                self.revision = revision;
            }
            Update::Changes { revision, events } => {
                for event in &events {
                    match event {
                        Event::Put(entry) => self.put(entry),
                        Event::Delete { key, .. } => self.delete(key),
                    }
                }
                self.revision = self.revision.max(revision);
            }
        }
    }

    fn put(&mut self, entry: &Entry) {
        if let Err(error) = self.try_put(entry) {
            error!(error = &error as &dyn std::error::Error, key = %entry.key, "Left out an unreadable record");
            self.delete(&entry.key);
        }
    }

    fn try_put(&mut self, entry: &Entry) -> Result<(), StoreError> {
        let key = &entry.key;
        if key::APPS.holds(key) {
            let app = key::APPS.decode(entry)?;
            let id = app.value.id;
            self.app(id).app = Some(app);
        } else if key::RELEASES.holds(key) {
            let release = key::RELEASES.decode(entry)?;
            let version = release.value.version;
            self.app(release.value.app)
                .releases
                .insert(version, release);
        } else if key::SLUGS.holds(key) {
            let slug = key::SLUGS.decode(entry)?.value;
            self.app(slug.app).slugs.insert(slug.id, slug);
        } else if key::DYNOS.holds(key) {
            let dyno = key::DYNOS.decode(entry)?;
            self.put_dyno(dyno);
        } else if key::DYNO_STATUS.holds(key) {
            let status = key::DYNO_STATUS.decode(entry)?;
            self.app(status.value.app)
                .statuses
                .insert(status.value.dyno, status);
        } else if key::ROUTES.holds(key) {
            let route = key::ROUTES.decode(entry)?;
            let id = route.value.app;
            self.app(id).route = Some(route);
        } else if key::DOMAINS.holds(key) {
            let domain = key::DOMAINS.decode(entry)?.value;
            self.delete(key);
            self.app(domain.app).domains.insert(domain.hostname.clone());
            self.domains
                .insert(key.clone(), (domain.app, domain.hostname));
        } else if key::ALIVE_NODES.holds(key) {
            let heartbeat = key::ALIVE_NODES.decode(entry)?;
            let id = heartbeat.value.node;
            self.node(id).alive = Some(heartbeat);
            self.touched.heard_of.insert(id);
        } else if key::NODES.holds(key) {
            let node = key::NODES.decode(entry)?.value;
            let id = node.id;
            self.node(id).node = Some(node);
        } else if key::BUILD_REQUESTS.holds(key) {
            let request = key::BUILD_REQUESTS.decode(entry)?;
            self.build_requests.insert(request.value.app, request);
        } else if key::BUILD_PLACES.holds(key) {
            let place = key::BUILD_PLACES.decode(entry)?;
            self.build_places.insert(place.value.app, place);
        } else if key::ALIVE_BUILDERS.holds(key) {
            let builder = key::ALIVE_BUILDERS.decode(entry)?;
            self.builders.insert(builder.value.id, builder);
        } else if key::REBALANCE.holds(key) {
            self.rebalance = Some(key::REBALANCE.decode(entry)?);
            // Whoever asked for it waits.
            self.touched.all = true;
        } else if key::REBALANCE_PROGRESS.holds(key) {
            self.rebalance_progress = Some(key::REBALANCE_PROGRESS.decode(entry)?.value);
        } else if key::ALIVE_ROUTERS.holds(key) {
            let report = key::ALIVE_ROUTERS.decode(entry)?.value;
            self.touched.routers = true;
            self.routers.insert(report.id, report);
        }
        Ok(())
    }

    fn delete(&mut self, key: &Key) {
        if key::DOMAINS.holds(key) {
            if let Some((app, hostname)) = self.domains.remove(key) {
                self.app(app).domains.remove(&hostname);
                self.forget_if_empty(app);
            }
        } else if key::ALIVE_NODES.holds(key) {
            if let Ok(id) = key.name().parse() {
                self.node(id).alive = None;
                self.forget_if_nothing(id);
            }
        } else if key::NODES.holds(key) {
            if let Ok(id) = key.name().parse() {
                self.node(id).node = None;
                self.forget_if_nothing(id);
            }
        } else if key::BUILD_REQUESTS.holds(key) {
            if let Ok(app) = key.name().parse() {
                self.build_requests.remove(&app);
            }
        } else if key::BUILD_PLACES.holds(key) {
            if let Ok(app) = key.name().parse() {
                self.build_places.remove(&app);
            }
        } else if key::ALIVE_BUILDERS.holds(key) {
            if let Ok(id) = key.name().parse() {
                self.builders.remove(&id);
            }
        } else if key::REBALANCE.holds(key) {
            self.rebalance = None;
        } else if key::REBALANCE_PROGRESS.holds(key) {
            self.rebalance_progress = None;
        } else if key::ALIVE_ROUTERS.holds(key) {
            if let Ok(id) = key.name().parse() {
                self.routers.remove(&id);
                self.touched.routers = true;
            }
        } else if let Some(id) = app_segment(key) {
            self.delete_of_app(id, key);
            self.forget_if_empty(id);
        }
    }

    fn delete_of_app(&mut self, id: AppId, key: &Key) {
        if key::DYNOS.holds(key) {
            if let Ok(dyno) = key.name().parse()
                && let Some(gone) = self.app(id).dynos.remove(&dyno)
            {
                self.leave_node(&gone.value);
            }
            return;
        }
        let app = self.app(id);
        if key::APPS.holds(key) {
            app.app = None;
        } else if key::RELEASES.holds(key) {
            app.releases.retain(|_, release| release.key != *key);
        } else if key::SLUGS.holds(key) {
            if let Ok(slug) = key.name().parse() {
                app.slugs.remove(&slug);
            }
        } else if key::DYNO_STATUS.holds(key) {
            if let Ok(dyno) = key.name().parse() {
                app.statuses.remove(&dyno);
            }
        } else if key::ROUTES.holds(key) {
            app.route = None;
        }
    }

    fn forget_if_empty(&mut self, id: AppId) {
        if self.apps.get(&id).is_some_and(AppState::is_empty) {
            self.apps.remove(&id);
        }
    }

    fn app(&mut self, id: AppId) -> &mut AppState {
        self.touched.apps.insert(id);
        self.apps.entry(id).or_default()
    }

    fn node(&mut self, id: NodeId) -> &mut NodeState {
        self.touched.nodes.insert(id);
        self.nodes.entry(id).or_default()
    }

    fn forget_if_nothing(&mut self, id: NodeId) {
        let is_nothing =
            |node: &NodeState| node.node.is_none() && node.alive.is_none() && node.dynos.is_empty();
        if self.nodes.get(&id).is_some_and(is_nothing) {
            self.nodes.remove(&id);
        }
    }

    fn put_dyno(&mut self, dyno: Versioned<Dyno>) {
        let (id, app, node) = (dyno.value.id, dyno.value.app, dyno.value.node);
        let entry = OnNode {
            app,
            reserved: dyno.value.size.resources(),
            runs: !dyno.value.is_stopping(),
        };
        if let Some(before) = self.app(app).dynos.insert(id, dyno) {
            self.leave_node(&before.value);
        }
        if let Some(node) = node {
            let state = self.nodes.entry(node).or_default();
            state.reserved = state.reserved.plus(entry.reserved);
            state.dynos.insert(id, entry);
        }
    }

    fn leave_node(&mut self, dyno: &Dyno) {
        let Some(node) = dyno.node else { return };
        if let Some(state) = self.nodes.get_mut(&node)
            && let Some(entry) = state.dynos.remove(&dyno.id)
        {
            state.reserved = state.reserved.minus(entry.reserved);
        }
        self.forget_if_nothing(node);
    }

    /// What has changed since the last call.
    pub fn take_touched(&mut self) -> Touched {
        mem::take(&mut self.touched)
    }
}

impl AppState {
    fn is_empty(&self) -> bool {
        self.app.is_none()
            && self.releases.is_empty()
            && self.slugs.is_empty()
            && self.dynos.is_empty()
            && self.statuses.is_empty()
            && self.route.is_none()
            && self.domains.is_empty()
    }

    pub fn release(&self, version: ReleaseVersion) -> Option<&Release> {
        self.releases.get(&version).map(|release| &release.value)
    }

    pub fn slug_of(&self, release: &Release) -> Option<&Slug> {
        self.slugs.get(&release.slug?)
    }

    pub fn status(&self, dyno: DynoId) -> Option<&DynoStatus> {
        self.statuses.get(&dyno).map(|status| &status.value)
    }
}

impl Snapshot {
    /// Builds that have a place, and run there or are about to.
    pub fn placed_builds(&self) -> impl Iterator<Item = (&BuildRequest, ServiceId, NodeId)> {
        self.build_requests.iter().filter_map(|(app, request)| {
            let place = &self.build_places.get(app)?.value;
            let (builder, host) = place.given().filter(|_| place.answers(&request.value))?;
            Some((&request.value, builder, host))
        })
    }
}

/// The app id in `/paas/v1/<table>/<app>[/…]`.
fn app_segment(key: &Key) -> Option<AppId> {
    key.as_str()
        .strip_prefix(key::ROOT)?
        .split('/')
        .nth(1)?
        .parse()
        .ok()
}
