//! A stream, as its connection and its own task know it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::buffer::{Buf, Buffers};
use crate::http2::settings::STREAM_WINDOW;
use crate::http2::window::{TooWide, Window};
use crate::watcher::Watcher;

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: u32,
    /// What we may send.
    window: Cell<Window>,
    /// What the client may send.
    their_window: Cell<Window>,
    /// What of that was passed on.
    passed_on: Cell<u32>,
    /// What has come of the request's body.
    come: RefCell<Option<Buf>>,
    /// What is still to come of it, where the client has said.
    left: Cell<Option<u64>>,
    /// Whether all of the request has come.
    has_all: Cell<bool>,
    /// Whether all of the answer has gone.
    has_ended: Cell<bool>,
    /// Whether it was reset, or its connection has ended.
    is_over: Cell<bool>,
    turn: Cell<Turn>,
    /// Its task.
    watcher: Watcher,
}

/// Whether a stream may send where others would, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    None,
    /// It is among those that wait.
    Waiting,
    Given,
}

/// Why data cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Excess {
    /// More than the window.
    Window,
    /// More or less than was said.
    Length,
    /// The body has ended already.
    Ended,
}

impl Stream {
    /// `window`: what the client takes at first. `length`: of the body, where it is said.
    pub(super) fn new(id: u32, window: i32, length: Option<u64>, has_all: bool) -> Rc<Self> {
        Rc::new(Self {
            id,
            window: Cell::new(Window::new(window)),
            their_window: Cell::new(Window::new(STREAM_WINDOW.cast_signed())),
            passed_on: Cell::new(0),
            come: RefCell::default(),
            left: Cell::new(length),
            has_all: Cell::new(has_all),
            has_ended: Cell::new(false),
            is_over: Cell::new(false),
            turn: Cell::new(Turn::None),
            watcher: Watcher::default(),
        })
    }

    pub(super) fn watch(&self, waker: &Waker) {
        self.watcher.watch(waker);
    }

    pub(super) fn wake(&self) {
        self.watcher.wake();
    }

    /// It was reset, or its connection has ended.
    pub(super) fn end(&self) {
        self.is_over.set(true);
        self.wake();
    }

    pub(super) const fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// `None`: the stream was over first, and what was begun is dropped. For its own task.
    pub(super) async fn unless_over<F: Future>(&self, work: F) -> Option<F::Output> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if self.is_over() {
                return Poll::Ready(None);
            }
            self.watch(cx.waker());
            work.as_mut().poll(cx).map(Some)
        })
        .await
    }
}

/// What is sent.
impl Stream {
    pub(super) fn window(&self) -> usize {
        self.window.get().left()
    }

    pub(super) fn open_window(&self, bytes: u32) -> Result<(), TooWide> {
        let mut window = self.window.get();
        window.open(bytes)?;
        self.window.set(window);
        self.wake();
        Ok(())
    }

    pub(super) fn shift_window(&self, old: i32, new: i32) -> Result<(), TooWide> {
        let mut window = self.window.get();
        window.shift(old, new)?;
        self.window.set(window);
        self.wake();
        Ok(())
    }

    pub(super) fn sent(&self, bytes: usize, is_last: bool) {
        let mut window = self.window.get();
        window.take(bytes);
        self.window.set(window);
        self.has_ended.set(is_last);
    }

    /// Its head says that nothing follows.
    pub(super) fn ends(&self) {
        self.has_ended.set(true);
    }

    pub(super) const fn has_ended(&self) -> bool {
        self.has_ended.get()
    }

    pub(super) const fn turn(&self) -> Turn {
        self.turn.get()
    }

    /// It waits for its turn.
    pub(super) fn waits(&self) {
        self.turn.set(Turn::Waiting);
    }

    pub(super) fn is_given_turn(&self) {
        self.turn.set(Turn::Given);
        self.wake();
    }

    /// It has sent a frame.
    pub(super) fn had_turn(&self) {
        self.turn.set(Turn::None);
    }
}

/// What comes.
impl Stream {
    /// Some of the body came; `length` is what it takes of the window.
    pub(super) fn receive(
        &self,
        data: &[u8],
        length: usize,
        is_last: bool,
        buffers: &Rc<Buffers>,
    ) -> Result<(), Excess> {
        if self.has_all.get() {
            return Err(Excess::Ended);
        }
        let mut window = self.their_window.get();
        if !window.take(length) {
            return Err(Excess::Window);
        }
        self.their_window.set(window);
        if let Some(left) = self.left.get() {
            let left = left.checked_sub(data.len() as u64);
            let left = left.filter(|left| *left == 0 || !is_last);
            self.left.set(Some(left.ok_or(Excess::Length)?));
        }
        if !data.is_empty() {
            let mut come = self.come.borrow_mut();
            let come = come.get_or_insert_with(|| Buf::new(buffers.clone()));
            come.push(data);
            // It may have to wait for a dyno.
            come.rest();
        }
        self.has_all.set(is_last);
        self.wake();
        Ok(())
    }

    pub(super) const fn has_all(&self) -> bool {
        self.has_all.get()
    }

    /// What has come since this was called last.
    pub(super) fn take(&self) -> Option<Buf> {
        self.come.borrow_mut().take()
    }

    /// Whether nothing has come that was not taken.
    pub(super) fn is_taken(&self) -> bool {
        self.come.borrow().is_none()
    }

    /// How much has come that nobody will take.
    pub(super) fn left_behind(&self) -> usize {
        self.take().map_or(0, |come| come.len())
    }

    /// So much was passed on. By how much the client's window is to be opened now, if at all.
    pub(super) fn passed_on(&self, bytes: usize) -> Option<u32> {
        // No more than the window.
        let bytes = u32::try_from(bytes).unwrap_or(STREAM_WINDOW);
        let passed_on = self.passed_on.get().saturating_add(bytes);
        if passed_on < STREAM_WINDOW / 2 || self.has_all.get() {
            self.passed_on.set(passed_on);
            return None;
        }
        self.passed_on.set(0);
        let mut window = self.their_window.get();
        // It was taken from there.
        let _ = window.open(passed_on);
        self.their_window.set(window);
        Some(passed_on)
    }
}
