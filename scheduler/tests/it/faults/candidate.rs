//! A scheduler: campaigns, leads, plans with the real planner, sends its steps one after another, and may be paused or
//! killed at any moment in between.

use std::collections::VecDeque;

use jiff::SignedDuration;
use model::{DynoId, Revision, Timestamp};
use rand::Rng as _;
use rand::rngs::StdRng;
use scheduler::memory::Memory;
use scheduler::plan::{Ids, Rules};
use scheduler::planner::Planner;
use store::{Commit, Committed, Compare, LeaseId, Txn, key};

use super::link::{Answer, Ask, DEADLINE, Link};
use super::store::SimStore;
use super::{Millis, Mutation, ms};

/// As [`store::leader`] has it.
const TTL: Millis = 4_000;
const MARGIN: Millis = 1_000;
const LOOK_EVERY: Millis = 5_000;

#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) link: Link,
    /// It does nothing until then, and notices nothing.
    pub(super) paused_until: Millis,
    /// What its host's clock is off by.
    pub(super) skew: SignedDuration,
    lease: Option<Held>,
    asks: Asks,
    term: Option<Term>,
    ids: u64,
    /// Of its last term; for those who do what nobody should.
    old_memory: Memory,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    id: i64,
    alive_until: Millis,
    kept_at: Millis,
}

/// Questions it waits for the answer of.
#[derive(Debug, Default)]
struct Asks {
    grant: Option<(u64, Millis)>,
    campaign: Option<(u64, Millis)>,
    renew: Option<(u64, Millis)>,
    step: Option<(u64, Millis)>,
}

#[derive(Debug)]
struct Term {
    revision: Revision,
    planner: Planner,
    began: Millis,
    began_at: Timestamp,
    at_least: Revision,
    /// And what they were planned from.
    steps: VecDeque<(Commit, Revision)>,
    look_at: Millis,
    look_at_all_at: Millis,
    /// Nobody knows what became of a step.
    in_doubt: bool,
}

struct CountedIds<'a>(&'a mut u64);

impl Ids for CountedIds<'_> {
    fn dyno(&mut self) -> DynoId {
        *self.0 += 1;
        DynoId::from_uuid(uuid::Uuid::from_u128(u128::from(*self.0)))
    }
}

impl Candidate {
    pub(super) fn new(index: u64, link: Link) -> Self {
        Self {
            name: format!("s{index}"),
            link,
            paused_until: 0,
            skew: SignedDuration::ZERO,
            lease: None,
            asks: Asks::default(),
            term: None,
            ids: (index + 1) << 32,
            old_memory: Memory::default(),
        }
    }

    pub(super) const fn leads(&self) -> bool {
        self.term.is_some()
    }

    pub(super) fn is_amidst_a_plan(&self) -> bool {
        self.term
            .as_ref()
            .is_some_and(|term| !term.steps.is_empty())
    }

    /// Killed, and begun again with nothing.
    pub(super) fn crash(&mut self) {
        self.lease = None;
        self.asks = Asks::default();
        self.term = None;
        self.link.reset();
    }

    pub(super) fn act(
        &mut self,
        world: &SimStore,
        rules: &Rules,
        mutation: Option<Mutation>,
        now: Millis,
        random: &mut StdRng,
    ) {
        if self.paused_until > now {
            return;
        }
        self.hear(mutation, now);
        self.keep_lease(now, random);
        // The task that notices the loss and the one that plans are two: either may be first.
        if random.random_bool(0.7) {
            self.notice_loss(now, random);
        }
        if self.term.is_some() {
            self.lead(world, rules, mutation, now, random);
        } else {
            self.campaign(world, now, random);
        }
    }

