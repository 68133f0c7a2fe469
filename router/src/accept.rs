//! Clients' connections: accepted, TLS taken off, handed to HTTP/1.1 or HTTP/2.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use rustix::net::{SocketFlags, acceptfrom_with};
use rustls::{HandshakeKind, ProtocolVersion};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::admission::Place;
use crate::certificates::Shown;
use crate::client::Client;
use crate::fresh::Fresh;
use crate::http1::request::peer_text;
use crate::metrics::{Connected, Door, Protocol};
use crate::proxied;
use crate::serve;
use crate::stream::Stream;
use crate::tls::Tls;
use crate::worker::Worker;

/// How long a connection that has been silent since it was made may take to ask for something, once we shut down.
const LAST_CHANCE: Duration = Duration::from_secs(1);

/// One of the kernel's queues of those who have come.
#[derive(Debug)]
pub(crate) struct Listener(AsyncFd<TcpListener>);

impl Listener {
    /// `listener` does not block.
    #[expect(
        deprecated,
        reason = "a listener owns its descriptor; what is to be used instead is unsafe for the sake of what does not"
    )]
    pub(crate) fn new(listener: TcpListener) -> io::Result<Self> {
        AsyncFd::with_interest(listener, Interest::READABLE).map(Self)
    }

    /// The next one. (Tokio's own listener registers all that it accepts.)
    async fn next(&self) -> io::Result<(Fresh, SocketAddr)> {
        self.0.async_io(Interest::READABLE, take).await
    }
}

/// Whoever is first in the queue.
fn take(listener: &TcpListener) -> io::Result<(Fresh, SocketAddr)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (socket, peer) = acceptfrom_with(listener, flags)?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    let peer = peer.ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok((Fresh::new(socket.into()), peer))
}

/// Until this router leaves.
pub(crate) async fn accept(worker: Rc<Worker>, listener: Listener, is_https: bool) {
    let leave = &worker.shared.leaving.leave;
    each(&listener, leave, |fresh, peer| {
        start(&worker, fresh, peer, is_https);
    })
    .await;
}

/// Calls `start` for every connection until `stop`.
pub(crate) async fn each(
    listener: &Listener,
    stop: &CancellationToken,
    start: impl Fn(Fresh, SocketAddr),
) {
    // Once, not anew for each connection.
    let mut stopped = pin!(stop.cancelled());
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.next() => accepted,
            () = &mut stopped => break,
        };
        match accepted {
            Ok((fresh, peer)) => start(fresh, peer),
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "Could not accept a connection"
                );
                // Out of file descriptors, most likely: some will come back.
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
    // Whoever waits in the queue has been told that somebody listens.
    loop {
        match take(listener.0.get_ref()) {
            Ok((fresh, peer)) => start(fresh, peer),
            // Has left again.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => break,
        }
    }
}

fn start(worker: &Rc<Worker>, fresh: Fresh, peer: SocketAddr, is_https: bool) {
    // Who finds no place is hung up on.
    let Some(place) = worker.shared.admission.enter() else {
        return;
    };
    let door = if is_https { Door::Https } else { Door::Http };
    worker.counters.accept(door);
    // On the heap at once: a task is moved about more often than one that serves a single request is polled.
    let serving = Box::pin(serve(worker.clone(), fresh, peer, is_https, place));
    worker.connections.spawn_local(serving);
}

async fn serve(worker: Rc<Worker>, fresh: Fresh, peer: SocketAddr, is_https: bool, place: Place) {
    let proxies = &worker.shared.config.proxies;
    let (mut ip, mut port) = (peer.ip(), None);
    let mut stream = Stream::from(fresh);
    if proxies.speak_proxy_protocol && proxies.are_trusted_at(ip) {
        let patience = worker.shared.config.timeouts.tls_handshake;
        let Ok(mut tcp) = stream.registered() else {
            return;
        };
        match timeout(patience, Box::pin(proxied::take(&mut tcp))).await {
            Ok(Ok(said)) => {
                stream = Stream::Plain(tcp);
                ip = said.client.map_or(ip, |client| client.ip());
                port = said.port;
            }
            Ok(Err(error)) => {
                debug!(error = &error as &dyn std::error::Error, %peer, "A proxy did not begin with the PROXY protocol");
                return;
            }
            Err(_) => return,
        }
    }
    let is_trusted = proxies.are_trusted_at(ip);
    let place = match is_trusted {
        true => Some(place),
        false => place.from(ip),
    };
    let Some(place) = place else { return };
    let client = |tls: Option<(&'static str, Shown)>| {
        let (tls_version, shown) = tls.unzip();
        Rc::new(Client {
            worker: worker.clone(),
            ip,
            peer: peer_text(ip),
            is_trusted,
            port,
            tls_version,
            shown,
            has_asked: Cell::new(false),
            begun: Cell::new(0),
            under_way: Cell::new(0),
            place,
        })
    };
    let Some(tls) = worker.shared.tls.as_ref().filter(|_| is_https) else {
        let client = client(None);
        let counted = Connected::new(&worker.counters, Protocol::Http1);
        if let Some((stream, said)) = serve::http1::serve(client.clone(), stream).await {
            drop(counted);
            let _counted = Connected::new(&worker.counters, Protocol::Http2);
            Box::pin(serve::http2::serve(client, stream, Some(said))).await;
        }
        return;
    };
    let Ok(stream) = stream.registered() else {
        return;
    };
    // What it is made of is large, and not needed for as long as the connection.
    let Some((stream, shown)) = Box::pin(secure(&worker, tls, stream, peer)).await else {
        return;
    };
    let (_, session) = stream.get_ref();
    worker.counters.handshakes.one();
    if session.handshake_kind() == Some(HandshakeKind::Resumed) {
        worker.counters.resumed.one();
    }
    let is_http2 = session.alpn_protocol() == Some(b"h2");
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "tls1.2",
        _ => "tls1.3",
    };
    let client = client(Some((version, shown)));
    let stream = Stream::Client(stream);
    let protocol = match is_http2 {
        true => Protocol::Http2OverTls,
        false => Protocol::Http1OverTls,
    };
    let _counted = Connected::new(&worker.counters, protocol);
    if is_http2 {
        Box::pin(serve::http2::serve(client, stream, None)).await;
    } else {
        serve::http1::serve(client, stream).await;
    }
}

/// Takes TLS off. `None`: it came to nothing.
async fn secure(
    worker: &Worker,
    tls: &Tls,
    stream: TcpStream,
    peer: SocketAddr,
) -> Option<(Box<TlsStream<TcpStream>>, Shown)> {
    let handshake = timeout(
        worker.shared.config.timeouts.tls_handshake,
        tls.accept(stream),
    );
    let shutdown = async {
        worker.shared.leaving.close_idle.cancelled().await;
        sleep(LAST_CHANCE).await;
    };
    let handshake = worker.handshakes.wait_for(async {
        tokio::select! {
            done = handshake => Some(done),
            () = shutdown => None,
        }
    });
    match handshake.await {
        Some(Some(Ok(Ok((stream, shown))))) => return Some((Box::new(stream), shown)),
        Some(Some(Ok(Err(error)))) => {
            worker.counters.failed_handshakes.one();
            debug!(error = &error as &dyn std::error::Error, %peer, "A TLS handshake failed");
        }
        Some(Some(Err(_))) => {
            worker.counters.failed_handshakes.one();
            debug!(%peer, "A TLS handshake took too long");
        }
        Some(None) => {}
        None => {
            debug!(%peer, "A TLS handshake gave way to newer ones");
        }
    }
    None
}
