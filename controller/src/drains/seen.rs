//! Which batches a home has delivered, so that one it gets from two sides goes out once.
//!
//! A batch that was slow may come after the next one of its sender: the last few numbers are remembered one by one.

use std::collections::HashMap;

use model::AppId;
use uuid::Uuid;

/// Senders are processes, each with its own apps. One that was forgotten has long ended, or sends a few lines twice.
const MAX_SENDERS: usize = 100_000;
const REMEMBERED: u64 = u64::BITS as u64;

#[derive(Debug, Default)]
pub(super) struct Seen(HashMap<(Uuid, AppId), Window>);

#[derive(Debug, Default)]
struct Window {
    highest: u64,
    /// Bit n: the number n below the highest was there.
    bits: u64,
}

impl Seen {
    pub(super) fn is_first(&mut self, (sender, number): (Uuid, u64), app: AppId) -> bool {
        if self.0.len() >= MAX_SENDERS && !self.0.contains_key(&(sender, app)) {
            self.0.clear();
        }
        self.0.entry((sender, app)).or_default().is_first(number)
    }
}

impl Window {
    fn is_first(&mut self, number: u64) -> bool {
        if number > self.highest {
            let by = number - self.highest;
            self.bits = if by < REMEMBERED { self.bits << by } else { 0 } | 1;
            self.highest = number;
            return true;
        }
        let age = self.highest - number;
        // So old that nobody remembers: it is one that came again.
        if age >= REMEMBERED {
            return false;
        }
        let bit = 1 << age;
        let is_first = self.bits & bit == 0;
        self.bits |= bit;
        is_first
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn senders_and_apps_are_told_apart() {
        let mut seen = Seen::default();
        let (a, b) = (Uuid::new_v4(), Uuid::new_v4());
        let (app, other) = (AppId::new(), AppId::new());
        assert!(seen.is_first((a, 1), app));
        assert!(!seen.is_first((a, 1), app));
        assert!(seen.is_first((b, 1), app) && seen.is_first((a, 1), other));
    }

    proptest! {
        #[test]
        fn in_whatever_order_numbers_come_each_is_first_once(
            numbers in prop::collection::vec(1u64..60, 1..200)
        ) {
            let (mut window, mut known) = (Window::default(), BTreeSet::new());
            for number in numbers {
                prop_assert_eq!(window.is_first(number), known.insert(number));
            }
        }
    }

    #[test]
    fn what_is_long_past_is_not_first() {
        let mut window = Window::default();
        assert!(window.is_first(1_000));
        assert!(!window.is_first(1_000 - REMEMBERED));
        assert!(window.is_first(1_001 - REMEMBERED));
        assert!(window.is_first(1_000 + 3 * REMEMBERED) && !window.is_first(1_000));
    }
}
