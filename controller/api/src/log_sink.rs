//! Where a role puts its log lines: a bounded queue that a task empties, in batches, into a controller.
//!
//! Lines keep their order. Nothing waits: when the queue is full, lines are dropped, counted per app, and confessed
//! in the app's own log as `Error L10 (output buffer overflow)`. A batch that may or may not have arrived is sent again
//! under the same number, and a controller takes each number once for each app. With several controllers each line goes to
//! two of them, and is done with when one has it.

mod placement;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use model::log::{LogLine, LogSource, MAX_LINE_BYTES};
use model::{AppId, Secret, Timestamp};
use reqwest::StatusCode;
use rustls::ClientConfig;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use uuid::Uuid;

pub use placement::home_of;
use placement::{ByApp, Resting, by_app, share_out};

/// Names the sender and the batch: `<uuid> <number>`. Numbers of one sender grow.
pub const BATCH_HEADER: &str = "paas-log-batch";

const MAX_QUEUED_BYTES: usize = 16 << 20;
const MAX_BATCH_LINES: usize = 2_000;
const MAX_BATCH_BYTES: usize = 1 << 20;
/// What a controller takes at once: a batch as JSON, which makes six characters of some, and says of each line whose it is.
pub const MAX_BODY_BYTES: usize = 16 << 20;
/// Lines that come within this time of each other travel together.
const GATHER: Duration = Duration::from_millis(20);
const POST_DEADLINE: Duration = Duration::from_secs(10);
/// What a second controller gets, once the first has all, before nobody waits for it any more.
const SECOND_COPY: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// How long the last lines may take on the way out.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// What a line costs besides its text.
const LINE_OVERHEAD: usize = 128;

/// The sending end; cheap to clone, never blocks.
#[derive(Debug, Clone)]
pub struct LogSink {
    to: Destination,
}

#[derive(Debug, Clone)]
enum Destination {
    Queue(Arc<Shared>),
    Channel(mpsc::UnboundedSender<LogLine>),
    Nowhere,
}

/// The other end: run it until the role ends.
#[derive(Debug)]
pub struct LogSinkTask {
    shared: Arc<Shared>,
    endpoints: watch::Receiver<Vec<SocketAddr>>,
    token: Secret<String>,
    tls: Option<ClientConfig>,
    sender: Uuid,
}

#[derive(Debug, Default)]
struct Shared {
    /// Guards a few pushes and pops; never held across an await.
    queue: Mutex<Queue>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<LogLine>,
    bytes: usize,
    lost: HashMap<AppId, Loss>,
}

#[derive(Debug)]
struct Loss {
    count: u64,
    since: Timestamp,
}

impl LogSink {
    /// A sink into the controllers that are alive. `token` is the platform's internal one; `tls` proves who is who, and
    /// without it (in tests) controllers are called over plain HTTP.
    pub fn new(
        endpoints: watch::Receiver<Vec<SocketAddr>>,
        token: Secret<String>,
        tls: Option<ClientConfig>,
    ) -> (Self, LogSinkTask) {
        let shared = Arc::new(Shared::default());
        let sink = Self {
            to: Destination::Queue(shared.clone()),
        };
        (
            sink,
            LogSinkTask {
                shared,
                endpoints,
                token,
                tls,
                sender: Uuid::new_v4(),
            },
        )
    }

    /// A sink that forgets everything; for tests that look at no logs.
    pub const fn discard() -> Self {
        Self {
            to: Destination::Nowhere,
        }
    }

    /// A sink whose lines come out of a channel; for tests that look at logs.
    pub fn collect() -> (Self, mpsc::UnboundedReceiver<LogLine>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (
            Self {
                to: Destination::Channel(sender),
            },
            receiver,
        )
    }

    pub fn send(&self, mut line: LogLine) {
        cut(&mut line.text);
        match &self.to {
            Destination::Queue(shared) => {
                shared.queue().push(line);
                shared.filled.notify_one();
            }
            // A receiver that is gone wants no more lines.
            Destination::Channel(sender) => drop(sender.send(line)),
            Destination::Nowhere => {}
        }
    }

    /// A line of the platform about an app: `heroku[web.1]: State changed from starting to up`.
    pub fn platform(&self, app: AppId, process: impl Into<String>, text: impl Into<String>) {
        let (process, text) = (process.into(), text.into());
        self.send(LogLine {
            app,
            at: Timestamp::now(),
            source: LogSource::Heroku,
            process,
            text,
        });
    }
}

