//! Whom to wake: the task that polled last.

use std::cell::RefCell;
use std::task::Waker;

/// One task's; whoever else polls takes its place.
#[derive(Debug, Default)]
pub(crate) struct Watcher(RefCell<Option<Waker>>);

impl Watcher {
    pub(crate) fn watch(&self, waker: &Waker) {
        let mut known = self.0.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    /// It goes on watching.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.0.borrow() {
            waker.wake_by_ref();
        }
    }
}
