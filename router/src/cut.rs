//! Ends a task's wait from outside.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use crate::watcher::Watcher;

/// Cut once, it stays so.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    is_cut: Cell<bool>,
    watcher: Watcher,
}

impl Cut {
    pub(crate) fn cut(&self) {
        self.is_cut.set(true);
        self.watcher.wake();
    }

    /// `None`: it was cut before the future was ready. One task at a time may wait.
    pub(crate) async fn or<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if self.is_cut.get() {
                return Poll::Ready(None);
            }
            self.watcher.watch(cx.waker());
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_cut_waits_no_longer() {
        let cut = Cut::default();
        assert_eq!(cut.or(std::future::ready(7)).await, Some(7));
        let (ended, ()) = tokio::join!(cut.or(std::future::pending::<()>()), async {
            tokio::task::yield_now().await;
            cut.cut();
        });
        assert_eq!(ended, None);
        assert_eq!(cut.or(std::future::ready(7)).await, None);
    }
}
