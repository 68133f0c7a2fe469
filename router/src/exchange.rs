//! One request and its response, from the first to the last byte: what is known of it, what it holds, and its one line
//! in the log.
//!
//! An exchange is shared by up to three parties on one thread: whoever forwards it, the [`Upload`] that the dyno's
//! connection reads, and the [`Download`] that the client's connection reads. It keeps the claim on the dyno until both
//! directions are over; when the last party lets go before that, the client has gone away (H27).
//!
//! [`Upload`]: crate::body::Upload
//! [`Download`]: crate::body::Download

use std::cell::{Cell, OnceCell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use http::{HeaderValue, Method, Version};
use hyper::body::{Body as _, Incoming};

use crate::access_log::{self, Record};
use crate::backend::{Backend, InFlight, Tunnel};
use crate::error_page::Taste;
use crate::fault::Fault;
use crate::pool::Connection;
use crate::request::Client;
use crate::table::App;
use crate::worker::Worker;

/// What is kept of the request.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: http::uri::PathAndQuery,
    /// Lower case, without port.
    pub(crate) host: String,
    pub(crate) request_id: HeaderValue,
    pub(crate) fwd: HeaderValue,
    pub(crate) version: Version,
    pub(crate) taste: Taste,
}

/// How far the request's body has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Not one byte was taken from the client.
    Untouched,
    Some,
    /// All of it, and when.
    All(Instant),
    /// The client broke off, or sent nonsense.
    Broken(Fault),
}

#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) worker: Rc<Worker>,
    pub(crate) client: Rc<Client>,
    pub(crate) asked: Asked,
    /// Where its line goes; platform hosts have none.
    app: OnceCell<Arc<App>>,
    /// The longest silence while bodies are under way.
    idle: Cell<Duration>,

    backend: RefCell<Option<Arc<Backend>>>,
    claim: RefCell<Option<InFlight>>,
    connection: RefCell<Option<Connection>>,
    connect: Cell<Option<Duration>>,
    dispatched: Cell<Option<Instant>>,

    has_body: bool,
    pub(crate) upload: RefCell<Option<Incoming>>,
    pub(crate) sent: Cell<Sent>,
    pub(crate) download: RefCell<Option<Incoming>>,
    /// Whoever waits for the dyno's next byte.
    pub(crate) waiting: RefCell<Option<Waker>>,
    pub(crate) activity: Cell<Instant>,
    status: Cell<u16>,
    pub(crate) bytes: Cell<u64>,
    is_received: Cell<bool>,
    is_logged: Cell<bool>,
    slot: Cell<Option<usize>>,
}

impl Exchange {
    pub(crate) fn new(client: Rc<Client>, asked: Asked, body: Incoming) -> Rc<Self> {
        let now = Instant::now();
        let has_body = !body.is_end_stream();
        let sent = if has_body {
            Sent::Untouched
        } else {
            Sent::All(now)
        };
        Rc::new(Self {
            worker: client.worker.clone(),
            client,
            asked,
            app: OnceCell::new(),
            idle: Cell::new(Duration::MAX),
            backend: RefCell::new(None),
            claim: RefCell::new(None),
            connection: RefCell::new(None),
            connect: Cell::new(None),
            dispatched: Cell::new(None),
            has_body,
            upload: RefCell::new(Some(body)),
            sent: Cell::new(sent),
            download: RefCell::new(None),
            waiting: RefCell::new(None),
            activity: Cell::new(now),
            status: Cell::new(0),
            bytes: Cell::new(0),
            is_received: Cell::new(false),
            is_logged: Cell::new(false),
            slot: Cell::new(None),
        })
    }

    /// The app it is for, by the first table that was asked.
    pub(crate) fn set_app(&self, app: &Arc<App>) {
        let _ = self.app.set(app.clone());
    }

    pub(crate) fn app(&self) -> Option<&Arc<App>> {
        self.app.get()
    }

    pub(crate) fn set_idle(&self, idle: Duration) {
        self.idle.set(idle);
    }

    pub(crate) fn idle(&self) -> Duration {
        self.idle.get()
    }

    /// The backend that was picked; whatever was claimed before is let go.
    pub(crate) fn claim(&self, claim: InFlight) {
        *self.backend.borrow_mut() = Some(claim.backend().clone());
        *self.claim.borrow_mut() = Some(claim);
    }

    /// Lets the backend go: nothing of this request is or will be there.
    pub(crate) fn release(&self) {
        // Out of the cell first: what is dropped may look at the exchange.
        let claim = self.claim.borrow_mut().take();
        drop(claim);
    }

    /// The one picked last, claimed or not.
    pub(crate) fn backend(&self) -> Option<Arc<Backend>> {
        self.backend.borrow().clone()
    }

    pub(crate) fn failed_to_connect(&self, took: Duration) {
        self.connect.set(Some(took));
        self.release();
    }

