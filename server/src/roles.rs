//! Building the configured roles, starting them, and bringing them down in order.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use controller_api::LogSink;
use runtime::docker::{Deadlines, Docker};
use runtime::{NetworkSpec, Runtime};
use scheduler::agent;
use store::blob::{BlobConfig, BlobStore, S3Credentials};
use store::embedded::Embedded;
use store::etcd::{Etcd, EtcdConfig};
use store::{Keyring, Store};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::{Blobs, Config, Role, StoreChoice};
use crate::{discovery, identity, init};

/// After the signal to stop; every role drains within less.
const STOP_WITHIN: Duration = Duration::from_secs(45);

/// An open store, and how to close it.
pub(crate) struct OpenStore {
    pub(crate) store: Arc<dyn Store>,
    embedded: Option<Arc<Embedded>>,
}

impl OpenStore {
    pub(crate) async fn close(self) {
        if let Some(embedded) = self.embedded {
            embedded.close().await;
        }
    }
}

pub(crate) async fn open_store(config: &Config) -> anyhow::Result<OpenStore> {
    match &config.store {
        StoreChoice::Embedded => {
            let embedded =
                Embedded::open(&config.data_dir).context("could not open the embedded store")?;
            Ok(OpenStore {
                store: embedded.clone(),
                embedded: Some(embedded),
            })
        }
        StoreChoice::Etcd { endpoints } => {
            let etcd = EtcdConfig {
                endpoints: endpoints.clone(),
                user: None,
                tls: None,
            };
            let store = Etcd::connect(&etcd)
                .await
                .context("could not connect to etcd")?;
            Ok(OpenStore {
                store,
                embedded: None,
            })
        }
    }
}

