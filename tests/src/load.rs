//! Load at a fixed rate, whatever the answers: a slow answer delays no other request, so nothing is hidden.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::eventually::eventually;

/// Requests and WebSockets against one app, until [`Load::finish`].
#[derive(Debug)]
pub struct Load {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    tally: Arc<Tally>,
}

#[derive(Debug, Default)]
struct Tally {
    requests: AtomicU64,
    echoes: AtomicU64,
    reconnects: AtomicU64,
    failures: Mutex<Vec<String>>,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    pub requests: u64,
    pub echoes: u64,
    /// WebSockets that an ending dyno closed in good order, and that were opened again.
    pub reconnects: u64,
    pub failures: Vec<String>,
}

/// The most failures whose story is kept.
const MAX_STORIES: usize = 50;
const ANSWER_WITHIN: Duration = Duration::from_secs(35);
/// One request in so many takes long, so that something is always in flight.
const SLOW_EVERY: u64 = 20;
const SLOW_PATH: &str = "/slow?ms=2000";

impl Load {
    /// `per_second` requests on kept-alive connections, and `sockets` WebSockets that echo twice a second.
    pub fn start(router: SocketAddr, host: &str, per_second: u32, sockets: usize) -> Self {
        let (stop, stopped) = watch::channel(false);
        let tally = Arc::new(Tally::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(requests(
            router,
            host.to_owned(),
            per_second,
            tally.clone(),
            stopped.clone(),
        ));
        for _ in 0..sockets {
            tasks.spawn(socket(
                router,
                host.to_owned(),
                tally.clone(),
                stopped.clone(),
            ));
        }
        Self { stop, tasks, tally }
    }

    /// Until there has been so much of it that its report says something: what it accompanies may be over in a moment.
    pub async fn has_made(&self, requests: u64, echoes: u64) {
        eventually("the load goes on", ANSWER_WITHIN, || async {
            let made = |count: &AtomicU64| count.load(Ordering::Relaxed);
            (made(&self.tally.requests) > requests && made(&self.tally.echoes) > echoes)
                .then_some(())
        })
        .await;
    }

    /// Ends the load, waits for what is in flight, and tells.
    pub async fn finish(mut self) -> Report {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
        Report {
            requests: self.tally.requests.load(Ordering::Relaxed),
            echoes: self.tally.echoes.load(Ordering::Relaxed),
            reconnects: self.tally.reconnects.load(Ordering::Relaxed),
            failures: self.tally.failures.lock().await.clone(),
        }
    }
}

impl Tally {
    async fn fail(&self, story: String) {
        let mut failures = self.failures.lock().await;
        if failures.len() < MAX_STORIES {
            // As the platform's own log has it, to be found there.
            failures.push(format!("{} {story}", Timestamp::now().strftime("%T%.3f")));
        }
    }
}

async fn requests(
    router: SocketAddr,
    host: String,
    per_second: u32,
    tally: Arc<Tally>,
    mut stopped: watch::Receiver<bool>,
) {
    let client: Client<HttpConnector, Empty<Bytes>> = Client::builder(TokioExecutor::new())
        .pool_idle_timeout(Duration::from_secs(20))
        // A lost request must show, not be sent again behind our back.
        .retry_canceled_requests(false)
        .build_http();
    let mut every = tokio::time::interval(Duration::from_secs(1) / per_second);
    let mut in_flight = JoinSet::new();
    for number in 0u64.. {
        tokio::select! {
            _ = every.tick() => {}
            _ = stopped.changed() => break,
        }
        let path = if number.is_multiple_of(SLOW_EVERY) {
            SLOW_PATH
        } else {
            "/"
        };
        let (client, host, tally) = (client.clone(), host.clone(), tally.clone());
        in_flight.spawn(async move {
            let began = Instant::now();
            tally.requests.fetch_add(1, Ordering::Relaxed);
            if let Err(error) = request(&client, router, &host, path).await {
                tally
                    .fail(format!("GET {path} after {:?}: {error:#}", began.elapsed()))
                    .await;
            }
        });
        while in_flight.try_join_next().is_some() {}
    }
    while in_flight.join_next().await.is_some() {}
}

async fn request(
    client: &Client<HttpConnector, Empty<Bytes>>,
    router: SocketAddr,
    host: &str,
    path: &str,
) -> anyhow::Result<()> {
    let request = http::Request::get(format!("http://{router}{path}"))
        .header(http::header::HOST, host)
        .body(Empty::new())?;
    let work = async {
        let response = client.request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        ensure!(
            status == 200,
            "{status}: {}",
            String::from_utf8_lossy(&body)
                .chars()
                .take(200)
                .collect::<String>()
        );
        Ok(())
    };
    tokio::time::timeout(ANSWER_WITHIN, work)
        .await
        .context("no answer in time")?
}

/// Opens a WebSocket again and again; each must end by our wish or by the dyno's "going away".
async fn socket(
    router: SocketAddr,
    host: String,
    tally: Arc<Tally>,
    stopped: watch::Receiver<bool>,
) {
    let mut first = true;
    while !*stopped.borrow() {
        if !std::mem::take(&mut first) {
            tally.reconnects.fetch_add(1, Ordering::Relaxed);
        }
        let began = Instant::now();
        if let Err(error) = echo(router, &host, &tally, stopped.clone()).await {
            let open_for = began.elapsed();
            tally
                .fail(format!("WebSocket after {open_for:?}: {error:#}"))
                .await;
        }
    }
}

async fn echo(
    router: SocketAddr,
    host: &str,
    tally: &Tally,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let stream = TcpStream::connect(router).await.context("connecting")?;
    let opening = tokio_tungstenite::client_async(format!("ws://{host}/ws"), stream);
    let (mut socket, _) = tokio::time::timeout(ANSWER_WITHIN, opening)
        .await
        .context("no handshake in time")?
        .context("handshake")?;
    let mut every = tokio::time::interval(Duration::from_millis(500));
    for number in 0u32.. {
        tokio::select! {
            _ = every.tick() => {}
            _ = stopped.changed() => {
                socket.close(None).await.context("closing")?;
                return Ok(());
            }
        }
        let text = format!("message {number}");
        // The dyno may have said goodbye meanwhile: that is for reading to find out.
        let sent = socket.send(Message::text(text.clone())).await;
        loop {
            let next = tokio::time::timeout(ANSWER_WITHIN, socket.next());
            match next.await.context("no echo in time")? {
                Some(Ok(Message::Text(echoed))) if echoed.as_str() == text => {
                    tally.echoes.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                Some(Ok(Message::Close(Some(frame))))
                    if matches!(frame.code, CloseCode::Away | CloseCode::Restart) =>
                {
                    return Ok(());
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(other)) => bail!("instead of the echo of {text:?} came {other:?}"),
                Some(Err(error)) => {
                    sent.context("sending")?;
                    return Err(error).context("reading");
                }
                None => bail!("it ended without a close frame"),
            }
        }
    }
    Ok(())
}
