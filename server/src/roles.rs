//! The configured roles: what each is given, and how it is started.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use controller_api::LogSink;
use controller_api::host_listener::HostListener;
use controller_api::host_tls::HostTls;
use ipnet::IpNet;
use jiff::Timestamp;
use model::{HostRole, Node, ServiceRole};
use router::RouterHandle;
use runtime::docker::{Deadlines, Docker};
use runtime::{NetworkSpec, Runtime};
use scheduler::agent;
use store::blob::BlobStore;
use store::{Keyring, Store};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::sockets::{Sockets, TcpPorts};
use crate::{files, identity, init, joiners, machine};

/// What every role is given.
pub(crate) struct Common {
    pub(crate) config: Config,
    pub(crate) node: model::NodeId,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keyring: Keyring,
    pub(crate) tls: Arc<HostTls>,
    pub(crate) blobs: BlobStore,
    pub(crate) logs: LogSink,
    pub(crate) sockets: Arc<Sockets>,
    /// How many processes have handed this host's router on, one to the next, before this one.
    pub(crate) turn: u32,
    /// Cancelled when no dyno can have requests under way that nobody reports.
    pub(crate) may_schedule: CancellationToken,
    pub(crate) stop: Stop,
}

/// The roles stop in this order; see `serve`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    /// Controller, builder, scheduler.
    pub(crate) services: CancellationToken,
    pub(crate) node: CancellationToken,
    pub(crate) router: CancellationToken,
}

/// Roles that are alike: they end by their token, and have failed if they end before.
pub(crate) type Tasks = JoinSet<(HostRole, anyhow::Result<()>)>;

/// What runs.
#[derive(Default)]
pub(crate) struct Roles {
    pub(crate) services: Tasks,
    pub(crate) node: Tasks,
    pub(crate) router: Option<RouterHandle>,
}

/// Tries what a start may fail at and what can be tried beside a process that runs, so that that one is not stopped for a
/// configuration that will not do.
pub(crate) async fn rehearse(
    config: &Config,
    keyring: &Keyring,
    sockets: &Sockets,
) -> anyhow::Result<()> {
    identity::check(config, keyring)?;
    if config.has(HostRole::Router) {
        certificate(config)?
            .check()
            .context("the router's certificate cannot be used")?;
        let workers = workers(config);
        sockets.listen("http", &config.router.http, workers)?;
        sockets.listen("https", &config.router.https, workers)?;
        sockets.listen_one("router", config.router_listen())?;
        if let Some(metrics) = config.router.metrics {
            sockets.listen_one("metrics", metrics)?;
        }
    }
    if config.has(HostRole::Controller) {
        sockets.listen_one("controller", config.controller_listen())?;
    }
    if config.has(HostRole::Builder) {
        sockets.listen_one("builder", config.builder_listen())?;
        sockets.listen_one("ssh", config.builder.ssh_listen)?;
    }
    if config.has(HostRole::Node) {
        machine::memory_mb(config.node.memory_mb)?;
    }
    if config.has(HostRole::Builder) || config.has(HostRole::Node) {
        docker(config).await?;
    }
    sockets.forget_others();
    Ok(())
}

async fn docker(config: &Config) -> anyhow::Result<Docker> {
    let socket = &config.node.docker_socket;
    Docker::connect(socket, Deadlines::default())
        .await
        .with_context(|| {
            format!(
                "is Docker running? Its socket should be {}",
                socket.display()
            )
        })
}

pub(crate) async fn start(common: &Common, roles: &mut Roles) -> anyhow::Result<()> {
    let config = &common.config;
    // The router first: it has the last table on disk and serves while the rest comes up.
    if config.has(HostRole::Router) {
        roles.router = Some(start_router(common)?);
    }
    if config.has(HostRole::Controller) {
        start_controller(common, &mut roles.services)?;
    }
    if config.has(HostRole::Scheduler) {
        start_scheduler(common, &mut roles.services);
    }
    if config.has(HostRole::Builder) || config.has(HostRole::Node) {
        let engine: Arc<dyn Runtime> = Arc::new(docker(config).await?);
        if config.has(HostRole::Builder) {
            start_builder(common, engine.clone(), &mut roles.services)?;
        }
        if config.has(HostRole::Node) {
            start_node(common, engine, &mut roles.node)?;
        }
    }
    if !config.has(HostRole::Node) {
        let host = record_without_dynos(common);
        tokio::spawn(scheduler::host::keep(
            host,
            common.store.clone(),
            common.stop.node.clone(),
        ));
    }
    Ok(())
}

