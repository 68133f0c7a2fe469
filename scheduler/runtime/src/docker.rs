//! Docker (API 1.41 and newer, so from 20.10 on) behind [`crate::Runtime`].

mod attach;
mod body;
mod exec;
mod hearing;
mod logs;
mod signal;
mod sockets;
mod view;

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use bollard::ClientVersion;
use bollard::errors::Error as BollardError;
use bollard::query_parameters as query;
use futures::StreamExt as _;
use model::Timestamp;

use crate::{
    Attached, ContainerEvent, ContainerExit, ContainerId, ContainerInfo, ContainerSpec,
    ContainerState, ContainerSummary, EventStream, Exec, ExecSpec, Labels, LogQuery, LogStream,
    NetworkInfo, NetworkSpec, Runtime, RuntimeError, Signal, TtySize,
};

/// The newest API we know how to speak; an older engine's is taken instead.
const NEWEST: ClientVersion = ClientVersion {
    major_version: 1,
    minor_version: 47,
};

/// How long calls may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Looking, signalling.
    pub quick: Duration,
    /// Making, starting, removing.
    pub slow: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            quick: Duration::from_secs(15),
            slow: Duration::from_secs(60),
        }
    }
}

/// A connection to a Docker engine on this host.
#[derive(Debug, Clone)]
pub struct Docker {
    client: bollard::Docker,
    socket: PathBuf,
    deadlines: Deadlines,
}

impl Docker {
    /// `socket` is usually `/var/run/docker.sock`.
    pub async fn connect(socket: &Path, deadlines: Deadlines) -> Result<Self, RuntimeError> {
        const DOING: &str = "connecting to Docker";
        let client = bollard::Docker::connect_with_unix(
            &socket.to_string_lossy(),
            deadlines.slow.as_secs() + 1,
            &NEWEST,
        )
        .map_err(|error| convert(DOING, error))?;
        let client = within(deadlines.quick, DOING, client.negotiate_version()).await?;
        Ok(Self {
            client,
            socket: socket.to_owned(),
            deadlines,
        })
    }

    /// What Docker turns the connection of such a request into.
    async fn streams(
        &self,
        path: &str,
        body: &str,
        has_terminal: bool,
    ) -> Result<Attached, RuntimeError> {
        let call = attach::open(attach::Target {
            socket: &self.socket,
            version: self.client.client_version(),
            path,
            body,
            has_terminal,
        });
        tokio::time::timeout(self.deadlines.quick, call)
            .await
            .map_err(|_| RuntimeError::TimedOut {
                doing: attach::DOING,
                after: self.deadlines.quick,
            })?
    }

    async fn quick<T>(
        &self,
        doing: &'static str,
        call: impl Future<Output = Result<T, BollardError>>,
    ) -> Result<T, RuntimeError> {
        within(self.deadlines.quick, doing, call).await
    }

    async fn slow<T>(
        &self,
        doing: &'static str,
        call: impl Future<Output = Result<T, BollardError>>,
    ) -> Result<T, RuntimeError> {
        within(self.deadlines.slow, doing, call).await
    }

