//! Docker's words for what it found in ours.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, ContainerStatsResponse,
    ContainerSummaryStateEnum, EndpointSettings, NetworkInspect, PortBinding,
};
use model::Timestamp;

use crate::{
    ContainerExit, ContainerId, ContainerInfo, ContainerState, ContainerSummary, NetworkInfo,
    RuntimeError,
};

/// The exit status of who was ended by SIGKILL.
const KILLED: i64 = 137;
/// The engine hears of an exit and of memory that ran out by two events, and not always in this order.
const OOM_IS_TOLD_WITHIN: Duration = Duration::from_millis(250);

const DOING: &str = "reading what Docker says of a container";

pub(super) fn container(found: ContainerInspectResponse) -> Result<ContainerInfo, RuntimeError> {
    let state = found.state.unwrap_or_default();
    let status = state.status.unwrap_or(ContainerStateStatusEnum::EMPTY);
    let time = |text: Option<&String>| {
        text.and_then(|text| text.parse::<Timestamp>().ok())
            .ok_or_else(|| RuntimeError::unreachable(DOING, format!("no time in {text:?}")))
    };
    let state = match status {
        ContainerStateStatusEnum::CREATED => ContainerState::Created,
        ContainerStateStatusEnum::EXITED
        | ContainerStateStatusEnum::DEAD
        | ContainerStateStatusEnum::REMOVING => {
            let status = state.exit_code.unwrap_or(-1);
            // Docker sets the mark when any process of the container was killed for memory; it is the reason of the
            // end only when the main process died of that very signal.
            let oom = state.oom_killed.unwrap_or(false) && status == KILLED;
            ContainerState::Exited {
                exit: ContainerExit { status, oom },
                finished_at: time(state.finished_at.as_ref())?,
            }
        }
        _ => ContainerState::Running {
            started_at: time(state.started_at.as_ref())?,
        },
    };
    let settings = found.network_settings.unwrap_or_default();
    let networks = settings.networks.unwrap_or_default();
    let ports = settings.ports.unwrap_or_default();
    Ok(ContainerInfo {
        id: ContainerId::new(found.id.unwrap_or_default()),
        name: found
            .name
            .unwrap_or_default()
            .trim_start_matches('/')
            .to_owned(),
        labels: found
            .config
            .and_then(|config| config.labels)
            .unwrap_or_default()
            .into_iter()
            .collect(),
        ip: if state.is_running() {
            address(&networks)
        } else {
            None
        },
        published: if state.is_running() {
            published(&ports)
        } else {
            None
        },
        state,
    })
}

/// How long until it is certain what it ended of, if it is not.
pub(super) fn doubt(state: &ContainerState, now: Timestamp) -> Option<Duration> {
    let ContainerState::Exited { exit, finished_at } = state else {
        return None;
    };
    // A clock that was set back must not make anybody wait for it.
    let ago = Duration::try_from(now.duration_since(*finished_at)).unwrap_or_default();
    let left = OOM_IS_TOLD_WITHIN.checked_sub(ago)?;
    (exit.status == KILLED && !exit.oom && !left.is_zero()).then_some(left)
}

fn address(networks: &HashMap<String, EndpointSettings>) -> Option<IpAddr> {
    networks
        .values()
        .find_map(|network| network.ip_address.as_ref()?.parse().ok())
}

/// We publish one port at most, at one address.
fn published(ports: &HashMap<String, Option<Vec<PortBinding>>>) -> Option<SocketAddr> {
    ports.values().flatten().flatten().find_map(|binding| {
        let ip = binding.host_ip.as_ref()?.parse().ok()?;
        let port = binding.host_port.as_ref()?.parse().ok()?;
        Some(SocketAddr::new(ip, port))
    })
}

pub(super) fn summary(found: bollard::models::ContainerSummary) -> Option<ContainerSummary> {
    Some(ContainerSummary {
        id: ContainerId::new(found.id?),
        name: found
            .names
            .unwrap_or_default()
            .first()
            .map(|name| name.trim_start_matches('/').to_owned())?,
        labels: found.labels.unwrap_or_default().into_iter().collect(),
        running: matches!(
            found.state,
            Some(
                ContainerSummaryStateEnum::RUNNING
                    | ContainerSummaryStateEnum::PAUSED
                    | ContainerSummaryStateEnum::RESTARTING
            )
        ),
    })
}

/// Page cache that can be dropped at once does not count: it is not the app's need.
pub(super) fn memory_used(stats: &ContainerStatsResponse) -> u64 {
    let Some(memory) = &stats.memory_stats else {
        return 0;
    };
    let usage = memory.usage.unwrap_or(0);
    let cache = memory.stats.as_ref().and_then(|stats| {
        // cgroup v1 and v2.
        stats
            .get("total_inactive_file")
            .or_else(|| stats.get("inactive_file"))
            .copied()
    });
    usage.saturating_sub(cache.unwrap_or(0))
}

pub(super) fn network(found: NetworkInspect) -> NetworkInfo {
    let ipam = found
        .ipam
        .and_then(|ipam| ipam.config)
        .unwrap_or_default()
        .into_iter()
        .next();
    let id = found.id.unwrap_or_default();
    NetworkInfo {
        bridge: found
            .options
            .and_then(|mut options| options.remove("com.docker.network.bridge.name"))
            .unwrap_or_else(|| format!("br-{}", id.chars().take(12).collect::<String>())),
        name: found.name.unwrap_or_default(),
        gateway: ipam
            .as_ref()
            .and_then(|ipam| ipam.gateway.as_ref()?.parse().ok()),
        subnet: ipam.and_then(|ipam| ipam.subnet),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_killed_just_now_may_turn_out_to_have_run_out_of_memory() {
        let now = Timestamp::from_second(1_000).unwrap();
        let ago = |millis| now - Duration::from_millis(millis);
        for (status, oom, finished_at, expected) in [
            (137, false, ago(50), Some(200)),
            (137, false, now + Duration::from_secs(60), Some(250)),
            (137, false, ago(250), None),
            (137, true, ago(50), None),
            (1, false, ago(50), None),
        ] {
            let exit = ContainerExit { status, oom };
            let found = doubt(&ContainerState::Exited { exit, finished_at }, now);
            assert_eq!(found, expected.map(Duration::from_millis), "{status} {oom}");
        }
        let running = ContainerState::Running { started_at: now };
        assert_eq!(doubt(&running, now), None);
    }
}