impl LogSinkTask {
    /// Sends until `stop`, then what is left, for a few seconds at most.
    pub async fn run(self, stop: CancellationToken) {
        let http = match self.client() {
            Ok(http) => http,
            Err(error) => {
                warn!(error = &*error, "Logs cannot be sent");
                return;
            }
        };
        let mut number = 0;
        let mut resting = Resting::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.shared.filled.notified() => {}
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(GATHER) => {}
            }
            tokio::select! {
                () = self.send_all(&http, &mut number, &mut resting) => {}
                () = async { stop.cancelled().await; tokio::time::sleep(LAST_WORDS).await } => return,
            }
        }
        let _ =
            tokio::time::timeout(LAST_WORDS, self.send_all(&http, &mut number, &mut resting)).await;
    }

    fn client(&self) -> Result<reqwest::Client, Box<dyn std::error::Error>> {
        let tls = match &self.tls {
            Some(tls) => tls.clone(),
            None => crate::tls::no_roots()?,
        };
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(tls)
            .timeout(POST_DEADLINE)
            .build()?;
        Ok(client)
    }

    async fn send_all(&self, http: &reqwest::Client, number: &mut u64, resting: &mut Resting) {
        loop {
            let batch = self.shared.queue().take(Timestamp::now());
            if batch.is_empty() {
                return;
            }
            *number += 1;
            self.deliver(http, *number, by_app(batch), resting).await;
        }
    }

    /// Until some controller has each app's lines.
    async fn deliver(
        &self,
        http: &reqwest::Client,
        number: u64,
        mut apps: ByApp,
        resting: &mut Resting,
    ) {
        let mut failures = 0u32;
        loop {
            let controllers = resting.awake(&self.endpoints.borrow(), Instant::now());
            let taken = self.offer(http, number, &apps, &controllers, resting).await;
            apps.retain(|app, _| !taken.contains(app));
            if apps.is_empty() {
                return;
            }
            if failures == 3 {
                warn!("Could not send logs; will retry");
            }
            let pause = Duration::from_millis(50 << failures.min(7)).min(MAX_PAUSE);
            failures = failures.saturating_add(1);
            tokio::time::sleep(pause).await;
        }
    }

    /// Offers each controller its share; the apps whose lines at least one has taken.
    async fn offer(
        &self,
        http: &reqwest::Client,
        number: u64,
        apps: &ByApp,
        controllers: &[SocketAddr],
        resting: &mut Resting,
    ) -> BTreeSet<AppId> {
        let mut waiting: BTreeSet<SocketAddr> = BTreeSet::new();
        let mut posts = FuturesUnordered::new();
        for (controller, share) in share_out(apps, controllers) {
            let body = body_of(apps, &share);
            waiting.insert(controller);
            posts.push(async move {
                let posted = self.post(http, controller, number, body).await;
                (controller, share, posted)
            });
        }
        let mut taken = BTreeSet::new();
        let mut patience = POST_DEADLINE;
        while let Ok(Some((controller, share, posted))) =
            tokio::time::timeout(patience, posts.next()).await
        {
            waiting.remove(&controller);
            match posted {
                Ok(()) => taken.extend(share),
                // The same again would be refused again, and hold up all that comes after.
                Err(error) if error.status().is_some_and(is_final) => {
                    let error: &dyn std::error::Error = &error;
                    warn!(error, %controller, apps = share.len(), "A controller refuses log lines, which are dropped");
                    taken.extend(share);
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    debug!(error, %controller, "Could not send logs to a controller");
                    resting.rest(controller, Instant::now());
                }
            }
            if taken.len() == apps.len() {
                patience = SECOND_COPY;
            }
        }
        for slow in waiting {
            resting.rest(slow, Instant::now());
        }
        taken
    }

    async fn post(
        &self,
        http: &reqwest::Client,
        endpoint: SocketAddr,
        number: u64,
        body: bytes::Bytes,
    ) -> Result<(), reqwest::Error> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        http.post(format!("{scheme}://{endpoint}/internal/logs"))
            .bearer_auth(self.token.expose())
            .header(BATCH_HEADER, format!("{} {number}", self.sender))
            .header("content-type", "application/x-ndjson")
            .body(body)
            .send()
            .await?
            .error_for_status()?;
        Ok(())
    }
}

const fn is_final(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE
    )
}

