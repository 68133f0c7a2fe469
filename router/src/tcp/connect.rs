//! From a route's target to a connection with one of its backends.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use model::{AppId, TcpHost, TcpTarget};
use rand::Rng as _;
use tokio::time::{Instant, timeout_at};

use crate::backend::{Backend, InFlight, Tunnel};
use crate::pick::{Pick, pick};
use crate::pool::{ConnectError, Link};
use crate::table::App;
use crate::worker::Worker;

/// Addresses, or dynos, that one connection tries.
const MAX_TRIES: usize = 10;
/// One try while there are others.
const ONE_TRY: Duration = Duration::from_secs(3);

/// A backend that has been reached.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) link: Link,
    pub(super) at: SocketAddr,
    /// Where it is a dyno: its app, its name, and its load.
    pub(super) dyno: Option<(Arc<App>, Tunnel, Arc<Backend>)>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Unreached {
    #[error("{name} cannot be resolved")]
    Name {
        name: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{name} has no address")]
    NoAddress { name: String },
    #[error("{at} was not reached")]
    Refused {
        at: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("{at} does not answer")]
    Silent { at: SocketAddr },
    #[error("no backend was reached in time")]
    Late,
    #[error("there is no such app any more")]
    NoApp,
    #[error("the app is in maintenance mode")]
    Maintenance,
    #[error("the app has no web dyno that takes connections")]
    NoDyno,
}

/// `within`: all of it.
pub(super) async fn reach(
    worker: &Rc<Worker>,
    target: &TcpTarget,
    within: Duration,
) -> Result<Reached, Unreached> {
    let deadline = Instant::now() + within;
    match target {
        TcpTarget::Host { host, port } => {
            let reaching = reach_host(worker, host, *port, deadline);
            let reached = timeout_at(deadline, reaching).await;
            reached.unwrap_or(Err(Unreached::Late))
        }
        TcpTarget::App(app) => reach_app(worker, *app, deadline).await,
    }
}

async fn reach_host(
    worker: &Rc<Worker>,
    host: &TcpHost,
    port: u16,
    deadline: Instant,
) -> Result<Reached, Unreached> {
    let addresses = match host {
        TcpHost::Address(address) => vec![*address],
        TcpHost::Name(name) => resolve(worker, name.as_str()).await?,
    };
    let mut failure = Unreached::Late;
    let mut left = addresses.len().min(MAX_TRIES);
    for address in in_turn(addresses).take(MAX_TRIES) {
        left -= 1;
        let at = SocketAddr::new(address, port);
        match try_one(worker, at, left > 0, deadline).await {
            Ok(link) => {
                return Ok(Reached {
                    link,
                    at,
                    dyno: None,
                });
            }
            Err(why) => failure = why,
        }
    }
    Err(failure)
}

async fn resolve(worker: &Rc<Worker>, name: &str) -> Result<Vec<IpAddr>, Unreached> {
    let found = worker.resolver.addresses(name).await;
    let addresses = found.map_err(|source| Unreached::Name {
        name: name.to_owned(),
        source: source.into(),
    })?;
    match addresses.is_empty() {
        true => Err(Unreached::NoAddress {
            name: name.to_owned(),
        }),
        false => Ok(addresses),
    }
}

/// From a random one on, so that each is the first for some.
fn in_turn(addresses: Vec<IpAddr>) -> impl Iterator<Item = IpAddr> {
    let count = addresses.len();
    let first = match count {
        0 | 1 => 0,
        _ => rand::rng().random_range(0..count),
    };
    (0..count).map(move |index| addresses[(first + index) % count])
}

async fn try_one(
    worker: &Rc<Worker>,
    at: SocketAddr,
    has_others: bool,
    deadline: Instant,
) -> Result<Link, Unreached> {
    let left = deadline.saturating_duration_since(Instant::now());
    let patience = if has_others { left.min(ONE_TRY) } else { left };
    let connected = worker.pool.connect(at, None, patience).await;
    connected.map_err(|error| match error {
        ConnectError::Silence => Unreached::Silent { at },
        ConnectError::Refused(source) | ConnectError::Ours(source) => {
            Unreached::Refused { at, source }
        }
    })
}

/// As for a request: the less loaded of two, the next where one cannot be reached; while there is none, one that comes up
/// is waited for.
async fn reach_app(
    worker: &Rc<Worker>,
    id: AppId,
    deadline: Instant,
) -> Result<Reached, Unreached> {
    let (mut tried, mut failure) = (Vec::new(), Unreached::NoDyno);
    loop {
        // Before looking: a table that comes in between is not missed.
        let mut table_changed = pin!(worker.table_changed());
        table_changed.as_mut().enable();
        match next_dyno(worker, id, &tried)? {
            Some((app, claim)) => {
                let backend = claim.backend().clone();
                let others = app.backends.len() > tried.len() + 1;
                match try_dyno(worker, &backend, others, deadline).await {
                    Ok(link) => {
                        return Ok(Reached {
                            link,
                            at: backend.addr,
                            dyno: Some((app, claim.into_tunnel(), backend)),
                        });
                    }
                    Err(why) => failure = why,
                }
                tried.push(backend.serial);
                if tried.len() >= MAX_TRIES {
                    return Err(failure);
                }
            }
            None if !tried.is_empty() => return Err(failure),
            None => {
                if timeout_at(deadline, table_changed).await.is_err() {
                    return Err(failure);
                }
            }
        }
    }
}

/// Picked and claimed in one step, as [`crate::route`] does it.
fn next_dyno(
    worker: &Rc<Worker>,
    id: AppId,
    tried: &[u64],
) -> Result<Option<(Arc<App>, InFlight)>, Unreached> {
    let table = worker.table();
    let app = table.app(id).ok_or(Unreached::NoApp)?;
    if app.maintenance {
        return Err(Unreached::Maintenance);
    }
    if app.backends.is_empty() {
        return Ok(None);
    }
    let now = std::time::Instant::now();
    Ok(match pick(&app.backends, tried, now, &mut rand::rng()) {
        Pick::Backend(backend) => Some((app.clone(), InFlight::begin(backend.clone()))),
        Pick::Tried | Pick::Quarantined => None,
    })
}

async fn try_dyno(
    worker: &Rc<Worker>,
    backend: &Arc<Backend>,
    has_others: bool,
    deadline: Instant,
) -> Result<Link, Unreached> {
    let patience = deadline.saturating_duration_since(Instant::now());
    backend.begins_to_connect(patience.min(ONE_TRY));
    let connected = try_one(worker, backend.addr, has_others, deadline).await;
    match &connected {
        Ok(_) => backend.has_connected(),
        Err(_) => backend.quarantine(worker.shared.config.timeouts.quarantine),
    }
    connected
}
