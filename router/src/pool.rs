//! Connections to dynos: opened, kept alive and taken again, by one worker for itself.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_rustls::TlsConnector;

use crate::backend::Backend;
use crate::bridge::bridge;
use crate::buffer::{Buf, Buffers};
use crate::outbox::Outbox;
use crate::stream::Stream;
use crate::trunk::{OnTrunk, Trunks};

/// Idle connections kept per backend and worker. Fewer than are in use at a time would be closed and made again all the time.
const MAX_IDLE: usize = 1024;

/// A host that has died says nothing, ever: the kernel's own patience with it is a quarter of an hour. What idles or waits
/// for an answer is asked whether it is there; a slow dyno does not matter, for it is its host's kernel that answers.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(3))
    .with_interval(Duration::from_secs(1))
    .with_retries(3);
/// How long what was sent may go without acknowledgement.
pub(crate) const UNACKNOWLEDGED: Duration = Duration::from_secs(4);

/// A connection to a dyno.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) stream: Stream,
    /// What the dyno has said.
    pub(crate) buf: Buf,
    /// What it is told.
    pub(crate) outbox: Outbox,
    /// Whether it has carried a request before: then its silent end may just be the dyno's keep-alive running out.
    pub(crate) is_reused: bool,
    /// Whether what goes without acknowledgement ends it.
    is_watched: bool,
    idle_since: Instant,
}

#[derive(Debug)]
pub(crate) struct Pool {
    /// By the backend's serial.
    idle: RefCell<HashMap<u64, Idle>>,
    /// To dynos that speak HTTP/2.
    trunks: Rc<Trunks>,
    keep_alive: Duration,
    buffers: Rc<Buffers>,
}

#[derive(Debug)]
struct Idle {
    backend: Arc<Backend>,
    /// The one used last is last.
    links: Vec<Link>,
}

#[derive(Debug)]
pub(crate) enum ConnectError {
    /// Nothing came back, or word that there is no way there.
    Silence,
    Refused(io::Error),
    /// The fault is on our side of the wire: no more file descriptors, ports or memory.
    Ours(io::Error),
}

impl Pool {
    pub(crate) fn new(keep_alive: Duration, buffers: Rc<Buffers>) -> Self {
        Self {
            idle: RefCell::default(),
            trunks: Rc::default(),
            keep_alive,
            buffers,
        }
    }

    /// The idle connection used last. `must_live`: the request could not be sent a second time, so the kernel is asked
    /// whether the other end is still there.
    pub(crate) fn take(&self, backend: &Backend, must_live: bool, now: Instant) -> Option<Link> {
        let mut idle = self.idle.borrow_mut();
        let links = &mut idle.get_mut(&backend.serial)?.links;
        while let Some(mut link) = links.pop() {
            if !link.is_spent(self.keep_alive, now) && (!must_live || link.stream.is_open()) {
                return Some(link);
            }
        }
        None
    }

    /// Back from a request whose bodies are both complete.
    pub(crate) fn put(&self, backend: &Arc<Backend>, mut link: Link, now: Instant) {
        let is_for_one = matches!(link.stream, Stream::Bridge(_));
        if is_for_one || backend.is_removed() || !link.buf.is_empty() || !link.outbox.is_empty() {
            return;
        }
        link.buf.rest();
        link.idle_since = now;
        link.is_reused = true;
        let mut idle = self.idle.borrow_mut();
        let new = || Idle {
            backend: backend.clone(),
            links: Vec::new(),
        };
        let idle = idle.entry(backend.serial).or_insert_with(new);
        if idle.links.len() < MAX_IDLE {
            idle.links.push(link);
        }
    }

    /// Closes what idles towards backends that are not routed any more.
    pub(crate) fn forget_removed(&self) {
        self.idle
            .borrow_mut()
            .retain(|_, idle| !idle.backend.is_removed());
    }

    /// Closes what has idled for too long, or was closed at the other end.
    pub(crate) fn sweep(&self, now: Instant) {
        self.idle.borrow_mut().retain(|_, Idle { links, .. }| {
            links.retain_mut(|link| !link.is_spent(self.keep_alive, now));
            !links.is_empty()
        });
        self.trunks.sweep(self.keep_alive, now);
    }

