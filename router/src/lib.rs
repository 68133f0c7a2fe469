//! The router: takes every request of the platform and brings it to one of the app's dynos, or says why not.
//!
//! One thread per core, each with a runtime, listeners, a route table and backend connections of its own; nothing is
//! handed from one to another. The table follows the store and is kept on disk, so that routing outlives everything
//! else. No request is lost when dynos come and go: see [`follow`] for what an acknowledgement means and [`backend`]
//! for what counts as in flight.
//!
//! Read in this order: `start` here, [`worker`], [`accept`], [`request`], [`route`], [`forward`].

mod accept;
mod access_log;
mod backend;
mod body;
mod config;
mod disk;
mod error_page;
mod exchange;
mod fault;
mod follow;
mod forward;
mod head;
mod listen;
mod pick;
mod pool;
mod records;
mod request;
mod rewrite;
mod route;
mod table;
mod tls;
mod upgrade;
mod worker;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use controller_api::LogSink;
use store::Store;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::error;

pub use config::{Config, PublicPorts, Timeouts, TlsConfig, default_workers};
pub use listen::{Listeners, bind};
pub use tls::TlsError;

use disk::Mirror;
use follow::{Acks, Follow};
use records::Records;
use worker::{Seat, Shared};

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("could not set up TLS")]
    Tls(#[from] TlsError),
    #[error("HTTPS listeners were given, but no certificate")]
    NoCertificate,
    #[error("could not use the listeners")]
    Listeners(#[source] io::Error),
    #[error("could not start a worker's thread")]
    Thread(#[source] io::Error),
}

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("a worker ended in error")]
    Worker(#[source] io::Error),
    #[error("a worker panicked")]
    Panicked,
}

/// A running router. Dropping it does not stop it; the token does.
pub struct RouterHandle {
    workers: Vec<JoinHandle<io::Result<()>>>,
    follow: tokio::task::JoinHandle<()>,
    stop_following: CancellationToken,
}

impl fmt::Debug for RouterHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterHandle")
            .field("workers", &self.workers.len())
            .finish_non_exhaustive()
    }
}

impl RouterHandle {
    /// Returns when the router has been told to stop and has drained, which takes [`Timeouts::drain`] at most.
    pub async fn join(self) -> Result<(), RunError> {
        let workers = self.workers;
        let joined = tokio::task::spawn_blocking(move || {
            workers
                .into_iter()
                .map(JoinHandle::join)
                .collect::<Vec<_>>()
        });
        let ended = joined.await.unwrap_or_default();
        // The record goes last: while it is there, the scheduler spares dynos with requests in flight.
        self.stop_following.cancel();
        if let Err(error) = self.follow.await {
            error!(
                error = &error as &dyn std::error::Error,
                "The router stopped following the store"
            );
        }
        for ended in ended {
            ended
                .map_err(|_| RunError::Panicked)?
                .map_err(RunError::Worker)?;
        }
        Ok(())
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
    let tls = config.tls.as_ref().map(tls::acceptor).transpose()?;
    if tls.is_none() && !listeners.https.is_empty() {
        return Err(StartError::NoCertificate);
    }
    let http = listen::deal(listeners.http, config.workers).map_err(StartError::Listeners)?;
    let https = listen::deal(listeners.https, config.workers).map_err(StartError::Listeners)?;

    let (publish, published) = watch::channel(None);
    let acks = Arc::new(Acks::new(config.workers.get()));
    let follow = Follow {
        id: config.id,
        store,
        records: Records::new(config.domain.clone()),
        mirror: Mirror::new(&config.data_dir),
        publish,
        acks: acks.clone(),
    };
    let shared = Arc::new(Shared {
        config,
        log,
        tls,
        shutdown,
    });
    let mut workers = Vec::new();
    for (index, (http, https)) in http.into_iter().zip(https).enumerate() {
        let seat = Seat {
            index,
            http,
            https,
            published: published.clone(),
            acks: acks.clone(),
        };
        let shared = shared.clone();
        let thread = std::thread::Builder::new()
            .name(format!("router-{index}"))
            .spawn(move || worker::run(shared, seat))
            .map_err(StartError::Thread)?;
        workers.push(thread);
    }
    let stop_following = CancellationToken::new();
    let follow = tokio::spawn(follow.run(stop_following.clone()));
    Ok(RouterHandle {
        workers,
        follow,
        stop_following,
    })
}
