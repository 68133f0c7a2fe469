//! Signals to all processes of a container, as Heroku sends them.

use bollard::query_parameters as query;
use nix::errno::Errno;
use nix::unistd::Pid;
use tracing::warn;

use super::Docker;
use crate::{ContainerId, RuntimeError, Signal};

/// Docker itself signals the first process only. The others are children of this host like any, so they are signalled
/// from here. Our own init is left out: it would pass the signal on and the app would get it twice.
pub(super) async fn to_all(
    docker: &Docker,
    id: &ContainerId,
    signal: Signal,
) -> Result<(), RuntimeError> {
    let call = docker.client.inspect_container(id.as_str(), None);
    let found = match docker.quick("inspecting a container", call).await {
        Ok(found) => found,
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(error),
    };
    let Some(init) = found
        .state
        .and_then(|state| state.pid)
        .filter(|pid| *pid > 0)
    else {
        return Ok(());
    };
    let full_id = found.id.unwrap_or_default();
    let options = query::TopOptionsBuilder::new().ps_args("-eo pid").build();
    let call = docker.client.top_processes(id.as_str(), Some(options));
    let pids: Vec<i32> = match docker.quick("listing a container's processes", call).await {
        Ok(top) => top
            .processes
            .unwrap_or_default()
            .iter()
            .filter_map(|row| row.first()?.trim().parse().ok())
            .collect(),
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, container.id = %id, "Could not list a container's processes; signalling the first one");
            return to_init(docker, id, signal).await;
        }
    };
    let others = pids.into_iter().filter(|pid| i64::from(*pid) != init);
    let signalled = others
        .filter(|pid| belongs_to(*pid, &full_id) && send(*pid, signal))
        .count();
    if signalled == 0 {
        to_init(docker, id, signal).await
    } else {
        Ok(())
    }
}

pub(super) async fn to_init(
    docker: &Docker,
    id: &ContainerId,
    signal: Signal,
) -> Result<(), RuntimeError> {
    let options = query::KillContainerOptionsBuilder::new()
        .signal(signal.as_str())
        .build();
    match docker
        .quick(
            "signalling a container",
            docker.client.kill_container(id.as_str(), Some(options)),
        )
        .await
    {
        // 404: gone. 409: not running.
        Err(RuntimeError::NotFound { .. } | RuntimeError::Refused { status: 409, .. }) => Ok(()),
        other => other,
    }
}

/// Pids are Docker's view; ours may be another (a daemon on the far side of a namespace), or the pid may be used anew.
/// Its control group says whose it is.
fn belongs_to(pid: i32, full_id: &str) -> bool {
    !full_id.is_empty()
        && fs_err::read_to_string(format!("/proc/{pid}/cgroup"))
            .is_ok_and(|groups| groups.contains(full_id))
}

fn send(pid: i32, signal: Signal) -> bool {
    let signal = match signal {
        Signal::Hup => nix::sys::signal::SIGHUP,
        Signal::Int => nix::sys::signal::SIGINT,
        Signal::Quit => nix::sys::signal::SIGQUIT,
        Signal::Term => nix::sys::signal::SIGTERM,
        Signal::Kill => nix::sys::signal::SIGKILL,
        Signal::Usr1 => nix::sys::signal::SIGUSR1,
        Signal::Usr2 => nix::sys::signal::SIGUSR2,
        Signal::Winch => nix::sys::signal::SIGWINCH,
        Signal::Cont => nix::sys::signal::SIGCONT,
        Signal::Tstp => nix::sys::signal::SIGTSTP,
    };
    matches!(
        nix::sys::signal::kill(Pid::from_raw(pid), signal),
        Ok(()) | Err(Errno::ESRCH)
    )
}
