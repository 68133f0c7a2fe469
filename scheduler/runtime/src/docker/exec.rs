//! Commands in a container that runs already.
//!
//! Docker starts them and forgets them: it has no call to signal or to end one, and one whose client goes away runs on.
//! Each is the leader of a session of its own, by which its processes are found.

use std::time::Duration;

use bollard::models::{ExecConfig, ExecInspectResponse};
use bollard::query_parameters as query;
use tokio::time::sleep;

use super::Docker;
use super::signal::{self, Running};
use crate::{Attached, ContainerId, Exec, ExecSpec, Runtime as _, RuntimeError, Signal, TtySize};

/// How often one is looked at that has closed its output and not ended. Docker tells nobody of its end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(super) async fn start(
    docker: &Docker,
    id: &ContainerId,
    spec: &ExecSpec,
) -> Result<(Exec, Attached), RuntimeError> {
    let config = ExecConfig {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(spec.tty),
        env: Some(
            spec.env
                .iter()
                .map(|(name, value)| format!("{name}={}", value.expose()))
                .collect(),
        ),
        cmd: Some(spec.command.clone()),
        ..Default::default()
    };
    let call = docker.client.create_exec(id.as_str(), config);
    let made = docker
        .quick("making a command in a container", call)
        .await?;
    let exec = Exec {
        id: made.id,
        container: id.clone(),
    };
    let body = format!(r#"{{"Detach":false,"Tty":{}}}"#, spec.tty);
    let path = format!("exec/{}/start", exec.id);
    let streams = docker.streams(&path, &body, spec.tty).await?;
    Ok((exec, streams))
}

pub(super) async fn running(
    docker: &Docker,
    id: &ContainerId,
    word: &str,
) -> Result<Vec<Exec>, RuntimeError> {
    let call = docker.client.inspect_container(id.as_str(), None);
    let found = match docker.quick("inspecting a container", call).await {
        Ok(found) => found,
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut running = Vec::new();
    for exec in found.exec_ids.unwrap_or_default() {
        let exec = Exec {
            id: exec,
            container: id.clone(),
        };
        if let Some(found) = inspect(docker, &exec).await?
            && found.running == Some(true)
            && has_word(&found, word)
        {
            running.push(exec);
        }
    }
    Ok(running)
}

fn has_word(found: &ExecInspectResponse, word: &str) -> bool {
    let arguments = found
        .process_config
        .as_ref()
        .map(|config| &config.arguments);
    arguments
        .into_iter()
        .flatten()
        .flatten()
        .any(|argument| argument == word)
}

pub(super) async fn resize(
    docker: &Docker,
    exec: &Exec,
    size: TtySize,
) -> Result<(), RuntimeError> {
    let options = query::ResizeExecOptionsBuilder::new()
        .w(i32::from(size.columns))
        .h(i32::from(size.lines))
        .build();
    docker
        .quick(
            "resizing a command's terminal",
            docker.client.resize_exec(&exec.id, options),
        )
        .await
}

pub(super) async fn signal(
    docker: &Docker,
    exec: &Exec,
    signal: Signal,
) -> Result<(), RuntimeError> {
    let leader = match inspect(docker, exec).await? {
        Some(found) if found.running == Some(true) => found.pid.unwrap_or_default(),
        _ => return Ok(()),
    };
    let Ok(leader) = i32::try_from(leader) else {
        return Ok(());
    };
    let Some(container) = Running::of(docker, &exec.container).await? else {
        return Ok(());
    };
    // The leader hears first, so that its status is of the signal and not of how it took the end of its children.
    let mut theirs = vec![leader];
    let processes = container.processes().await?;
    // Descendants that began a session of their own come with those that began them, however deep.
    loop {
        let more: Vec<i32> = processes
            .iter()
            .filter(|process| !theirs.contains(&process.pid))
            .filter(|process| {
                theirs.contains(&process.parent) || session_of(process.pid) == Some(leader)
            })
            .map(|process| process.pid)
            .collect();
        if more.is_empty() {
            break;
        }
        theirs.extend(more);
    }
    // Pids are Docker's view, and ours may be another: none is signalled that was not found in the container.
    for pid in theirs {
        if processes.iter().any(|process| process.pid == pid) {
            signal::send(pid, signal);
        }
    }
    Ok(())
}

fn session_of(pid: i32) -> Option<i32> {
    session(&fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// From the text of `/proc/PID/stat`. The second field is a name in parentheses, and may hold any of its own.
fn session(stat: &str) -> Option<i32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(3)?.parse().ok()
}

pub(super) async fn wait(docker: &Docker, exec: &Exec) -> Result<Option<i64>, RuntimeError> {
    loop {
        match inspect(docker, exec).await? {
            None => return Ok(None),
            Some(found) if found.running == Some(true) => {}
            Some(found) => match found.exit_code {
                Some(status) if docker.is_running(&exec.container).await? => {
                    return Ok(Some(status));
                }
                _ => return Ok(None),
            },
        }
        if !docker.is_running(&exec.container).await? {
            return Ok(None);
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn inspect(
    docker: &Docker,
    exec: &Exec,
) -> Result<Option<ExecInspectResponse>, RuntimeError> {
    let call = docker.client.inspect_exec(&exec.id);
    match docker.quick("inspecting a command", call).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        // 409: its container does not run.
        Err(RuntimeError::Refused { status: 409, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Docker {
    async fn is_running(&self, id: &ContainerId) -> Result<bool, RuntimeError> {
        let found = self.inspect(id).await?;
        Ok(found.is_some_and(|found| found.state.is_running()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_read_whatever_the_process_calls_itself() {
        let stat = |name: &str| format!("4711 ({name}) S 1 4711 4700 34816 4711 4194560 1 2 3");
        for name in ["bash", "a b", "x) S 1 2 3 (y", ""] {
            assert_eq!(session(&stat(name)), Some(4700), "{name}");
        }
        assert_eq!(session("4711 (bash"), None);
        assert_eq!(session(""), None);
    }
}
