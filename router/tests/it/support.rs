//! A router to test, dynos to route to, and clients to ask.

use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use controller_api::LogSink;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::log::LogLine;
use model::{AppId, Backend, DynoId, NoBackend, Revision, Route, RouterId, RouterReport, Secret};
use router::{
    Config, Connections, Listeners, Proxies, PublicPorts, RouterHandle, Timeouts, TlsConfig,
};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use store::embedded::Embedded;
use store::{Committed, Keyring, Store, Txn, key};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

pub(super) const DOMAIN: &str = "paas.test";
/// What the platform's roles know.
pub(super) const TOKEN: &str = "the platform's";
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < until, "gave up waiting: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(super) struct Platform {
    pub(super) store: Arc<dyn Store>,
    pub(super) http: SocketAddr,
    pub(super) https: SocketAddr,
    /// Where controllers ask, and where metrics are scraped.
    pub(super) internal: SocketAddr,
    pub(super) metrics: SocketAddr,
    pub(super) id: RouterId,
    pub(super) logs: UnboundedReceiver<LogLine>,
    pub(super) shutdown: CancellationToken,
    /// Held, for it goes when it is dropped.
    _dir: Arc<TempDir>,
    pub(super) roots: Arc<rustls::RootCertStore>,
    pub(super) handle: RouterHandle,
    config: Config,
}