    /// With `tls`, the other end must prove what it is before a byte of a request is sent.
    pub(crate) async fn connect(
        &self,
        addr: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        patience: Duration,
    ) -> Result<Link, ConnectError> {
        let deadline = tokio::time::Instant::now() + patience;
        let stream = dial(addr, deadline).await?;
        let stream = match tls {
            None => Stream::Plain(stream),
            Some(tls) => {
                let connector = TlsConnector::from(tls.clone());
                let handshake = connector.connect(ServerName::from(addr.ip()), stream);
                match timeout_at(deadline, handshake).await {
                    Ok(Ok(stream)) => Stream::Service(Box::new(stream)),
                    Ok(Err(error)) => return Err(ConnectError::Refused(error)),
                    Err(_) => return Err(ConnectError::Silence),
                }
            }
        };
        Ok(self.link(stream, false))
    }

    /// To a dyno that speaks HTTP/2, over a connection that is open. `only_fresh`: it counts as a new one, for others that were
    /// closed do not stand in line here.
    pub(crate) fn join(&self, backend: &Backend, only_fresh: bool) -> Option<Link> {
        let on_trunk = self.trunks.take(backend)?;
        Some(self.bridge(on_trunk, !only_fresh))
    }

    /// The same, if need be over a new one.
    pub(crate) async fn cross(
        &self,
        backend: &Arc<Backend>,
        only_fresh: bool,
        patience: Duration,
    ) -> Result<Link, ConnectError> {
        let (on_trunk, is_new) = self.trunks.reach(backend, patience).await?;
        Ok(self.bridge(on_trunk, !is_new && !only_fresh))
    }

    fn bridge(&self, on_trunk: OnTrunk, is_reused: bool) -> Link {
        let bridge = bridge(on_trunk, self.trunks.clone(), self.buffers.clone());
        self.link(Stream::Bridge(bridge), is_reused)
    }

    fn link(&self, stream: Stream, is_reused: bool) -> Link {
        Link {
            stream,
            buf: Buf::new(self.buffers.clone()),
            outbox: Outbox::new(self.buffers.clone()),
            is_reused,
            is_watched: false,
            idle_since: Instant::now(),
        }
    }
}

pub(crate) async fn dial(
    addr: SocketAddr,
    deadline: tokio::time::Instant,
) -> Result<TcpStream, ConnectError> {
    let stream = match timeout_at(deadline, TcpStream::connect(addr)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if is_ours(&error) => return Err(ConnectError::Ours(error)),
        Ok(Err(error)) if is_silence(&error) => return Err(ConnectError::Silence),
        Ok(Err(error)) => return Err(ConnectError::Refused(error)),
        Err(_) => return Err(ConnectError::Silence),
    };
    // Small answers must not wait for each other; without it they are only slower.
    let _ = stream.set_nodelay(true);
    // Without it the death of a host is noticed later.
    let _ = SockRef::from(&stream).set_tcp_keepalive(&KEEPALIVE);
    Ok(stream)
}

/// `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`, `EADDRNOTAVAIL`.
fn is_ours(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(24 | 23 | 105 | 12 | 99))
}

/// Nobody answered, not even to refuse.
pub(crate) fn is_silence(error: &io::Error) -> bool {
    use io::ErrorKind::{HostUnreachable, NetworkUnreachable, TimedOut};
    matches!(
        error.kind(),
        TimedOut | HostUnreachable | NetworkUnreachable
    )
}

impl Link {
    fn is_spent(&mut self, keep_alive: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.idle_since) > keep_alive || !self.stream.is_quiet()
    }

    /// Call before a request is sent.
    pub(crate) fn expect_answer(&mut self, has_body: bool) {
        // A head finds room in any kernel, and is acknowledged at once by one that lives. A body may have to wait for
        // its reader, and the kernel counts that as silence too.
        self.watch(!has_body);
    }

    /// From here on both ends write what and when they like.
    pub(crate) fn becomes_tunnel(&mut self) {
        self.watch(false);
    }

    fn watch(&mut self, on: bool) {
        if self.is_watched != on {
            self.is_watched = on;
            // Without it the death of the host is noticed later.
            if let Some(socket) = self.stream.tcp() {
                let _ = socket.set_tcp_user_timeout(on.then_some(UNACKNOWLEDGED));
            }
        }
    }

    /// Reads what the dyno has said, and gives how much it was.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        self.buf.poll_fill(cx, &mut self.stream, max)
    }
}
