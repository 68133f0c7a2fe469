//! What must hold after every commit, whatever goes wrong.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    App, AppId, Dyno, DynoId, DynoKind, NodeId, ReleaseStatus, ReleaseVersion, Resources, Revision,
    RouterId,
};
use scheduler::plan::Rules;
use scheduler::snapshot::{AppState, Snapshot};
use store::{Event, key};

use super::agent::Agent;
use super::router::Router;
use super::routes::{Before, RouteChange};
use super::store::{Logged, SimStore};
use super::{Millis, Violation};

/// The store as it is, and what was so at each commit.
#[derive(Debug, Default)]
pub(super) struct Truth {
    pub(super) now: Snapshot,
    seen: usize,
    /// Since which revision a router's record has been there.
    live_since: BTreeMap<RouterId, Revision>,
    /// When a dyno was taken out of its route.
    unrouted_at: BTreeMap<DynoId, Millis>,
    newest: BTreeMap<AppId, (ReleaseVersion, ReleaseVersion)>,
    /// The revision that last changed a node's record.
    edited: BTreeMap<NodeId, Revision>,
    /// And the one that last changed its heartbeat: came or went.
    beats: BTreeMap<NodeId, Revision>,
    /// Since when a node has had no heartbeat.
    missed_since: BTreeMap<NodeId, Millis>,
    routers_changed: Revision,
    /// Dynos in a route that every router was known to send requests to at some moment since they joined it.
    acknowledged: BTreeSet<DynoId>,
    /// What the scheduler knew that made the commit which is looked at.
    planned_from: Revision,
}

pub(super) struct Parts<'a> {
    pub(super) store: &'a SimStore,
    pub(super) agents: &'a [Agent],
    pub(super) routers: &'a [Router],
    pub(super) rules: &'a Rules,
    pub(super) at: Millis,
    /// What the newest commit was planned from, if it was planned.
    pub(super) planned_from: Option<Revision>,
}

impl Truth {
    /// Takes note of every commit since the last call, and checks each.
    pub(super) fn follow(&mut self, parts: &Parts<'_>) -> Result<(), Violation> {
        while self.seen < parts.store.log.len() {
            let logged = &parts.store.log[self.seen];
            self.planned_from = parts.planned_from.unwrap_or(self.now.revision);
            let of_nodes = logged.events.iter().map(Event::key);
            let nodes = of_nodes.filter(|key| key::NODES.holds(key));
            let revision = self.seen as Revision + 1;
            self.edited
                .extend(nodes.map(|key| (key.name().parse().unwrap(), revision)));
            let dynos_before: Vec<(DynoId, Option<Dyno>)> = logged
                .dynos
                .iter()
                .map(|change| {
                    let (id, app) = change.ids();
                    let state = self.now.apps.get(&app);
                    (
                        id,
                        state
                            .and_then(|s| s.dynos.get(&id))
                            .map(|d| d.value.clone()),
                    )
                })
                .collect();
            let routed_before: Vec<(AppId, Before)> = logged
                .routes
                .iter()
                .map(|change| {
                    let app = change.app();
                    let state = self.now.apps.get(&app);
                    let route = state.and_then(|state| state.route.as_ref());
                    let before = Before {
                        revision: route.map_or(0, |route| route.revision),
                        dynos: self.routed(app),
                    };
                    (app, before)
                })
                .collect();
            let apps_before = match parts.planned_from {
                Some(_) => self.apps_among(logged),
                None => Vec::new(),
            };
            self.now.apply(parts.store.changes(self.seen));
            self.seen += 1;
            for before in apps_before {
                self.check_wishes(&before)?;
            }
            self.note_beats(logged, parts.at);
            self.note_routers(logged);
            for (app, before) in routed_before {
                self.check_route(app, &before)?;
                let is = self.routed(app);
                let out = before.dynos.iter().filter(|dyno| !is.contains(dyno));
                let at = parts.at;
                self.unrouted_at.extend(out.map(|dyno| (*dyno, at)));
                for dyno in &is {
                    self.unrouted_at.remove(dyno);
                }
                for dyno in before.dynos.iter().filter(|dyno| !is.contains(dyno)) {
                    self.acknowledged.remove(dyno);
                }
            }
            for (id, before) in dynos_before {
                self.check_dyno(parts, id, before.as_ref())?;
            }
            let touched = self.now.take_touched();
            for app in touched.apps {
                self.check_app(app)?;
            }
            self.check_room(parts.rules)?;
        }
        Ok(())
    }

