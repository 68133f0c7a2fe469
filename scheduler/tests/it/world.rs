//! A whole platform in one thread: a store, a scheduler that sees it late, agents, routers and users, all driven by one
//! seeded random number generator. Every run can be replayed from its seed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::release::{ReleaseDraft, append};
use model::{
    AccountId, Actor, App, AppId, Dyno, DynoId, DynoKind, DynoName, DynoSize, DynoState,
    DynoStatus, Exit, ExitReason, Formation, Intent, LogLine, Node, NodeHeartbeat, NodeId, Owner,
    ProcessType, Release, ReleaseStatus, ReleaseVersion, Revision, Route, RouterId, RouterReport,
    Slug, SlugId, Timestamp,
};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use scheduler::plan::{Ids, Rules};
use scheduler::planner::Planner;
use store::{
    Commit, Committed, Compare, Entry, Event, Key, Op, Table, Txn, Update, WatchBatch, key,
};

pub(super) struct World {
    pub(super) random: StdRng,
    pub(super) now: Timestamp,
    kv: BTreeMap<Key, Entry>,
    log: Vec<WatchBatch>,
    pub(super) scheduler: SimScheduler,
    pub(super) routers: Vec<SimRouter>,
    pub(super) containers: BTreeMap<DynoId, Container>,
    pub(super) app: AppId,
    /// Releases whose web dynos crash at boot.
    bad: BTreeSet<ReleaseVersion>,
    next_port: u16,
    /// What the scheduler wrote in the app's log.
    pub(super) told: Vec<LogLine>,
}

pub(super) struct SimScheduler {
    seen: usize,
    wrote: usize,
    pub(super) planner: Planner,
    rules: Rules,
}

pub(super) struct SimRouter {
    id: RouterId,
    seen: usize,
    applied: Revision,
    pub(super) table: BTreeMap<AppId, Route>,
    pub(super) in_flight: BTreeMap<DynoId, u32>,
}

#[derive(Debug, Clone)]
pub(super) struct Container {
    node: NodeId,
    boots_in: u32,
    pub(super) up: bool,
    restarts: u32,
}

struct SeededIds<'a>(&'a mut StdRng);

impl Ids for SeededIds<'_> {
    fn dyno(&mut self) -> DynoId {
        DynoId::from_uuid(uuid::Uuid::from_u128(self.0.random()))
    }
}

pub(super) const WEB: &str = "web";

