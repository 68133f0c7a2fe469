//! The router: takes every request of the platform and brings it to one of the app's dynos, or says why not.
//!
//! One thread per core, each with a runtime, listeners, a route table and backend connections of its own; nothing is
//! handed from one to another. The table follows the store and is kept on disk, so that routing outlives everything
//! else. No request is lost when dynos come and go: see [`follow`] for what an acknowledgement means and [`backend`]
//! for what counts as in flight.
//!
//! Read in this order: `start` here, [`worker`], [`accept`], [`phase`], [`serve`], [`entry`], [`route`],
//! [`forward`].

mod accept;
mod access_log;
mod admission;
mod affinity;
mod alarm;
mod backend;
mod bridge;
mod buffer;
mod certificate_records;
mod certificates;
mod client;
mod coding;
mod config;
mod cut;
mod disk;
mod entry;
mod error_page;
mod exchange;
mod fault;
mod follow;
mod forward;
mod fresh;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod handshakes;
mod host;
mod http1;
mod http2;
mod limiter;
mod listen;
mod metrics;
mod ops;
mod outbox;
mod pace;
mod passing;
mod phase;
mod pick;
mod pool;
mod proxied;
mod queue;
mod records;
mod relay;
mod route;
mod rules;
mod serve;
mod silence;
mod stream;
mod table;
mod tcp;
mod tickets;
mod tls;
mod trace;
mod trunk;
mod tunnel;
mod upload;
mod watcher;
mod worker;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use controller_api::LogSink;
use model::RouterAbout;
use store::Store;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::error;

pub use config::{
    BACKLOG_PER_DYNO, Config, Connections, Proxies, PublicPorts, ServicesTls, Timeouts, TlsConfig,
    default_workers,
};
use listen::First;
pub use listen::{Listeners, bind};
pub use ops::Internal;
pub use tcp::{Tcp, TcpSockets};
pub use tls::TlsError;
pub use trace::Tracing;

use admission::Admission;
use certificate_records::CertificateRecords;
use disk::Mirror;
use follow::{Acks, Duty, Follow};
use metrics::Metrics;
use records::Records;
use tcp::{Desk, Ports};
use trace::{Exporter, Exporting, Tracer};
use worker::{Seat, Shared};

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("could not set up TLS")]
    Tls(#[from] TlsError),
    #[error("HTTPS listeners were given, but no certificate")]
    NoCertificate,
    #[error("could not use the listeners")]
    Listeners(#[source] io::Error),
    #[error("spans cannot be exported to {endpoint}")]
    Tracing {
        endpoint: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("could not start a worker's thread")]
    Thread(#[source] io::Error),
}

#[derive(Debug, thiserror::Error)]
#[error("a worker of the router ended before it took connections")]
pub struct NotServing;

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("a worker ended in error")]
    Worker(#[source] io::Error),
    #[error("a worker panicked")]
    Panicked,
}

/// How long connections that are idle when another process takes over may stay for one more request: their clients
/// may just be sending it.
const LAST_REQUEST_WITHIN: Duration = Duration::from_secs(5);

/// How long the end of a router waits for a collector of traces.
const LAST_SPANS_WITHIN: Duration = Duration::from_secs(3);

/// A running router. Dropping it does not stop it; the token does.
pub struct RouterHandle {
    workers: Vec<JoinHandle<io::Result<()>>>,
    follow: Option<tokio::task::JoinHandle<()>>,
    duty: watch::Sender<Duty>,
    /// Told by each worker that takes connections.
    accepting: mpsc::Receiver<()>,
    /// Closes when the last worker has no request left.
    busy: mpsc::Receiver<Infallible>,
    /// Told when a worker's thread ends, however it does.
    ended: mpsc::Receiver<()>,
    leaving: Leaving,
    /// Those who tell how the router is. They end when it leaves, or with this.
    _telling: JoinSet<()>,
    /// Spans on their way to the collector.
    exporting: Option<tokio::task::JoinHandle<()>>,
    _window: AbortOnDropHandle<()>,
}

/// How a router comes to its end. Both follow the token it was started with.
#[derive(Debug, Clone)]
pub(crate) struct Leaving {
    /// No connection is accepted any more, and none is kept for a further request than the next.
    pub(crate) leave: CancellationToken,
    /// Connections between two requests are closed.
    pub(crate) close_idle: CancellationToken,
    /// Everything ends, tunnels too.
    pub(crate) shutdown: CancellationToken,
}

impl Leaving {
    fn of(shutdown: CancellationToken) -> Self {
        Self {
            leave: shutdown.child_token(),
            close_idle: shutdown.child_token(),
            shutdown,
        }
    }
}

impl fmt::Debug for RouterHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterHandle")
            .field("workers", &self.workers.len())
            .finish_non_exhaustive()
    }
}

