//! Who may connect: so many connections in total, and so many from one address, whichever worker they come to.
//!
//! Without a bound, whoever opens connections fast enough takes the file descriptors of everybody else. The one thing that
//! workers have in common; it is asked once for each connection.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::Connections;

/// Whom an address stands for. A subscriber of IPv6 has 2^64 of them, in one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Origin {
    V4([u8; 4]),
    V6([u8; 8]),
}

impl Origin {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct Admission {
    limits: Connections,
    total: AtomicUsize,
    /// Those that are only told that there is no room.
    turned_away: AtomicUsize,
    /// Only those that have any.
    by_origin: Mutex<HashMap<Origin, usize>>,
}

/// How many at a time are told that there is no room (H22). Beyond that connections are closed without a word.
const TURNED_AWAY_AT_ONCE: usize = 128;

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terms {
    Served,
    /// It is told that there is no room.
    TurnedAway,
}

/// A connection that is counted, until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    terms: Terms,
    origin: Option<Origin>,
}

impl Admission {
    pub(crate) fn new(limits: Connections) -> Arc<Self> {
        Arc::new(Self {
            limits,
            total: AtomicUsize::new(0),
            turned_away: AtomicUsize::new(0),
            by_origin: Mutex::default(),
        })
    }

    /// `None`: it is to be closed.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Place> {
        let terms = if take(&self.total, self.limits.total) {
            Terms::Served
        } else if take(&self.turned_away, TURNED_AWAY_AT_ONCE) {
            Terms::TurnedAway
        } else {
            return None;
        };
        Some(Place {
            admission: self.clone(),
            terms,
            origin: None,
        })
    }
}

impl Place {
    /// It is known to come from there. `None`: it is to be closed.
    pub(crate) fn from(mut self, address: IpAddr) -> Option<Self> {
        if self.terms == Terms::TurnedAway {
            return Some(self);
        }
        let origin = Origin::of(address);
        let mut by_origin = self
            .admission
            .by_origin
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = by_origin.entry(origin).or_insert(0);
        if *count < self.admission.limits.per_address {
            *count += 1;
            drop(by_origin);
            self.origin = Some(origin);
            return Some(self);
        }
        drop(by_origin);
        if !take(&self.admission.turned_away, TURNED_AWAY_AT_ONCE) {
            return None;
        }
        self.admission.total.fetch_sub(1, Ordering::Relaxed);
        self.terms = Terms::TurnedAway;
        Some(self)
    }

    pub(crate) const fn terms(&self) -> Terms {
        self.terms
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let admission = &self.admission;
        match self.terms {
            Terms::Served => admission.total.fetch_sub(1, Ordering::Relaxed),
            Terms::TurnedAway => admission.turned_away.fetch_sub(1, Ordering::Relaxed),
        };
        let Some(origin) = self.origin else { return };
        let mut by_origin = admission
            .by_origin
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_origin.get_mut(&origin) {
            *count -= 1;
            if *count == 0 {
                by_origin.remove(&origin);
            }
        }
    }
}

/// One more, if that is not too many.
fn take(count: &AtomicUsize, most: usize) -> bool {
    count
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            (count < most).then_some(count + 1)
        })
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(total: usize, per_address: usize) -> Arc<Admission> {
        Admission::new(Connections {
            total,
            per_address,
            handshakes: 1,
        })
    }

    fn come(admission: &Arc<Admission>, from: &str) -> Option<Place> {
        admission.enter()?.from(from.parse().unwrap())
    }

    fn terms(place: Option<&Place>) -> Option<Terms> {
        place.map(Place::terms)
    }

    #[test]
    fn one_address_does_not_keep_another_out() {
        let admission = admission(100, 2);
        let flood: Vec<_> = (0..200).map(|_| come(&admission, "192.0.2.1")).collect();
        let count = |what| flood.iter().filter(|p| terms(p.as_ref()) == what).count();
        assert_eq!(count(Some(Terms::Served)), 2);
        assert_eq!(count(Some(Terms::TurnedAway)), TURNED_AWAY_AT_ONCE);
        assert_eq!(count(None), 200 - 2 - TURNED_AWAY_AT_ONCE);
        let other = come(&admission, "192.0.2.2");
        assert_eq!(terms(other.as_ref()), Some(Terms::Served));
    }

    #[test]
    fn a_network_of_64_bits_is_one_address_and_a_mapped_one_is_its_own() {
        let admission = admission(100, 1);
        let _one = come(&admission, "2001:db8:0:1::1");
        let _two = come(&admission, "::ffff:192.0.2.1");
        for (from, what) in [
            ("2001:db8:0:1:ffff::2", Terms::TurnedAway),
            ("2001:db8:0:2::1", Terms::Served),
            ("192.0.2.1", Terms::TurnedAway),
        ] {
            assert_eq!(terms(come(&admission, from).as_ref()), Some(what), "{from}");
        }
    }

    #[test]
    fn who_leaves_makes_room_and_is_forgotten() {
        let admission = admission(1, 1);
        for _ in 0..3 {
            let only = come(&admission, "192.0.2.1");
            assert_eq!(terms(only.as_ref()), Some(Terms::Served));
            let late = come(&admission, "192.0.2.2");
            assert_eq!(terms(late.as_ref()), Some(Terms::TurnedAway));
        }
        assert_eq!(admission.total.load(Ordering::Relaxed), 0);
        assert_eq!(admission.turned_away.load(Ordering::Relaxed), 0);
        assert!(admission.by_origin.lock().unwrap().is_empty());
    }
}