impl Platform {
    pub(super) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(super) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let store = Embedded::open_in_memory().unwrap();
        Self::start_on(store, Arc::new(TempDir::new().unwrap()), change).await
    }

    pub(super) async fn start_on(
        store: Arc<dyn Store>,
        dir: Arc<TempDir>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        Self::start_to_be_succeeded(store, dir, change).await.0
    }

    /// With the sockets, as a [`successor`](Self::successor) gets them.
    pub(super) async fn start_to_be_succeeded(
        store: Arc<dyn Store>,
        dir: Arc<TempDir>,
        change: impl FnOnce(&mut Config),
    ) -> (Self, Listeners) {
        let names = vec![DOMAIN.to_owned(), format!("*.{DOMAIN}")];
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(names).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(cert.pem().as_bytes()).unwrap())
            .unwrap();
        let mut config = Config {
            id: RouterId::new(),
            host: None,
            domain: DOMAIN.parse().unwrap(),
            workers: NonZeroUsize::new(2).unwrap(),
            data_dir: dir.path().to_owned(),
            tls: Some(TlsConfig::Pem {
                cert: cert.pem(),
                key: Secret::new(signing_key.serialize_pem()),
            }),
            keyring: Some(keyring()),
            services: None,
            public_ports: PublicPorts {
                http: 80,
                https: 443,
            },
            http2_cleartext: true,
            proxies: Proxies::default(),
            connections: Connections::for_files(20_000),
            backlog_per_dyno: router::BACKLOG_PER_DYNO,
            timeouts: Timeouts::HEROKU,
            tracing: router::Tracing::default(),
            tcp: router::Tcp::default(),
        };
        change(&mut config);
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let listeners = Listeners {
            http: router::bind(local, config.workers).unwrap(),
            https: router::bind(local, config.workers).unwrap(),
            internal: router::Internal {
                listener: Some(TcpListener::bind(local).await.unwrap().into()),
                token: Some(Secret::new(TOKEN.to_owned())),
                metrics: Some(std::net::TcpListener::bind(local).unwrap()),
            },
        };
        let (http, https) = (
            listeners.http[0].local_addr().unwrap(),
            listeners.https[0].local_addr().unwrap(),
        );
        let internal = listeners.internal.listener.as_ref().unwrap();
        let internal = internal.local_addr().unwrap();
        let metrics = listeners.internal.metrics.as_ref().unwrap();
        let metrics = metrics.local_addr().unwrap();
        let (sink, logs) = LogSink::collect();
        let (shutdown, id) = (CancellationToken::new(), config.id);
        let same = Listeners {
            http: same(&listeners.http),
            https: same(&listeners.https),
            internal: router::Internal::default(),
        };
        let handle = router::start(
            config.clone(),
            listeners,
            store.clone(),
            sink,
            shutdown.clone(),
        )
        .unwrap();
        let platform = Self {
            store,
            http,
            https,
            internal,
            metrics,
            id,
            logs,
            shutdown,
            _dir: dir,
            roots: Arc::new(roots),
            handle,
            // Without its sockets: whoever has those keeps the ports open.
            config: Config {
                tcp: router::Tcp::default(),
                ..config
            },
        };
        (platform, same)
    }

    /// Another router, as another process starts one that is to take over: with the same sockets.
    pub(super) fn successor(&self, listeners: Listeners) -> RouterHandle {
        let config = Config {
            id: RouterId::new(),
            ..self.config.clone()
        };
        let (sink, _) = LogSink::collect();
        router::start(
            config,
            listeners,
            self.store.clone(),
            sink,
            self.shutdown.clone(),
        )
        .unwrap()
    }

    /// Writes the route, and waits until every worker routes by it.
    pub(super) async fn route(&self, route: &Route) -> Revision {
        let revision = self.commit(route).await;
        self.acknowledged(revision).await;
        revision
    }

    pub(super) async fn commit(&self, route: &Route) -> Revision {
        let txn = Txn::new().put(&key::ROUTES, key::route(route.app), route);
        let Committed::Done(revision) = txn.commit(&*self.store).await.unwrap() else {
            panic!("no condition was set")
        };
        revision
    }

    pub(super) async fn report(&self) -> Option<RouterReport> {
        key::ALIVE_ROUTERS
            .get(&*self.store, &key::alive_router(self.id))
            .await
            .unwrap()
            .map(|report| report.value)
    }

    pub(super) async fn acknowledged(&self, revision: Revision) -> RouterReport {
        eventually("the acknowledgement", async || {
            self.report()
                .await
                .filter(|report| report.applied >= revision)
        })
        .await
    }

    pub(super) async fn drained(&self, dyno: DynoId) {
        eventually("the dyno to drain", async || {
            self.report()
                .await
                .filter(|report| !report.draining.contains_key(&dyno))
        })
        .await;
    }

    pub(super) async fn log(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.logs.recv())
            .await
            .expect("no log line came")
            .unwrap();
        assert_eq!(
            (line.source.as_str(), line.process.as_str()),
            ("heroku", "router")
        );
        line.text
    }

    pub(super) async fn get(&self, host: &str, path: &str) -> Response<Bytes> {
        self.ask(
            Request::get(path)
                .header("host", host)
                .body(Full::default())
                .unwrap(),
        )
        .await
    }

    /// Over a connection of its own.
    pub(super) async fn ask(&self, request: Request<Full<Bytes>>) -> Response<Bytes> {
        collect(http1(self.http).await.send_request(request).await.unwrap()).await
    }

    /// Writes the bytes as they are, and reads to the end.
    pub(super) async fn raw(&self, bytes: &str) -> String {
        let mut stream = TcpStream::connect(self.http).await.unwrap();
        converse(&mut stream, bytes).await
    }

    pub(super) async fn tls(
        &self,
        host: &str,
        protocols: &[&str],
    ) -> tokio_rustls::client::TlsStream<TcpStream> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        let protocols = protocols
            .iter()
            .map(|protocol| protocol.as_bytes().to_vec());
        config.alpn_protocols = protocols.collect();
        let stream = TcpStream::connect(self.https).await.unwrap();
        let name = ServerName::try_from(host.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap()
    }

    /// All metrics, as they are scraped.
    pub(super) async fn scrape(&self) -> String {
        let request = Request::get("/metrics").header("host", "metrics");
        let mut sender = http1(self.metrics).await;
        let answer = sender.send_request(request.body(Full::default()).unwrap());
        let answer = collect(answer.await.unwrap()).await;
        assert_eq!(answer.status(), 200);
        text(&answer).to_owned()
    }

    /// As a controller asks.
    pub(super) async fn ask_internally(&self, path: &str, token: &str) -> Response<Bytes> {
        let request = Request::get(path)
            .header("host", "router")
            .header("authorization", format!("Bearer {token}"));
        let mut sender = http1(self.internal).await;
        let answer = sender.send_request(request.body(Full::default()).unwrap());
        collect(answer.await.unwrap()).await
    }

    pub(super) async fn http2(
        &self,
        host: &str,
    ) -> hyper::client::conn::http2::SendRequest<Full<Bytes>> {
        let stream = self.tls(host, &["h2"]).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        sender
    }
}