fn start_controller(common: &Common, tasks: &mut Tasks) -> anyhow::Result<()> {
    let config = &common.config;
    let listener = common
        .sockets
        .listen_one("controller", config.controller_listen())?;
    let listener = HostListener::tls(TcpListener::from_std(listener)?, common.tls.server()?);
    let run = controller::run(
        controller_config(config, &common.tls)?,
        listener,
        common.store.clone(),
        common.keyring.clone(),
        common.blobs.clone(),
        common.stop.services.clone(),
    );
    tasks.spawn(async { (HostRole::Controller, run.await.map_err(Into::into)) });
    Ok(())
}

fn start_scheduler(common: &Common, tasks: &mut Tasks) {
    let scheduler = scheduler::Config {
        candidate: common.node.to_string(),
        rules: scheduler::Rules::for_domain(common.config.domain.as_str()),
    };
    let (may_schedule, stop) = (common.may_schedule.clone(), common.stop.services.clone());
    let run = scheduler::run(
        scheduler,
        common.store.clone(),
        common.logs.clone(),
        stop.clone(),
    );
    tasks.spawn(async move {
        tokio::select! {
            () = may_schedule.cancelled() => run.await,
            () = stop.cancelled() => {}
        }
        (HostRole::Scheduler, Ok(()))
    });
}

/// A host that runs no dynos has no room for any.
fn record_without_dynos(common: &Common) -> Node {
    let config = &common.config;
    Node {
        id: common.node,
        name: host_name(config),
        address: config.node.address,
        roles: config.roles.clone(),
        zone: config.node.zone.clone(),
        tags: config.node.tags.clone(),
        memory_bytes: 0,
        cpus: machine::cpus(),
        cordoned: false,
        draining: false,
        joined_at: Timestamp::now(),
    }
}

fn host_name(config: &Config) -> String {
    if config.node.name.is_empty() {
        machine::host_name()
    } else {
        config.node.name.clone()
    }
}

fn workers(config: &Config) -> NonZeroUsize {
    config
        .router
        .workers
        .and_then(NonZeroUsize::new)
        .unwrap_or_else(router::default_workers)
}

fn certificate(config: &Config) -> anyhow::Result<router::TlsConfig> {
    let (cert, key) = certificate_files(config)?;
    Ok(router::TlsConfig::Files { cert, key })
}

/// As many as the files that may be open allow.
fn connections(config: &Config) -> router::Connections {
    let mut connections = router::Connections::for_files(files::raise_limit());
    if let Some(per_address) = config.router.connections_per_address {
        connections.per_address = per_address.get();
    }
    connections
}

/// Named in the configuration, or made.
pub(crate) fn certificate_files(config: &Config) -> anyhow::Result<(PathBuf, PathBuf)> {
    let made = init::certificate(config)?;
    Ok(
        match (made, &config.router.tls_cert, &config.router.tls_key) {
            (_, Some(cert), Some(key)) => (cert.clone(), key.clone()),
            (Some(made), ..) => (made.cert, made.key),
            _ => anyhow::bail!("there is no certificate for the router"),
        },
    )
}

