//! The Platform API under load: requests per second and how long the slowest hundredth takes, on either store.
//!
//! `cargo build --release -p paasd -p tests && target/release/api` (needs etcd). A controller behind a
//! router, asked over connections that are kept, on this machine. The stores take turns; of each figure the middle round counts.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tests::eventually::eventually;
use tests::platform::{binary, free_addresses, start_etcd};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

const CONNECTIONS: usize = 16;
const APPS: usize = 64;
const ROUNDS: usize = 3;
const TIME: Duration = Duration::from_secs(3);

/// What one connection asks, again and again.
#[derive(Debug, Clone, Copy)]
enum Case {
    App,
    Apps,
    Formation,
    ConfigOfMany,
    ConfigOfOne,
}

const CASES: [(Case, &str); 5] = [
    (Case::App, "`GET /apps/{app}`"),
    (Case::Apps, "`GET /apps`, 64 of them"),
    (Case::Formation, "`GET /apps/{app}/formation`"),
    (
        Case::ConfigOfMany,
        "`PATCH /apps/{app}/config-vars`, each its own app",
    ),
    (
        Case::ConfigOfOne,
        "`PATCH /apps/{app}/config-vars`, all the same app",
    ),
];

impl Case {
    /// Of the `number`th request of a connection.
    fn request(self, connection: usize, number: u64) -> (http::Method, String, Bytes) {
        let (get, patch) = (http::Method::GET, http::Method::PATCH);
        let app = format!("/apps/bench-{connection}");
        let value = Bytes::from(format!("{{\"VALUE_{connection}\":\"{number}\"}}"));
        match self {
            Self::App => (get, app, Bytes::new()),
            Self::Apps => (get, "/apps".to_owned(), Bytes::new()),
            Self::Formation => (get, format!("{app}/formation"), Bytes::new()),
            Self::ConfigOfMany => (patch, format!("{app}/config-vars"), value),
            Self::ConfigOfOne => (
                patch,
                format!("/apps/bench-{}/config-vars", APPS - 1),
                value,
            ),
        }
    }
}

struct Figures {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

/// A controller on its own store; ends with this.
struct Controller {
    addr: SocketAddr,
    token: String,
    _children: Vec<Child>,
    _dir: tempfile::TempDir,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let stores = [
        Controller::start(false).await?,
        Controller::start(true).await?,
    ];
    println(
        "| what is asked | embedded: per second | p50 | p99 | etcd: per second | p50 | p99 | etcd / embedded |",
    );
    println("|---|---|---|---|---|---|---|---|");
    for (case, name) in CASES {
        let mut rounds: [Vec<Figures>; 2] = Default::default();
        for _ in 0..ROUNDS {
            for (store, rounds) in stores.iter().zip(&mut rounds) {
                rounds.push(store.load(case).await?);
            }
        }
        let [embedded, etcd] = rounds.map(middle);
        let cells = |figures: &Figures| {
            format!(
                "{:.0} | {} | {}",
                figures.per_second,
                millis(figures.p50),
                millis(figures.p99)
            )
        };
        println(&format!(
            "| {name} | {} | {} | {:.2} |",
            cells(&embedded),
            cells(&etcd),
            etcd.per_second / embedded.per_second
        ));
    }
    Ok(())
}

impl Controller {
    async fn start(on_etcd: bool) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let (config, data) = (dir.path().join("paasd.toml"), dir.path().join("data"));
        let mut children = Vec::new();
        let store = if on_etcd {
            let (etcd, addr) = start_etcd(&dir.path().join("etcd")).await?;
            children.push(etcd);
            format!("etcd://{addr}")
        } else {
            "embedded".to_owned()
        };
        let [addr, https] = free_addresses();
        fs_err::write(
            &config,
            format!(
                "domain = \"paas.localhost\"\ndata_dir = {data:?}\nroles = [\"controller\", \"router\"]\nlog = \"warn\"\nstore = \"{store}\"\n\
                 [controller]\nrequests_per_hour = 100000000\n\
                 [router]\nhttp = [\"{addr}\"]\nhttps = [\"{https}\"]\ntrusted_proxies = [\"127.0.0.1/32\"]\n"
            ),
        )?;
        let token = init(&config).await?;
        let server = Command::new(binary("paasd"))
            .args(["server", "--config"])
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        children.push(server);
        let controller = Self {
            addr,
            token,
            _children: children,
            _dir: dir,
        };
        let answers = || async {
            let mut connection = Connection::to(&controller).await.ok()?;
            let asked = connection.ask(http::Method::GET, "/account", Bytes::new());
            asked.await.is_ok().then_some(connection)
        };
        let within = Duration::from_secs(60);
        let mut connection = eventually("the API answers", within, answers).await;
        for number in 0..APPS {
            let body = Bytes::from(format!("{{\"name\":\"bench-{number}\"}}"));
            connection.ask(http::Method::POST, "/apps", body).await?;
        }
        Ok(controller)
    }

    async fn load(&self, case: Case) -> anyhow::Result<Figures> {
        // Of every round its own, so that each request changes something.
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let mut working = tokio::task::JoinSet::new();
        let began = Instant::now();
        for index in 0..CONNECTIONS {
            let mut connection = Connection::to(self).await?;
            working.spawn(async move {
                let mut times = Vec::new();
                while began.elapsed() < TIME {
                    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                    let (method, path, body) = case.request(index, number);
                    let asked = Instant::now();
                    connection.ask(method, &path, body).await?;
                    times.push(asked.elapsed());
                }
                anyhow::Ok(times)
            });
        }
        let mut times = Vec::new();
        while let Some(done) = working.join_next().await {
            times.extend(done??);
        }
        let elapsed = began.elapsed();
        times.sort_unstable();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        Ok(Figures {
            per_second: times.len() as f64 / elapsed.as_secs_f64(),
            p50: at(0.50),
            p99: at(0.99),
        })
    }
}

struct Connection {
    sender: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
    authorization: Arc<str>,
}

impl Connection {
    async fn to(controller: &Controller) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(controller.addr).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self {
            sender,
            authorization: format!("Bearer {}", controller.token).into(),
        })
    }

    async fn ask(&mut self, method: http::Method, path: &str, body: Bytes) -> anyhow::Result<()> {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "api.paas.localhost")
            // As behind a load balancer that ends TLS, whose cost is not what is measured.
            .header("x-forwarded-proto", "https")
            .header("accept", "application/vnd.heroku+json; version=3")
            .header("authorization", &*self.authorization)
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        ensure!(
            status.is_success(),
            "{path}: {status}: {}",
            String::from_utf8_lossy(&body)
        );
        Ok(())
    }
}

/// The first account's token.
async fn init(config: &Path) -> anyhow::Result<String> {
    let prepared = Command::new(binary("paasd"))
        .args(["init", "--config"])
        .arg(config)
        .output()
        .await?;
    ensure!(prepared.status.success(), "paasd init failed: {prepared:?}");
    let account: Value = serde_json::from_slice(&prepared.stdout)?;
    let token = account["token"].as_str().context("a token")?;
    Ok(token.to_owned())
}

fn middle(mut rounds: Vec<Figures>) -> Figures {
    rounds.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    rounds.swap_remove(rounds.len() / 2)
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn println(text: &str) {
    println!("{text}");
}
