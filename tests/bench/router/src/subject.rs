//! Our router alone: one worker, a store in memory, its log lines written and thrown away.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::ensure;
use controller_api::LogSink;
use model::{AppId, Backend, ClientLimit, DynoId, NoBackend, Route, RouterId, Routing, Secret};
use router::{Config, Connections, Listeners, Proxies, PublicPorts, Timeouts, TlsConfig};
use store::embedded::Embedded;
use store::{Committed, Txn, key};
use tokio_util::sync::CancellationToken;

use crate::backend;
use crate::case::host;
use crate::peers::Peer;

/// Routes written in one commit.
const BATCH: usize = 50;

/// `is_limited`: with a limit per client that nobody reaches.
pub(crate) fn run(dir: &Path, hosts: usize, is_limited: bool) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(dir, hosts, is_limited))
}

async fn serve(dir: &Path, hosts: usize, is_limited: bool) -> anyhow::Result<()> {
    let store = Embedded::open_in_memory()?;
    let routes = (0..hosts).map(|index| route(index, is_limited));
    let routes = routes.collect::<anyhow::Result<Vec<_>>>()?;
    for batch in routes.chunks(BATCH) {
        let mut txn = Txn::new();
        for route in batch {
            txn = txn.put(&key::ROUTES, key::route(route.app), route);
        }
        let committed = txn.commit(&*store).await?;
        ensure!(
            matches!(committed, Committed::Done(_)),
            "no condition was set"
        );
    }
    let (queue, controllers) = tokio::sync::watch::channel(Vec::new());
    let (log, deliver) = LogSink::new(controllers, Secret::new("nobody".to_owned()), None);
    tokio::spawn(deliver.run(CancellationToken::new()));
    let one = NonZeroUsize::MIN;
    let config = Config {
        id: RouterId::new(),
        host: None,
        domain: "platform.test".parse()?,
        workers: one,
        data_dir: dir.join("router"),
        tls: Some(TlsConfig::Files {
            cert: dir.join("cert.pem"),
            key: dir.join("key.pem"),
        }),
        keyring: None,
        services: None,
        public_ports: PublicPorts {
            http: 80,
            https: 443,
        },
        http2_cleartext: false,
        proxies: Proxies::default(),
        connections: Connections::for_files(1 << 20),
        backlog_per_dyno: router::BACKLOG_PER_DYNO,
        timeouts: Timeouts::HEROKU,
        tracing: router::Tracing::default(),
        tcp: router::Tcp::default(),
    };
    let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let listeners = Listeners {
        http: router::bind(local(Peer::Paas.http()), one)?,
        https: router::bind(local(Peer::Paas.https()), one)?,
        internal: router::Internal::default(),
    };
    let router = router::start(config, listeners, store, log, CancellationToken::new())?;
    router.join().await?;
    drop(queue);
    Ok(())
}

fn route(index: usize, is_limited: bool) -> anyhow::Result<Route> {
    let limit = ClientLimit {
        requests: 1_000_000,
        per_seconds: 1,
        burst: None,
        block_seconds: 60,
    };
    Ok(Route {
        routing: Routing {
            rate_limit: is_limited.then_some(limit),
            ..Routing::default()
        },
        app: AppId::new(),
        app_name: format!("app-{index}").parse()?,
        hosts: vec![host(index).parse()?],
        backends: vec![Backend {
            dyno: DynoId::new(),
            name: "web.1".parse()?,
            addr: SocketAddr::from(([127, 0, 0, 1], backend::PORT)),
        }],
        maintenance: false,
        no_backend: NoBackend::Booting,
        error_page_url: None,
        maintenance_page_url: None,
    })
}