    fn routed(&self, app: AppId) -> Vec<DynoId> {
        let route = self
            .now
            .apps
            .get(&app)
            .and_then(|state| state.route.as_ref());
        let backends = route.iter().flat_map(|route| &route.value.backends);
        backends.map(|backend| backend.dyno).collect()
    }

    fn check_route(&self, id: AppId, before: &Before) -> Result<(), Violation> {
        let Some(state) = self.now.apps.get(&id) else {
            return Ok(());
        };
        let Some(app) = &state.app else { return Ok(()) };
        let change = RouteChange {
            truth: self,
            state,
            app: &app.value,
            before,
            planned_from: self.planned_from,
        };
        change.check()
    }

    fn note_beats(&mut self, logged: &Logged, at: Millis) {
        let keys = logged.events.iter().map(Event::key);
        for key in keys.filter(|key| key::ALIVE_NODES.holds(key)) {
            let node: NodeId = key.name().parse().unwrap();
            self.beats.insert(node, self.now.revision);
            match self.is_alive(node) {
                true => self.missed_since.remove(&node),
                false => self.missed_since.insert(node, at),
            };
        }
    }

    fn note_routers(&mut self, logged: &Logged) {
        let mut keys = logged.events.iter().map(Event::key);
        if keys.any(|key| key::ALIVE_ROUTERS.holds(key)) {
            self.routers_changed = self.now.revision;
        }
        let live = &self.now.routers;
        self.live_since.retain(|id, _| live.contains_key(id));
        for id in live.keys() {
            self.live_since.entry(*id).or_insert(self.now.revision);
        }
        for state in self.now.apps.values() {
            let Some(route) = &state.route else { continue };
            if self.have_acknowledged(route.revision) {
                let routed = route.value.backends.iter().map(|backend| backend.dyno);
                self.acknowledged.extend(routed);
            }
        }
    }

    /// Whether all routers that are there route by `revision` or a later one; with none, nobody does otherwise.
    pub(super) fn have_acknowledged(&self, revision: Revision) -> bool {
        let mut routers = self.now.routers.values();
        routers.all(|router| router.applied >= revision)
    }

    pub(super) fn was_acknowledged(&self, dyno: &Dyno) -> bool {
        self.acknowledged.contains(&dyno.id)
    }

    pub(super) const fn routers_changed(&self) -> Revision {
        self.routers_changed
    }

    /// The revision that last changed the node's heartbeat.
    pub(super) fn beat(&self, node: NodeId) -> Revision {
        self.beats.get(&node).copied().unwrap_or(0)
    }

    /// The revision that last changed the node's record.
    pub(super) fn edited(&self, node: NodeId) -> Revision {
        self.edited.get(&node).copied().unwrap_or(0)
    }

    fn check_dyno(
        &self,
        parts: &Parts<'_>,
        id: DynoId,
        before: Option<&Dyno>,
    ) -> Result<(), Violation> {
        let mut states = self.now.apps.values();
        let Some((state, dyno)) =
            states.find_map(|state| Some((state, &state.dynos.get(&id)?.value)))
        else {
            return Ok(());
        };
        let was_placed = before.is_some_and(|before| before.node.is_some());
        if let Some(node) = dyno.node.filter(|_| !was_placed) {
            self.check_placement(parts, state, dyno, node)?;
        }
        if before.is_some_and(|before| before.replace) && !dyno.replace {
            return violated(format!("the wish to restart {} is lost", dyno.name));
        }
        let was_stopping = before.is_none_or(Dyno::is_stopping);
        if dyno.is_stopping() && !was_stopping && state.app.is_some() {
            self.check_stop(parts, dyno)?;
        }
        Ok(())
    }