/// Runs the configured roles until a signal, or until one of them fails.
pub(crate) fn run(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("paasd")
        .build()?;
    let ended = runtime.block_on(serve(config));
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

/// What every role is given.
struct Common {
    config: Config,
    node: model::NodeId,
    store: Arc<dyn Store>,
    keyring: Keyring,
    blobs: BlobStore,
    logs: LogSink,
    shutdown: CancellationToken,
}

type Roles = JoinSet<(Role, anyhow::Result<()>)>;

async fn serve(config: Config) -> anyhow::Result<()> {
    fs_err::create_dir_all(&config.data_dir)?;
    let opened = open_store(&config).await?;
    let keyring = Keyring::load_or_create(&config.data_dir.join("master.key"))?;
    let (found, controllers) = watch::channel(Vec::new());
    let (logs, deliver) = LogSink::new(controllers, keyring.internal_token().clone());
    let stop_logs = CancellationToken::new();
    let delivery = tokio::spawn(deliver.run(stop_logs.clone()));
    let discovery = tokio::spawn(discovery::follow_controllers(opened.store.clone(), found));
    let common = Common {
        node: identity::node_id(&config.data_dir)?,
        store: opened.store.clone(),
        blobs: BlobStore::open(&blob_config(&config))?,
        keyring,
        logs,
        shutdown: CancellationToken::new(),
        config,
    };

    let mut roles = Roles::new();
    start(&common, &mut roles).await?;
    info!(version = env!("CARGO_PKG_VERSION"), roles = ?common.config.roles, "paasd is up");
    let ended = supervise(&mut roles, &common.shutdown).await;

    stop_logs.cancel();
    let _ = tokio::time::timeout(Duration::from_secs(6), delivery).await;
    discovery.abort();
    opened.close().await;
    info!("paasd has stopped");
    ended
}

/// Waits for a signal or a failing role, then gives all of them time to drain. A second signal cuts that short.
async fn supervise(roles: &mut Roles, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut ended = Ok(());
    tokio::select! {
        _ = terminate.recv() => info!("Stopping: SIGTERM"),
        _ = interrupt.recv() => info!("Stopping: SIGINT"),
        Some(role) = roles.join_next() => ended = failure(role),
    }
    shutdown.cancel();
    let drain = async {
        while let Some(role) = roles.join_next().await {
            if let Err(error) = failure_of(role) {
                error!("{error:#}");
            }
        }
    };
    tokio::select! {
        () = drain => {}
        () = tokio::time::sleep(STOP_WITHIN) => warn!("Not all roles have drained in time; leaving"),
        _ = terminate.recv() => warn!("Leaving at once: second signal"),
        _ = interrupt.recv() => warn!("Leaving at once: second signal"),
    }
    ended
}

type Ended = Result<(Role, anyhow::Result<()>), tokio::task::JoinError>;

/// A role that ends by itself has failed, whatever it says.
fn failure(role: Ended) -> anyhow::Result<()> {
    failure_of(role)?;
    anyhow::bail!("a role ended without being told to")
}

fn failure_of(role: Ended) -> anyhow::Result<()> {
    let (role, result) = role.context("a role panicked")?;
    result.with_context(|| format!("the {role:?} role failed").to_lowercase())
}

async fn start(common: &Common, roles: &mut Roles) -> anyhow::Result<()> {
    let config = &common.config;
    // The router first: it has the last table on disk and serves while the rest comes up.
    if config.has(Role::Router) {
        start_router(common, roles)?;
    }
    if config.has(Role::Controller) {
        let listener = bind(config.controller.listen).await?;
        let run = controller::run(
            controller_config(config),
            listener,
            common.store.clone(),
            common.keyring.clone(),
            common.blobs.clone(),
            common.shutdown.clone(),
        );
        roles.spawn(async { (Role::Controller, run.await.map_err(Into::into)) });
    }
    if config.has(Role::Scheduler) {
        let scheduler = scheduler::Config {
            candidate: common.node.to_string(),
            rules: scheduler::Rules::for_domain(config.domain.as_str()),
        };
        let run = scheduler::run(
            scheduler,
            common.store.clone(),
            common.logs.clone(),
            common.shutdown.clone(),
        );
        roles.spawn(async {
            run.await;
            (Role::Scheduler, Ok(()))
        });
    }
    if config.has(Role::Builder) || config.has(Role::Node) {
        let docker = Docker::connect(&config.node.docker_socket, Deadlines::default())
            .await
            .with_context(|| {
                format!(
                    "is Docker running? Its socket should be {}",
                    config.node.docker_socket.display()
                )
            })?;
        let engine: Arc<dyn Runtime> = Arc::new(docker);
        if config.has(Role::Builder) {
            start_builder(common, engine.clone(), roles).await?;
        }
        if config.has(Role::Node) {
            start_node(common, engine, roles)?;
        }
    }
    Ok(())
}

fn start_router(common: &Common, roles: &mut Roles) -> anyhow::Result<()> {
    let config = &common.config;
    let certificate = init::certificate(config)?;
    let (cert, key) = match (
        &certificate,
        &config.router.tls_cert,
        &config.router.tls_key,
    ) {
        (_, Some(cert), Some(key)) => (cert.clone(), key.clone()),
        (Some(made), ..) => (made.cert.clone(), made.key.clone()),
        _ => anyhow::bail!("there is no certificate for the router"),
    };
    let workers = config
        .router
        .workers
        .and_then(NonZeroUsize::new)
        .unwrap_or_else(router::default_workers);
    let router = router::Config {
        id: identity::router_id(common.node),
        domain: config.domain.clone(),
        workers,
        data_dir: config.data_dir.clone(),
        tls: Some(router::TlsConfig::Files { cert, key }),
        public_ports: router::PublicPorts {
            http: config.http_port(),
            https: config.https_port(),
        },
        http2_cleartext: config.router.http2_cleartext,
        timeouts: router::Timeouts::HEROKU,
    };
    let listeners = router::Listeners {
        http: bind_all(&config.router.http, workers)?,
        https: bind_all(&config.router.https, workers)?,
    };
    let handle = router::start(
        router,
        listeners,
        common.store.clone(),
        common.logs.clone(),
        common.shutdown.clone(),
    )?;
    roles.spawn(async { (Role::Router, handle.join().await.map_err(Into::into)) });
    Ok(())
}

async fn start_builder(
    common: &Common,
    engine: Arc<dyn Runtime>,
    roles: &mut Roles,
) -> anyhow::Result<()> {
    let config = &common.config;
    let http = bind(config.builder.listen).await?;
    let ssh = bind(config.builder.ssh_listen).await?;
    let builder = builder::Config {
        domain: config.domain.to_string(),
        app_urls: builder::AppUrls {
            scheme: builder::Scheme::Https,
            port: config.https_port(),
        },
        data_dir: config.data_dir.clone(),
        address: http.local_addr()?,
        hook_binary: std::env::current_exe().context("could not find this program's own file")?,
        container: builder::ContainerConfig {
            image: config.stack.build_image.clone(),
            stack: config.stack.name.clone(),
            network: network(config),
            instance: config.instance.clone(),
            ca_bundle: ca_bundle(config),
        },
        limits: builder::Limits {
            memory_bytes: config.builder.build_memory_mb << 20,
            cpus: config.builder.build_cpus,
            pids: config.builder.build_pids,
            build_time: Duration::from_secs(config.builder.build_timeout_secs),
            output_bytes: config.builder.build_output_mb << 20,
            ..builder::Limits::heroku()
        },
        max_concurrent_builds: config.builder.max_concurrent_builds,
        drain_timeout: Duration::from_secs(30),
    };
    let run = builder::run(
        builder,
        http,
        ssh,
        common.store.clone(),
        common.keyring.clone(),
        common.blobs.clone(),
        engine,
        common.logs.clone(),
        common.shutdown.clone(),
    );
    roles.spawn(async { (Role::Builder, run.await.map_err(Into::into)) });
    Ok(())
}

fn start_node(common: &Common, engine: Arc<dyn Runtime>, roles: &mut Roles) -> anyhow::Result<()> {
    let config = &common.config;
    let machine =
        nix::sys::sysinfo::sysinfo().context("could not ask the machine for its memory")?;
    let all_mb = machine.ram_total() >> 20;
    let name = if config.node.name.is_empty() {
        identity::host_name()
    } else {
        config.node.name.clone()
    };
    let node = agent::Config {
        node_id: common.node,
        name,
        address: config.node.address,
        zone: config.node.zone.clone(),
        tags: config.node.tags.clone(),
        memory_bytes: config.node.memory_mb.unwrap_or(all_mb.saturating_sub(1024)) << 20,
        cpus: u32::try_from(std::thread::available_parallelism().map_or(1, NonZeroUsize::get))?,
        data_dir: config.data_dir.clone(),
        instance: config.instance.clone(),
        stack: config.stack.name.clone(),
        run_image: config.stack.run_image.clone(),
        network: network(config),
        firewall: agent::Firewall::Enforced {
            deny: config.node.deny_networks.clone(),
            allow_host_ports: Vec::new(),
        },
        port: 5000,
        boot_timeout: Duration::from_secs(config.node.boot_timeout_secs),
        stop_grace: Duration::from_secs(30),
        attach_within: Duration::from_secs(60),
        ca_bundle: ca_bundle(config),
        slug_cache_bytes: config.node.slug_cache_mb << 20,
        max_slug_bytes: 4 << 30,
        slug_owner: Some((2000, 2000)),
    };
    let run = agent::run(
        node,
        common.store.clone(),
        common.keyring.clone(),
        common.blobs.clone(),
        engine,
        common.logs.clone(),
        common.shutdown.clone(),
    );
    roles.spawn(async { (Role::Node, run.await.map_err(Into::into)) });
    Ok(())
}

fn controller_config(config: &Config) -> controller::Config {
    let web = controller::PublicEndpoint {
        scheme: controller::Scheme::Https,
        port: config.https_port(),
    };
    controller::Config {
        domain: config.domain.to_string(),
        web,
        api: web,
        git: web,
        data_dir: config.data_dir.clone(),
        stack: config.stack.name.clone(),
        other_stacks: Vec::new(),
        advertise: Some(config.node.address),
        requests_per_hour: 4500,
        slugs_per_app: config.controller.slugs_per_app,
        logs: controller::LogLimits {
            segment_bytes: 5 << 20,
            total_bytes: 1 << 30,
        },
    }
}

fn network(config: &Config) -> NetworkSpec {
    NetworkSpec {
        name: config.node.network.clone(),
        bridge: config.node.bridge.clone(),
        subnet: None,
        labels: [("paas.instance".to_owned(), config.instance.clone())].into(),
    }
}

/// `None` where the host has none.
fn ca_bundle(config: &Config) -> Option<std::path::PathBuf> {
    config
        .stack
        .ca_bundle
        .exists()
        .then(|| config.stack.ca_bundle.clone())
}

fn blob_config(config: &Config) -> BlobConfig {
    match config.blobs.clone() {
        Blobs::Local => BlobConfig::Local {
            dir: config.data_dir.join("blobs"),
        },
        Blobs::S3 {
            bucket,
            region,
            endpoint,
            prefix,
            access_key_id,
            secret_access_key,
            allow_http,
        } => BlobConfig::S3 {
            bucket,
            region,
            endpoint,
            prefix: (!prefix.is_empty()).then_some(prefix),
            credentials: Some(S3Credentials {
                access_key_id,
                secret_access_key,
            }),
            allow_http,
        },
    }
}

async fn bind(addr: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr).await.with_context(|| {
        format!("could not listen on {addr}: is another program there? Choose another port in the configuration")
    })
}

/// One socket for each worker and address, so that connections never cross cores.
fn bind_all(
    addrs: &[SocketAddr],
    workers: NonZeroUsize,
) -> anyhow::Result<Vec<std::net::TcpListener>> {
    let mut listeners = Vec::new();
    for addr in addrs {
        let bound = router::bind(*addr, workers).with_context(|| {
            format!("could not listen on {addr}: is another program there? Choose another port in the configuration")
        })?;
        listeners.extend(bound);
    }
    Ok(listeners)
}
