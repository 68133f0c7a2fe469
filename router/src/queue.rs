//! Requests of one app that wait until they can be passed on: counted, so that there is an end to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

#[derive(Debug, Clone, Default)]
pub(crate) struct Queue(Arc<AtomicU32>);

/// One request's place.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicU32>);

impl Queue {
    /// `None`: `most` are waiting already.
    pub(crate) fn join(&self, most: u32) -> Option<Place> {
        let place = Place(self.0.clone());
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        (before < most).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_makes_room() {
        let queue = Queue::default();
        let first = queue.join(2);
        let _second = queue.join(2);
        assert!(first.is_some() && queue.join(2).is_none() && queue.join(2).is_none());
        drop(first);
        assert!(queue.join(2).is_some());
    }
}