    fn hear(&mut self, mutation: Option<Mutation>, now: Millis) {
        for answered in self.link.answers(now) {
            let is = |ask: Option<(u64, Millis)>| ask.is_some_and(|(id, _)| id == answered.id);
            match answered.answer {
                Answer::Granted(id) if is(self.asks.grant) => {
                    self.asks.grant = None;
                    self.lease = Some(Held {
                        id,
                        alive_until: answered.sent_at + TTL - MARGIN,
                        kept_at: answered.sent_at,
                    });
                }
                Answer::KeptAlive(true) => {
                    if let Some(lease) = &mut self.lease {
                        let alive_until = answered.sent_at + TTL - MARGIN;
                        lease.alive_until = lease.alive_until.max(alive_until);
                    }
                }
                Answer::KeptAlive(false) => self.step_down(),
                Answer::Committed(committed) if is(self.asks.campaign) => {
                    self.asks.campaign = None;
                    match committed {
                        Committed::Done(revision) => self.begin(revision, mutation, now),
                        Committed::Conflict => self.lease = None,
                    }
                }
                Answer::Committed(committed) if is(self.asks.renew) => {
                    self.asks.renew = None;
                    match (committed, &mut self.term) {
                        (Committed::Done(revision), Some(term)) => {
                            term.revision = revision;
                            term.at_least = revision;
                            term.in_doubt = false;
                        }
                        _ => self.step_down(),
                    }
                }
                Answer::Committed(committed) if is(self.asks.step) => {
                    self.asks.step = None;
                    let Some(term) = &mut self.term else { continue };
                    match committed {
                        Committed::Done(_) if mutation == Some(Mutation::PlansFromThePast) => {}
                        Committed::Done(revision) => term.at_least = term.at_least.max(revision),
                        Committed::Conflict => term.look_at_all_at = now + 100,
                    }
                }
                _ => {}
            }
        }
    }

    fn begin(&mut self, revision: Revision, mutation: Option<Mutation>, now: Millis) {
        let began_at = super::epoch() + ms(now) + self.skew;
        self.term = Some(Term {
            revision,
            planner: Planner {
                memory: match mutation {
                    Some(Mutation::InheritsTimers) => std::mem::take(&mut self.old_memory),
                    _ => Memory::default(),
                },
                ..Planner::default()
            },
            began: now,
            began_at,
            at_least: 0,
            steps: VecDeque::new(),
            look_at: now,
            look_at_all_at: now,
            in_doubt: false,
        });
        // What it follows begins with a list of everything, made now.
        self.link.seen = usize::MAX;
    }

    fn step_down(&mut self) {
        if let Some(term) = self.term.take() {
            self.old_memory = term.planner.memory;
        }
        self.lease = None;
        self.asks = Asks::default();
    }

    fn keep_lease(&mut self, now: Millis, random: &mut StdRng) {
        if let Some(lease) = &mut self.lease
            && now >= lease.kept_at + TTL / 4
        {
            lease.kept_at = now;
            let ask = Ask::KeepAlive { lease: lease.id };
            self.link.ask(ask, now, random);
        }
    }

    fn notice_loss(&mut self, now: Millis, random: &mut StdRng) {
        if let Some(lease) = self.lease
            && now >= lease.alive_until
        {
            self.link.ask(Ask::Revoke { lease: lease.id }, now, random);
            self.step_down();
        }
    }

    fn campaign(&mut self, store: &SimStore, now: Millis, random: &mut StdRng) {
        let is_late = |ask: Option<(u64, Millis)>| ask.is_some_and(|(_, until)| now > until);
        if is_late(self.asks.grant) || is_late(self.asks.campaign) {
            self.step_down();
        }
        let place = key::leader("scheduler");
        match self.lease {
            None if self.asks.grant.is_none() && !store.has(&place) => {
                let id = self.link.ask(Ask::Grant { ttl: TTL }, now, random);
                self.asks.grant = Some((id, now + DEADLINE));
            }
            Some(lease) if self.asks.campaign.is_none() => {
                let txn = Txn::new().absent(place.clone()).put_leased(
                    &key::LEADERS,
                    place,
                    &self.name,
                    LeaseId(lease.id),
                );
                let ask = Ask::Commit(txn.into_commit().unwrap());
                let id = self.link.ask(ask, now, random);
                self.asks.campaign = Some((id, now + DEADLINE));
            }
            _ => {}
        }
    }

