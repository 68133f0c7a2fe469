//! The tasks of an HTTP/2 connection's streams, on the worker's own thread; and their end where nobody else can bring it.

use std::rc::Rc;

use hyper::rt::Executor;

use crate::cut::Cut;

tokio::task_local! {
    /// Of the stream whose task this is.
    static CUT: Rc<Cut>;
}

/// Runs a stream, or what a tunnel over one needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Streams;

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, future: F) {
        let cut = Rc::new(Cut::default());
        // Owned by the worker's runtime; its connection, which is tracked, does not end before it.
        tokio::task::spawn_local(CUT.scope(cut.clone(), async move {
            // A stream that is dropped is reset.
            let _ = cut.or(future).await;
        }));
    }
}

/// What ends the stream whose task calls this, even while it waits for a window that is never opened: the library asks
/// its body for nothing then.
pub(super) fn cut() -> Option<Rc<Cut>> {
    CUT.try_with(Rc::clone).ok()
}