    /// Whether sending it twice means the same as sending it once, by HTTP's rule, and can be done.
    pub(crate) fn is_repeatable(&self) -> bool {
        !self.has_body && self.asked.method.is_idempotent()
    }

    pub(crate) const fn has_body(&self) -> bool {
        self.has_body
    }

    pub(crate) fn become_tunnel(&self) -> Option<Tunnel> {
        self.claim.borrow_mut().take().map(InFlight::into_tunnel)
    }

    pub(crate) fn dispatch(&self, connect: Duration) {
        let now = Instant::now();
        self.connect.set(Some(connect));
        self.dispatched.set(Some(now));
        self.activity.set(now);
    }

    pub(crate) fn set_status(&self, status: u16) {
        self.status.set(status);
    }

    pub(crate) fn touch(&self) {
        self.activity.set(Instant::now());
    }

    /// The response's body begins. The connection goes back to the pool when it has ended well.
    pub(crate) fn begin_download(self: &Rc<Self>, body: Incoming, connection: Connection) {
        self.touch();
        *self.connection.borrow_mut() = Some(connection);
        if body.is_end_stream() {
            self.end_download();
        } else {
            *self.download.borrow_mut() = Some(body);
        }
        // Not over yet when the response came before the end of the request.
        if self.claim.borrow().is_some() {
            self.slot.set(Some(self.worker.watch(self)));
        }
    }

    pub(crate) const fn is_received(&self) -> bool {
        self.is_received.get()
    }

    /// All of the response has come from the dyno.
    pub(crate) fn end_download(&self) {
        self.is_received.set(true);
        let body = self.download.borrow_mut().take();
        drop(body);
        self.log(None, self.status.get());
        self.end();
    }

    pub(crate) fn end_upload(&self) {
        self.sent.set(Sent::All(Instant::now()));
        self.end();
    }

    /// When both directions are complete, the connection may carry the next request, and the dyno may go.
    fn end(&self) {
        if !self.is_received.get() || !matches!(self.sent.get(), Sent::All(_)) {
            return;
        }
        self.unwatch();
        let connection = self.connection.borrow_mut().take();
        if let (Some(connection), Some(backend)) = (connection, &*self.backend.borrow()) {
            self.worker.pool.put(backend, connection);
        }
        self.release();
    }

    /// Breaks it off where it stands: the dyno's connection is closed, the client's body ends in an error.
    pub(crate) fn cut(&self, fault: Fault) {
        self.log(Some(fault), fault.status().as_u16());
        self.unwatch();
        let held = (
            self.download.borrow_mut().take(),
            self.upload.borrow_mut().take(),
            self.connection.borrow_mut().take(),
        );
        drop(held);
        self.release();
        let waiting = self.waiting.borrow_mut().take();
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    /// Called now and then while the response's body is under way.
    pub(crate) fn check_idle(&self, now: Instant) {
        if now.saturating_duration_since(self.activity.get()) < self.idle.get() {
            return;
        }
        if self.has_more() {
            // The client does not take what is there. On HTTP/1.1 nothing less than closing ends that.
            self.cut(Fault::ClientIdle);
            if self.asked.version != Version::HTTP_2 {
                self.client.abort.notify_one();
            }
        } else {
            self.cut(Fault::BackendIdle);
        }
    }

    /// Whether the dyno has sent more than the client has taken. What is found is lost: only for what is cut anyway.
    fn has_more(&self) -> bool {
        let mut unwatched = Context::from_waker(Waker::noop());
        let mut body = self.download.borrow_mut();
        body.as_mut()
            .is_some_and(|body| Pin::new(body).poll_frame(&mut unwatched).is_ready())
    }

    fn unwatch(&self) {
        if let Some(slot) = self.slot.take() {
            self.worker.unwatch(slot);
        }
    }

    /// The request's one line, whoever comes first.
    pub(crate) fn log(&self, fault: Option<Fault>, status: u16) {
        if self.is_logged.replace(true) || fault.is_some_and(|fault| fault.code().is_none()) {
            return;
        }
        let Some(app) = self.app.get() else { return };
        let backend = self.backend.borrow();
        let dispatched = self.dispatched.get();
        access_log::send(
            &self.worker.shared.log,
            app.id,
            &Record {
                fault,
                method: &self.asked.method,
                path: self.asked.path.as_str(),
                host: &self.asked.host,
                request_id: self.asked.request_id.to_str().unwrap_or_default(),
                fwd: self.asked.fwd.to_str().unwrap_or_default(),
                dyno: backend.as_ref().map_or("", |backend| &backend.label),
                connect: self.connect.get(),
                service: dispatched.map(|at| at.elapsed()),
                status,
                bytes: dispatched.map(|_| self.bytes.get()),
                version: self.asked.version,
                tls_version: self.client.tls_version,
            },
        );
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.unwatch();
        if !self.is_logged.get() {
            let fault = if self.worker.is_closing() {
                Fault::ForcedClose
            } else {
                Fault::ClientInterrupted
            };
            self.log(Some(fault), fault.status().as_u16());
        }
    }
}
