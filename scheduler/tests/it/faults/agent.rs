//! A node: its agent, which may be cut off, killed or out of time, and its containers, which run on meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use model::{
    AppId, Dyno, DynoId, DynoState, DynoStatus, Exit, ExitReason, NodeHeartbeat, NodeId,
    ReleaseVersion,
};
use rand::Rng as _;
use rand::rngs::StdRng;
use store::{Committed, Txn, key};

use super::lease::{Lease, Lost};
use super::link::{Answer, Ask, DEADLINE, Link};
use super::store::{Change, SimStore};
use super::{Millis, ms};

/// As [`store::presence`] has it.
const TTL: Millis = 4_000;

#[derive(Debug)]
pub(super) struct Agent {
    pub(super) id: NodeId,
    pub(super) link: Link,
    pub(super) skew: SignedDuration,
    /// `None` while the agent is dead.
    pub(super) process: Option<Process>,
    pub(super) containers: BTreeMap<DynoId, Container>,
    next_port: u16,
}

#[derive(Debug, Default)]
pub(super) struct Process {
    lease: Lease<TTL>,
    register: Option<(u64, Millis)>,
    registered: bool,
    /// Has listed everything once.
    informed: bool,
    dynos: BTreeMap<DynoId, Dyno>,
    said: BTreeMap<DynoId, DynoStatus>,
    unwritten: BTreeSet<DynoId>,
    writing: BTreeMap<DynoId, (u64, Millis)>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Container {
    up_at: Millis,
    pub(super) is_up: bool,
    /// SIGTERM was sent.
    ends_at: Option<Millis>,
    port: u16,
    restarts: u32,
}

impl Agent {
    pub(super) fn new(id: NodeId, index: u16, link: Link) -> Self {
        Self {
            id,
            link,
            skew: SignedDuration::ZERO,
            process: Some(Process::default()),
            containers: BTreeMap::new(),
            next_port: 1 + index * 5000,
        }
    }

    /// The agent dies; the containers do not.
    pub(super) fn kill(&mut self) {
        self.process = None;
        self.link.reset();
    }

    /// The host dies.
    pub(super) fn fail(&mut self) {
        self.kill();
        self.containers.clear();
    }

    pub(super) fn start(&mut self) {
        if self.process.is_none() {
            self.process = Some(Process::default());
        }
    }

    pub(super) fn runs(&self, dyno: DynoId) -> bool {
        self.containers.get(&dyno).is_some_and(|c| c.is_up)
    }

    pub(super) fn act(
        &mut self,
        store: &SimStore,
        bad: &BTreeSet<(AppId, ReleaseVersion)>,
        now: Millis,
        random: &mut StdRng,
    ) {
        if self.process.is_none() {
            self.containers.values_mut().for_each(|c| c.age(now));
            return;
        }
        self.hear(now);
        self.keep_lease(now, random);
        self.follow(store, now, random);
        if self
            .process
            .as_ref()
            .is_some_and(|process| process.informed)
        {
            self.tend(bad, now, random);
            self.write(store, now, random);
        }
    }