impl RouterHandle {
    /// Returns when all workers take connections, by a table from the store or, without one, from the disk.
    ///
    /// # Errors
    /// When a worker has ended instead.
    pub async fn serving(&mut self) -> Result<(), NotServing> {
        for _ in &self.workers {
            self.accepting.recv().await.ok_or(NotServing)?;
        }
        Ok(())
    }

    /// The controllers and builders that are known stay known, though their records go: others follow at the same
    /// addresses.
    pub fn keep_services(&self) {
        self.duty.send_replace(Duty::KeepServices);
    }

    /// Returns when a worker has ended, which without being told to it does in error only.
    pub async fn failed(&mut self) {
        self.ended.recv().await;
    }

    /// Leaves the records on disk to another process. This one goes on to serve, and to follow the store.
    pub fn give_up_disk(&self) {
        self.duty.send_replace(Duty::NotTheDisk);
    }

    /// Takes the router's report out of the store, and serves on by the table it has.
    pub async fn leave_store(&mut self) {
        self.duty.send_replace(Duty::Nothing);
        self.follow_to_the_end().await;
    }

    /// Another process takes new connections from now on, from the same sockets. This one ends those it has as their
    /// requests end. Returns when no request is left, or [`Timeouts::drain`] has passed; upgraded connections and long
    /// answers may stay for [`Timeouts::stay_after_hand_over`].
    pub async fn hand_over(&mut self) {
        self.leaving.leave.cancel();
        let close_idle = self.leaving.close_idle.clone();
        tokio::spawn(async move {
            sleep(LAST_REQUEST_WITHIN).await;
            close_idle.cancel();
        });
        self.busy.recv().await;
    }

    /// Returns when the router has been told to stop and has drained, which takes [`Timeouts::drain`] at most, or when it
    /// has handed over and its last connection has ended.
    pub async fn join(mut self) -> Result<(), RunError> {
        let workers = std::mem::take(&mut self.workers);
        let joined = tokio::task::spawn_blocking(move || {
            workers
                .into_iter()
                .map(JoinHandle::join)
                .collect::<Vec<_>>()
        });
        let ended = joined.await.unwrap_or_default();
        // The record goes last: while it is there, the scheduler spares dynos with requests in flight.
        self.duty.send_replace(Duty::Nothing);
        self.follow_to_the_end().await;
        if let Some(exporting) = self.exporting.take() {
            // The workers have handed over their last ones; a collector that is away costs no longer wait than this.
            let _ = timeout(LAST_SPANS_WITHIN, exporting).await;
        }
        for ended in ended {
            ended
                .map_err(|_| RunError::Panicked)?
                .map_err(RunError::Worker)?;
        }
        Ok(())
    }

    async fn follow_to_the_end(&mut self) {
        if let Some(follow) = self.follow.take()
            && let Err(error) = follow.await
        {
            error!(
                error = &error as &dyn std::error::Error,
                "The router stopped following the store"
            );
        }
    }
}

/// Tells of the end of the thread that holds it, of its panic too.
struct Ends(mpsc::Sender<()>);

impl Drop for Ends {
    fn drop(&mut self) {
        // If there is no room, another's end is told already.
        let _ = self.0.try_send(());
    }
}