/// Writes the bytes as they are, and reads to the end.
pub(super) async fn converse(stream: &mut TcpStream, bytes: &str) -> String {
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("no end")
        .unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// The platform's.
pub(super) fn keyring() -> Keyring {
    Keyring::new(&[7; 32])
}

fn same(listeners: &[std::net::TcpListener]) -> Vec<std::net::TcpListener> {
    listeners
        .iter()
        .map(|listener| listener.try_clone().unwrap())
        .collect()
}

pub(super) async fn http1(
    addr: SocketAddr,
) -> hyper::client::conn::http1::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

pub(super) async fn collect(response: Response<Incoming>) -> Response<Bytes> {
    let (parts, body) = response.into_parts();
    let bytes = tokio::time::timeout(PATIENCE, body.collect())
        .await
        .expect("the body did not end")
        .unwrap()
        .to_bytes();
    Response::from_parts(parts, bytes)
}

pub(super) fn text(response: &Response<Bytes>) -> &str {
    std::str::from_utf8(response.body()).unwrap()
}

pub(super) type Answer = Response<Full<Bytes>>;

pub(super) fn say(text: impl Into<Bytes>) -> Answer {
    Response::new(Full::new(text.into()))
}

/// A web dyno.
pub(super) struct Dyno {
    pub(super) id: DynoId,
    pub(super) addr: SocketAddr,
    pub(super) connections: Arc<AtomicUsize>,
    pub(super) requests: Arc<AtomicUsize>,
    stop: CancellationToken,
}

impl Drop for Dyno {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Dyno {
    pub(super) async fn http<F, Fut>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        Self::http_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), answer).await
    }

    pub(super) async fn http_on<F, Fut>(listener: TcpListener, answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = requests.clone();
        let mut dyno = Self::raw_on(listener, move |stream| {
            let (answer, counted) = (answer.clone(), counted.clone());
            async move {
                let service = service_fn(move |request| {
                    counted.fetch_add(1, Ordering::SeqCst);
                    let answering = answer(request);
                    async move { Ok::<_, std::convert::Infallible>(answering.await) }
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            }
        });
        dyno.requests = requests;
        dyno
    }

    /// Says the same to everybody.
    pub(super) async fn saying(text: &'static str) -> Self {
        Self::http(move |_| async move { say(text) }).await
    }

    /// `serve` gets every connection.
    pub(super) async fn raw<F, Fut>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self::raw_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), serve)
    }

    pub(super) fn raw_on<F, Fut>(listener: TcpListener, serve: F) -> Self
    where
        F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let dyno = Self::nowhere(listener.local_addr().unwrap());
        let (stop, connections) = (dyno.stop.clone(), dyno.connections.clone());
        tokio::spawn(async move {
            loop {
                let stream = tokio::select! {
                    () = stop.cancelled() => return,
                    accepted = listener.accept() => accepted.unwrap().0,
                };
                connections.fetch_add(1, Ordering::SeqCst);
                let (serving, stop) = (serve(stream), stop.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = serving => {}
                    }
                });
            }
        });
        dyno
    }

    /// Reads a request's head and says the bytes, then closes.
    pub(super) async fn blurting(answer: &'static str) -> Self {
        Self::raw(move |mut stream| async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        })
        .await
    }

    /// Only an address.
    pub(super) fn nowhere(addr: SocketAddr) -> Self {
        Self {
            id: DynoId::new(),
            addr,
            connections: Arc::default(),
            requests: Arc::default(),
            stop: CancellationToken::new(),
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// As the kernel does when the process is killed.
    pub(super) fn kill(&self) {
        self.stop.cancel();
    }
}

pub(super) async fn read_head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte).await {
            Ok(1) => head.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// An address that refuses.
pub(super) async fn refusing() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

pub(super) fn route(app: AppId, name: &str, dynos: &[&Dyno]) -> Route {
    let backends = dynos.iter().zip(1..).map(|(dyno, index)| Backend {
        dyno: dyno.id,
        name: format!("web.{index}").parse().unwrap(),
        addr: dyno.addr,
    });
    Route {
        app,
        app_name: name.parse().unwrap(),
        hosts: vec![format!("{name}.{DOMAIN}").parse().unwrap()],
        backends: backends.collect(),
        maintenance: false,
        no_backend: NoBackend::Booting,
        error_page_url: None,
        maintenance_page_url: None,
        routing: model::Routing::default(),
    }
}
