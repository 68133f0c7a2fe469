//! A platform of canned answers: each path has a list of them, of which the last stays; requests are kept for looking at.

use std::collections::{HashMap, VecDeque};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::{Value, json};

use super::run_pipes::Script;

pub(crate) const TOKEN: &str = "b5e5d3a4-secret-token";

#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) call: String,
    pub(crate) body: Value,
    pub(crate) authorization: String,
    pub(crate) range: String,
}

#[derive(Default)]
struct Inner {
    answers: HashMap<String, VecDeque<(u16, String)>>,
    /// Calls that are answered to anybody.
    pages: Vec<String>,
    seen: Vec<Seen>,
    script: Option<Script>,
}

#[derive(Clone)]
pub(crate) struct Stub {
    pub(crate) addr: SocketAddr,
    inner: Arc<Mutex<Inner>>,
}

impl Stub {
    pub(crate) fn start() -> Self {
        Self::serve(None)
    }

    pub(crate) fn start_with_tls(certificate: String, key: String) -> Self {
        Self::serve(Some((certificate, key)))
    }

    fn serve(tls: Option<(String, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let stub = Self {
            addr: listener.local_addr().unwrap(),
            inner: Arc::default(),
        };
        let app = Router::new()
            .route("/attach/{secret}", any(attach))
            .fallback(any(answer))
            .with_state(stub.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                match tls {
                    None => axum::serve(listener, app).await.unwrap(),
                    Some((certificate, key)) => {
                        axum::serve(tls::Listener::new(listener, &certificate, &key), app)
                            .await
                            .unwrap();
                    }
                }
            });
        });
        stub
    }

    /// The next answer to `call`, such as `GET /apps/myapp`; the last one given is given again and again.
    pub(crate) fn on(&self, call: &str, body: Value) -> &Self {
        self.answer(call, 200, body.to_string())
    }

    pub(crate) fn refuse(&self, call: &str, status: u16, id: &str, message: &str) -> &Self {
        self.answer(
            call,
            status,
            json!({ "id": id, "message": message }).to_string(),
        )
    }

    /// What somebody else's server answers, who does not look at tokens.
    pub(crate) fn page(&self, call: &str, status: u16, body: &str) -> &Self {
        self.inner.lock().unwrap().pages.push(call.to_owned());
        self.answer(call, status, body.to_owned())
    }

    pub(crate) fn answer(&self, call: &str, status: u16, body: String) -> &Self {
        let mut inner = self.inner.lock().unwrap();
        inner
            .answers
            .entry(call.to_owned())
            .or_default()
            .push_back((status, body));
        self
    }

    pub(crate) fn script(&self, script: Script) {
        self.inner.lock().unwrap().script = Some(script);
    }

    pub(crate) fn seen(&self, call: &str) -> Vec<Seen> {
        let inner = self.inner.lock().unwrap();
        inner
            .seen
            .iter()
            .filter(|seen| seen.call == call)
            .cloned()
            .collect()
    }

    fn next(&self, call: &str) -> (u16, String) {
        let mut inner = self.inner.lock().unwrap();
        match inner.answers.get_mut(call) {
            Some(answers) if answers.len() > 1 => answers.pop_front().unwrap(),
            Some(answers) => answers[0].clone(),
            None => (404, json!({ "id": "not_found", "message": format!("Couldn't find that app. ({call})") }).to_string()),
        }
    }
}

async fn answer(State(stub): State<Stub>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let call = format!("{} {}", parts.method, parts.uri.path());
    let header = |name: &str| {
        parts
            .headers
            .get(name)
            .map(|v| v.to_str().unwrap().to_owned())
            .unwrap_or_default()
    };
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    let authorization = header("authorization");
    let is_open = call == "POST /oauth/authorizations"
        || call.starts_with("GET /logs/")
        || stub.inner.lock().unwrap().pages.contains(&call);
    stub.inner.lock().unwrap().seen.push(Seen {
        call: call.clone(),
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
        authorization: authorization.clone(),
        range: header("range"),
    });
    let (status, text) = if is_open || authorization == format!("Bearer {TOKEN}") {
        stub.next(&call)
    } else {
        (
            401,
            json!({ "id": "unauthorized", "message": "Invalid credentials provided." }).to_string(),
        )
    };
    let kind = if text.starts_with("retry:") {
        "text/event-stream"
    } else {
        "application/json"
    };
    let status = StatusCode::from_u16(status).unwrap();
    (status, [("content-type", kind)], Body::from(text)).into_response()
}

async fn attach(
    State(stub): State<Stub>,
    Path(secret): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let script = stub.inner.lock().unwrap().script.clone();
    match script {
        Some(script) if secret == "0123456789abcdef" => {
            upgrade.on_upgrade(move |socket| script.play(socket))
        }
        _ => (
            StatusCode::NOT_FOUND,
            json!({ "id": "not_found", "message": "Nobody is expected there." }).to_string(),
        )
            .into_response(),
    }
}

mod tls {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio_rustls::server::TlsStream;

    pub(super) struct Listener {
        tcp: TcpListener,
        tls: TlsAcceptor,
    }

    impl Listener {
        pub(super) fn new(tcp: TcpListener, certificate: &str, key: &str) -> Self {
            let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
                .map(Result::unwrap)
                .collect();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            let provider = tokio_rustls::rustls::crypto::ring::default_provider();
            let config = ServerConfig::builder_with_provider(Arc::new(provider))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(chain, key)
                .unwrap();
            Self {
                tcp,
                tls: TlsAcceptor::from(Arc::new(config)),
            }
        }
    }

    impl axum::serve::Listener for Listener {
        type Io = TlsStream<TcpStream>;
        type Addr = SocketAddr;

        async fn accept(&mut self) -> (Self::Io, Self::Addr) {
            loop {
                let (tcp, addr) = self.tcp.accept().await.unwrap();
                // A client that does not trust us hangs up here.
                if let Ok(tls) = self.tls.accept(tcp).await {
                    return (tls, addr);
                }
            }
        }

        fn local_addr(&self) -> std::io::Result<SocketAddr> {
            self.tcp.local_addr()
        }
    }
}
