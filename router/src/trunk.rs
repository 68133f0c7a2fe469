//! One worker's connections to dynos that speak HTTP/2, each of them shared by requests.
//!
//! HTTP/2 without TLS and without asking first (RFC 9113, 3.3).

mod wire;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use tokio::sync::{Mutex, oneshot};
use tokio::time::timeout_at;
use tracing::debug;

use crate::backend::Backend;
use crate::pool::{ConnectError, dial};
use wire::Wire;

/// Streams of one connection; for more another one is opened. Many servers allow no more.
const MAX_STREAMS: usize = 100;
/// What is under way of one body, each way.
pub(crate) const WINDOW: u32 = 64 * 1024;
/// Of all bodies of a connection: clients that read slowly leave room for the others'.
const CONNECTION_WINDOW: u32 = 100 * WINDOW;
/// Streams that were reset, by clients who left, and of which the dyno may not know yet: the library ends a connection over
/// more frames of unknown streams.
const MAX_RESET: usize = 10_000;
/// What the library charges for frames that wait, more the smaller they are, before it ends the connection: as many as can come
/// before those whom they are for have a turn to take them.
const SMALL_FRAMES: usize = 64 * 1024 * 1024;
/// As long as any dyno's may be.
const MAX_ANSWER_HEAD: u32 = 1024 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Trunks {
    /// By the backend's serial.
    open: RefCell<HashMap<u64, Vec<Trunk>>>,
    /// Held by whoever opens one: others who need one meanwhile wait, and share it.
    turns: RefCell<HashMap<u64, Weak<Mutex<()>>>>,
}

#[derive(Debug, Clone)]
struct Trunk {
    backend: Arc<Backend>,
    sender: SendRequest<Bytes>,
    state: Rc<State>,
}

#[derive(Debug)]
struct State {
    streams: Cell<usize>,
    /// Of those, the ones whose request's body is on its way.
    uploads: Rc<Cell<u32>>,
    used: Cell<Instant>,
    /// Whether it takes no more requests.
    is_over: Cell<bool>,
}

/// A request's place on a trunk, counted until it is dropped.
#[derive(Debug)]
pub(crate) struct OnTrunk(Trunk);

/// Counted among what a trunk's dyno is sent, until it is dropped.
#[derive(Debug)]
pub(crate) struct Uploading(Rc<Cell<u32>>);

impl Drop for Uploading {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl OnTrunk {
    fn begin(trunk: &Trunk) -> Self {
        let streams = &trunk.state.streams;
        streams.set(streams.get() + 1);
        Self(trunk.clone())
    }

    pub(crate) const fn sender(&mut self) -> &mut SendRequest<Bytes> {
        &mut self.0.sender
    }

    pub(crate) const fn backend(&self) -> &Arc<Backend> {
        &self.0.backend
    }

    pub(crate) fn upload(&self) -> Uploading {
        let uploads = self.0.state.uploads.clone();
        uploads.set(uploads.get() + 1);
        Uploading(uploads)
    }

    /// The dyno takes no more requests over it. Those that are under way go on.
    pub(crate) fn close(&self) {
        self.0.state.is_over.set(true);
    }
}

impl Drop for OnTrunk {
    fn drop(&mut self) {
        let state = &self.0.state;
        state.streams.set(state.streams.get() - 1);
        state.used.set(Instant::now());
    }
}

impl Trunk {
    fn has_room(&mut self) -> bool {
        let most = self.sender.current_max_send_streams().min(MAX_STREAMS);
        if self.state.is_over.get() || self.state.streams.get() >= most {
            return false;
        }
        // It may have said goodbye, and still have streams.
        let mut unwatched = Context::from_waker(Waker::noop());
        let is_over = matches!(self.sender.poll_ready(&mut unwatched), Poll::Ready(Err(_)));
        self.state.is_over.set(is_over);
        !is_over
    }
}

impl Trunks {
    /// A place on one that is open.
    pub(crate) fn take(&self, backend: &Backend) -> Option<OnTrunk> {
        let mut open = self.open.borrow_mut();
        let trunks = open.get_mut(&backend.serial)?;
        let place = |trunk: &mut Trunk| trunk.has_room().then(|| OnTrunk::begin(trunk));
        trunks.iter_mut().find_map(place)
    }