    fn hear(&mut self, now: Millis) {
        let answers = self.link.answers(now);
        let Some(process) = &mut self.process else {
            return;
        };
        for answered in answers {
            let is = |ask: Option<(u64, Millis)>| ask.is_some_and(|(id, _)| id == answered.id);
            if process.lease.hear(&answered) == Lost(true) {
                process.unregister();
            }
            match answered.answer {
                Answer::Committed(committed) if is(process.register) => {
                    process.register = None;
                    process.registered = matches!(committed, Committed::Done(_));
                    if !process.registered {
                        process.lose_lease();
                    }
                }
                Answer::Committed(committed) => {
                    let is_it = |(_, (id, _)): &(&DynoId, &(u64, Millis))| *id == answered.id;
                    let written = process.writing.iter().find(is_it).map(|(dyno, _)| *dyno);
                    if let Some(dyno) = written {
                        process.writing.remove(&dyno);
                        if committed == Committed::Conflict {
                            process.unwritten.insert(dyno);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn keep_lease(&mut self, now: Millis, random: &mut StdRng) {
        let Some(process) = &mut self.process else {
            return;
        };
        if process.register.is_some_and(|(_, until)| now > until) {
            process.lose_lease();
        }
        if process.lease.keep(&mut self.link, now, random) == Lost(true) {
            process.unregister();
        }
        let Some(lease) = process.lease.id() else {
            return;
        };
        if !process.registered && process.register.is_none() {
            let alive = NodeHeartbeat {
                node: self.id,
                version: "1".to_owned(),
                started_at: super::epoch(),
            };
            let place = key::alive_node(self.id);
            let txn = Txn::new().put_leased(&key::ALIVE_NODES, place, &alive, lease);
            let ask = Ask::Commit(txn.into_commit().unwrap());
            let id = self.link.ask(ask, now, random);
            process.register = Some((id, now + DEADLINE));
        }
    }

    fn follow(&mut self, store: &SimStore, now: Millis, random: &mut StdRng) {
        let Some(process) = &mut self.process else {
            return;
        };
        if !process.informed {
            if !self.link.is_open(store, now) {
                return;
            }
            // A list of everything, and what an earlier agent of the node said.
            for key in store.keys(&key::DYNOS.prefix()) {
                let dyno = key::DYNOS.decode(store.get(&key).unwrap()).unwrap().value;
                if dyno.node == Some(self.id) {
                    process.dynos.insert(dyno.id, dyno);
                }
            }
            for key in store.keys(&key::DYNO_STATUS.prefix()) {
                let status = key::DYNO_STATUS.decode(store.get(&key).unwrap()).unwrap();
                if status.value.node == self.id {
                    process.said.insert(status.value.dyno, status.value);
                }
            }
            process.informed = true;
            self.link.seen = store.log.len();
            return;
        }
        let until = self.link.watch(store, now, random);
        for logged in &store.log[self.link.seen..until] {
            for change in &logged.dynos {
                match change {
                    Change::Put(dyno) if dyno.value.node == Some(self.id) => {
                        process.dynos.insert(dyno.value.id, dyno.value.clone());
                    }
                    Change::Put(dyno) => {
                        process.dynos.remove(&dyno.value.id);
                    }
                    Change::Delete(key) => {
                        process.dynos.remove(&key.name().parse().unwrap());
                    }
                }
            }
        }
        self.link.seen = until;
    }

    /// Brings each dyno a step further.
    fn tend(&mut self, bad: &BTreeSet<(AppId, ReleaseVersion)>, now: Millis, random: &mut StdRng) {
        let Some(process) = &mut self.process else {
            return;
        };
        let at = super::epoch() + ms(now) + self.skew;
        self.containers
            .retain(|id, _| process.dynos.contains_key(id));
        let known = &process.dynos;
        process.said.retain(|id, _| known.contains_key(id));
        let dynos: Vec<Dyno> = process.dynos.values().cloned().collect();
        for dyno in dynos {
            let state = process.said.get(&dyno.id).map(|said| said.state.clone());
            if dyno.is_stopping() {
                if matches!(state, Some(DynoState::Stopped { .. })) {
                    continue;
                }
                match self.containers.get_mut(&dyno.id) {
                    Some(container) => {
                        let ends_at = now + random.random_range(10..3_000);
                        container.ends_at.get_or_insert(ends_at);
                        if container.ends_at.is_some_and(|end| end <= now) {
                            self.containers.remove(&dyno.id);
                            process.say(
                                &dyno,
                                self.id,
                                DynoState::Stopped { at, exit: None },
                                0,
                                at,
                            );
                        }
                    }
                    None => {
                        process.say(&dyno, self.id, DynoState::Stopped { at, exit: None }, 0, at)
                    }
                }
                continue;
            }
            let Some(container) = self.containers.get_mut(&dyno.id) else {
                let restarts = process.said.get(&dyno.id).map_or(0, |said| said.restarts);
                self.next_port += 1;
                self.containers.insert(
                    dyno.id,
                    Container {
                        up_at: now + random.random_range(100..2_500),
                        is_up: false,
                        ends_at: None,
                        port: self.next_port,
                        restarts,
                    },
                );
                process.say(
                    &dyno,
                    self.id,
                    DynoState::Starting { since: at },
                    restarts,
                    at,
                );
                continue;
            };
            if now >= container.up_at && bad.contains(&(dyno.app, dyno.release)) {
                let exit = Exit {
                    reason: ExitReason::Exited { status: 1 },
                    log_tail: Vec::new(),
                };
                let crashed = DynoState::Crashed {
                    at,
                    exit,
                    retry_at: at,
                };
                let restarts = container.restarts;
                container.restarts += 1;
                container.up_at = now + 500 * u64::from(container.restarts);
                process.say(&dyno, self.id, crashed, restarts, at);
            } else {
                container.age(now);
            }
            if container.is_up && !matches!(state, Some(DynoState::Up { .. })) {
                let addr = dyno
                    .is_web()
                    .then(|| ([127, 0, 0, 1], container.port).into());
                let up = DynoState::Up { since: at, addr };
                process.say(&dyno, self.id, up, container.restarts, at);
            }
        }
    }

    fn write(&mut self, store: &SimStore, now: Millis, random: &mut StdRng) {
        let Some(process) = &mut self.process else {
            return;
        };
        let late: Vec<DynoId> = process
            .writing
            .iter()
            .filter(|(_, (_, until))| now > *until)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            process.writing.remove(&id);
            process.unwritten.insert(id);
        }
        let writing = &process.writing;
        let ready = process
            .unwritten
            .iter()
            .filter(|id| !writing.contains_key(id));
        for id in ready.copied().collect::<Vec<_>>() {
            process.unwritten.remove(&id);
            let Some(status) = process.said.get(&id) else {
                continue;
            };
            let place = key::dyno_status(status.app, id);
            let txn = Txn::new().exists(key::dyno(status.app, id));
            let txn = txn.put(&key::DYNO_STATUS, place.clone(), status);
            let ask = self.link.ask_to_replace((txn, place), store, now, random);
            process.writing.insert(id, (ask, now + DEADLINE));
        }
    }
}

impl Process {
    fn lose_lease(&mut self) {
        self.lease.give_up();
        self.unregister();
    }

    fn unregister(&mut self) {
        self.register = None;
        self.registered = false;
    }

    fn say(
        &mut self,
        dyno: &Dyno,
        node: NodeId,
        state: DynoState,
        restarts: u32,
        at: model::Timestamp,
    ) {
        let status = DynoStatus {
            dyno: dyno.id,
            app: dyno.app,
            node,
            state,
            restarts,
            updated_at: at,
        };
        self.said.insert(dyno.id, status);
        self.unwritten.insert(dyno.id);
    }
}

impl Container {
    fn age(&mut self, now: Millis) {
        self.is_up |= now >= self.up_at;
    }
}
