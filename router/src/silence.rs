//! Leaving alone for a while what does not answer: a dyno that could not be connected to, or a host that has fallen silent.
//!
//! When the time is over one request tries again and the others keep away until it has come through: what is still dead
//! costs one request a moment, not all of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Quarantine {
    /// Milliseconds since `epoch`; 0 is never.
    until: AtomicU64,
    epoch: Instant,
}

impl Quarantine {
    pub(crate) fn new() -> Self {
        Self {
            until: AtomicU64::new(0),
            epoch: Instant::now(),
        }
    }

    pub(crate) fn begin(&self, for_how_long: Duration) {
        let until = self.epoch.elapsed() + for_how_long;
        self.until.store(millis(until).max(1), Ordering::Relaxed);
    }

    pub(crate) fn is_on(&self, now: Instant) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        until != 0 && millis(now.saturating_duration_since(self.epoch)) < until
    }

    /// Somebody tries whether it is over: the others wait for that, at most so long.
    pub(crate) fn try_out(&self, patience: Duration) {
        if self.until.load(Ordering::Relaxed) != 0 {
            self.begin(patience);
        }
    }

    pub(crate) fn lift(&self) {
        if self.until.load(Ordering::Relaxed) != 0 {
            self.until.store(0, Ordering::Relaxed);
        }
    }
}

/// All that is at one IP address. When it dies, all of it does at once; but one dyno's full backlog is not its death.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) quarantine: Quarantine,
    /// When anything came from there last; milliseconds since `epoch`.
    heard: AtomicU64,
    epoch: Instant,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self {
            quarantine: Quarantine::new(),
            heard: AtomicU64::new(0),
            epoch: Instant::now(),
        }
    }

    /// It has taken a connection, or answered.
    pub(crate) fn heard(&self) {
        self.heard
            .store(millis(self.epoch.elapsed()).max(1), Ordering::Relaxed);
        self.quarantine.lift();
    }

    /// Somebody has waited in vain since `began`. Whether that holds for everybody, and the host is left alone.
    pub(crate) fn was_silent(&self, began: Instant, for_how_long: Duration) -> bool {
        let began = millis(began.saturating_duration_since(self.epoch));
        let is_silent = self.heard.load(Ordering::Relaxed) <= began;
        if is_silent {
            self.quarantine.begin(for_how_long);
        }
        is_silent
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(5);

    #[test]
    fn one_tries_when_the_time_is_over_and_the_others_wait_for_it() {
        let quarantine = Quarantine::new();
        quarantine.try_out(LONG);
        assert!(!quarantine.is_on(Instant::now()), "it was never on");
        quarantine.begin(Duration::ZERO);
        assert!(!quarantine.is_on(Instant::now() + LONG));
        quarantine.try_out(LONG);
        assert!(quarantine.is_on(Instant::now()));
        quarantine.lift();
        assert!(!quarantine.is_on(Instant::now()));
    }

    #[test]
    fn a_host_that_spoke_meanwhile_is_not_silent() {
        let host = Host::new();
        let began = Instant::now();
        assert!(host.was_silent(began, LONG));
        assert!(host.quarantine.is_on(Instant::now()));
        host.heard();
        assert!(!host.quarantine.is_on(Instant::now()));
        let earlier = host.epoch;
        assert!(!host.was_silent(earlier, LONG));
        assert!(!host.quarantine.is_on(Instant::now()));
    }
}
