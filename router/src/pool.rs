//! Connections to dynos: opened, kept alive and taken again, by one worker for itself.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_rustls::TlsConnector;

use crate::backend::Backend;
use crate::body::Upload;

/// Idle connections kept per backend and worker; more than that only wait to be closed.
const MAX_IDLE: usize = 128;

/// A host that has died says nothing, ever: the kernel's own patience with it is a quarter of an hour. What idles or waits
/// for an answer is asked whether it is there; a slow dyno does not matter, for it is its host's kernel that answers.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(3))
    .with_interval(Duration::from_secs(1))
    .with_retries(3);
/// How long what was sent may go without acknowledgement.
const UNACKNOWLEDGED: Duration = Duration::from_secs(4);

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) sender: SendRequest<Upload>,
    socket: Arc<Socket>,
    /// Whether it has carried a request before: then its silent end may just be the dyno's keep-alive running out.
    pub(crate) is_reused: bool,
    idle_since: Instant,
}

#[derive(Debug)]
pub(crate) struct Pool {
    /// By the backend's serial.
    idle: RefCell<HashMap<u64, Idle>>,
    keep_alive: Duration,
    client: http1::Builder,
}

#[derive(Debug)]
struct Idle {
    backend: Arc<Backend>,
    /// The one used last is last.
    connections: Vec<Connection>,
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
    pub(crate) fn new(keep_alive: Duration) -> Self {
        let mut client = http1::Builder::new();
        client.writev(true);
        Self {
            idle: RefCell::default(),
            keep_alive,
            client,
        }
    }

    /// The idle connection used last. `must_live`: the request could not be sent a second time, so the socket itself is
    /// asked whether the other end is still there.
    pub(crate) fn take(&self, backend: &Backend, must_live: bool) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let connections = &mut idle.get_mut(&backend.serial)?.connections;
        let mut index = connections.len();
        while index > 0 {
            index -= 1;
            let connection = &connections[index];
            if connection.is_spent(self.keep_alive) || (must_live && !connection.socket.is_quiet())
            {
                connections.remove(index);
            } else if connection.sender.is_ready() {
                return Some(connections.remove(index));
            }
        }
        None
    }

    /// Back from a request whose bodies are both complete.
    pub(crate) fn put(&self, backend: &Arc<Backend>, mut connection: Connection) {
        if backend.is_removed() || connection.sender.is_closed() {
            return;
        }
        connection.idle_since = Instant::now();
        connection.is_reused = true;
        let mut idle = self.idle.borrow_mut();
        let new = || Idle {
            backend: backend.clone(),
            connections: Vec::new(),
        };
        let idle = idle.entry(backend.serial).or_insert_with(new);
        if idle.connections.len() < MAX_IDLE {
            idle.connections.push(connection);
        }
    }

    /// Closes what idles towards backends that are not routed any more.
    pub(crate) fn forget_removed(&self) {
        self.idle
            .borrow_mut()
            .retain(|_, idle| !idle.backend.is_removed());
    }

    /// Closes what has idled for too long.
    pub(crate) fn sweep(&self) {
        self.idle
            .borrow_mut()
            .retain(|_, Idle { connections, .. }| {
                connections.retain(|connection| !connection.is_spent(self.keep_alive));
                !connections.is_empty()
            });
    }

    /// With `tls`, the other end must prove what it is before a byte of a request is sent.
    pub(crate) async fn connect(
        &self,
        addr: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        patience: Duration,
    ) -> Result<Connection, ConnectError> {
        let deadline = tokio::time::Instant::now() + patience;
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
        let socket = Arc::new(Socket {
            stream,
            has_answered: AtomicBool::new(false),
            is_watched: AtomicBool::new(false),
        });
        let io = SocketIo(socket.clone());
        let sender = match tls {
            None => self.speak(io).await?,
            Some(tls) => {
                let connector = TlsConnector::from(tls.clone());
                let handshake = connector.connect(ServerName::from(addr.ip()), io);
                match timeout_at(deadline, handshake).await {
                    Ok(Ok(io)) => self.speak(io).await?,
                    Ok(Err(error)) => return Err(ConnectError::Refused(error)),
                    Err(_) => return Err(ConnectError::Silence),
                }
            }
        };
        Ok(Connection {
            sender,
            socket,
            is_reused: false,
            idle_since: Instant::now(),
        })
    }

    async fn speak<T>(&self, io: T) -> Result<SendRequest<Upload>, ConnectError>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = self
            .client
            .handshake(TokioIo::new(io))
            .await
            .map_err(|error| ConnectError::Ours(io::Error::other(error)))?;
        // Owned by the worker's runtime; it ends when the sender is dropped or the dyno closes.
        tokio::task::spawn_local(async move {
            // Whoever sent a request over it is told of the error; an idle one's end is no news.
            let _ = connection.with_upgrades().await;
        });
        Ok(sender)
    }
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

impl Connection {
    fn is_spent(&self, keep_alive: Duration) -> bool {
        self.sender.is_closed() || self.idle_since.elapsed() > keep_alive
    }

    /// Call before a request is sent.
    pub(crate) fn expect_answer(&self, has_body: bool) {
        self.socket.has_answered.store(false, Ordering::Relaxed);
        // A head finds room in any kernel, and is acknowledged at once by one that lives. A body may have to wait for
        // its reader, and the kernel counts that as silence too.
        self.socket.watch(!has_body);
    }

    /// From here on both ends write what and when they like.
    pub(crate) fn becomes_tunnel(&self) {
        self.socket.watch(false);
    }

    /// Whether so much as one byte came since [`Connection::expect_answer`].
    pub(crate) fn has_answered(&self) -> bool {
        self.socket.has_answered.load(Ordering::Relaxed)
    }
}

/// The socket, shared between whoever reads and writes it and the pool, which looks at it.
#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    has_answered: AtomicBool,
    /// Whether what goes without acknowledgement ends it.
    is_watched: AtomicBool,
}

impl Socket {
    fn watch(&self, on: bool) {
        if self.is_watched.swap(on, Ordering::Relaxed) != on {
            // Without it the death of the host is noticed later.
            let _ = SockRef::from(&self.stream).set_tcp_user_timeout(on.then_some(UNACKNOWLEDGED));
        }
    }

    /// Neither closed by the other end nor with anything to read.
    fn is_quiet(&self) -> bool {
        let peeked = SockRef::from(&self.stream).peek(&mut [std::mem::MaybeUninit::uninit(); 1]);
        peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

struct SocketIo(Arc<Socket>);

impl AsyncRead for SocketIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.stream.poll_read_ready(cx))?;
            match self.0.stream.try_read_buf(buf) {
                Ok(count) => {
                    if count > 0 {
                        self.0.has_answered.store(true, Ordering::Relaxed);
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl SocketIo {
    fn poll_with(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.stream.poll_write_ready(cx))?;
            match write(&self.0.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsyncWrite for SocketIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(cx, |stream| stream.try_write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(cx, |stream| stream.try_write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match SockRef::from(&self.0.stream).shutdown(Shutdown::Write) {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }
}
