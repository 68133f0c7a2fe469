//! A listener for the platform's own hosts: with their mutual TLS, or plain where a test has no certificates.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::http::HeaderMap;
use axum::serve::{IncomingStream, Listener};
use model::NodeId;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::host_tls::host_of_name;

const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// Handshakes under way at a time; further connections wait in the kernel.
const MAX_HANDSHAKES: usize = 256;
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(200);

type Connection = Either<TcpStream, TlsStream<TcpStream>>;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    pub addr: SocketAddr,
    /// What its certificate says; `None` without mutual TLS.
    pub host: Option<NodeId>,
}

/// The client of a request that came through a router: the address it saw, which it put last.
pub fn forwarded_for(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?;
    let last = last.to_str().ok()?.rsplit(',').next()?;
    last.trim().parse().ok()
}

/// Takes the place of a `TcpListener` where axum serves.
#[derive(Debug)]
pub struct HostListener {
    local: io::Result<SocketAddr>,
    from: Source,
}

#[derive(Debug)]
enum Source {
    Plain(TcpListener),
    Tls {
        ready: mpsc::Receiver<(TlsStream<TcpStream>, Peer)>,
        _accepting: AbortOnDropHandle<()>,
    },
}

impl From<TcpListener> for HostListener {
    fn from(listener: TcpListener) -> Self {
        Self {
            local: listener.local_addr(),
            from: Source::Plain(listener),
        }
    }
}

impl HostListener {
    /// Must be called within a runtime. Handshakes take place aside: a slow one holds nobody up.
    pub fn tls(listener: TcpListener, config: ServerConfig) -> Self {
        let local = listener.local_addr();
        let (done, ready) = mpsc::channel(16);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let accepting = AbortOnDropHandle::new(tokio::spawn(accept_all(listener, acceptor, done)));
        Self {
            local,
            from: Source::Tls {
                ready,
                _accepting: accepting,
            },
        }
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.local {
            Ok(addr) => Ok(*addr),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        }
    }
}

impl Listener for HostListener {
    type Io = Connection;
    type Addr = Peer;

    async fn accept(&mut self) -> (Connection, Peer) {
        match &mut self.from {
            Source::Plain(listener) => {
                let (stream, addr) = Listener::accept(listener).await;
                let _ = stream.set_nodelay(true);
                (Either::Left(stream), Peer { addr, host: None })
            }
            Source::Tls { ready, .. } => match ready.recv().await {
                Some((stream, peer)) => (Either::Right(stream), peer),
                // The accepting task ends with this listener alone.
                None => std::future::pending().await,
            },
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        let addr = Self::local_addr(self)?;
        Ok(Peer { addr, host: None })
    }
}

impl Connected<IncomingStream<'_, HostListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, HostListener>) -> Self {
        *stream.remote_addr()
    }
}

async fn accept_all(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    done: mpsc::Sender<(TlsStream<TcpStream>, Peer)>,
) {
    let places = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let (stream, addr) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!(
                    error = &error as &dyn std::error::Error,
                    "Could not accept a connection"
                );
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (acceptor, done) = (acceptor.clone(), done.clone());
        tokio::spawn(async move {
            let handshake = tokio::time::timeout(HANDSHAKE_DEADLINE, acceptor.accept(stream)).await;
            match handshake {
                Ok(Ok(stream)) => {
                    let host = host_of(stream.get_ref().1.peer_certificates());
                    let _ = done.send((stream, Peer { addr, host })).await;
                }
                Ok(Err(error)) => {
                    debug!(error = &error as &dyn std::error::Error, %addr, "Refused a connection");
                }
                Err(_) => debug!(%addr, "A connection's handshake took too long"),
            }
            // Held until the server has taken the connection: what waits for it is bounded, too.
            drop(place);
        });
    }
}

/// The host that a verified chain is of.
fn host_of(chain: Option<&[CertificateDer<'_>]>) -> Option<NodeId> {
    let (_, certificate) = X509Certificate::from_der(chain?.first()?).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    names
        .value
        .general_names
        .iter()
        .find_map(|name| match name {
            GeneralName::DNSName(name) => host_of_name(name),
            _ => None,
        })
}
