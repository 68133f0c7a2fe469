//! The way from one part to the store: late, lossy, cut at times. An answer that is lost leaves its asker in the dark
//! about what came of it.

use model::Revision;
use rand::Rng as _;
use rand::rngs::StdRng;
use store::{Commit, Committed, Key, Txn};

use super::Millis;
use super::store::SimStore;

/// After this the asker gives up; what it asked for may still happen.
pub(super) const DEADLINE: Millis = 5_000;

#[derive(Debug)]
pub(super) enum Ask {
    Commit(Commit),
    /// A scheduler's, and the revision that it was planned from.
    Step(Commit, Revision),
    Grant {
        ttl: Millis,
    },
    KeepAlive {
        lease: i64,
    },
    Revoke {
        lease: i64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Committed(Committed),
    Granted(i64),
    /// Whether the lease was still there.
    KeptAlive(bool),
    Revoked,
}

#[derive(Debug)]
pub(super) struct Question {
    id: u64,
    pub(super) ask: Ask,
    sent_at: Millis,
    arrives_at: Millis,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Answered {
    pub(super) id: u64,
    pub(super) sent_at: Millis,
    pub(super) arrives_at: Millis,
    pub(super) answer: Answer,
}

#[derive(Debug, Default)]
pub(super) struct Link {
    /// Until then nothing gets through.
    pub(super) cut_until: Millis,
    /// How often a message is lost, and how late it may be.
    pub(super) loss: f64,
    pub(super) late: Millis,
    next: u64,
    asked: Vec<Question>,
    answered: Vec<Answered>,
    /// How far the watch has got.
    pub(super) seen: usize,
    /// Until then the watch tells nothing, though nothing is lost.
    pub(super) stalled_until: Millis,
}

impl Link {
    pub(super) fn new(loss: f64, late: Millis) -> Self {
        Self {
            loss,
            late,
            ..Self::default()
        }
    }

    pub(super) fn ask(&mut self, ask: Ask, now: Millis, random: &mut StdRng) -> u64 {
        self.next += 1;
        if !random.random_bool(self.loss) {
            self.asked.push(Question {
                id: self.next,
                ask,
                sent_at: now,
                arrives_at: now + self.delay(random),
            });
        }
        self.next
    }

    fn delay(&self, random: &mut StdRng) -> Millis {
        match random.random_bool(0.05) {
            true => random.random_range(0..=self.late),
            false => random.random_range(1..30),
        }
    }

    /// As a read and then a commit that holds only if nobody wrote meanwhile: one that comes late changes nothing.
    pub(super) fn ask_to_replace(
        &mut self,
        (txn, place): (Txn, Key),
        store: &SimStore,
        now: Millis,
        random: &mut StdRng,
    ) -> u64 {
        let txn = match store.get(&place) {
            Some(seen) => txn.at_revision(place, seen.revision),
            None => txn.absent(place),
        };
        self.ask(Ask::Commit(txn.into_commit().unwrap()), now, random)
    }

    /// The scheduler's step that is on its way to the store.
    pub(super) fn step_under_way(&self) -> Option<&Commit> {
        self.asked.iter().find_map(|asked| match &asked.ask {
            Ask::Step(commit, _) => Some(commit),
            _ => None,
        })
    }

    /// The step that is on its way arrives when nobody waits for its answer any more, if it is not cut off first.
    pub(super) fn hold_up_step(&mut self, now: Millis, random: &mut StdRng) {
        let steps = self.asked.iter_mut();
        for step in steps.filter(|asked| matches!(asked.ask, Ask::Step(..))) {
            step.arrives_at = now + DEADLINE + random.random_range(0..4_000);
        }
    }

    /// What has arrived at the store by now, one at a time.
    pub(super) fn next_due(&mut self, now: Millis) -> Option<Question> {
        let due = self
            .asked
            .iter()
            .position(|asked| asked.arrives_at <= now)?;
        Some(self.asked.remove(due))
    }

    pub(super) fn answer(
        &mut self,
        question: &Question,
        answer: Answer,
        now: Millis,
        random: &mut StdRng,
    ) {
        if !random.random_bool(self.loss) {
            self.answered.push(Answered {
                id: question.id,
                sent_at: question.sent_at,
                arrives_at: now + self.delay(random),
                answer,
            });
        }
    }

    /// The answers that have arrived by now.
    pub(super) fn answers(&mut self, now: Millis) -> Vec<Answered> {
        if self.cut_until > now {
            self.answered.retain(|answered| answered.arrives_at > now);
            return Vec::new();
        }
        let (there, later) = std::mem::take(&mut self.answered)
            .into_iter()
            .partition(|answered| answered.arrives_at <= now);
        self.answered = later;
        there
    }

    pub(super) const fn is_open(&self, store: &SimStore, now: Millis) -> bool {
        !store.down && self.cut_until <= now
    }

    /// How far the watch gets now.
    pub(super) fn watch(&self, store: &SimStore, now: Millis, random: &mut StdRng) -> usize {
        let newest = store.log.len();
        if store.down || self.cut_until > now || self.stalled_until > now {
            return self.seen;
        }
        match random.random_bool(0.6) {
            true => newest,
            false => random.random_range(self.seen..=newest),
        }
    }

    /// Whoever asked and watched is no more.
    pub(super) fn reset(&mut self) {
        self.answered.clear();
        self.seen = 0;
        self.stalled_until = 0;
    }
}
