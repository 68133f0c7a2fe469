//! All parts together, what goes wrong between them, and the passing of time.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use model::{AppId, Node, NodeId, ReleaseVersion, Revision, RouterId};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use scheduler::plan::Rules;
use store::{Committed, Op, Txn, key};

use super::agent::Agent;
use super::candidate::Candidate;
use super::check::{Parts, Truth};
use super::link::{Answer, Ask, Link};
use super::router::Router;
use super::store::SimStore;
use super::{Millis, Mutation, Violation};

pub(super) struct World {
    pub(super) random: StdRng,
    pub(super) now: Millis,
    pub(super) rules: Rules,
    pub(super) mutation: Option<Mutation>,
    pub(super) store: SimStore,
    pub(super) candidates: Vec<Candidate>,
    pub(super) agents: Vec<Agent>,
    pub(super) routers: Vec<Router>,
    pub(super) truth: Truth,
    pub(super) apps: Vec<AppId>,
    /// Releases whose web dynos crash at boot.
    pub(super) bad: BTreeSet<(AppId, ReleaseVersion)>,
}

const ZONES: [&str; 3] = ["a", "b", "c"];

impl World {
    pub(super) fn new(seed: u64, mutation: Option<Mutation>) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let loss = [0.0, 0.01, 0.05][random.random_range(0..3)];
        let late = [100, 1_000, 12_000][random.random_range(0..3)];
        let link = || Link::new(loss, late);
        let nodes = random.random_range(3..6);
        // Room for all that is ever wanted, and either for much more or for little more.
        let memory_bytes = [5 << 30, 5 << 29][random.random_range(0..2)];
        let id = |index: u128| uuid::Uuid::from_u128(index + 1);
        let mut rules = Rules::for_domain("paas.test");
        if let Some(mutation) = mutation {
            mutation.bend(&mut rules);
        }
        let mut world = Self {
            now: 0,
            rules,
            mutation,
            store: SimStore::default(),
            candidates: (0..2).map(|index| Candidate::new(index, link())).collect(),
            agents: (0..nodes)
                .map(|index| Agent::new(NodeId::from_uuid(id(index)), index as u16, link()))
                .collect(),
            routers: (0..2)
                .map(|index| Router::new(RouterId::from_uuid(id(index)), link()))
                .collect(),
            truth: Truth::default(),
            apps: Vec::new(),
            bad: BTreeSet::new(),
            random,
        };
        for index in 0..world.agents.len() {
            let node = Node {
                id: world.agents[index].id,
                name: format!("h{index}"),
                address: "127.0.0.1".parse().unwrap(),

                roles: [model::HostRole::Node].into(),
                zone: Some(ZONES[index % ZONES.len()].to_owned()),
                tags: match index {
                    0 | 1 => BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]),
                    _ => BTreeMap::new(),
                },
                memory_bytes,
                cpus: 4,
                cordoned: false,
                draining: false,
                joined_at: super::epoch(),
            };
            world.must(Txn::new().put(&key::NODES, key::node(node.id), &node));
        }
        world.create_app("ticks");
        world.create_app("tocks");
        world
    }

    /// Somebody's commit that nothing gets in the way of.
    pub(super) fn must(&mut self, txn: Txn) {
        let committed = self.store.commit(txn.into_commit().unwrap());
        assert!(matches!(committed, Committed::Done(_)), "a user's commit");
        self.follow(None)
            .unwrap_or_else(|Violation(what)| panic!("a user's commit: {what}"));
    }

    fn follow(&mut self, planned_from: Option<Revision>) -> Result<(), Violation> {
        self.truth.follow(&Parts {
            store: &self.store,
            agents: &self.agents,
            routers: &self.routers,
            rules: &self.rules,
            at: self.now,
            planned_from,
        })
    }

    /// A moment passes, and everybody does something.
    pub(super) fn step(&mut self) -> Result<(), Violation> {
        self.now += self.random.random_range(20..250);
        self.store.tick(self.now);
        self.follow(None)?;
        self.deliver()?;
        for index in 0..self.agents.len() {
            if self.random.random_bool(0.7) {
                self.agents[index].act(&self.store, &self.bad, self.now, &mut self.random);
            }
        }
        for index in 0..self.routers.len() {
            if self.random.random_bool(0.7) {
                self.routers[index].act(&self.store, self.mutation, self.now, &mut self.random);
            }
        }
        for index in 0..self.candidates.len() {
            if self.random.random_bool(0.8) {
                self.candidates[index].act(
                    &self.store,
                    &self.rules,
                    self.mutation,
                    self.now,
                    &mut self.random,
                );
            }
        }
        Ok(())
    }

    fn link(&mut self, part: usize) -> &mut Link {
        let (agents, routers) = (self.agents.len(), self.routers.len());
        if part < agents {
            &mut self.agents[part].link
        } else if part < agents + routers {
            &mut self.routers[part - agents].link
        } else {
            &mut self.candidates[part - agents - routers].link
        }
    }

    fn parts(&self) -> usize {
        self.agents.len() + self.routers.len() + self.candidates.len()
    }

    fn deliver(&mut self) -> Result<(), Violation> {
        let (now, parts) = (self.now, self.parts());
        let first = self.random.random_range(0..parts);
        for part in (0..parts).map(|part| (part + first) % parts) {
            while let Some(question) = self.link(part).next_due(now) {
                if self.store.down || self.link(part).cut_until > now {
                    continue;
                }
                let answer = match &question.ask {
                    Ask::Commit(commit) | Ask::Step(commit, _) => {
                        Answer::Committed(self.store.commit(commit.clone()))
                    }
                    Ask::Grant { ttl } => Answer::Granted(self.store.grant(*ttl, now)),
                    Ask::KeepAlive { lease } => {
                        Answer::KeptAlive(self.store.keep_alive(*lease, now))
                    }
                    Ask::Revoke { lease } => {
                        self.store.revoke(*lease);
                        Answer::Revoked
                    }
                };
                let planned_from = match question.ask {
                    Ask::Step(_, revision) => Some(revision),
                    _ => None,
                };
                self.follow(planned_from)?;
                let mut random = self.random.clone();
                self.link(part).answer(&question, answer, now, &mut random);
                self.random = random;
            }
        }
        Ok(())
    }

    /// Something goes wrong somewhere, or right again.
    pub(super) fn fault(&mut self) {
        let part = self.random.random_range(0..self.parts());
        let until = self.now + self.random.random_range(500..25_000);
        // Most can go wrong where most is done.
        let leader = self.candidates.iter().position(Candidate::leads);
        match self.random.random_range(0..15) {
            0..=2 => self.link(part).cut_until = until,
            3 => self.link(part).stalled_until = until,
            4 => {
                let index = self.random.random_range(0..self.agents.len());
                self.agents[index].fail();
            }
            5 => {
                let index = self.random.random_range(0..self.agents.len());
                self.agents[index].kill();
            }
            6 => {
                let index = self.random.random_range(0..self.routers.len());
                self.routers[index].kill();
            }
            7 => {
                let index = self.random.random_range(0..self.candidates.len());
                self.candidates[index].crash();
            }
            8..=10 if leader.is_some() => {
                let leader = &mut self.candidates[leader.unwrap()];
                match self.random.random_range(0..3) {
                    0 => leader.paused_until = until,
                    1 => leader.link.stalled_until = until,
                    _ => leader.link.cut_until = until,
                }
            }
            8..=10 => {
                let index = self.random.random_range(0..self.candidates.len());
                self.candidates[index].paused_until = until;
            }
            11 | 12 => {
                let jump = SignedDuration::from_secs(self.random.random_range(-4000..4000));
                let index = self.random.random_range(0..self.agents.len());
                self.agents[index].skew = jump;
                let index = self.random.random_range(0..self.candidates.len());
                self.candidates[index].skew = jump;
            }
            _ => {
                // The store loses its leader for a while, and a few leases are extended by the next.
                self.store.down = !self.store.down;
                if !self.store.down {
                    self.store.renew_leases(self.now);
                }
            }
        }
        if self.random.random_bool(0.5) {
            let index = self.random.random_range(0..self.agents.len());
            self.agents[index].start();
            let index = self.random.random_range(0..self.routers.len());
            self.routers[index].start();
        }
        if self.store.down && self.random.random_bool(0.5) {
            self.store.down = false;
            self.store.renew_leases(self.now);
        }
    }

    /// A leader stops in the middle of a plan: what it wakes up with is old. Or a step of its is held up.
    pub(super) fn interrupt(&mut self) {
        let until = self.now + self.random.random_range(500..25_000);
        for candidate in &mut self.candidates {
            if self.random.random_bool(0.02) {
                candidate.link.hold_up_step(self.now, &mut self.random);
            }
        }
        for candidate in self.candidates.iter_mut().filter(|c| c.is_amidst_a_plan()) {
            if self.random.random_bool(0.01) {
                candidate.paused_until = until;
            }
        }
    }

    /// A user is quicker than a step that is on its way: mostly where the step writes the same.
    pub(super) fn overtake(&mut self) {
        let links = self.candidates.iter().map(|candidate| &candidate.link);
        let Some(step) = { links }.find_map(Link::step_under_way) else {
            return;
        };
        let written = step
            .ops
            .iter()
            .map(Op::key)
            .find(|key| key::APPS.holds(key) || key::DYNOS.holds(key));
        let Some(written) = written.cloned() else {
            return;
        };
        let mut segments = written.as_str().rsplit('/');
        let is_app = key::APPS.holds(&written);
        let id = segments.nth(usize::from(!is_app)).unwrap();
        let app = AppId::from_uuid(id.parse().unwrap());
        if self.store.down {
            return;
        }
        match is_app {
            true if self.random.random_bool(0.2) => {
                let quantity = self.random.random_range(0..5);
                self.scale(app, "web", quantity);
            }
            false if self.random.random_bool(0.01) => self.restart(app),
            _ => {}
        }
    }

    /// A user or an operator does something.
    pub(super) fn wish(&mut self) {
        if self.store.down {
            return;
        }
        let app = self.apps[self.random.random_range(0..self.apps.len())];
        let node = self.agents[self.random.random_range(0..self.agents.len())].id;
        let is_good = self.random.random_bool(0.7);
        let coin = self.random.random_bool(0.4);
        match self.random.random_range(0..11) {
            0 => self.deploy(app, is_good),
            1 => self.config_set(app, is_good),
            2 | 3 => {
                let quantity = self.random.random_range(0..5);
                self.scale(app, "web", quantity);
            }
            4 => {
                let quantity = self.random.random_range(0..3);
                self.scale(app, "worker", quantity);
            }
            5 => self.restart(app),
            6 => self.edit_node(node, |node| node.draining = coin),
            7 => self.edit_node(node, |node| node.cordoned = coin),
            8 => self.tag(app, coin.then_some(("disk", "ssd"))),
            9 => self.ask_to_rebalance(),
            _ => {}
        }
    }

    /// From now on messages arrive, and soon.
    pub(super) fn mend_links(&mut self) {
        for part in 0..self.parts() {
            let link = self.link(part);
            (link.cut_until, link.stalled_until) = (0, 0);
            (link.loss, link.late) = (0.0, 100);
        }
    }

    /// Everything works again, and everybody wishes for what there is room for.
    pub(super) fn heal(&mut self) {
        self.store.down = false;
        self.store.renew_leases(self.now);
        self.mend_links();
        self.agents.iter_mut().for_each(Agent::start);
        self.routers.iter_mut().for_each(Router::start);
        self.candidates
            .iter_mut()
            .for_each(|candidate| candidate.paused_until = 0);
        for index in 0..self.agents.len() {
            self.edit_node(self.agents[index].id, |node| {
                (node.cordoned, node.draining) = (false, false);
            });
        }
        for app in self.apps.clone() {
            self.tag(app, None);
            self.deploy(app, true);
        }
    }
}
