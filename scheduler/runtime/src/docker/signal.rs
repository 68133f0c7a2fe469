//! Signals to all processes of a container, in the order of [`super::hearing`].

use std::collections::HashSet;
use std::time::Duration;

use bollard::query_parameters as query;
use nix::errno::Errno;
use nix::sys::signal;
use nix::unistd::Pid;
use tracing::warn;

use super::Docker;
use super::hearing::{self, Process};
use crate::{ContainerId, RuntimeError, Signal};

/// How often those that wait for others to end are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Longer than any dyno's grace: by then whatever is left was killed.
const LOOK_FOR: Duration = Duration::from_secs(60);

/// Docker itself signals the first process only. The others are children of this host like any, so they are signalled
/// from here. Our own init is left out: it would pass the signal on and the app would get it twice.
pub(super) async fn to_all(
    docker: &Docker,
    id: &ContainerId,
    signal: Signal,
) -> Result<(), RuntimeError> {
    let Some(container) = Running::of(docker, id).await? else {
        return Ok(());
    };
    let processes = match container.processes().await {
        Ok(processes) => processes,
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, container.id = %id, "Could not list a container's processes; signalling the first one");
            return to_init(docker, id, signal).await;
        }
    };
    let first = hearing::first(&processes, number(signal));
    let told: HashSet<i32> = first.into_iter().filter(|pid| send(*pid, signal)).collect();
    if told.is_empty() {
        return to_init(docker, id, signal).await;
    }
    if told.len() < processes.len() {
        tokio::spawn(tokio::time::timeout(
            LOOK_FOR,
            container.tell_the_rest(told, signal),
        ));
    }
    Ok(())
}

pub(super) struct Running {
    docker: Docker,
    id: ContainerId,
    full_id: String,
    /// As the engine tells it.
    init: i64,
}

impl Running {
    /// `None` when it does not run.
    pub(super) async fn of(
        docker: &Docker,
        id: &ContainerId,
    ) -> Result<Option<Self>, RuntimeError> {
        let call = docker.client.inspect_container(id.as_str(), None);
        let found = match docker.quick("inspecting a container", call).await {
            Ok(found) => found,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let init = found.state.and_then(|state| state.pid);
        Ok(init.filter(|pid| *pid > 0).map(|init| Self {
            docker: docker.clone(),
            id: id.clone(),
            full_id: found.id.unwrap_or_default(),
            init,
        }))
    }

    /// All but the init.
    pub(super) async fn processes(&self) -> Result<Vec<Process>, RuntimeError> {
        let options = query::TopOptionsBuilder::new().ps_args("-eo pid").build();
        let call = self
            .docker
            .client
            .top_processes(self.id.as_str(), Some(options));
        let top = self
            .docker
            .quick("listing a container's processes", call)
            .await?;
        Ok(top
            .processes
            .unwrap_or_default()
            .iter()
            .filter_map(|row| row.first()?.trim().parse().ok())
            .filter(|pid| i64::from(*pid) != self.init)
            .filter_map(|pid| self.look_at(pid))
            .collect())
    }

    /// Pids are Docker's view; ours may be another (a daemon on the far side of a namespace), or the pid may be used anew.
    /// Its control group says whose it is.
    fn look_at(&self, pid: i32) -> Option<Process> {
        let groups = fs_err::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        if self.full_id.is_empty() || !groups.contains(&self.full_id) {
            return None;
        }
        let status = fs_err::read_to_string(format!("/proc/{pid}/status")).ok()?;
        Process::parse(pid, &status)
    }

    /// Waits for all of `told` to end, lets the others follow by themselves, then tells whoever is left, until nobody is.
    async fn tell_the_rest(self, mut told: HashSet<i32>, signal: Signal) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if told.iter().any(|pid| self.look_at(*pid).is_some()) {
                continue;
            }
            tokio::time::sleep(LOOK_EVERY).await;
            // An error is the container's end, or a hung engine's; the dyno's own deadline is for that.
            let Ok(processes) = self.processes().await else {
                return;
            };
            if processes.is_empty() {
                return;
            }
            told = processes
                .iter()
                .map(|process| process.pid)
                .filter(|pid| send(*pid, signal))
                .collect();
        }
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

pub(super) fn send(pid: i32, signal: Signal) -> bool {
    matches!(
        signal::kill(Pid::from_raw(pid), number(signal)),
        Ok(()) | Err(Errno::ESRCH)
    )
}

fn number(signal: Signal) -> signal::Signal {
    match signal {
        Signal::Hup => signal::Signal::SIGHUP,
        Signal::Int => signal::Signal::SIGINT,
        Signal::Quit => signal::Signal::SIGQUIT,
        Signal::Term => signal::Signal::SIGTERM,
        Signal::Kill => signal::Signal::SIGKILL,
        Signal::Usr1 => signal::Signal::SIGUSR1,
        Signal::Usr2 => signal::Signal::SIGUSR2,
        Signal::Winch => signal::Signal::SIGWINCH,
        Signal::Cont => signal::Signal::SIGCONT,
        Signal::Tstp => signal::Signal::SIGTSTP,
    }
}
