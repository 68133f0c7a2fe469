//! A certificate authority for tests: Let's Encrypt's own, pebble (Debian has it), in which every name is this machine.

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use controller::AcmeConfig;
use serde_json::json;
use store::{Embedded, key};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::harness::eventually;

pub(crate) struct Authority {
    pub(crate) config: AcmeConfig,
    /// Whoever answers for all names.
    pub(crate) web: Web,
    _dir: TempDir,
    _programs: [Child; 2],
}

impl Authority {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [directory, management, tls, dns] = free_ports();
        let web = Web::start().await;
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let file = |name: &str| dir.path().join(name);
        fs_err::write(file("cert.pem"), made.cert.pem()).unwrap();
        fs_err::write(file("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let local = |port: u16| format!("127.0.0.1:{port}");
        let config = json!({"pebble": {
            "listenAddress": local(directory),
            "managementListenAddress": local(management),
            "certificate": file("cert.pem"),
            "privateKey": file("key.pem"),
            "httpPort": web.addr.port(),
            "tlsPort": tls,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        }});
        fs_err::write(file("pebble.json"), config.to_string()).unwrap();
        let names = Command::new("pebble-challtestsrv")
            .args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
            .args(["-management", "", "-dns01", &local(dns)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let pebble = Command::new("pebble")
            .arg("-config")
            .arg(file("pebble.json"))
            .args(["-strict", "-dnsserver", &local(dns)])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_AUTHZREUSE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        for port in [directory, dns] {
            eventually("the authority listens", async || {
                tokio::net::TcpStream::connect(local(port)).await.is_ok()
            })
            .await;
        }
        Self {
            config: AcmeConfig {
                directory: format!("https://localhost:{directory}/dir"),
                email: Some("ops@example.com".parse().unwrap()),
                ca: Some(made.cert.pem()),
                orders_per_hour: 100,
            },
            web,
            _dir: dir,
            _programs: [names, pebble],
        }
    }
}

/// In a router's place: answers authorities from the store, if it is let.
pub(crate) struct Web {
    addr: SocketAddr,
    store: Arc<std::sync::Mutex<Option<Arc<Embedded>>>>,
    pub(crate) is_open: Arc<AtomicBool>,
    pub(crate) asked: Arc<AtomicUsize>,
}

impl Web {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let web = Self {
            addr: listener.local_addr().unwrap(),
            store: Arc::default(),
            is_open: Arc::new(AtomicBool::new(true)),
            asked: Arc::default(),
        };
        let (store, is_open, asked) = (web.store.clone(), web.is_open.clone(), web.asked.clone());
        let answer = move |Path(token): Path<String>| {
            let store = store.lock().unwrap().clone();
            asked.fetch_add(1, Ordering::SeqCst);
            let is_open = is_open.load(Ordering::SeqCst);
            async move {
                let store = store.filter(|_| is_open).ok_or(StatusCode::FORBIDDEN)?;
                let all = key::CHALLENGES.all(&*store).await.unwrap();
                let found = all.into_iter().find(|seen| seen.value.token == token);
                Ok::<_, StatusCode>(found.ok_or(StatusCode::NOT_FOUND)?.value.answer)
            }
        };
        let app = Router::new().route("/.well-known/acme-challenge/{token}", get(answer));
        tokio::spawn(async move { axum::serve(listener, app).await });
        web
    }

    pub(crate) fn answer_from(&self, store: &Arc<Embedded>) {
        *self.store.lock().unwrap() = Some(store.clone());
    }
}

/// Below those that the kernel gives to outgoing connections.
fn free_ports<const N: usize>() -> [u16; N] {
    let first = rand::random_range(15_000..30_000);
    let mut free = (first..32_000).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    std::array::from_fn(|_| free.next().unwrap())
}
