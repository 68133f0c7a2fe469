//! Which batches of log lines have come, so that one sent twice is taken once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// Senders are processes: there are few, and one that was forgotten has long ended.
const MAX_SENDERS: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct Batches {
    /// Each sender's highest number. Guards a few lines.
    seen: Mutex<HashMap<Uuid, u64>>,
}

impl Batches {
    pub(crate) fn is_new(&self, (sender, number): (Uuid, u64)) -> bool {
        self.lock().get(&sender).is_none_or(|seen| number > *seen)
    }

    pub(crate) fn arrived(&self, (sender, number): (Uuid, u64)) {
        let mut seen = self.lock();
        if seen.len() >= MAX_SENDERS && !seen.contains_key(&sender) {
            seen.clear();
        }
        let highest = seen.entry(sender).or_insert(number);
        *highest = number.max(*highest);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, u64>> {
        // Valid after every statement: a panic elsewhere spoils nothing.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_of_a_sender_is_new_once() {
        let batches = Batches::default();
        let (a, b) = (Uuid::new_v4(), Uuid::new_v4());
        assert!(batches.is_new((a, 1)));
        batches.arrived((a, 1));
        assert!(!batches.is_new((a, 1)) && batches.is_new((a, 2)) && batches.is_new((b, 1)));
    }
}