    fn lead(
        &mut self,
        store: &SimStore,
        rules: &Rules,
        mutation: Option<Mutation>,
        now: Millis,
        random: &mut StdRng,
    ) {
        self.follow(store, now, random);
        let Some(term) = &mut self.term else { return };
        if let Some((_, until)) = self.asks.step {
            if now <= until {
                return;
            }
            self.asks.step = None;
            term.in_doubt = mutation != Some(Mutation::NoNewTermInDoubt);
        }
        if let Some((step, planned_from)) = term.steps.pop_front() {
            let step = guarded(step, term.revision, mutation);
            let ask = Ask::Step(step, planned_from);
            let id = self.link.ask(ask, now, random);
            self.asks.step = Some((id, now + DEADLINE));
            return;
        }
        if term.in_doubt {
            if self.asks.renew.is_none_or(|(_, until)| now > until) {
                let Some(lease) = self.lease else { return };
                let place = key::leader("scheduler");
                let txn = Txn::new()
                    .at_revision(place.clone(), term.revision)
                    .put_leased(&key::LEADERS, place, &self.name, LeaseId(lease.id));
                let ask = Ask::Commit(txn.into_commit().unwrap());
                let id = self.link.ask(ask, now, random);
                self.asks.renew = Some((id, now + DEADLINE));
            }
            return;
        }
        if now < term.look_at
            || term.planner.revision() < term.at_least
            || self.link.seen == usize::MAX
        {
            return;
        }
        let at = match mutation {
            Some(Mutation::BelievesTheClock) => super::epoch() + ms(now) + self.skew,
            _ => term.began_at + ms(now - term.began),
        };
        let ids = &mut CountedIds(&mut self.ids);
        let planned = if now >= term.look_at_all_at {
            term.look_at_all_at = now + LOOK_EVERY;
            term.planner.look_at_all(rules, at, ids)
        } else {
            term.planner.look(rules, at, ids)
        };
        let commits = planned
            .changes
            .into_iter()
            .map(|change| change.txn.into_commit().unwrap());
        let planned_from = term.planner.revision();
        term.steps
            .extend(commits.map(|commit| (commit, planned_from)));
        let wake = term.planner.wake_at().map_or(LOOK_EVERY, |wake| {
            u64::try_from(wake.duration_since(at).as_millis()).unwrap_or(0)
        });
        term.look_at = (now + wake.min(LOOK_EVERY)).min(term.look_at_all_at);
    }

    fn follow(&mut self, store: &SimStore, now: Millis, random: &mut StdRng) {
        let Some(term) = &mut self.term else { return };
        if self.link.seen == usize::MAX {
            if self.link.is_open(store, now) {
                term.planner.apply(store.snapshot());
                self.link.seen = store.log.len();
                term.look_at = now;
            }
            return;
        }
        let until = self.link.watch(store, now, random);
        for index in self.link.seen..until {
            term.planner.apply(store.changes(index));
            term.look_at = now;
        }
        self.link.seen = until;
        if random.random_bool(0.002) {
            // The watch fell behind what the store still has: everything anew.
            self.link.seen = usize::MAX;
        }
    }
}

/// As [`store::Leadership::guard`] has it; and without one kind of comparison where that is what is tested.
fn guarded(mut step: Commit, term: Revision, mutation: Option<Mutation>) -> Commit {
    step.compares.push(Compare::Revision {
        key: key::leader("scheduler"),
        revision: term,
    });
    if let Some(mutation) = mutation {
        step.compares
            .retain(|compare| !mutation.leaves_out(compare));
    }
    step
}
