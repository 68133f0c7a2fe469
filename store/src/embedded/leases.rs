//! Which leases live, and until when. Which keys they hold is in the file, with the keys.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::Rng as _;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::{LeaseId, StoreError};

#[derive(Debug, Default)]
pub(super) struct Leases {
    /// Held for a look-up at a time. Only the writer ends leases, so that what it found alive stays so in its batch.
    terms: Mutex<HashMap<LeaseId, Term>>,
    /// A lease was granted that may end before all others.
    pub(super) granted: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Term {
    ttl: Duration,
    ends: Instant,
    /// Its keys are being deleted: nothing brings it back.
    is_ending: bool,
}

impl Leases {
    pub(super) fn grant(&self, ttl: Duration) -> LeaseId {
        let ttl = Duration::from_secs(ttl.as_secs().max(1));
        let id = self.with(|terms| {
            loop {
                let id = LeaseId(rand::rng().random_range(1..i64::MAX));
                if let Entry::Vacant(place) = terms.entry(id) {
                    place.insert(Term {
                        ttl,
                        ends: Instant::now() + ttl,
                        is_ending: false,
                    });
                    break id;
                }
            }
        });
        self.granted.notify_one();
        id
    }

    pub(super) fn keep_alive(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.with(|terms| match terms.get_mut(&lease) {
            Some(term) if !term.is_ending => {
                term.ends = Instant::now() + term.ttl;
                Ok(())
            }
            _ => Err(StoreError::LeaseLapsed { lease: lease.0 }),
        })
    }

    pub(super) fn is_alive(&self, lease: LeaseId) -> bool {
        self.with(|terms| terms.get(&lease).is_some_and(|term| !term.is_ending))
    }

    /// Whether there is a lease to end. One that could not be ended after all comes up in [`Leases::ended`] again.
    pub(super) fn begin_end(&self, lease: LeaseId) -> bool {
        self.with(|terms| match terms.get_mut(&lease) {
            Some(term) => {
                term.is_ending = true;
                term.ends = term.ends.min(Instant::now());
                true
            }
            None => false,
        })
    }

    pub(super) fn remove(&self, lease: LeaseId) {
        self.with(|terms| terms.remove(&lease));
    }

    pub(super) fn next_end(&self) -> Option<Instant> {
        self.with(|terms| terms.values().map(|term| term.ends).min())
    }

    pub(super) fn ended(&self, now: Instant) -> Vec<LeaseId> {
        self.with(|terms| {
            terms
                .iter()
                .filter(|(_, term)| term.ends <= now)
                .map(|(id, _)| *id)
                .collect()
        })
    }

    fn with<T>(&self, f: impl FnOnce(&mut HashMap<LeaseId, Term>) -> T) -> T {
        f(&mut self.terms.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
