//! How many orders may still be made: authorities shut out who asks too often.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(super) struct Budget {
    per_hour: usize,
    /// Of the last hour, oldest first.
    taken: VecDeque<Instant>,
}

impl Budget {
    pub(super) fn new(per_hour: u32) -> Self {
        Self {
            per_hour: usize::try_from(per_hour).unwrap_or(usize::MAX),
            taken: VecDeque::new(),
        }
    }

    /// Whether there is one left; it is taken.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        while self
            .taken
            .front()
            .is_some_and(|taken| now.duration_since(*taken) >= HOUR)
        {
            self.taken.pop_front();
        }
        let is_left = self.taken.len() < self.per_hour;
        if is_left {
            self.taken.push_back(now);
        }
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_comes_back_after_an_hour() {
        let (mut budget, begun) = (Budget::new(2), Instant::now());
        let later = |minutes: u64| begun + Duration::from_secs(minutes * 60);
        assert!(budget.take(later(0)) && budget.take(later(30)));
        assert!(!budget.take(later(59)));
        assert!(budget.take(later(60)));
        assert!(!budget.take(later(89)));
        assert!(budget.take(later(90)));
    }
}
