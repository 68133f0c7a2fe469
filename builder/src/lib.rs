//! The builder: `git push` in, release out.
//!
//! Reading order: [`run`] starts everything; [`http`] and [`ssh`] let git clients in; [`git`] runs stock git for them;
//! git's [`hook`] asks what to do with a push; [`deploy`] answers: it waits for the app's turn (code that nobody pushed comes as an [`archive`]), has [`compile`] build the
//! commit in a container, here or on another host ([`remote`]), has [`slug`] pack the tree, makes the release and follows it. [`housekeeping`] removes the rest.
//!
//! Invariants: nobody reads, writes or makes anything of an app that is not theirs; nothing of an app runs outside a
//! container; a ref moves only when its release is made and not failed; a client that goes away ends its build until the
//! release begins, and never afterwards.

mod access;
mod archive;
mod cache;
pub mod compile;
pub mod config;
mod deploy;
mod git;
pub mod hook;
mod housekeeping;
mod http;
mod push;
mod remote;
mod slug;
mod source;
mod ssh;
mod words;
mod workspace;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use controller_api::LogSink;
use controller_api::host_listener::HostListener;
use jiff::Timestamp;
use model::log::{LogLine, LogSource};
use model::{AppId, BuilderReport, ServiceEndpoint, ServiceId, ServiceRole};
use runtime::Runtime;
use store::blob::BlobStore;
use store::{Keyring, Patient, Presence, Store, StoreError, key};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

pub use compile::{Compile, CompileError, CompileJob, Compiled, ContainerCompiler};
pub use config::{AppUrls, Config, ContainerConfig, Limits, Scheme};

use cache::Caches;
use deploy::live::Live;
use deploy::queue::Queues;
use git::{Git, Repos};
use hook::server::HookPlace;
use push::Pushes;
use remote::Peers;