/// One JSON object on a line.
fn body_of(apps: &ByApp, share: &BTreeSet<AppId>) -> bytes::Bytes {
    let mut body = Vec::new();
    for line in share.iter().filter_map(|app| apps.get(app)).flatten() {
        // Lines are strings and numbers: writing them as JSON cannot fail.
        let _ = serde_json::to_writer(&mut body, line);
        body.push(b'\n');
    }
    body.into()
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // A queue whose holder panicked is still a queue.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn push(&mut self, line: LogLine) {
        let cost = line.text.len() + LINE_OVERHEAD;
        if self.bytes + cost > MAX_QUEUED_BYTES {
            self.lost
                .entry(line.app)
                .or_insert(Loss {
                    count: 0,
                    since: line.at,
                })
                .count += 1;
            return;
        }
        self.bytes += cost;
        self.lines.push_back(line);
    }

    /// The oldest lines, as many as fit a batch; once all are taken, what was lost after them.
    fn take(&mut self, now: Timestamp) -> Vec<LogLine> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < MAX_BATCH_LINES && bytes < MAX_BATCH_BYTES {
            let Some(line) = self.lines.pop_front() else {
                break;
            };
            let cost = line.text.len() + LINE_OVERHEAD;
            bytes += cost;
            self.bytes = self.bytes.saturating_sub(cost);
            batch.push(line);
        }
        if self.lines.is_empty() {
            batch.extend(
                self.lost
                    .drain()
                    .map(|(app, loss)| loss.confession(app, now)),
            );
        }
        batch
    }
}

impl Loss {
    fn confession(&self, app: AppId, now: Timestamp) -> LogLine {
        LogLine {
            app,
            at: now,
            source: LogSource::Heroku,
            process: "logplex".to_owned(),
            text: overflow(self.count, self.since),
        }
    }
}

/// Heroku's words for lines that were lost.
pub fn overflow(count: u64, since: Timestamp) -> String {
    let since = since.strftime("%Y-%m-%dT%H:%M:%S+00:00");
    format!("Error L10 (output buffer overflow): {count} messages dropped since {since}.")
}

/// Cuts a line that is too long, at a character, and marks it.
fn cut(text: &mut String) {
    if text.len() > MAX_LINE_BYTES {
        const MARK: &str = " [cut]";
        let mut end = MAX_LINE_BYTES - MARK.len();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(MARK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(app: AppId, text: impl Into<String>) -> LogLine {
        LogLine {
            app,
            at: Timestamp::UNIX_EPOCH,
            source: LogSource::App,
            process: "web.1".to_owned(),
            text: text.into(),
        }
    }

    #[test]
    fn a_full_queue_counts_what_it_drops_and_says_so_after_the_rest() {
        let (app, quiet) = (AppId::new(), AppId::new());
        let mut queue = Queue::default();
        let text = "x".repeat(10_000 - LINE_OVERHEAD);
        let fits = MAX_QUEUED_BYTES / 10_000;
        for _ in 0..fits + 5 {
            queue.push(line(app, text.clone()));
        }
        queue.push(line(quiet, text));
        let mut taken = Vec::new();
        loop {
            let batch = queue.take(Timestamp::now());
            if batch.is_empty() {
                break;
            }
            assert!(batch.iter().map(|l| l.text.len()).sum::<usize>() <= MAX_BATCH_BYTES + 10_000);
            taken.extend(batch);
        }
        assert_eq!(taken.len(), fits + 2);
        let confessions: Vec<_> = taken.iter().filter(|l| l.process == "logplex").collect();
        assert_eq!(
            taken[taken.len() - 2..]
                .iter()
                .filter(|l| l.process == "logplex")
                .count(),
            2
        );
        assert!(
            confessions
                .iter()
                .any(|l| l.app == app && l.text.contains("5 messages dropped since 1970"))
        );
        assert!(
            confessions
                .iter()
                .any(|l| l.app == quiet && l.text.contains("1 messages dropped"))
        );
        assert_eq!(queue.bytes, 0);
    }

    #[test]
    fn long_lines_are_cut_at_a_character_and_marked() {
        let mut text = "é".repeat(MAX_LINE_BYTES);
        cut(&mut text);
        assert!(text.len() <= MAX_LINE_BYTES && text.ends_with("é [cut]"));
        let mut short = "fine".to_owned();
        cut(&mut short);
        assert_eq!(short, "fine");
    }
}