    /// A dyno is placed on a node that is alive, in a slot that nobody else fills who is.
    fn check_placement(
        &self,
        parts: &Parts<'_>,
        state: &AppState,
        dyno: &Dyno,
        node: NodeId,
    ) -> Result<(), Violation> {
        if !self.is_alive(node) {
            return violated(format!("{} is placed on a node that is gone", dyno.name));
        }
        if !matches!(dyno.kind, DynoKind::Formation) {
            return Ok(());
        }
        let Some(app) = &state.app else { return Ok(()) };
        let dynos = state.dynos.values().map(|other| &other.value);
        for rival in dynos.filter(|other| other.id != dyno.id && claims_slot(dyno, other)) {
            let Some(on) = rival.node else { continue };
            if self.keeps(&app.value, rival, on) {
                return violated(format!(
                    "{} is filled twice: {} and {}",
                    dyno.name, rival.id, dyno.id
                ));
            }
            if self.is_given_up_early(parts, on) && self.suits(&app.value, rival, on) {
                return violated(format!("{} is replaced before its node is lost", dyno.name));
            }
        }
        Ok(())
    }

    /// Whether the node has been missed for less than the time after which it counts as lost.
    fn is_given_up_early(&self, parts: &Parts<'_>, node: NodeId) -> bool {
        let wait = u64::try_from(parts.rules.dead_after.as_millis()).unwrap();
        let since = self.missed_since.get(&node);
        // One that has come and gone since it was planned was lost when it was.
        let is_news = self.edited(node).max(self.beat(node)) > self.planned_from;
        !is_news && since.is_some_and(|since| parts.at < since + wait)
    }

    /// The apps whose record a commit writes, as they were.
    fn apps_among(&self, logged: &Logged) -> Vec<App> {
        let keys = logged.events.iter().map(Event::key);
        let ids = keys.filter(|key| key::APPS.holds(key));
        let states = ids.filter_map(|key| self.now.apps.get(&key.name().parse().unwrap()));
        states
            .filter_map(|state| Some(state.app.as_ref()?.value.clone()))
            .collect()
    }

    /// A step of the scheduler's leaves what people asked for as it is.
    fn check_wishes(&self, before: &App) -> Result<(), Violation> {
        let app = self.now.apps.get(&before.id);
        let Some(app) = app.and_then(|state| state.app.as_ref()) else {
            return violated(format!("{} is gone", before.name));
        };
        let wishes = |app: &App| (app.formation.clone(), app.placement.clone(), app.latest);
        match wishes(&app.value) == wishes(before) {
            true => Ok(()),
            false => violated(format!("what was asked of {} is lost", before.name)),
        }
    }

    pub(super) fn is_alive(&self, node: NodeId) -> bool {
        let node = self.now.nodes.get(&node);
        node.is_some_and(|node| node.alive.is_some())
    }

    /// Whether the dyno may stay on the node. A leader may not have heard yet of what an operator has just done to it.
    fn keeps(&self, app: &App, dyno: &Dyno, node: NodeId) -> bool {
        let is_news = self.edited(node) > self.planned_from;
        self.is_alive(node) && !is_news && self.suits(app, dyno, node)
    }

    /// Whether the node has what is asked for, and nobody wants it empty.
    pub(super) fn suits(&self, app: &App, dyno: &Dyno, node: NodeId) -> bool {
        let tags = app.placement.tags_for(&dyno.name.process_type);
        let state = self.now.nodes.get(&node);
        let record = state.and_then(|state| state.node.as_ref());
        record.is_some_and(|node| {
            let has = |(name, value)| node.tags.get(name) == Some(value);
            !node.draining && tags.iter().all(has)
        })
    }

