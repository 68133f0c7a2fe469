//! TLS handshakes under way. When there are too many the oldest gives way: those that mean it are done within a moment, and
//! those that only hold a place are the oldest.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::cut::Cut;

/// One worker's.
#[derive(Debug)]
pub(crate) struct Handshakes {
    /// By when they began.
    under_way: RefCell<BTreeMap<u64, Rc<Cut>>>,
    begun: Cell<u64>,
    most: usize,
}

impl Handshakes {
    /// `most` at a time.
    pub(crate) const fn new(most: usize) -> Self {
        Self {
            under_way: RefCell::new(BTreeMap::new()),
            begun: Cell::new(0),
            most,
        }
    }

    /// Waits for one. `None`: it had to give way.
    pub(crate) async fn wait_for<F: Future>(&self, handshake: F) -> Option<F::Output> {
        let number = self.begun.get();
        self.begun.set(number + 1);
        let cut = Rc::new(Cut::default());
        let oldest = {
            let mut under_way = self.under_way.borrow_mut();
            under_way.insert(number, cut.clone());
            (under_way.len() > self.most)
                .then(|| under_way.pop_first())
                .flatten()
        };
        if let Some((_, oldest)) = oldest {
            oldest.cut();
        }
        // However it ends.
        let _leaves = Leaves(self, number);
        cut.or(handshake).await
    }
}

struct Leaves<'h>(&'h Handshakes, u64);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.under_way.borrow_mut().remove(&self.1);
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join3;

    use super::*;

    #[tokio::test]
    async fn the_oldest_gives_way() {
        let handshakes = Handshakes::new(1);
        let never = || handshakes.wait_for(std::future::pending::<()>());
        let (first, second, third) = join3(
            never(),
            never(),
            handshakes.wait_for(std::future::ready(())),
        )
        .await;
        assert_eq!((first, second, third), (None, None, Some(())));
        assert!(handshakes.under_way.borrow().is_empty());
    }
}
