//! A steady beat of requests, and what came of each: for telling when something stopped, and when it came back.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Runs until [`Pulse::finish`].
#[derive(Debug)]
pub struct Pulse {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    beats: Arc<Mutex<Vec<Beat>>>,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Beat {
    pub sent: Instant,
    pub took: Duration,
    /// The body of a 200, or what came instead.
    pub answer: Result<String, String>,
}

/// Longer than a router takes to give up.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// A request that met nothing unusual, on a machine that is not busy, is answered in far less.
const SMOOTH: Duration = Duration::from_millis(900);

impl Pulse {
    /// `per_second` GETs of `path`, sent when their time has come, whatever became of those before.
    pub fn start(router: SocketAddr, host: &str, path: &str, per_second: u32) -> Self {
        let (stop, stopped) = watch::channel(false);
        let beats = Arc::new(Mutex::new(Vec::new()));
        let url = format!("http://{router}{path}");
        let task = tokio::spawn(beat(
            url,
            host.to_owned(),
            Duration::from_secs(1) / per_second,
            beats.clone(),
            stopped,
        ));
        Self { stop, task, beats }
    }

    /// Those that have been answered so far, in no particular order.
    pub fn so_far(&self) -> Vec<Beat> {
        self.beats
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Who has answered requests that were sent since then.
    pub fn answered_since(&self, since: Instant) -> BTreeSet<String> {
        let beats = self.so_far();
        beats
            .into_iter()
            .filter(|beat| beat.sent >= since)
            .filter_map(|beat| Some(beat.answer.ok()?.trim().to_owned()))
            .collect()
    }

    /// Sends no more, waits for what is under way, and gives all of them, first sent first.
    pub async fn finish(self) -> Vec<Beat> {
        self.stop.send_replace(true);
        let _ = self.task.await;
        let mut beats =
            std::mem::take(&mut *self.beats.lock().unwrap_or_else(PoisonError::into_inner));
        beats.sort_by_key(|beat| beat.sent);
        beats
    }
}

impl Beat {
    /// Answered as if nothing had happened.
    pub fn is_smooth(&self) -> bool {
        self.answer.is_ok() && self.took < SMOOTH
    }

    /// Whether its host died between the head of the answer and its end: the client has the head, and nobody else has the
    /// rest. By `struck` the host was dead.
    pub fn was_cut_before(&self, struck: Instant) -> bool {
        let is_cut = |error: &String| error.contains("error reading a body");
        self.sent < struck && self.answer.as_ref().is_err_and(is_cut)
    }
}

/// What came instead of answers.
pub fn failures(beats: &[Beat]) -> Vec<String> {
    let failed = beats.iter().filter_map(|beat| beat.answer.as_ref().err());
    failed.cloned().collect()
}

async fn beat(
    url: String,
    host: String,
    every: Duration,
    beats: Arc<Mutex<Vec<Beat>>>,
    mut stopped: watch::Receiver<bool>,
) {
    let client: Client<HttpConnector, Empty<Bytes>> = Client::builder(TokioExecutor::new())
        .pool_idle_timeout(Duration::from_secs(20))
        .retry_canceled_requests(false)
        .build_http();
    let mut every = tokio::time::interval(every);
    let mut under_way = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            _ = every.tick() => {}
            _ = stopped.changed() => break,
        }
        let (client, url, host, beats) = (client.clone(), url.clone(), host.clone(), beats.clone());
        under_way.spawn(async move {
            let sent = Instant::now();
            let answer = tokio::time::timeout(ANSWER_WITHIN, request(&client, &url, &host)).await;
            let beat = Beat {
                sent,
                took: sent.elapsed(),
                answer: answer.unwrap_or_else(|_| Err("no answer in time".to_owned())),
            };
            beats
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(beat);
        });
        while under_way.try_join_next().is_some() {}
    }
    while under_way.join_next().await.is_some() {}
}

async fn request(
    client: &Client<HttpConnector, Empty<Bytes>>,
    url: &str,
    host: &str,
) -> Result<String, String> {
    let request = http::Request::get(url)
        .header(http::header::HOST, host)
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    let response = client
        .request(request)
        .await
        .map_err(|error| format!("{error:?}"))?;
    let status = response.status();
    let body = response.into_body().collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    if status == 200 {
        Ok(text)
    } else {
        Err(format!(
            "{status}: {}",
            text.chars().take(120).collect::<String>()
        ))
    }
}