/// How long a push waits for a store that does not answer: longer than etcd takes to elect a leader on a busy day.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Until what came of a commit is looked at, or it is tried again.
pub(crate) const PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not prepare the builder's files in {path}")]
    Files {
        path: std::path::PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("could not get the SSH host key")]
    HostKey(#[source] StoreError),
    #[error("the builder's HTTP server failed")]
    Http(#[source] io::Error),
}

/// What all of the builder's parts share.
#[derive(Debug)]
pub(crate) struct Builder {
    pub(crate) id: ServiceId,
    pub(crate) config: Config,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keyring: Keyring,
    pub(crate) blobs: BlobStore,
    pub(crate) compiler: Arc<dyn Compile>,
    pub(crate) log: AppLog,
    pub(crate) git: Git,
    pub(crate) repos: Repos,
    pub(crate) caches: Caches,
    pub(crate) pushes: Pushes,
    pub(crate) queues: Queues,
    pub(crate) live: Live,
    pub(crate) peers: Peers,
    /// Connections, git processes and deploys; joined on the way out.
    pub(crate) tasks: TaskTracker,
    /// Fires when the builder is to end: nothing new is begun.
    pub(crate) stopping: CancellationToken,
    /// Fires when the time to drain is over: builds are ended.
    pub(crate) ending: CancellationToken,
}

/// Runs a builder until `shutdown`, then drains for as long as the configuration says.
#[expect(clippy::too_many_arguments, reason = "the shape every role has")]
pub async fn run(
    config: Config,
    http: impl Into<HostListener>,
    ssh: TcpListener,
    store: Arc<dyn Store>,
    keyring: Keyring,
    blobs: BlobStore,
    runtime: Arc<dyn Runtime>,
    logs: LogSink,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let compiler = Arc::new(ContainerCompiler::new(&config, runtime));
    run_with_compiler(
        config, http, ssh, store, keyring, blobs, compiler, logs, shutdown,
    )
    .await
}

/// The same, with another way to compile: tests have one that needs no container.
#[expect(clippy::too_many_arguments, reason = "the shape every role has")]
pub async fn run_with_compiler(
    config: Config,
    http: impl Into<HostListener>,
    ssh: TcpListener,
    store: Arc<dyn Store>,
    keyring: Keyring,
    blobs: BlobStore,
    compiler: Arc<dyn Compile>,
    logs: LogSink,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let files = |source| Error::Files {
        path: config.data_dir.clone(),
        source,
    };
    for dir in [
        config.data_dir.clone(),
        config.builds_dir(),
        config.cache_dir(),
        config.repos_dir(),
    ] {
        workspace::private_dir(&dir).map_err(files)?;
    }
    let place = HookPlace::prepare(&config.data_dir).map_err(files)?;
    let hooks = place.listen().map_err(files)?;
    let host_key = ssh::load_host_key(&*store, &keyring)
        .await
        .map_err(Error::HostKey)?;
    let store: Arc<dyn Store> = Arc::new(Patient::new(store, PATIENCE));
    let git = Git::new(&config, place.hooks.clone(), place.socket.clone());
    let peers = Peers::new(keyring.internal_token().clone(), config.peer_tls.as_ref());
    let builder = Arc::new(Builder {
        id: ServiceId::new(),
        peers,
        repos: Repos::new(
            config.repos_dir(),
            git.clone(),
            store.clone(),
            blobs.clone(),
        ),
        caches: Caches::new(config.cache_dir()),
        pushes: Pushes::default(),
        queues: Queues::new(config.max_concurrent_builds),
        live: Live::default(),
        tasks: TaskTracker::new(),
        stopping: shutdown.clone(),
        ending: CancellationToken::new(),
        log: AppLog(logs),
        git,
        config,
        store,
        keyring,
        blobs,
        compiler,
    });
    housekeeping::at_start(&builder).await;
    let presence = announce(&builder);
    let report = offer_builds(&builder);
    info!(address = %builder.config.address, "The builder takes pushes");

    let mut servers = JoinSet::new();
    servers.spawn(hook::server::serve(builder.clone(), hooks));
    servers.spawn(housekeeping::run(builder.clone()));
    servers.spawn(deploy::takeover::run(builder.clone()));
    servers.spawn(ssh::serve(
        builder.clone(),
        ssh,
        ssh::config(host_key),
        shutdown.clone(),
    ));
    let web = serve_http(builder.clone(), http.into(), shutdown.clone());
    tokio::pin!(web);
    let served = tokio::select! {
        served = &mut web => Some(served),
        () = shutdown.cancelled() => None,
    };
    report.stop().await;
    presence.stop().await;
    let drained = drain(&builder, async {
        match served {
            Some(served) => served,
            None => web.await,
        }
    });
    let result = drained.await;
    servers.shutdown().await;
    result
}

/// Lets what runs come to its end, for a while; then ends it.
async fn drain(
    builder: &Builder,
    web: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    /// To end builds and tell their pushers.
    const LAST_WORDS: Duration = Duration::from_secs(10);
    builder.tasks.close();
    let timers = async {
        tokio::time::sleep(builder.config.drain_timeout).await;
        builder.ending.cancel();
        tokio::time::sleep(LAST_WORDS).await;
    };
    tokio::select! {
        (result, ()) = async { tokio::join!(web, builder.tasks.wait()) } => result,
        () = timers => {
            warn!(tasks = builder.tasks.len(), "The builder stopped with work unfinished");
            Ok(())
        }
    }
}

async fn serve_http(
    builder: Arc<Builder>,
    listener: HostListener,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    axum::serve(listener, http::router(builder))
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
        .map_err(Error::Http)
}

fn announce(builder: &Builder) -> Presence<ServiceEndpoint> {
    let (id, role) = (builder.id, ServiceRole::Builder);
    let endpoint = ServiceEndpoint {
        id,
        role,
        addr: builder.config.address,
        started_at: Timestamp::now(),
    };
    Presence::start(
        builder.store.clone(),
        &key::ALIVE_SERVICES,
        key::alive_service(role, id),
        endpoint,
        store::presence::TTL,
    )
}

/// What the scheduler gives builds a place by.
fn offer_builds(builder: &Builder) -> Presence<BuilderReport> {
    let report = BuilderReport {
        id: builder.id,
        host: builder.config.host,
        addr: builder.config.address,
        max_builds: u32::try_from(builder.config.max_concurrent_builds.max(1)).unwrap_or(u32::MAX),
        started_at: Timestamp::now(),
    };
    Presence::start(
        builder.store.clone(),
        &key::ALIVE_BUILDERS,
        key::alive_builder(builder.id),
        report,
        store::presence::TTL,
    )
}

/// The builder's voice in apps' logs.
#[derive(Debug, Clone)]
pub(crate) struct AppLog(LogSink);

impl AppLog {
    /// `app[api]: Build started by user me@example.com`
    pub(crate) fn api(&self, app: AppId, text: String) {
        let line = LogLine {
            app,
            at: Timestamp::now(),
            source: LogSource::App,
            process: "api".to_owned(),
            text,
        };
        self.0.send(line);
    }
}
