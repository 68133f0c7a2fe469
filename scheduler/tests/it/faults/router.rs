//! A router: a table that may be old, requests in flight, and reports of both.

use std::collections::{BTreeMap, BTreeSet};

use model::{AppId, DynoId, Revision, Route, RouterId, RouterReport};
use rand::Rng as _;
use rand::rngs::StdRng;
use store::{Committed, Txn, key};

use super::lease::{Lease, Lost};
use super::link::{Answer, DEADLINE, Link};
use super::store::{Change, SimStore};
use super::{Millis, Mutation};

const TTL: Millis = 10_000;

#[derive(Debug)]
pub(super) struct Router {
    pub(super) id: RouterId,
    pub(super) link: Link,
    /// What it routes by; kept on disk, so that it survives the process.
    pub(super) table: BTreeMap<AppId, Route>,
    /// The revision the table is of.
    pub(super) applied: Revision,
    pub(super) process: Option<Process>,
}

#[derive(Debug, Default)]
pub(super) struct Process {
    lease: Lease<TTL>,
    report: Option<(u64, Millis)>,
    reported: Option<(Revision, BTreeSet<DynoId>)>,
    told: Option<(Revision, BTreeSet<DynoId>)>,
    /// Serves by what the store said, not by what was on the disk.
    informed: bool,
    /// A revision of a route in force, as it is reported.
    in_force: Revision,
    /// Requests, and when each ends.
    pub(super) in_flight: BTreeMap<DynoId, Millis>,
}

impl Router {
    pub(super) fn new(id: RouterId, link: Link) -> Self {
        Self {
            id,
            link,
            table: BTreeMap::new(),
            applied: 0,
            process: Some(Process::default()),
        }
    }

    pub(super) fn kill(&mut self) {
        self.process = None;
        self.link.reset();
    }

    pub(super) fn start(&mut self) {
        if self.process.is_none() {
            self.process = Some(Process::default());
        }
    }

    pub(super) fn routes_to(&self, dyno: DynoId) -> bool {
        let mut routes = self.table.values();
        routes.any(|route| route.backends.iter().any(|backend| backend.dyno == dyno))
    }

    pub(super) fn is_busy_with(&self, dyno: DynoId) -> bool {
        let process = self.process.as_ref();
        process.is_some_and(|process| process.in_flight.contains_key(&dyno))
    }

    pub(super) fn act(
        &mut self,
        store: &SimStore,
        mutation: Option<Mutation>,
        now: Millis,
        random: &mut StdRng,
    ) {
        if self.process.is_none() {
            return;
        }
        self.hear(now);
        self.keep_lease(now, random);
        self.follow(store, now, random);
        if mutation == Some(Mutation::RoutersReportEarly) {
            self.promise(store);
        }
        self.serve(now, random);
        self.report(store, now, random);
    }

    fn hear(&mut self, now: Millis) {
        let answers = self.link.answers(now);
        let Some(process) = &mut self.process else {
            return;
        };
        for answered in answers {
            let is = |ask: Option<(u64, Millis)>| ask.is_some_and(|(id, _)| id == answered.id);
            if process.lease.hear(&answered) == Lost(true) {
                process.withdraw_report();
            }
            match answered.answer {
                Answer::Committed(committed) if is(process.report) => {
                    process.report = None;
                    match committed {
                        Committed::Done(_) => process.told = process.reported.clone(),
                        // Somebody was quicker, a message of our own that was late; or the lease is gone, which the
                        // next keep-alive tells.
                        Committed::Conflict => {}
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
        if process.report.is_some_and(|(_, until)| now > until) {
            process.report = None;
        }
        if process.lease.keep(&mut self.link, now, random) == Lost(true) {
            process.withdraw_report();
        }
    }

    /// First known, then informed: a scheduler that does not know of it yet would not wait for it.
    fn follow(&mut self, store: &SimStore, now: Millis, random: &mut StdRng) {
        let Some(process) = &mut self.process else {
            return;
        };
        if !process.informed {
            if process.told.is_none() || !self.link.is_open(store, now) {
                return;
            }
            self.table.clear();
            for key in store.keys(&key::ROUTES.prefix()) {
                let route = key::ROUTES.decode(store.get(&key).unwrap()).unwrap().value;
                self.table.insert(route.app, route);
            }
            process.informed = true;
            self.link.seen = store.log.len();
            self.applied = store.revision();
            process.in_force = self.applied;
            return;
        }
        let until = self.link.watch(store, now, random);
        for index in self.link.seen..until {
            let logged = &store.log[index];
            for change in &logged.routes {
                match change {
                    Change::Put(route) => {
                        self.table.insert(route.value.app, route.value.clone());
                    }
                    Change::Delete(key) => {
                        self.table.remove(&key.name().parse().unwrap());
                    }
                }
                // As a real router: revisions that change no route are not worth a report.
                process.in_force = index as Revision + 1;
            }
        }
        self.link.seen = until;
        self.applied = self.applied.max(until as Revision);
    }

    fn promise(&mut self, store: &SimStore) {
        if let Some(process) = &mut self.process {
            process.in_force = store.revision();
        }
    }

    /// Requests begin and end.
    fn serve(&mut self, now: Millis, random: &mut StdRng) {
        let Some(process) = &mut self.process else {
            return;
        };
        process.in_flight.retain(|_, ends_at| *ends_at > now);
        for route in self.table.values() {
            if route.backends.is_empty() || !random.random_bool(0.3) {
                continue;
            }
            let backend = &route.backends[random.random_range(0..route.backends.len())];
            let takes = match random.random_bool(0.02) {
                true => 60_000,
                false => random.random_range(1..400),
            };
            let ends_at = process.in_flight.entry(backend.dyno).or_default();
            *ends_at = (*ends_at).max(now + takes);
        }
    }

    fn report(&mut self, store: &SimStore, now: Millis, random: &mut StdRng) {
        let Some(process) = &mut self.process else {
            return;
        };
        let Some(lease) = process.lease.id() else {
            return;
        };
        let routed: BTreeSet<DynoId> = self
            .table
            .values()
            .flat_map(|route| route.backends.iter().map(|backend| backend.dyno))
            .collect();
        let draining = process.in_flight.keys().filter(|id| !routed.contains(id));
        let news = (process.in_force, draining.copied().collect::<BTreeSet<_>>());
        if process.report.is_some() || process.told.as_ref() == Some(&news) {
            return;
        }
        let report = RouterReport {
            id: self.id,
            applied: news.0,
            certificates: 0,
            draining: news.1.iter().map(|id| (*id, 1)).collect(),
            started_at: super::epoch(),
            about: Default::default(),
        };
        let place = key::alive_router(self.id);
        let txn = Txn::new().put_leased(&key::ALIVE_ROUTERS, place.clone(), &report, lease);
        let id = self.link.ask_to_replace((txn, place), store, now, random);
        process.reported = Some(news);
        process.report = Some((id, now + DEADLINE));
    }
}

impl Process {
    fn withdraw_report(&mut self) {
        self.report = None;
        self.told = None;
    }
}