    /// A place on one that is open or that somebody is opening, or else on a new one; and whether it is new.
    pub(crate) async fn reach(
        &self,
        backend: &Arc<Backend>,
        patience: Duration,
    ) -> Result<(OnTrunk, bool), ConnectError> {
        let deadline = tokio::time::Instant::now() + patience;
        let turn = self.turn(backend);
        let Ok(_turn) = timeout_at(deadline, turn.lock()).await else {
            return Err(ConnectError::Silence);
        };
        match self.take(backend) {
            Some(on_trunk) => Ok((on_trunk, false)),
            None => Ok((self.open(backend, deadline).await?, true)),
        }
    }

    fn turn(&self, backend: &Backend) -> Rc<Mutex<()>> {
        let mut turns = self.turns.borrow_mut();
        if let Some(turn) = turns.get(&backend.serial).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Rc::default();
        turns.insert(backend.serial, Rc::downgrade(&turn));
        turn
    }

    async fn open(
        &self,
        backend: &Arc<Backend>,
        deadline: tokio::time::Instant,
    ) -> Result<OnTrunk, ConnectError> {
        let state = Rc::new(State {
            streams: Cell::default(),
            uploads: Rc::default(),
            used: Cell::new(Instant::now()),
            is_over: Cell::default(),
        });
        let wire = Wire::new(dial(backend.addr, deadline).await?, state.uploads.clone());
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(WINDOW as usize)
            // Until it has said how many it takes.
            .initial_max_send_streams(0)
            .max_concurrent_reset_streams(MAX_RESET)
            .max_local_error_reset_streams(None)
            .data_frame_budget(SMALL_FRAMES)
            .max_header_list_size(MAX_ANSWER_HEAD);
        let (sender, mut connection) = timeout_at(deadline, builder.handshake::<_, Bytes>(wire))
            .await
            .map_err(|_| ConnectError::Silence)?
            .map_err(|error| ConnectError::Refused(std::io::Error::other(error)))?;
        let trunk = Trunk {
            backend: backend.clone(),
            sender,
            state: state.clone(),
        };
        let label = backend.label.clone();
        let (agree, agreed) = oneshot::channel();
        let mut agree = Some(agree);
        // Owned by the worker's runtime; it ends with the last place on it once the trunk was let go.
        tokio::task::spawn_local(async move {
            let ended = poll_fn(|cx| {
                let polled = Pin::new(&mut connection).poll(cx);
                if connection.max_concurrent_send_streams() > 0
                    && let Some(agree) = agree.take()
                {
                    // Whoever opened it has run out of patience.
                    let _ = agree.send(());
                }
                polled
            });
            let ended = ended.await;
            state.is_over.set(true);
            if let Err(error) = ended {
                debug!(error = &error as &dyn std::error::Error, dyno = %label, "A connection to a dyno broke");
            }
        });
        let on_trunk = OnTrunk::begin(&trunk);
        // If it ends instead, the request is told so.
        let agreed = timeout_at(deadline, agreed).await;
        agreed.map_err(|_| ConnectError::Silence)?.ok();
        let mut open = self.open.borrow_mut();
        open.entry(backend.serial).or_default().push(trunk);
        Ok(on_trunk)
    }

    /// Lets go what takes no more, leads to dynos that are not routed any more, or has had no stream for so long. What
    /// streams there are go on.
    pub(crate) fn sweep(&self, keep_alive: Duration, now: Instant) {
        self.open.borrow_mut().retain(|_, trunks| {
            trunks.retain(|Trunk { backend, state, .. }| {
                let idle = now.saturating_duration_since(state.used.get());
                let is_idle = state.streams.get() == 0 && idle > keep_alive;
                !is_idle && !state.is_over.get() && !backend.is_removed()
            });
            !trunks.is_empty()
        });
    }
}
