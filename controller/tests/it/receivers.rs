//! Those who receive from drains: syslog over TCP and TLS, and Logplex's POSTs.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use controller_api::host_listener::HostListener;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The messages of frames, and the bytes of one that is not whole yet.
fn unframe(bytes: &[u8]) -> (Vec<String>, &[u8]) {
    let (mut messages, mut rest) = (Vec::new(), bytes);
    while let Some(space) = rest.iter().position(|byte| *byte == b' ') {
        let length = std::str::from_utf8(&rest[..space]).unwrap();
        let length: usize = length.parse().unwrap();
        let Some((message, after)) = rest[space + 1..].split_at_checked(length) else {
            break;
        };
        let message = String::from_utf8(message.to_vec()).unwrap();
        messages.push(message.strip_suffix('\n').unwrap().to_owned());
        rest = after;
    }
    (messages, rest)
}

/// What a message says, without who says it.
fn text(message: &str) -> &str {
    let (_, said) = message.split_once(" - ").unwrap();
    said.strip_prefix("- ").unwrap_or(said)
}

#[derive(Clone, Default)]
pub(crate) struct Messages(Arc<Mutex<Vec<String>>>);

impl Messages {
    fn extend(&self, messages: Vec<String>) {
        self.0.lock().unwrap().extend(messages);
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// What dynos said, but for probes.
    pub(crate) fn texts(&self) -> Vec<String> {
        let all = self.all();
        let of_dynos = all
            .iter()
            .filter(|message| message.contains(" app web.1 - "));
        let texts = of_dynos.map(|message| text(message).to_owned());
        texts.filter(|text| !text.starts_with("probe")).collect()
    }

    /// How many messages drops were told of.
    pub(crate) fn dropped(&self) -> usize {
        let all = self.all();
        let told = all.iter().filter_map(|message| {
            let told = message
                .split_once("Error L10 (output buffer overflow): ")?
                .1;
            told.split(' ').next()?.parse::<usize>().ok()
        });
        told.sum()
    }
}

pub(crate) struct SyslogReceiver {
    pub(crate) addr: SocketAddr,
    pub(crate) messages: Messages,
    pub(crate) connections: Arc<AtomicUsize>,
    hang_up: watch::Sender<()>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl SyslogReceiver {
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), None).await
    }

    pub(crate) async fn start_tls(config: rustls::ServerConfig) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), Some(config)).await
    }

    pub(crate) async fn start_at(addr: SocketAddr, tls: Option<rustls::ServerConfig>) -> Self {
        let listener = TcpListener::bind(addr).await.unwrap();
        let receiver = Self {
            addr: listener.local_addr().unwrap(),
            messages: Messages::default(),
            connections: Arc::default(),
            hang_up: watch::Sender::new(()),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let tls = tls.map(|config| tokio_rustls::TlsAcceptor::from(Arc::new(config)));
        let (messages, connections) = (receiver.messages.clone(), receiver.connections.clone());
        let (hang_up, stop) = (receiver.hang_up.subscribe(), receiver.stop.clone());
        receiver.tasks.spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            loop {
                let stream = tokio::select! {
                    () = stop.cancelled() => return,
                    accepted = listener.accept() => accepted.unwrap().0,
                };
                connections.fetch_add(1, Ordering::Relaxed);
                let (messages, mut hang_up, tls) = (messages.clone(), hang_up.clone(), tls.clone());
                hang_up.mark_unchanged();
                open.spawn(async move {
                    let reading = async {
                        let Some(tls) = tls else {
                            return read(stream, &messages).await;
                        };
                        if let Ok(stream) = tls.accept(stream).await {
                            read(stream, &messages).await;
                        }
                    };
                    tokio::select! {
                        () = reading => {}
                        _ = hang_up.changed() => {}
                    }
                });
            }
        });
        receiver
    }

    pub(crate) fn hang_up(&self) {
        self.hang_up.send_replace(());
    }

    /// It answers no more; nor do connections that are open.
    pub(crate) async fn stop(self) -> SocketAddr {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.addr
    }
}

async fn read(mut stream: impl AsyncRead + Unpin, messages: &Messages) {
    let mut bytes = Vec::new();
    while stream.read_buf(&mut bytes).await.is_ok_and(|n| n > 0) {
        let (whole, rest) = unframe(&bytes);
        messages.extend(whole);
        bytes = rest.to_vec();
    }
}

/// One POST.
#[derive(Debug, Clone)]
pub(crate) struct Posted {
    pub(crate) headers: HeaderMap,
    pub(crate) messages: Vec<String>,
    pub(crate) status: u16,
}

#[derive(Clone)]
pub(crate) struct HttpReceiver {
    pub(crate) addr: SocketAddr,
    /// Of those that were answered with success.
    pub(crate) messages: Messages,
    posts: Arc<Mutex<Vec<Posted>>>,
    status: Arc<AtomicU16>,
    is_open: watch::Sender<bool>,
}

impl HttpReceiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve(HostListener::from(listener))
    }

    pub(crate) async fn start_tls(config: rustls::ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve(HostListener::tls(listener, config))
    }

    pub(crate) fn serve(listener: HostListener) -> Self {
        let receiver = Self {
            addr: listener.local_addr().unwrap(),
            messages: Messages::default(),
            posts: Arc::default(),
            status: Arc::new(AtomicU16::new(204)),
            is_open: watch::Sender::new(true),
        };
        let app = axum::Router::new()
            .route("/{*path}", axum::routing::post(take))
            .with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        receiver
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/drain", self.addr)
    }

    /// What it answers from now on.
    pub(crate) fn answer(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// Whether it answers at all, or lets everybody wait.
    pub(crate) fn open(&self, is_open: bool) {
        self.is_open.send_replace(is_open);
    }

    pub(crate) fn posts(&self) -> Vec<Posted> {
        self.posts.lock().unwrap().clone()
    }
}

async fn take(
    State(receiver): State<HttpReceiver>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    let (messages, rest) = unframe(&body);
    assert!(rest.is_empty());
    let status = receiver.status.load(Ordering::Relaxed);
    receiver.posts.lock().unwrap().push(Posted {
        headers,
        messages: messages.clone(),
        status,
    });
    let mut is_open = receiver.is_open.subscribe();
    is_open.wait_for(|is_open| *is_open).await.unwrap();
    if (200..300).contains(&status) {
        receiver.messages.extend(messages);
    }
    let status = StatusCode::from_u16(status).unwrap();
    (status, [("location", "http://127.0.0.1:1/")], "said").into_response()
}