fn start_router(common: &Common) -> anyhow::Result<RouterHandle> {
    let config = &common.config;
    let workers = workers(config);
    let router = router::Config {
        id: identity::router_id(common.node, common.turn),
        host: Some(common.node),
        domain: config.domain.clone(),
        workers,
        data_dir: config.data_dir.clone(),
        tls: Some(certificate(config)?),
        keyring: Some(common.keyring.clone()),
        services: Some(router::ServicesTls {
            controller: Arc::new(common.tls.client(ServiceRole::Controller)?),
            builder: Arc::new(common.tls.client(ServiceRole::Builder)?),
        }),
        public_ports: router::PublicPorts {
            http: config.http_port(),
            https: config.https_port(),
        },
        http2_cleartext: config.router.http2_cleartext,
        proxies: router::Proxies {
            trusted: config.router.trusted_proxies.clone(),
            speak_proxy_protocol: config.router.proxy_protocol,
        },
        connections: connections(config),
        backlog_per_dyno: router::BACKLOG_PER_DYNO,
        timeouts: router::Timeouts::HEROKU,
        tracing: router::Tracing {
            sample: config.router.trace_sample,
            endpoint: config.router.trace_endpoint.clone(),
        },
        tcp: router::Tcp {
            sockets: Some(Arc::new(TcpPorts::new(
                common.sockets.clone(),
                config.router.tcp_address,
                workers,
                config.reserved_ports(),
            ))),
            name_servers: config.router.name_servers.clone(),
            ..router::Tcp::default()
        },
    };
    let listeners = router::Listeners {
        http: common
            .sockets
            .listen("http", &config.router.http, workers)?,
        https: common
            .sockets
            .listen("https", &config.router.https, workers)?,
        internal: internal_doors(common)?,
    };
    Ok(router::start(
        router,
        listeners,
        common.store.clone(),
        common.logs.clone(),
        common.stop.router.clone(),
    )?)
}

/// How controllers and the operators' machines reach the router.
fn internal_doors(common: &Common) -> anyhow::Result<router::Internal> {
    let (config, sockets) = (&common.config, &common.sockets);
    let listener = sockets.listen_one("router", config.router_listen())?;
    let listener = HostListener::tls(TcpListener::from_std(listener)?, common.tls.server()?);
    let metrics = config.router.metrics;
    Ok(router::Internal {
        listener: Some(listener),
        token: Some(common.keyring.internal_token().clone()),
        metrics: metrics
            .map(|addr| sockets.listen_one("metrics", addr))
            .transpose()?,
    })
}

/// Addresses, or networks of them, as the packet filter takes them too.
fn denied_networks(config: &Config) -> anyhow::Result<Vec<IpNet>> {
    let networks = config.node.deny_networks.iter();
    let parsed = networks.map(|text| {
        let network = text
            .parse()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.with_context(|| format!("node.deny_networks: {text:?} is no network"))
    });
    parsed.collect()
}

fn start_builder(
    common: &Common,
    engine: Arc<dyn Runtime>,
    tasks: &mut Tasks,
) -> anyhow::Result<()> {
    let config = &common.config;
    let http = common
        .sockets
        .listen_one("builder", config.builder_listen())?;
    let ssh = common
        .sockets
        .listen_one("ssh", config.builder.ssh_listen)?;
    let address = http.local_addr()?;
    let http = HostListener::tls(TcpListener::from_std(http)?, common.tls.server()?);
    let ssh = TcpListener::from_std(ssh)?;
    let builder = builder::Config {
        domain: config.domain.to_string(),
        app_urls: builder::AppUrls {
            scheme: builder::Scheme::Https,
            port: config.https_port(),
        },
        data_dir: config.data_dir.clone(),
        host: common.node,
        address,
        peer_tls: Some(common.tls.client(ServiceRole::Builder)?),
        hook_binary: std::env::current_exe().context("could not find this program's own file")?,
        container: builder::ContainerConfig {
            image: config.stack.build_image.clone(),
            stack: config.stack.name.clone(),
            network: network(config),
            instance: config.instance.clone(),
            ca_bundle: ca_bundle(config),
        },
        denied_networks: denied_networks(config)?,
        limits: builder::Limits {
            memory_bytes: config.builder.build_memory_mb << 20,
            cpus: config.builder.build_cpus,
            pids: config.builder.build_pids,
            build_time: Duration::from_secs(config.builder.build_timeout_secs),
            output_bytes: config.builder.build_output_mb << 20,
            ..builder::Limits::heroku()
        },
        second_factor: config.accounts.require_second_factor,
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
        common.stop.services.clone(),
    );
    tasks.spawn(async { (HostRole::Builder, run.await.map_err(Into::into)) });
    Ok(())
}