    /// A dyno that runs is told to stop when no router that counts may send it a request, and none is in flight.
    fn check_stop(&self, parts: &Parts<'_>, dyno: &Dyno) -> Result<(), Violation> {
        let agent = parts
            .agents
            .iter()
            .find(|agent| Some(agent.id) == dyno.node);
        let runs = agent.is_some_and(|agent| agent.runs(dyno.id));
        let node_alive = dyno.node.is_some_and(|node| self.is_alive(node));
        if !dyno.is_web() || !runs || !node_alive {
            return Ok(());
        }
        if self.routed(dyno.app).contains(&dyno.id) {
            return violated(format!("{} is told to stop and in its route", dyno.name));
        }
        let rules = Rules::for_domain("paas.test");
        let patience = u64::try_from(rules.drain_for.as_millis()).unwrap();
        let unrouted_at = self.unrouted_at.get(&dyno.id);
        let was_patient = unrouted_at.is_none_or(|at| parts.at >= at + patience);
        for router in parts
            .routers
            .iter()
            .filter(|router| router.process.is_some())
        {
            let Some(since) = self.live_since.get(&router.id) else {
                continue;
            };
            // One that has only just come (back) was not known of, and could not be waited for.
            if self.planned_from < *since || router.applied < *since {
                continue;
            }
            if router.routes_to(dyno.id) {
                return violated(format!(
                    "{} is told to stop while a router routes to it",
                    dyno.name
                ));
            }
            if router.is_busy_with(dyno.id) && !was_patient {
                return violated(format!(
                    "{} is told to stop while it answers a request",
                    dyno.name
                ));
            }
        }
        Ok(())
    }

    fn check_app(&mut self, id: AppId) -> Result<(), Violation> {
        let Some(state) = self.now.apps.get(&id) else {
            return Ok(());
        };
        let Some(app) = state.app.as_ref().map(|app| &app.value) else {
            return Ok(());
        };
        for backend in state.route.iter().flat_map(|route| &route.value.backends) {
            match state.dynos.get(&backend.dyno) {
                Some(dyno) if !dyno.value.is_stopping() => {}
                _ => {
                    return violated(format!(
                        "the route names {}, which was replaced",
                        backend.name
                    ));
                }
            }
        }
        let release = state.release(app.current);
        if release.is_some_and(|release| matches!(release.status, ReleaseStatus::Failed(_))) {
            return violated(format!("the failed release {} is current", app.current));
        }
        let newest = self.newest.entry(id).or_insert((app.latest, app.current));
        if app.latest < newest.0 || app.current < newest.1 {
            return violated(format!("{} went back", app.name));
        }
        *newest = (app.latest, app.current);
        Ok(())
    }

    /// No node is promised more than it has.
    fn check_room(&self, rules: &Rules) -> Result<(), Violation> {
        for state in self.now.nodes.values() {
            let Some(node) = &state.node else { continue };
            let cpu_millis = u64::from(node.cpus) * 10 * u64::from(rules.cpu_overcommit_percent);
            let capacity = Resources {
                memory_bytes: node.memory_bytes,
                cpu_millis,
            };
            let reserved = state.dynos.values().map(|dyno| dyno.reserved);
            if !capacity.holds(reserved.fold(Resources::default(), Resources::plus)) {
                return violated(format!("{} has more dynos than room", node.name));
            }
        }
        Ok(())
    }
}

/// Whether the other is meant to run in the dyno's slot, as far as that is for the two of them to say.
fn claims_slot(dyno: &Dyno, other: &Dyno) -> bool {
    other.name == dyno.name
        && other.release_id == dyno.release_id
        && other.size == dyno.size
        && matches!(other.kind, DynoKind::Formation)
        && !other.is_stopping()
        && !other.replace
}

fn violated<T>(what: String) -> Result<T, Violation> {
    Err(Violation(what))
}
