//! How fast a client sends its request, or takes its answer, of the time that is spent waiting for it.
//!
//! A silence has its bound anyway. A byte now and then is no silence: it would hold a dyno, and one of the requests that an
//! app may have, for as long as somebody likes. Only what waits for the client is counted, so neither a slow app nor a stream
//! that has nothing to say is held against it.

use std::time::{Duration, Instant};

/// In bytes a second: a tenth of what a telephone did over GPRS.
const LEAST: u64 = 256;

#[derive(Debug)]
pub(crate) struct Pace {
    /// For each `period` of waiting it is asked whether enough came.
    period: Duration,
    waited: Duration,
    /// What had moved in all when the period began.
    before: u64,
    since: Option<Instant>,
}

impl Pace {
    pub(crate) const fn new(period: Duration) -> Self {
        Self {
            period,
            waited: Duration::ZERO,
            before: 0,
            since: None,
        }
    }

    /// `moved` bytes have, in all; and from now on it is the client that is waited for, or not. Gives whether it is too slow.
    pub(crate) fn look(&mut self, moved: u64, waits: bool, now: Instant) -> bool {
        if let Some(since) = self.since.take() {
            self.waited += now.saturating_duration_since(since);
        }
        self.since = waits.then_some(now);
        if self.waited < self.period {
            return false;
        }
        let least = self.period.as_secs_f64() * LEAST as f64;
        let is_too_slow = (moved.saturating_sub(self.before) as f64) < least;
        self.waited = Duration::ZERO;
        self.before = moved;
        is_too_slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(55);

    /// Whether a client that moves so much each second is found too slow within an hour; it is waited for all the time, or
    /// never.
    fn is_too_slow(bytes: u64, waits: bool) -> bool {
        let (mut pace, now) = (Pace::new(PERIOD), Instant::now());
        (0..3600).any(|second| pace.look(second * bytes, waits, now + Duration::from_secs(second)))
    }

    #[test]
    fn a_trickle_is_too_slow_and_a_bad_line_is_not() {
        assert!(is_too_slow(1, true));
        assert!(is_too_slow(LEAST - 10, true));
        assert!(!is_too_slow(LEAST + 10, true));
        assert!(!is_too_slow(0, false), "the app is slow");
    }

    #[test]
    fn what_came_at_first_does_not_pay_for_a_trickle_later() {
        let (mut pace, now) = (Pace::new(PERIOD), Instant::now());
        let moved = 1 << 30;
        assert!(!pace.look(moved, true, now));
        assert!(!pace.look(moved + 1, true, now + PERIOD));
        assert!(pace.look(moved + 2, true, now + 2 * PERIOD));
    }
}
