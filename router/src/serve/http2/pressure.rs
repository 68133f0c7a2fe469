//! How much of answers' bodies the library is given before the client has taken what it has.
//!
//! The library bounds what it keeps for each stream, not for a connection; a client with many streams that takes nothing
//! would make us keep all of it. While the client takes nothing, no stream of its moves: so holding all of them off costs
//! nothing. Streams whose own window is shut have their own bound, and do not hold off the others.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

/// In bytes, between two times that everything could be written.
const AT_ONCE: usize = 256 * 1024;

/// One connection's.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    handed: Cell<usize>,
    waiting: RefCell<Vec<Waker>>,
}

impl Pressure {
    /// Ready when the library may be given more. A piece may go beyond the bound.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.handed.get() < AT_ONCE {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// So many bytes of a body were given to the library.
    pub(super) fn handed(&self, bytes: usize) {
        self.handed.set(self.handed.get().saturating_add(bytes));
    }

    /// All that could be written was written, as far as the streams' windows go.
    pub(super) fn relieve(&self) {
        if self.handed.take() == 0 {
            return;
        }
        for waker in self.waiting.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

    struct Nobody;

    impl Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn bodies_wait_for_what_was_given_before_them() {
        let pressure = Pressure::default();
        let waker = Waker::from(Arc::new(Nobody));
        let mut cx = Context::from_waker(&waker);
        assert!(pressure.poll_room(&mut cx).is_ready());
        pressure.handed(AT_ONCE);
        for _ in 0..3 {
            assert!(pressure.poll_room(&mut cx).is_pending());
        }
        assert_eq!(pressure.waiting.borrow().len(), 1);
        pressure.relieve();
        assert!(pressure.poll_room(&mut cx).is_ready());
        assert!(pressure.waiting.borrow().is_empty());
    }
}
