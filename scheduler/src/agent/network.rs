//! The network that dynos are on, and the rules around it: made, and kept as they should be.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use runtime::Runtime;
use tokio::sync::watch;
use tracing::{error, info};

use super::config::{Config, Firewall};
use super::firewall;

/// Other tools flush the packet filter now and then.
const CHECK_EVERY: Duration = Duration::from_secs(30);
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// No dyno is started before the rules stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Readiness {
    NotYet,
    Ready,
    /// In words for an operator.
    Failed(String),
}

/// Keeps network and rules for ever. `peers` are the other nodes' addresses.
pub(crate) async fn keep(
    config: &Config,
    runtime: Arc<dyn Runtime>,
    mut peers: watch::Receiver<BTreeSet<IpAddr>>,
    readiness: watch::Sender<Readiness>,
) {
    loop {
        let hosts = peers.borrow_and_update().clone();
        let ready = match ensure(config, &*runtime, hosts).await {
            Ok(()) => Readiness::Ready,
            Err(reason) => Readiness::Failed(reason),
        };
        let pause = if ready == Readiness::Ready {
            CHECK_EVERY
        } else {
            RETRY_AFTER
        };
        // Once the rules stood, a failed check takes nothing away: they are replaced whole or not at all.
        readiness.send_if_modified(|now| {
            let changes = *now != ready && *now != Readiness::Ready;
            match &ready {
                Readiness::Failed(reason) => error!(
                    reason,
                    "The dynos' network is not as it should be; will retry"
                ),
                _ if changes => {
                    info!(network.name = %config.network.name, "The dynos' network is ready")
                }
                _ => {}
            }
            if changes {
                *now = ready;
            }
            changes
        });
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            Ok(()) = peers.changed() => {}
        }
    }
}

async fn ensure(
    config: &Config,
    runtime: &dyn Runtime,
    mut hosts: BTreeSet<IpAddr>,
) -> Result<(), String> {
    let network = runtime
        .ensure_network(&config.network)
        .await
        .map_err(|error| chain(&error))?;
    let Firewall::Enforced {
        deny,
        allow_host_ports,
    } = &config.firewall
    else {
        return Ok(());
    };
    hosts.insert(config.address);
    hosts.retain(|address| !address.is_loopback() && !address.is_unspecified());
    let resolv_conf = fs_err::tokio::read_to_string("/etc/resolv.conf")
        .await
        .unwrap_or_default();
    let plan = firewall::Plan {
        bridge: network.bridge,
        deny: deny.iter().cloned().collect(),
        hosts,
        allow_host_ports: allow_host_ports.clone(),
        resolvers: firewall::resolvers(&resolv_conf),
    };
    plan.apply().await.map_err(|error| chain(&error))
}

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
