//! What the planner looks at: every record it decides by, typed, kept up to date change by change.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    App, AppId, Dyno, DynoId, DynoStatus, Hostname, Node, NodeHeartbeat, NodeId, Release,
    ReleaseVersion, Revision, Route, RouterId, RouterReport, Slug, SlugId, Timestamp,
};
use store::{Entry, Event, Key, StoreError, Update, Versioned, key};
use tracing::error;

use crate::plan::{Shortage, Unplaceable};

/// The platform as of one store revision.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub revision: Revision,
    pub apps: BTreeMap<AppId, AppState>,
    pub nodes: BTreeMap<NodeId, NodeState>,
    pub routers: BTreeMap<RouterId, RouterReport>,
    domains: BTreeMap<Key, (AppId, Hostname)>,
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
}

/// What the planner must remember between looks, because no record holds it. A new leader starts it afresh: a timer
/// that ran while somebody else led proves nothing.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// Since when a node with dynos has had no heartbeat.
    pub node_gone: BTreeMap<NodeId, Timestamp>,
    /// Since when there has been no router at all.
    pub routers_gone: Option<Timestamp>,
    /// Since when a web dyno has been out of its app's route.
    pub unrouted: BTreeMap<DynoId, Timestamp>,
    /// Since when a dyno has found no place.
    pub unplaced: BTreeMap<DynoId, Timestamp>,
    /// What was said of the lack of a place, of dynos that still have none.
    pub told_short: BTreeMap<DynoId, Unplaceable>,
    /// Dynos that every router was seen to send requests to, and that have not left their route since. A later change of
    /// the route, still on its way to the routers, takes nothing from that.
    pub acknowledged: BTreeSet<DynoId>,
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
    ]
}

impl Snapshot {
    /// Brings the snapshot to the update's revision. A record that cannot be read is logged and treated as absent, so
    /// that it hurts only what it belongs to.
    pub fn apply(&mut self, update: Update) {
        match update {
            Update::Snapshot { revision, entries } => {
                *self = Self::default();
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
            self.app(dyno.value.app).dynos.insert(dyno.value.id, dyno);
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
            self.nodes.entry(id).or_default().alive = Some(heartbeat);
        } else if key::NODES.holds(key) {
            let node = key::NODES.decode(entry)?.value;
            let id = node.id;
            self.nodes.entry(id).or_default().node = Some(node);
        } else if key::ALIVE_ROUTERS.holds(key) {
            let report = key::ALIVE_ROUTERS.decode(entry)?.value;
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
            if let Ok(id) = key.name().parse()
                && let Some(node) = self.nodes.get_mut(&id)
            {
                node.alive = None;
            }
        } else if key::NODES.holds(key) {
            if let Ok(id) = key.name().parse::<NodeId>()
                && let Some(node) = self.nodes.get_mut(&id)
            {
                node.node = None;
            }
        } else if key::ALIVE_ROUTERS.holds(key) {
            if let Ok(id) = key.name().parse() {
                self.routers.remove(&id);
            }
        } else if let Some(id) = app_segment(key) {
            self.delete_of_app(id, key);
            self.forget_if_empty(id);
        }
        self.nodes
            .retain(|_, node| node.node.is_some() || node.alive.is_some());
    }

    fn delete_of_app(&mut self, id: AppId, key: &Key) {
        let app = self.app(id);
        if key::APPS.holds(key) {
            app.app = None;
        } else if key::RELEASES.holds(key) {
            app.releases.retain(|_, release| release.key != *key);
        } else if key::SLUGS.holds(key) {
            if let Ok(slug) = key.name().parse() {
                app.slugs.remove(&slug);
            }
        } else if key::DYNOS.holds(key) {
            app.dynos.retain(|_, dyno| dyno.key != *key);
        } else if key::DYNO_STATUS.holds(key) {
            app.statuses.retain(|_, status| status.key != *key);
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
        self.apps.entry(id).or_default()
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

impl Memory {
    /// Starts and stops the timers by what the snapshot shows.
    pub fn observe(&mut self, snapshot: &Snapshot, now: Timestamp) {
        let nodes_in_use: BTreeSet<NodeId> = snapshot
            .apps
            .values()
            .flat_map(|app| app.dynos.values().filter_map(|dyno| dyno.value.node))
            .collect();
        let gone = |id: &NodeId| {
            snapshot
                .nodes
                .get(id)
                .is_none_or(|node| node.alive.is_none())
        };
        self.node_gone
            .retain(|id, _| nodes_in_use.contains(id) && gone(id));
        for id in nodes_in_use.into_iter().filter(gone) {
            self.node_gone.entry(id).or_insert(now);
        }

        self.routers_gone = snapshot
            .routers
            .is_empty()
            .then(|| self.routers_gone.unwrap_or(now));

        let unrouted: BTreeSet<DynoId> = snapshot
            .apps
            .values()
            .flat_map(|app| {
                let routed = |id: &DynoId| {
                    app.route
                        .as_ref()
                        .is_some_and(|r| r.value.backends.iter().any(|b| b.dyno == *id))
                };
                app.dynos.keys().copied().filter(move |id| !routed(id))
            })
            .collect();
        self.unrouted.retain(|id, _| unrouted.contains(id));
        for id in unrouted {
            self.unrouted.entry(id).or_insert(now);
        }

        let routes = || snapshot.apps.values().filter_map(|app| app.route.as_ref());
        let routed: BTreeSet<DynoId> = routes()
            .flat_map(|route| route.value.backends.iter().map(|b| b.dyno))
            .collect();
        self.acknowledged.retain(|id| routed.contains(id));
        if let Some(applied) = snapshot.routers.values().map(|router| router.applied).min() {
            let in_force = routes().filter(|route| route.revision <= applied);
            self.acknowledged
                .extend(in_force.flat_map(|route| route.value.backends.iter().map(|b| b.dyno)));
        }

        let unplaced: BTreeSet<DynoId> = snapshot
            .apps
            .values()
            .flat_map(|app| {
                app.dynos
                    .values()
                    .filter(|d| d.value.node.is_none())
                    .map(|d| d.value.id)
            })
            .collect();
        self.unplaced.retain(|id, _| unplaced.contains(id));
        self.told_short.retain(|id, _| unplaced.contains(id));
        for id in unplaced {
            self.unplaced.entry(id).or_insert(now);
        }
    }

    /// The shortage's note is being written: not again, then, until the dyno is placed or the reason is another.
    pub fn tell(&mut self, shortage: &Shortage) {
        self.told_short
            .insert(shortage.dyno, shortage.reason.clone());
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
