//! Starting and stopping: the listener and the off-switch are the caller's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use controller_api::host_listener::{HostListener, Peer};
use model::{ServiceEndpoint, ServiceId, ServiceRole, Timestamp};
use store::blob::BlobStore;
use store::{Keyring, Presence, Store, key};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::addons::{self, Addons};
use crate::attach::Meetings;
use crate::audit::{self, Audit};
use crate::auth::Passwords;
use crate::builders::Builders;
use crate::config::Config;
use crate::context::Context;
use crate::drains::Drains;
use crate::handlers::sources::UPLOAD_WITHIN;
use crate::limits::{Guesses, Requests};
use crate::logs::{Batches, LogStore, Peers};
use crate::notice::{self, Notice};
use crate::oidc::Provider;
use crate::routers::Routers;
use crate::{acme, routes, setups, sweep, ticket_keys, webhooks};

/// How long calls in progress may take to end.
const DRAIN: Duration = Duration::from_secs(10);
/// How long drains may take over the last lines.
const LAST_LINES: Duration = Duration::from_secs(5);
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// Sources on their way to the disk.
const UPLOADS_AT_ONCE: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("the controller's listener could not be used")]
    Listener(#[source] std::io::Error),
    #[error("the identity provider could not be set up")]
    Provider(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the providers of add-ons cannot be called")]
    Addons(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Serves the API until `shutdown`, then ends streams, finishes calls and leaves.
pub async fn run(
    config: Config,
    listener: impl Into<HostListener>,
    store: Arc<dyn Store>,
    keyring: Keyring,
    blobs: BlobStore,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let listener = listener.into();
    let addr = reachable(&config, listener.local_addr().map_err(RunError::Listener)?);
    let id = ServiceId::new();
    let endpoint = ServiceEndpoint {
        id,
        role: ServiceRole::Controller,
        addr,
        started_at: Timestamp::now(),
    };
    let place = key::alive_service(ServiceRole::Controller, id);
    let presence = Presence::start(
        store.clone(),
        &key::ALIVE_SERVICES,
        place,
        endpoint,
        store::presence::TTL,
    );

    let (peers, follow_peers) = Peers::new(
        addr,
        keyring.internal_token().clone(),
        config.peer_tls.as_ref(),
    );
    let logs = LogStore::new(config.data_dir.join("logs"), config.logs);
    let (drains, follow_drains) = Drains::start(
        addr,
        config.drains.clone(),
        logs.clone(),
        peers.clone(),
        keyring.clone(),
    );
    let (audit, to_be_audited) = Audit::new();
    let redirect_url = config.api_url("/auth/callback");
    let provider = config.oidc.clone();
    let provider = provider
        .map(|oidc| Provider::new(oidc, redirect_url))
        .transpose()
        .map_err(|error| RunError::Provider(Box::new(error)))?;
    let addons = Addons::new().map_err(|error| RunError::Addons(Box::new(error)))?;
    let context = Arc::new(Context {
        addons,
        audit,
        addr,
        peers,
        routers: Routers::new(keyring.internal_token().clone(), config.router_tls.as_ref()),
        logs,
        drains,
        batches: Batches::default(),
        requests: Requests::new(config.requests_per_hour),
        notice: Notice::default(),
        guesses: Guesses::default(),
        meetings: Meetings::default(),
        provider,
        terminals: Arc::default(),
        passwords: Passwords::new(),
        uploads: Semaphore::new(UPLOADS_AT_ONCE),
        builders: Builders::new(
            keyring.internal_token().clone(),
            config.builder_tls.as_ref(),
        ),
        shutdown: shutdown.clone(),
        config,
        store,
        keyring,
        blobs,
    });
    if let Err(error) = forget_uploads(&context) {
        warn!(
            error = &error as &dyn std::error::Error,
            "Could not remove what was uploaded and left"
        );
    }
    let mut tasks = JoinSet::new();
    tasks.spawn(sweep::run(context.clone()));
    tasks.spawn(acme::run(context.clone()));
    tasks.spawn(webhooks::run(context.clone()));
    tasks.spawn(setups::run(context.clone()));
    tasks.spawn(addons::run(context.clone()));
    tasks.spawn(notice::run(context.clone()));
    tasks.spawn(ticket_keys::run(context.clone()));
    tasks.spawn(follow_peers.run(context.store.clone()));
    tasks.spawn(tidy_logs(context.logs.clone(), shutdown.clone()));
    let (mut draining, leaving) = (JoinSet::new(), CancellationToken::new());
    draining.spawn(follow_drains.run(context.store.clone(), leaving.clone()));
    draining.spawn(audit::run(
        context.store.clone(),
        to_be_audited,
        leaving.clone(),
    ));
    info!(%addr, "Controller is up");

    let service = routes::router(&context).into_make_service_with_connect_info::<Peer>();
    let serve =
        axum::serve(listener, service).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    let served = tokio::select! {
        served = serve => served.map_err(RunError::Listener),
        () = overdue => {
            warn!("Some API calls did not end in time and were cut");
            Ok(())
        }
    };
    presence.stop().await;
    // After the last line has come in.
    leaving.cancel();
    let last = async { while draining.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(LAST_LINES, last).await;
    draining.shutdown().await;
    tasks.shutdown().await;
    served
}

/// What an earlier life of this controller was receiving; one that still drains may be.
fn forget_uploads(context: &Context) -> std::io::Result<()> {
    let uploads = context.config.data_dir.join("uploads");
    fs_err::create_dir_all(&uploads)?;
    for entry in fs_err::read_dir(uploads)? {
        let entry = entry?;
        let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
        if age > 2 * UPLOAD_WITHIN {
            fs_err::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Where other roles reach this one.
fn reachable(config: &Config, local: SocketAddr) -> SocketAddr {
    match config.advertise {
        Some(ip) if local.ip().is_unspecified() => SocketAddr::new(ip, local.port()),
        _ => local,
    }
}

async fn tidy_logs(logs: LogStore, shutdown: CancellationToken) {
    let mut every = tokio::time::interval(TIDY_EVERY);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = every.tick() => {}
        }
        if let Err(error) = logs.tidy().await {
            warn!(
                error = &error as &dyn std::error::Error,
                "Could not tidy the logs; will retry"
            );
        }
    }
}
