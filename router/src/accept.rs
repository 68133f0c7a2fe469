//! Clients' connections: accepted, TLS taken off, handed to HTTP/1.1 or HTTP/2.

use std::cell::Cell;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt as _;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ProtocolVersion;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::Leaving;
use crate::request::{self, Client};
use crate::worker::Worker;

/// Runs HTTP/2 streams on the worker's own thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalExecutor;

impl<F> Executor<F> for LocalExecutor
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, future: F) {
        // Owned by the worker's runtime; its connection, which is tracked, does not end before it.
        tokio::task::spawn_local(future);
    }
}

/// Finds clients that have gone without a word.
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(60);

/// How long a connection that has been silent since it was made may take to ask for something, once we shut down.
const LAST_CHANCE: Duration = Duration::from_secs(1);

/// Until this router leaves.
pub(crate) async fn accept(worker: Rc<Worker>, listener: TcpListener, is_https: bool) {
    loop {
        let accepted = tokio::select! {
            () = worker.shared.leaving.leave.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => start(&worker, stream, peer, is_https),
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
    while let Some(Ok((stream, peer))) = listener.accept().now_or_never() {
        start(&worker, stream, peer, is_https);
    }
}

fn start(worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr, is_https: bool) {
    // Both only make things better; a connection that refuses them is served all the same.
    let _ = stream.set_nodelay(true);
    let _ =
        SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(TCP_KEEP_ALIVE));
    let serving = serve(worker.clone(), stream, peer, is_https);
    worker.connections.spawn_local(serving);
}

async fn serve(worker: Rc<Worker>, stream: TcpStream, peer: SocketAddr, is_https: bool) {
    let client = |tls_version| {
        Rc::new(Client {
            worker: worker.clone(),
            peer: peer.ip(),
            tls_version,
            has_asked: Cell::new(false),
            abort: Notify::new(),
        })
    };
    let Some(tls) = worker.shared.tls.as_ref().filter(|_| is_https) else {
        let is_http2 =
            worker.shared.config.http2_cleartext && begins_as_http2(&worker, &stream).await;
        return speak(client(None), stream, is_http2).await;
    };
    let handshake = timeout(
        worker.shared.config.timeouts.tls_handshake,
        tls.accept(stream),
    );
    let shutdown = async {
        worker.shared.leaving.close_idle.cancelled().await;
        sleep(LAST_CHANCE).await;
    };
    let handshake = tokio::select! {
        done = handshake => done,
        () = shutdown => return,
    };
    match handshake {
        Ok(Ok(stream)) => {
            let (_, session) = stream.get_ref();
            let is_http2 = session.alpn_protocol() == Some(b"h2");
            let version = match session.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "tls1.2",
                _ => "tls1.3",
            };
            speak(client(Some(version)), stream, is_http2).await;
        }
        Ok(Err(error)) => {
            debug!(error = &error as &dyn std::error::Error, %peer, "A TLS handshake failed")
        }
        Err(_) => debug!(%peer, "A TLS handshake took too long"),
    }
}

/// Whether the first bytes can only be HTTP/2's preface: no method begins with `PRI`.
async fn begins_as_http2(worker: &Worker, stream: &TcpStream) -> bool {
    const START: &[u8] = b"PRI ";
    let looked = timeout(worker.shared.config.timeouts.client_head, async {
        let mut start = [0; START.len()];
        loop {
            match stream.peek(&mut start).await {
                Ok(count) if count > 0 && START.starts_with(&start[..count]) => {
                    if count == START.len() {
                        return true;
                    }
                    // A part of it: rare, and peeking does not wait for more.
                    sleep(Duration::from_millis(5)).await;
                }
                _ => return false,
            }
        }
    });
    tokio::select! {
        looked = looked => looked.unwrap_or(false),
        () = worker.shared.leaving.close_idle.cancelled() => false,
    }
}

async fn speak<S>(client: Rc<Client>, stream: S, is_http2: bool)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (worker, io) = (client.worker.clone(), TokioIo::new(stream));
    let service = {
        let client = client.clone();
        service_fn(move |request| request::answer(client.clone(), request))
    };
    let Leaving {
        leave, close_idle, ..
    } = &worker.shared.leaving;
    let ended = if is_http2 {
        let mut connection = pin!(worker.http2.serve_connection(io, service));
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = client.abort.notified() => return,
            // In two steps, as the protocol has it: what was asked meanwhile is answered.
            () = leave.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    } else {
        let mut connection = pin!(worker.http1.serve_connection(io, service).with_upgrades());
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = client.abort.notified() => return,
            () = close_idle.cancelled() => {
                connection.as_mut().graceful_shutdown();
                // One that is between requests has ended by this; one that never had any would wait for the first.
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = silent_for(&client, LAST_CHANCE) => return,
                }
            }
        }
    };
    if let Err(error) = ended {
        debug!(error = &error as &dyn std::error::Error, peer = %client.peer, "A client's connection broke");
    }
}

/// Returns if the client has not asked for anything by then, else never.
async fn silent_for(client: &Client, patience: Duration) {
    sleep(patience).await;
    if client.has_asked.get() {
        std::future::pending::<()>().await;
    }
}