impl World {
    pub(super) fn new(seed: u64, nodes: u32, routers: u32) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let app = AppId::from_uuid(uuid::Uuid::from_u128(random.random()));
        let mut world = Self {
            random,
            now,
            kv: BTreeMap::new(),
            log: Vec::new(),
            scheduler: SimScheduler {
                seen: 0,
                wrote: 0,
                planner: Planner::default(),
                rules: Rules::for_domain("paas.test"),
            },
            routers: Vec::new(),
            containers: BTreeMap::new(),
            app,
            bad: BTreeSet::new(),
            next_port: 10_000,
            told: Vec::new(),
        };
        for index in 0..nodes {
            world.add_node(index);
        }
        for _ in 0..routers {
            let id = RouterId::from_uuid(uuid::Uuid::from_u128(world.random.random()));
            world.routers.push(SimRouter {
                id,
                seen: 0,
                applied: 0,
                table: BTreeMap::new(),
                in_flight: BTreeMap::new(),
            });
        }
        for index in 0..world.routers.len() {
            world.report(index);
        }
        world.create_app();
        world
    }

    // Users.

    fn create_app(&mut self) {
        let app = App {
            id: self.app,
            name: "ticks".parse().unwrap(),
            owner: Owner::Account(AccountId::from_uuid(uuid::Uuid::nil())),
            locked: false,
            created_at: self.now,
            updated_at: self.now,
            released_at: None,
            stack: "heroku-24".to_owned(),
            maintenance: false,
            buildpacks: Vec::new(),
            formation: BTreeMap::new(),
            placement: Default::default(),
            routing: Default::default(),
            latest: ReleaseVersion(0),
            target: ReleaseVersion(0),
            current: ReleaseVersion(0),
            repo_size: None,
            slug_size: None,
        };
        let draft = ReleaseDraft {
            description: "Initial release".to_owned(),
            actor: actor(),
            slug: None,
        };
        let (app, release) = append(&app, draft, model::release::Pages::default(), self.now);
        let txn = Txn::new()
            .create(&key::APPS, key::app(app.id), &app)
            .create(
                &key::RELEASES,
                key::release(app.id, release.version),
                &release,
            );
        self.must(txn);
    }

    /// A push: a new slug and a release of it; `types` is its Procfile.
    pub(super) fn deploy(&mut self, types: &[&str], good: bool) -> ReleaseVersion {
        let slug = Slug {
            id: SlugId::from_uuid(uuid::Uuid::from_u128(self.random.random())),
            app: self.app,
            checksum: "0".repeat(64).parse().unwrap(),
            size: 1,
            unpacked_size: 1,
            commit: None,
            commit_description: None,
            language: None,
            process_types: types
                .iter()
                .map(|t| (t.parse().unwrap(), format!("run {t}")))
                .collect(),
            stack: "heroku-24".to_owned(),
            created_at: self.now,
        };
        let (slug_id, first) = (
            slug.id,
            !self.app().formation.contains_key(&ProcessType::web()),
        );
        let also = Txn::new().create(&key::SLUGS, key::slug(self.app, slug.id), &slug);
        self.release(Some(slug_id), good, also, |app| {
            if first && types.contains(&WEB) {
                app.formation.insert(
                    ProcessType::web(),
                    Formation {
                        quantity: 1,
                        size: DynoSize::default(),
                    },
                );
            }
        })
    }

    /// A config change: the same slug once more.
    pub(super) fn config_set(&mut self, good: bool) -> ReleaseVersion {
        let base = self.app().target;
        let slug = self.release_at(base).and_then(|release| release.slug);
        self.release(slug, good, Txn::new(), |_| {})
    }

    fn release(
        &mut self,
        slug: Option<SlugId>,
        good: bool,
        also: Txn,
        edit: impl FnOnce(&mut App),
    ) -> ReleaseVersion {
        let mut base = self.app();
        let replaced = self.release_at(base.target);
        edit(&mut base);
        let draft = ReleaseDraft {
            description: "Deploy".to_owned(),
            actor: actor(),
            slug,
        };
        let (app, release) = append(&base, draft, model::release::Pages::default(), self.now);
        let mut txn = also.put(&key::APPS, key::app(app.id), &app).create(
            &key::RELEASES,
            key::release(app.id, release.version),
            &release,
        );
        if let Some(replaced) = replaced.filter(|release| release.status.is_pending()) {
            let status = ReleaseStatus::Superseded {
                by: release.version,
            };
            let key = key::release(app.id, replaced.version);
            txn = txn.put(&key::RELEASES, key, &Release { status, ..replaced });
        }
        self.must(txn);
        if !good {
            self.bad.insert(release.version);
        }
        release.version
    }

    pub(super) fn scale(&mut self, process_type: &str, quantity: u32) {
        self.scale_to(process_type, quantity, DynoSize::default());
    }

    pub(super) fn scale_to(&mut self, process_type: &str, quantity: u32, size: DynoSize) {
        let mut app = self.app();
        let formation = Formation { quantity, size };
        app.formation
            .insert(process_type.parse().unwrap(), formation);
        self.must(Txn::new().put(&key::APPS, key::app(app.id), &app));
    }

    pub(super) fn restart_all(&mut self) {
        for dyno in self.dynos().into_iter().filter(|dyno| !dyno.is_stopping()) {
            let key = key::dyno(dyno.app, dyno.id);
            self.must(Txn::new().put(
                &key::DYNOS,
                key,
                &Dyno {
                    replace: true,
                    ..dyno
                },
            ));
        }
    }

    pub(super) fn destroy(&mut self) {
        let mut txn = Txn::new().delete(key::app(self.app));
        for key in self.keys(&key::releases_of(self.app)) {
            txn = txn.delete(key);
        }
        for key in self.keys(&key::slugs_of(self.app)) {
            txn = txn.delete(key);
        }
        self.must(txn);
    }

    // Machines.

    pub(super) fn add_node(&mut self, index: u32) {
        self.put_node(index, false, false);
    }

    /// As an administrator does.
    pub(super) fn cordon(&mut self, index: u32) {
        self.put_node(index, true, false);
    }

    pub(super) fn drain(&mut self, index: u32, draining: bool) {
        self.put_node(index, false, draining);
    }

    /// As an administrator does; the node keeps no other tags.
    pub(super) fn tag_node(&mut self, index: u32, tag: &str) {
        let key = key::node(node_id(index));
        let mut node = self.read(&key::NODES, &key).unwrap();
        node.tags = model::placement::parse_tag(tag).into_iter().collect();
        self.must(Txn::new().put(&key::NODES, key, &node));
    }

    /// As its operator does.
    pub(super) fn shrink_node(&mut self, index: u32, memory_bytes: u64) {
        let key = key::node(node_id(index));
        let mut node = self.read(&key::NODES, &key).unwrap();
        node.memory_bytes = memory_bytes;
        self.must(Txn::new().put(&key::NODES, key, &node));
    }

    /// As an app's owner does.
    pub(super) fn place(&mut self, edit: impl FnOnce(&mut model::Placement)) {
        let mut app = self.app();
        edit(&mut app.placement);
        self.must(Txn::new().put(&key::APPS, key::app(app.id), &app));
    }

    pub(super) fn ask_to_rebalance(&mut self) {
        let request = model::RebalanceRequest {
            requested_at: self.now,
            requested_by: actor(),
        };
        self.must(Txn::new().put(&key::REBALANCE, key::rebalance(), &request));
    }

    pub(super) fn rebalance_progress(&self) -> Option<model::RebalanceProgress> {
        self.read(&key::REBALANCE_PROGRESS, &key::rebalance_progress())
    }

    /// It ran on the first node, and its agent has said how it ended.
    pub(super) fn one_off_that_ended(&mut self, is_kept: bool) -> DynoId {
        let (app, id) = (
            self.app(),
            DynoId::from_uuid(uuid::Uuid::from_u128(self.random.random())),
        );
        let dyno = Dyno {
            id,
            app: app.id,
            app_name: app.name.clone(),
            name: DynoName::new("run".parse().unwrap(), 1000 + u32::from(is_kept)),
            kind: DynoKind::OneOff(model::dyno::OneOff {
                env: model::Sealed::from_bytes(Vec::new()),
                attach: None,
                time_to_live_secs: 3600,
                requested_by: actor(),
                is_kept,
            }),
            release: app.current,
            release_id: model::ReleaseId::from_uuid(uuid::Uuid::nil()),
            node: Some(node_id(0)),
            command: "true".to_owned(),
            size: model::DynoSize::default(),
            intent: Intent::Run,
            replace: false,
            created_at: self.now,
        };
        let status = DynoStatus {
            dyno: id,
            app: app.id,
            node: node_id(0),
            state: DynoState::Stopped {
                at: self.now,
                exit: None,
            },
            restarts: 0,
            updated_at: self.now,
        };
        let txn = Txn::new()
            .put(&key::DYNOS, key::dyno(app.id, id), &dyno)
            .put(&key::DYNO_STATUS, key::dyno_status(app.id, id), &status);
        self.must(txn);
        id
    }

    /// Whoever waited for its end has seen it.
    pub(super) fn let_go(&mut self, id: DynoId) {
        let key = key::dyno(self.app().id, id);
        let mut dyno = self.read(&key::DYNOS, &key).unwrap();
        dyno.intent = Intent::Stop { since: self.now };
        self.must(Txn::new().put(&key::DYNOS, key, &dyno));
    }

    /// How many dynos of the formation are there.
    pub(super) fn dynos_on(&self, index: u32) -> usize {
        let id = node_id(index);
        let dynos = self.dynos();
        dynos.iter().filter(|dyno| dyno.node == Some(id)).count()
    }

    /// How many dynos are known to have no place.
    pub(super) fn told_short(&self) -> usize {
        let apps = self.scheduler.planner.memory.apps.values();
        apps.map(|app| app.told_short.len()).sum()
    }

    fn put_node(&mut self, index: u32, cordoned: bool, draining: bool) {
        let id = node_id(index);
        let node = Node {
            id,
            name: format!("node{index}"),
            address: "127.0.0.1".parse().unwrap(),
            roles: [model::HostRole::Node].into(),
            zone: None,
            tags: BTreeMap::new(),
            memory_bytes: 16 << 30,
            cpus: 4,
            cordoned,
            draining,
            joined_at: self.now,
        };
        let alive = NodeHeartbeat {
            node: id,
            version: "1".to_owned(),
            started_at: self.now,
        };
        let txn = Txn::new().put(&key::NODES, key::node(id), &node).put(
            &key::ALIVE_NODES,
            key::alive_node(id),
            &alive,
        );
        self.must(txn);
    }

    /// The node's lease lapses and its containers die.
    pub(super) fn kill_node(&mut self, index: u32) {
        let id = node_id(index);
        self.must(Txn::new().delete(key::alive_node(id)));
        self.containers.retain(|_, container| container.node != id);
    }

    /// As an administrator does, once it is down.
    pub(super) fn remove_node(&mut self, index: u32) {
        self.must(Txn::new().delete(key::node(node_id(index))));
    }

    /// One thing happens somewhere.
    pub(super) fn step(&mut self) {
        self.now += jiff::SignedDuration::from_millis(self.random.random_range(1..400));
        match self.random.random_range(0..10) {
            0..=2 => self.schedule(),
            3..=5 => self.agents(),
            6..=8 => {
                let index = self.random.random_range(0..self.routers.len().max(1));
                if index < self.routers.len() {
                    self.route(index);
                }
            }
            _ => self.traffic(),
        }
    }

    /// The scheduler looks, and the agents do as they are told.
    pub(super) fn look(&mut self) {
        self.now += jiff::SignedDuration::from_millis(50);
        self.schedule();
        self.agents();
    }

    /// The routers apply all there is.
    pub(super) fn hear(&mut self) {
        for index in 0..self.routers.len() {
            while self.routers[index].seen < self.log.len() {
                self.route(index);
            }
        }
    }

    /// How often routes were written.
    pub(super) fn route_writes(&self) -> usize {
        let events = self.log.iter().flat_map(|batch| &batch.events);
        events
            .filter(|event| key::ROUTES.holds(event.key()))
            .count()
    }

    /// Everything runs, in order, until nothing changes for a while.
    pub(super) fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..4000 {
            let before = self.revision();
            self.now += jiff::SignedDuration::from_millis(250);
            self.schedule();
            self.agents();
            for index in 0..self.routers.len() {
                self.routers[index].in_flight.clear();
                self.route(index);
            }
            quiet = if self.revision() == before {
                quiet + 1
            } else {
                0
            };
            if quiet > 200 {
                return;
            }
        }
        panic!("the platform does not come to rest");
    }

    fn schedule(&mut self) {
        // It may see an old revision, but never one before its own last write.
        let newest = self.log.len();
        let least = self.scheduler.seen.max(self.scheduler.wrote);
        let seen = self.random.random_range(least..=newest);
        for batch in &self.log[self.scheduler.seen..seen] {
            let update = Update::Changes {
                revision: batch.revision,
                events: batch.events.clone(),
            };
            self.scheduler.planner.apply(update);
        }
        self.scheduler.seen = seen;
        let scheduler = &mut self.scheduler;
        let planned = scheduler.planner.look_at_all(
            &scheduler.rules,
            self.now,
            &mut SeededIds(&mut self.random),
        );
        for shortage in planned.shortages {
            self.told.push(shortage.note);
        }
        for change in planned.changes {
            let commit = change.txn.into_commit().unwrap();
            assert!(commit.ops.len() <= store::MAX_COMMIT_OPS);
            if let Committed::Done(revision) = self.commit(commit) {
                self.scheduler.wrote = revision as usize;
                self.told.extend(change.notes);
                self.check_stops();
            }
        }
    }

    fn agents(&mut self) {
        for dyno in self.dynos() {
            let Some(node) = dyno.node else { continue };
            if !self.kv.contains_key(&key::alive_node(node)) {
                continue;
            }
            if self.random.random_bool(0.3) {
                continue;
            }
            self.tend(&dyno, node);
        }
        let wanted: BTreeSet<DynoId> = self.dynos().iter().map(|dyno| dyno.id).collect();
        self.containers.retain(|id, _| wanted.contains(id));
    }

    fn tend(&mut self, dyno: &Dyno, node: NodeId) {
        let status = self.read(&key::DYNO_STATUS, &key::dyno_status(dyno.app, dyno.id));
        if dyno.is_stopping() {
            if !matches!(status.map(|s| s.state), Some(DynoState::Stopped { .. })) {
                self.containers.remove(&dyno.id);
                self.set_status(
                    dyno,
                    node,
                    DynoState::Stopped {
                        at: self.now,
                        exit: None,
                    },
                    0,
                );
            }
            return;
        }
        let boots_in = self.random.random_range(0..4);
        let container = self.containers.entry(dyno.id).or_insert(Container {
            node,
            boots_in,
            up: false,
            restarts: 0,
        });
        if container.up {
            return;
        }
        if container.boots_in > 0 {
            container.boots_in -= 1;
            let restarts = container.restarts;
            self.set_status(
                dyno,
                node,
                DynoState::Starting { since: self.now },
                restarts,
            );
            return;
        }
        let restarts = container.restarts;
        if self.bad.contains(&dyno.release) {
            container.restarts += 1;
            let exit = Exit {
                reason: ExitReason::Exited { status: 1 },
                log_tail: vec!["boom".to_owned()],
            };
            let state = DynoState::Crashed {
                at: self.now,
                exit,
                retry_at: self.now,
            };
            self.set_status(dyno, node, state, restarts);
        } else {
            container.up = true;
            self.next_port += 1;
            let addr = dyno
                .is_web()
                .then(|| ([127, 0, 0, 1], self.next_port).into());
            self.set_status(
                dyno,
                node,
                DynoState::Up {
                    since: self.now,
                    addr,
                },
                restarts,
            );
        }
    }

    fn set_status(&mut self, dyno: &Dyno, node: NodeId, state: DynoState, restarts: u32) {
        let status = DynoStatus {
            dyno: dyno.id,
            app: dyno.app,
            node,
            state,
            restarts,
            updated_at: self.now,
        };
        let key = key::dyno_status(dyno.app, dyno.id);
        self.must(Txn::new().put(&key::DYNO_STATUS, key, &status));
    }

    /// A router applies some of the changes it has not seen, and says so.
    fn route(&mut self, index: usize) {
        let newest = self.log.len();
        let until = self.random.random_range(self.routers[index].seen..=newest);
        let router = &mut self.routers[index];
        let mut changed = false;
        for batch in &self.log[router.seen..until] {
            for event in batch
                .events
                .iter()
                .filter(|event| key::ROUTES.holds(event.key()))
            {
                changed = true;
                match event {
                    Event::Put(entry) => {
                        let route = key::ROUTES.decode(entry).unwrap().value;
                        router.table.insert(route.app, route);
                    }
                    Event::Delete { key, .. } => {
                        router.table.remove(&key.name().parse().unwrap());
                    }
                }
            }
        }
        if changed {
            // As a real router: revisions that change no route are not worth a report.
            router.applied = self.log[until - 1].revision;
        }
        router.seen = until;
        self.report(index);
    }

    fn report(&mut self, index: usize) {
        let router = &self.routers[index];
        let routed: BTreeSet<DynoId> = router
            .table
            .values()
            .flat_map(|route| route.backends.iter().map(|b| b.dyno))
            .collect();
        let draining = router
            .in_flight
            .iter()
            .filter(|(id, _)| !routed.contains(id))
            .map(|(k, v)| (*k, *v))
            .collect();
        let report = RouterReport {
            id: router.id,
            applied: router.applied,
            certificates: 0,
            draining,
            started_at: self.now,
            about: Default::default(),
        };
        let key = key::alive_router(router.id);
        let same = self
            .read(&key::ALIVE_ROUTERS, &key)
            .is_some_and(|old| (old.applied, &old.draining) == (report.applied, &report.draining));
        if !same {
            self.must(Txn::new().put(&key::ALIVE_ROUTERS, key, &report));
        }
    }

    /// Requests begin and end.
    fn traffic(&mut self) {
        for index in 0..self.routers.len() {
            let backends: Vec<DynoId> = self.routers[index]
                .table
                .values()
                .flat_map(|route| route.backends.iter().map(|backend| backend.dyno))
                .collect();
            for id in &backends {
                let container = self.containers.get(id);
                assert!(
                    container.is_some_and(|container| container.up),
                    "a router sends requests to {id}, which does not run"
                );
            }
            let router = &mut self.routers[index];
            if let Some(id) = backends.first() {
                *router.in_flight.entry(*id).or_default() += 1;
            }
            let ends: Vec<DynoId> = router.in_flight.keys().copied().collect();
            for id in ends {
                if self.random.random_bool(0.5) {
                    router.in_flight.remove(&id);
                }
            }
            self.report(index);
        }
    }

    /// Invariant: nobody is told to stop who may still get, or is still answering, a request.
    fn check_stops(&self) {
        let drain = jiff::SignedDuration::try_from(self.scheduler.rules.drain_for).unwrap();
        for dyno in self.dynos().iter().filter(|dyno| dyno.is_stopping()) {
            let model::Intent::Stop { since } = dyno.intent else {
                continue;
            };
            let runs = self
                .containers
                .get(&dyno.id)
                .is_some_and(|container| container.up);
            if since != self.now || !runs || !self.kv.contains_key(&key::app(dyno.app)) {
                continue;
            }
            for router in &self.routers {
                let routed = router
                    .table
                    .values()
                    .any(|r| r.backends.iter().any(|b| b.dyno == dyno.id));
                assert!(
                    !routed,
                    "{} was told to stop while a router still routes to it",
                    dyno.name
                );
                let memory = &self.scheduler.planner.memory.apps[&dyno.app];
                let unrouted = memory.unrouted.get(&dyno.id);
                let patient = unrouted.is_some_and(|at| self.now.duration_since(*at) >= drain);
                let busy = router.in_flight.contains_key(&dyno.id);
                assert!(
                    !busy || patient,
                    "{} was told to stop while it answers a request",
                    dyno.name
                );
            }
        }
    }

    // The store.

    pub(super) fn app(&self) -> App {
        self.read(&key::APPS, &key::app(self.app)).unwrap()
    }

    pub(super) fn release_at(&self, version: ReleaseVersion) -> Option<Release> {
        self.read(&key::RELEASES, &key::release(self.app, version))
    }

    pub(super) fn dynos(&self) -> Vec<Dyno> {
        self.keys(&key::DYNOS.prefix())
            .iter()
            .map(|k| self.read(&key::DYNOS, k).unwrap())
            .collect()
    }

    pub(super) fn statuses(&self) -> Vec<DynoStatus> {
        let keys = self.keys(&key::DYNO_STATUS.prefix());
        keys.iter()
            .map(|k| self.read(&key::DYNO_STATUS, k).unwrap())
            .collect()
    }

    pub(super) fn keys(&self, prefix: &Key) -> Vec<Key> {
        self.kv
            .keys()
            .filter(|key| key.starts_with(prefix))
            .cloned()
            .collect()
    }

    pub(super) fn later(&mut self, wait: Duration) {
        self.now += jiff::SignedDuration::try_from(wait).unwrap();
    }

    pub(super) fn read<T: serde::Serialize + serde::de::DeserializeOwned>(
        &self,
        table: &Table<T>,
        key: &Key,
    ) -> Option<T> {
        self.kv
            .get(key)
            .map(|entry| table.decode(entry).unwrap().value)
    }

    fn revision(&self) -> Revision {
        self.log.len() as Revision
    }

    pub(super) fn must(&mut self, txn: Txn) {
        let committed = self.commit(txn.into_commit().unwrap());
        assert!(matches!(committed, Committed::Done(_)));
    }

    fn commit(&mut self, commit: Commit) -> Committed {
        let holds = commit.compares.iter().all(|compare| match compare {
            Compare::Revision { key, revision } => self
                .kv
                .get(key)
                .is_some_and(|entry| entry.revision == *revision),
            Compare::Absent { key } => !self.kv.contains_key(key),
            Compare::Exists { key } => self.kv.contains_key(key),
        });
        if !holds {
            return Committed::Conflict;
        }
        let revision = self.revision() + 1;
        let mut events = Vec::new();
        for op in commit.ops {
            match op {
                Op::Put { key, value, .. } => {
                    let entry = Entry {
                        key: key.clone(),
                        value,
                        revision,
                    };
                    self.kv.insert(key, entry.clone());
                    events.push(Event::Put(entry));
                }
                Op::Delete { key } => {
                    if self.kv.remove(&key).is_some() {
                        events.push(Event::Delete { key, revision });
                    }
                }
            }
        }
        self.log.push(WatchBatch { revision, events });
        Committed::Done(revision)
    }
}

pub(super) fn node_id(index: u32) -> NodeId {
    NodeId::from_uuid(uuid::Uuid::from_u128(u128::from(index) + 1))
}

pub(super) fn actor() -> Actor {
    Actor {
        account: AccountId::from_uuid(uuid::Uuid::nil()),
        email: "a@b.c".parse().unwrap(),
    }
}