fn start_node(common: &Common, engine: Arc<dyn Runtime>, tasks: &mut Tasks) -> anyhow::Result<()> {
    let config = &common.config;
    let node = agent::Config {
        node_id: common.node,
        name: host_name(config),
        address: config.node.address,
        roles: config.roles.clone(),
        zone: config.node.zone.clone(),
        tags: config.node.tags.clone(),
        memory_bytes: machine::memory_mb(config.node.memory_mb)? << 20,
        cpus: machine::cpus(),
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
        controller_tls: Some(Arc::new(common.tls.client(ServiceRole::Controller)?)),
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
        common.stop.node.clone(),
    );
    tasks.spawn(async { (HostRole::Node, run.await.map_err(Into::into)) });
    Ok(())
}

/// As long as Heroku waits for a receiver, more or less.
const WEBHOOK_ATTEMPT_WITHIN: Duration = Duration::from_secs(10);

fn controller_config(config: &Config, tls: &HostTls) -> anyhow::Result<controller::Config> {
    let web = controller::PublicEndpoint {
        scheme: controller::Scheme::Https,
        port: config.https_port(),
    };
    Ok(controller::Config {
        domain: config.domain.to_string(),
        web,
        api: web,
        git: web,
        data_dir: config.data_dir.clone(),
        stack: config.stack.name.clone(),
        other_stacks: Vec::new(),
        advertise: Some(config.node.address),
        requests_per_hour: config.controller.requests_per_hour.get(),
        slugs_per_app: config.controller.slugs_per_app,
        logs: controller::LogLimits {
            segment_bytes: 5 << 20,
            total_bytes: 1 << 30,
        },
        drains: drains(config)?,
        certificate_lifetime: config.certificate_lifetime(),
        acme: acme(config)?,
        webhooks: controller::WebhookConfig {
            allow_http: config.webhooks.allow_http,
            allow_networks: config.webhooks.allow_networks.clone(),
            attempt_within: WEBHOOK_ATTEMPT_WITHIN,
            first_pause: model::webhook::FIRST_PAUSE,
        },
        second_factor: config.accounts.require_second_factor,
        oidc: oidc(config)?,
        peer_tls: Some(tls.client(ServiceRole::Controller)?),
        reserved_ports: config.reserved_ports(),
        router_tls: Some(tls.client_of(HostRole::Router)?),
        builder_tls: Some(tls.client(ServiceRole::Builder)?),
        joiners: joiners::for_joiners(config)?,
    })
}

fn oidc(config: &Config) -> anyhow::Result<Option<controller::OidcConfig>> {
    let oidc = &config.oidc;
    let Some(issuer) = oidc.issuer.clone() else {
        return Ok(None);
    };
    let ca = oidc.ca.as_ref().map(fs_err::read_to_string);
    Ok(Some(controller::OidcConfig {
        issuer,
        client_id: oidc.client_id.clone(),
        client_secret: oidc.client_secret.clone(),
        scopes: oidc.scopes.clone(),
        groups_claim: oidc.groups_claim.clone(),
        allowed_domains: oidc.allowed_domains.clone(),
        allowed_groups: oidc.allowed_groups.clone(),
        admin_group: oidc.admin_group.clone(),
        create_accounts: oidc.create_accounts,
        ca: ca.transpose()?,
    }))
}

fn drains(config: &Config) -> anyhow::Result<controller::DrainsConfig> {
    let ca = config.drains.ca.as_ref().map(fs_err::read_to_string);
    Ok(controller::DrainsConfig {
        allow_networks: config.drains.allow_networks.clone(),
        ca: ca.transpose()?,
    })
}

fn acme(config: &Config) -> anyhow::Result<Option<controller::AcmeConfig>> {
    let Some(directory) = config.acme.directory.clone() else {
        return Ok(None);
    };
    let ca = config.acme.ca.as_ref().map(fs_err::read_to_string);
    Ok(Some(controller::AcmeConfig {
        directory,
        email: config.acme.email.clone(),
        ca: ca.transpose()?,
        orders_per_hour: config.acme.orders_per_hour,
    }))
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
