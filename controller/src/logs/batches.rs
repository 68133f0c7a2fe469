//! Which batches of log lines have come, so that one sent twice is taken once.
//!
//! By app: a sender splits its batches by app over the controllers, and may split one otherwise when it sends it again. An
//! app's lines of one number are always the same.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::AppId;
use uuid::Uuid;

/// Senders are processes, each with its own apps. One that was forgotten has long ended, or sends a few lines twice.
const MAX_SENDERS: usize = 200_000;

#[derive(Debug, Default)]
pub(crate) struct Batches {
    /// Each sender's highest number. Guards a few lines.
    seen: Mutex<HashMap<(Uuid, AppId), u64>>,
}

impl Batches {
    pub(crate) fn is_new(&self, (sender, number): (Uuid, u64), app: AppId) -> bool {
        self.lock()
            .get(&(sender, app))
            .is_none_or(|seen| number > *seen)
    }

    pub(crate) fn arrived(&self, (sender, number): (Uuid, u64), app: AppId) {
        let mut seen = self.lock();
        if seen.len() >= MAX_SENDERS && !seen.contains_key(&(sender, app)) {
            seen.clear();
        }
        let highest = seen.entry((sender, app)).or_insert(number);
        *highest = number.max(*highest);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Uuid, AppId), u64>> {
        // Valid after every statement: a panic elsewhere spoils nothing.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_of_a_sender_is_new_once_for_each_app() {
        let batches = Batches::default();
        let (a, b) = (Uuid::new_v4(), Uuid::new_v4());
        let (app, other) = (AppId::new(), AppId::new());
        assert!(batches.is_new((a, 1), app));
        batches.arrived((a, 1), app);
        assert!(!batches.is_new((a, 1), app));
        assert!(batches.is_new((a, 2), app));
        assert!(batches.is_new((b, 1), app));
        assert!(batches.is_new((a, 1), other));
    }
}