/// Starts the router's threads. Must be called within a runtime, which follows the store on the router's behalf.
pub fn start(
    config: Config,
    listeners: Listeners,
    store: Arc<dyn Store>,
    log: LogSink,
    shutdown: CancellationToken,
) -> Result<RouterHandle, StartError> {
    let tls = config
        .tls
        .as_ref()
        .map(|tls| tls::acceptor(tls, &config.domain).map(Arc::new))
        .transpose()?;
    if tls.is_none() && !listeners.https.is_empty() {
        return Err(StartError::NoCertificate);
    }
    let http = listen::deal(listeners.http, config.workers, First::Client)
        .map_err(StartError::Listeners)?;
    let https = listen::deal(listeners.https, config.workers, First::Client)
        .map_err(StartError::Listeners)?;

    let leaving = Leaving::of(shutdown);
    let (publish, published) = watch::channel(None);
    let acks = Arc::new(Acks::new(config.workers.get()));
    let ports = Arc::new(Ports::new());
    let metrics = Arc::new(Metrics::new(
        config.id,
        config.workers.get(),
        published.clone(),
        ports.clone(),
    ));
    let tracing = config.tracing.clone();
    let exporting = Exporter::new(&tracing, &config.domain, &metrics.spans).map_err(|error| {
        StartError::Tracing {
            endpoint: tracing.endpoint.clone().unwrap_or_default(),
            source: error.into(),
        }
    })?;
    let (exporter, exporting) = exporting.unzip();
    let follow = Follow {
        about: RouterAbout {
            host: config.host,
            addr: listeners.internal.addr(),
            ..RouterAbout::default()
        },
        leave: leaving.leave.clone(),
        metrics: metrics.clone(),
        tcp: Desk::new(ports.clone(), config.tcp.sockets.clone(), config.workers),
        ports: ports.clone(),
        id: config.id,
        store,
        records: Records::new(config.domain.clone(), config.workers.get()),
        certificates: tls
            .clone()
            .map(|tls| CertificateRecords::new(tls, config.keyring.clone())),
        mirror: Mirror::new(&config.data_dir),
        publish,
        acks: acks.clone(),
    };
    let (begin_accepting, accepting) = mpsc::channel(config.workers.get());
    let (is_busy, busy) = mpsc::channel(1);
    let (ends, ended) = mpsc::channel(1);
    let shared = Arc::new(Shared {
        admission: Admission::new(config.connections),
        config,
        log,
        tls,
        leaving: leaving.clone(),
        metrics: metrics.clone(),
        tracer: Tracer::new(&tracing, exporter),
    });
    let telling = listeners
        .internal
        .start(&metrics, &leaving.leave)
        .map_err(StartError::Listeners)?;
    let mut workers = Vec::new();
    for (index, (http, https)) in http.into_iter().zip(https).enumerate() {
        let seat = Seat {
            index,
            http,
            https,
            published: published.clone(),
            ports: ports.open(),
            acks: acks.clone(),
            begin_accepting: begin_accepting.clone(),
            is_busy: is_busy.clone(),
        };
        let (shared, ends) = (shared.clone(), Ends(ends.clone()));
        let thread = std::thread::Builder::new()
            .name(format!("router-{index}"))
            .spawn(move || {
                let _ends = ends;
                worker::run(shared, seat)
            })
            .map_err(StartError::Thread)?;
        workers.push(thread);
    }
    let (leave, left) = (leaving.leave.clone(), ports.clone());
    tokio::spawn(async move {
        leave.cancelled().await;
        left.leave();
    });
    let (duty, asked) = watch::channel(Duty::Everything);
    Ok(RouterHandle {
        workers,
        follow: Some(tokio::spawn(follow.run(asked))),
        duty,
        accepting,
        busy,
        ended,
        leaving,
        _telling: telling,
        exporting: exporting.map(|exporting| tokio::spawn(Exporting::run(exporting))),
        _window: AbortOnDropHandle::new(tokio::spawn(metrics.keep_window())),
    })
}
