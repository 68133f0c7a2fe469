//! Where requests go: one dyno (or controller, or builder) at one address, shared by all workers.
//!
//! The in-flight count is the ground of lossless switches. It is raised in the same step that picks the backend and
//! lowered when the request is over, so that "removed and zero" means that nothing more will ever be sent there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::{DynoId, ServiceId, ServiceRole};
use tokio::sync::Notify;

use crate::affinity::Tag;
use crate::silence::{Host, Quarantine};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum BackendId {
    Dyno(DynoId),
    Service(ServiceRole, ServiceId),
}

#[derive(Debug)]
pub(crate) struct Backend {
    /// Unique in this process; what pools are keyed by.
    pub(crate) serial: u64,
    pub(crate) id: BackendId,
    /// What a client's cookie calls it, a dyno.
    pub(crate) tag: Option<Tag>,
    /// `web.1`, as the log has it.
    pub(crate) label: Box<str>,
    pub(crate) addr: SocketAddr,
    in_flight: AtomicU32,
    /// Tunnels after an upgrade: load, but nothing that draining waits for.
    tunnels: AtomicU32,
    removed: AtomicBool,
    quarantine: Quarantine,
    host: Arc<Host>,
    /// The last table rebuild that used it.
    pub(crate) generation: AtomicU64,
    /// Told when a removed backend has nothing left in flight.
    drained: Arc<Notify>,
}

impl Backend {
    pub(crate) fn new(
        serial: u64,
        id: BackendId,
        label: String,
        addr: SocketAddr,
        host: Arc<Host>,
        drained: Arc<Notify>,
    ) -> Self {
        Self {
            serial,
            id,
            tag: match id {
                BackendId::Dyno(dyno) => Some(Tag::of(dyno)),
                BackendId::Service(..) => None,
            },
            label: label.into_boxed_str(),
            addr,
            in_flight: AtomicU32::new(0),
            tunnels: AtomicU32::new(0),
            removed: AtomicBool::new(false),
            quarantine: Quarantine::new(),
            host,
            generation: AtomicU64::new(0),
            drained,
        }
    }

    pub(crate) fn load(&self) -> u32 {
        self.in_flight
            .load(Ordering::Relaxed)
            .saturating_add(self.tunnels.load(Ordering::Relaxed))
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::SeqCst)
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::SeqCst)
    }

    pub(crate) fn set_removed(&self, removed: bool) {
        self.removed.store(removed, Ordering::SeqCst);
    }

    /// It could not be connected to.
    pub(crate) fn quarantine(&self, for_how_long: Duration) {
        self.quarantine.begin(for_how_long);
    }

    /// Nobody is to be sent there, even if nobody else is left.
    pub(crate) fn is_quarantined(&self, now: Instant) -> bool {
        self.quarantine.is_on(now)
    }

    /// Its host, or the way there, seems to be gone: better to ask elsewhere.
    pub(crate) fn is_on_silent_host(&self, now: Instant) -> bool {
        self.host.quarantine.is_on(now)
    }

    pub(crate) const fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// Somebody connects to it; if it was quarantined before, nobody else does until that has come out.
    pub(crate) fn begins_to_connect(&self, patience: Duration) {
        self.quarantine.try_out(patience);
        self.host.quarantine.try_out(patience);
    }

    pub(crate) fn has_connected(&self) {
        self.quarantine.lift();
        self.host.heard();
    }
}

/// One request's claim on a backend, from the pick to the end of both bodies.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Backend>);

impl InFlight {
    pub(crate) fn begin(backend: Arc<Backend>) -> Self {
        backend.in_flight.fetch_add(1, Ordering::SeqCst);
        Self(backend)
    }

    pub(crate) const fn backend(&self) -> &Arc<Backend> {
        &self.0
    }

    /// The request became a tunnel.
    pub(crate) fn into_tunnel(self) -> Tunnel {
        self.0.tunnels.fetch_add(1, Ordering::Relaxed);
        Tunnel(self.0.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        // Lower, then look: whoever sets `removed` sets, then looks at the count. One of the two sees the other.
        if self.0.in_flight.fetch_sub(1, Ordering::SeqCst) == 1 && self.0.is_removed() {
            self.0.drained.notify_one();
        }
    }
}

/// An upgraded connection's claim.
#[derive(Debug)]
pub(crate) struct Tunnel(Arc<Backend>);

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.0.tunnels.fetch_sub(1, Ordering::Relaxed);
    }
}