    async fn look(&self, id: &ContainerId) -> Result<Option<ContainerInfo>, RuntimeError> {
        let call = self.client.inspect_container(id.as_str(), None);
        match self.quick("inspecting a container", call).await {
            Ok(found) => view::container(found).map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl Runtime for Docker {
    async fn create(&self, spec: &ContainerSpec) -> Result<ContainerId, RuntimeError> {
        let options = query::CreateContainerOptionsBuilder::new()
            .name(&spec.name)
            .build();
        let call = self
            .client
            .create_container(Some(options), body::create(spec)?);
        Ok(ContainerId::new(
            self.slow("creating a container", call).await?.id,
        ))
    }

    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.slow(
            "starting a container",
            self.client.start_container(id.as_str(), None),
        )
        .await
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Option<ContainerInfo>, RuntimeError> {
        let found = self.look(id).await?;
        let state = found.as_ref().map(|found| &found.state);
        let Some(wait) = state.and_then(|state| view::doubt(state, Timestamp::now())) else {
            return Ok(found);
        };
        tokio::time::sleep(wait).await;
        // What was seen is known, whatever becomes of it.
        match self.look(id).await {
            Ok(Some(again)) => Ok(Some(again)),
            _ => Ok(found),
        }
    }

    async fn list(&self, labels: &Labels) -> Result<Vec<ContainerSummary>, RuntimeError> {
        let options = query::ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&label_filter(labels))
            .build();
        let found = self
            .quick(
                "listing containers",
                self.client.list_containers(Some(options)),
            )
            .await?;
        Ok(found.into_iter().filter_map(view::summary).collect())
    }

    async fn signal_all(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError> {
        signal::to_all(self, id, signal).await
    }

    async fn kill(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        signal::to_init(self, id, Signal::Kill).await
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let options = query::RemoveContainerOptionsBuilder::new()
            .force(true)
            .v(true)
            .build();
        match self
            .slow(
                "removing a container",
                self.client.remove_container(id.as_str(), Some(options)),
            )
            .await
        {
            Err(RuntimeError::NotFound { .. }) => Ok(()),
            // Somebody else (or we, before a restart) is already at it.
            Err(RuntimeError::Refused {
                status: 409,
                message,
                ..
            }) if message.contains("already in progress") => Ok(()),
            other => other,
        }
    }

    async fn wait(&self, id: &ContainerId) -> Result<ContainerExit, RuntimeError> {
        const DOING: &str = "waiting for a container";
        let options = query::WaitContainerOptionsBuilder::new()
            .condition("not-running")
            .build();
        loop {
            let ended = self
                .client
                .wait_container(id.as_str(), Some(options.clone()))
                .next()
                .await;
            match ended {
                // The client calls a status above 0 an error; how it really ended is asked below.
                Some(Ok(_) | Err(BollardError::DockerContainerWaitError { .. })) | None => {}
                Some(Err(error)) => return Err(convert(DOING, error)),
            }
            match self.inspect(id).await? {
                Some(ContainerInfo {
                    state: ContainerState::Exited { exit, .. },
                    ..
                }) => return Ok(exit),
                Some(_) => {}
                None => {
                    return Err(RuntimeError::NotFound {
                        doing: DOING,
                        message: id.to_string(),
                    });
                }
            }
        }
    }

    async fn logs(&self, id: &ContainerId, wanted: LogQuery) -> Result<LogStream, RuntimeError> {
        // Asked for first, because the stream itself would tell of a missing container only when it is read.
        if self.inspect(id).await?.is_none() {
            return Err(RuntimeError::NotFound {
                doing: "reading a container's log",
                message: id.to_string(),
            });
        }
        let (client, id) = (self.client.clone(), id.clone());
        let open = move |query| -> logs::Entries {
            Box::pin(client.logs(id.as_str(), Some(logs::options(query))))
        };
        Ok(logs::lines(open, wanted))
    }

    async fn attach(&self, id: &ContainerId) -> Result<Attached, RuntimeError> {
        let Some(found) = self
            .quick(
                "inspecting a container",
                self.client.inspect_container(id.as_str(), None),
            )
            .await?
            .config
        else {
            return Err(RuntimeError::NotFound {
                doing: attach::DOING,
                message: id.to_string(),
            });
        };
        let path = format!("containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1");
        self.streams(&path, "", found.tty.unwrap_or(false)).await
    }

    async fn resize(&self, id: &ContainerId, size: TtySize) -> Result<(), RuntimeError> {
        let options = query::ResizeContainerTTYOptionsBuilder::new()
            .w(i32::from(size.columns))
            .h(i32::from(size.lines))
            .build();
        self.quick(
            "resizing a terminal",
            self.client.resize_container_tty(id.as_str(), options),
        )
        .await
    }

    async fn exec(
        &self,
        id: &ContainerId,
        spec: &ExecSpec,
    ) -> Result<(Exec, Attached), RuntimeError> {
        exec::start(self, id, spec).await
    }

    async fn execs(&self, id: &ContainerId, word: &str) -> Result<Vec<Exec>, RuntimeError> {
        exec::running(self, id, word).await
    }

    async fn resize_exec(&self, exec: &Exec, size: TtySize) -> Result<(), RuntimeError> {
        exec::resize(self, exec, size).await
    }

    async fn signal_exec(&self, exec: &Exec, signal: Signal) -> Result<(), RuntimeError> {
        exec::signal(self, exec, signal).await
    }

    async fn wait_exec(&self, exec: &Exec) -> Result<Option<i64>, RuntimeError> {
        exec::wait(self, exec).await
    }

    async fn memory_used(&self, id: &ContainerId) -> Result<u64, RuntimeError> {
        const DOING: &str = "measuring a container's memory";
        let options = query::StatsOptionsBuilder::new()
            .stream(false)
            .one_shot(true)
            .build();
        let call = async {
            let mut stats = std::pin::pin!(self.client.stats(id.as_str(), Some(options)));
            stats.next().await.transpose()
        };
        let stats = self.quick(DOING, call).await?;
        Ok(stats.map_or(0, |stats| view::memory_used(&stats)))
    }

    async fn listens_on_loopback_only(
        &self,
        id: &ContainerId,
        port: u16,
    ) -> Result<Option<IpAddr>, RuntimeError> {
        const DOING: &str = "finding a container's first process";
        let call = self.client.inspect_container(id.as_str(), None);
        let pid = match self.quick(DOING, call).await {
            Ok(found) => found.state.and_then(|state| state.pid),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        // 0 when it does not run.
        Ok(pid
            .filter(|pid| *pid > 0)
            .and_then(|pid| sockets::loopback_only(&sockets::listening(pid), port)))
    }

    async fn ensure_network(&self, network: &NetworkSpec) -> Result<NetworkInfo, RuntimeError> {
        const LOOKING: &str = "inspecting a network";
        match self
            .quick(LOOKING, self.client.inspect_network(&network.name, None))
            .await
        {
            Ok(found) => return Ok(view::network(found)),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        match self
            .slow(
                "creating a network",
                self.client.create_network(body::network(network)),
            )
            .await
        {
            // 409: somebody was quicker; theirs is as good as ours.
            Ok(_) | Err(RuntimeError::Refused { status: 409, .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(view::network(
            self.quick(LOOKING, self.client.inspect_network(&network.name, None))
                .await?,
        ))
    }

    async fn image_exists(&self, image: &str) -> Result<bool, RuntimeError> {
        match self
            .quick("inspecting an image", self.client.inspect_image(image))
            .await
        {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn events(&self, labels: &Labels) -> Result<EventStream, RuntimeError> {
        let mut filters = label_filter(labels);
        filters.insert("type", vec!["container".to_owned()]);
        filters.insert("event", vec!["die".to_owned()]);
        let options = query::EventsOptionsBuilder::new().filters(&filters).build();
        let events = self
            .client
            .events(Some(options))
            .filter_map(async |event| match event {
                Ok(event) => {
                    let actor = event.actor?;
                    let labels = actor.attributes.unwrap_or_default().into_iter().collect();
                    Some(Ok(ContainerEvent {
                        id: ContainerId::new(actor.id?),
                        labels,
                    }))
                }
                Err(error) => Some(Err(convert("watching containers", error))),
            });
        Ok(Box::pin(events))
    }
}

fn label_filter(labels: &Labels) -> HashMap<&'static str, Vec<String>> {
    HashMap::from([(
        "label",
        labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect(),
    )])
}

async fn within<T>(
    deadline: Duration,
    doing: &'static str,
    call: impl Future<Output = Result<T, BollardError>>,
) -> Result<T, RuntimeError> {
    match tokio::time::timeout(deadline, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(BollardError::RequestTimeoutError)) | Err(_) => Err(RuntimeError::TimedOut {
            doing,
            after: deadline,
        }),
        Ok(Err(error)) => Err(convert(doing, error)),
    }
}

fn convert(doing: &'static str, error: BollardError) -> RuntimeError {
    match error {
        BollardError::DockerResponseServerError {
            status_code: 404,
            message,
        } => RuntimeError::NotFound { doing, message },
        BollardError::DockerResponseServerError {
            status_code,
            message,
        } => RuntimeError::Refused {
            doing,
            status: status_code,
            message,
        },
        other => RuntimeError::unreachable(doing, other),
    }
}
