//! Deadlines without a timer each: a worker looks at all of them a few times a second, and wakes those that are late.
//!
//! A deadline is set for every piece of every body, and hardly ever reached. So setting one writes a number, and being
//! late by a fraction of a second is the price.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::{Rc, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::watcher::Watcher;

/// One worker's clock and whoever goes by it.
#[derive(Debug)]
pub(crate) struct Alarms {
    alarms: RefCell<Slab<Weak<Alarm>>>,
    now: Cell<Instant>,
    every: Duration,
}

/// Rings once for each time it was set, unless it is set anew before.
pub(crate) struct Alarm {
    alarms: Rc<Alarms>,
    slot: Cell<usize>,
    at: Cell<Option<Instant>>,
    has_rung: Cell<bool>,
    is_wanted: Cell<bool>,
    watcher: Watcher,
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarm")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

impl Alarms {
    /// To be looked at each `every`.
    pub(crate) fn new(every: Duration) -> Rc<Self> {
        Rc::new(Self {
            alarms: RefCell::default(),
            now: Cell::new(Instant::now()),
            every,
        })
    }

    pub(crate) const fn every(&self) -> Duration {
        self.every
    }

    /// What time it was a moment ago.
    pub(crate) const fn now(&self) -> Instant {
        self.now.get()
    }

    /// Wakes whoever is late.
    pub(crate) fn look(&self, now: Instant) {
        self.now.set(now);
        for alarm in self.all() {
            let is_wanted = alarm.is_wanted.take();
            if alarm.at.get().is_some_and(|at| at <= now) {
                alarm.at.set(None);
                alarm.has_rung.set(true);
                alarm.wake();
            } else if is_wanted {
                alarm.wake();
            }
        }
    }

    /// Has everybody look whether something else has changed.
    pub(crate) fn wake_all(&self) {
        for alarm in self.all() {
            alarm.wake();
        }
    }

    /// A list of its own: who is woken may come and go.
    fn all(&self) -> Vec<Rc<Alarm>> {
        let alarms = self.alarms.borrow();
        alarms
            .iter()
            .filter_map(|(_, alarm)| alarm.upgrade())
            .collect()
    }
}

impl Alarm {
    pub(crate) fn new(alarms: &Rc<Alarms>) -> Rc<Self> {
        let alarm = Rc::new(Self {
            alarms: alarms.clone(),
            slot: Cell::new(0),
            at: Cell::new(None),
            has_rung: Cell::new(false),
            is_wanted: Cell::new(false),
            watcher: Watcher::default(),
        });
        let slot = alarms.alarms.borrow_mut().insert(Rc::downgrade(&alarm));
        alarm.slot.set(slot);
        alarm
    }

    /// Rings after `patience`, and no more than two looks later.
    pub(crate) fn set(&self, patience: Duration) {
        self.has_rung.set(false);
        let after = patience.saturating_add(self.alarms.every);
        self.at.set(self.alarms.now.get().checked_add(after));
    }

    /// Watches, and is woken at the next look, once, though it has not rung.
    pub(crate) fn wake_at_next_look(&self, waker: &Waker) {
        self.watch(waker);
        self.is_wanted.set(true);
    }

    /// What time it was a moment ago.
    pub(crate) fn now(&self) -> Instant {
        self.alarms.now()
    }

    pub(crate) fn has_rung(&self) -> bool {
        self.has_rung.get()
    }

    /// Whom to wake.
    pub(crate) fn watch(&self, waker: &Waker) {
        self.watcher.watch(waker);
    }

    fn wake(&self) {
        self.watcher.wake();
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.alarms.alarms.borrow_mut().try_remove(self.slot.get());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use std::task::Wake;

    use super::*;

    /// How often.
    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    const EVERY: Duration = Duration::from_millis(100);

    #[test]
    fn it_rings_no_sooner_than_was_asked_and_not_if_set_anew() {
        let alarms = Alarms::new(EVERY);
        let (begun, alarm) = (alarms.now.get(), Alarm::new(&alarms));
        alarm.set(Duration::from_secs(1));
        alarms.look(begun + Duration::from_secs(1));
        assert!(!alarm.has_rung());
        alarms.look(begun + Duration::from_secs(1) + EVERY);
        assert!(alarm.has_rung());
        alarm.set(Duration::from_secs(1));
        assert!(!alarm.has_rung());
        alarms.look(begun + Duration::from_secs(2));
        alarm.set(Duration::from_secs(1));
        alarms.look(begun + Duration::from_millis(2500));
        assert!(!alarm.has_rung());
    }

    #[test]
    fn who_wants_to_be_woken_at_the_next_look_is_and_it_has_not_rung() {
        let alarms = Alarms::new(EVERY);
        let (begun, alarm) = (alarms.now.get(), Alarm::new(&alarms));
        let woken = Arc::new(Woken::default());
        alarm.wake_at_next_look(&Waker::from(woken.clone()));
        alarms.look(begun + EVERY);
        assert_eq!((woken.0.load(Relaxed), alarm.has_rung()), (1, false));
        alarms.look(begun + 2 * EVERY);
        assert_eq!(woken.0.load(Relaxed), 1);
    }

    #[test]
    fn a_dropped_alarm_is_forgotten() {
        let alarms = Alarms::new(EVERY);
        let (one, two) = (Alarm::new(&alarms), Alarm::new(&alarms));
        drop(one);
        assert_eq!(alarms.alarms.borrow().len(), 1);
        drop(two);
        assert!(alarms.alarms.borrow().is_empty());
    }

    #[test]
    fn forever_is_never() {
        let alarms = Alarms::new(EVERY);
        let alarm = Alarm::new(&alarms);
        alarm.set(Duration::MAX);
        alarms.look(alarms.now.get() + Duration::from_secs(1 << 20));
        assert!(!alarm.has_rung());
    }
}
