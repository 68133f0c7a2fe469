//! The fake's side of [`Runtime`].

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{BroadcastStream, ReceiverStream};
use tokio_util::sync::CancellationToken;

use super::container::{self, Container};
use super::{Call, Fake, Script, State, next_address};
use crate::{
    Attached, ContainerExit, ContainerId, ContainerInfo, ContainerSpec, ContainerState,
    ContainerSummary, EventStream, Exec, ExecSpec, Labels, LogQuery, LogStream, NetworkInfo,
    NetworkSpec, Runtime, RuntimeError, RuntimeLogLine, Signal, StdStream, TtySize,
};

pub(super) const DOING: &str = "asking the fake engine";

impl Fake {
    /// Notes the call; hangs or fails if it was told to.
    async fn enter(&self, call: Call, about: &str) -> Result<(), RuntimeError> {
        let (hung, failing, deadline) = {
            let mut state = self.lock();
            state.calls.push((call, about.to_owned()));
            (
                state.hung.contains(&call),
                state.failing.get(&call).cloned(),
                state.deadline,
            )
        };
        if hung {
            tokio::time::sleep(deadline).await;
            return Err(RuntimeError::TimedOut {
                doing: DOING,
                after: deadline,
            });
        }
        match failing {
            Some(message) => Err(RuntimeError::Refused {
                doing: DOING,
                status: 500,
                message,
            }),
            None => Ok(()),
        }
    }
}

impl State {
    /// Docker takes names for ids.
    pub(super) fn find(&mut self, id: &ContainerId) -> Option<&mut Container> {
        self.containers
            .values_mut()
            .find(|container| container.id == *id || container.spec.name == id.as_str())
    }

    pub(super) fn known(&mut self, id: &ContainerId) -> Result<&mut Container, RuntimeError> {
        self.find(id).ok_or_else(|| RuntimeError::NotFound {
            doing: DOING,
            message: id.to_string(),
        })
    }

    fn behaviour(script: &Script, spec: &ContainerSpec) -> super::Behaviour {
        script(spec)
    }
}

fn carries(container: &Labels, wanted: &Labels) -> bool {
    wanted
        .iter()
        .all(|(name, value)| container.get(name) == Some(value))
}

#[async_trait]
impl Runtime for Fake {
    async fn create(&self, spec: &ContainerSpec) -> Result<ContainerId, RuntimeError> {
        self.enter(Call::Create, &spec.name).await?;
        let mut state = self.lock();
        if state
            .images
            .as_ref()
            .is_some_and(|images| !images.contains(&spec.image))
        {
            return Err(RuntimeError::NotFound {
                doing: DOING,
                message: format!("No such image: {}", spec.image),
            });
        }
        if state
            .containers
            .values()
            .any(|container| container.spec.name == spec.name)
        {
            let message = format!("the name {} is in use", spec.name);
            return Err(RuntimeError::Refused {
                doing: DOING,
                status: 409,
                message,
            });
        }
        state.made += 1;
        let serial = state.made;
        let id = ContainerId::new(format!("fake{serial:08}"));
        let container = Container {
            serial,
            id: id.clone(),
            behaviour: State::behaviour(&state.script, spec),
            spec: spec.clone(),
            state: ContainerState::Created,
            ip: next_address(),
            signals: Vec::new(),
            lines: Vec::new(),
            life: CancellationToken::new(),
            execs: Vec::new(),
            attached: None,
        };
        state.containers.insert(id.clone(), container);
        drop(state);
        self.shared.changed();
        Ok(id)
    }

    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.enter(Call::Start, id.as_str()).await?;
        let (id, prints) = {
            let mut state = self.lock();
            let container = state.known(id)?;
            if let Some(message) = container.behaviour.fails_to_start.clone() {
                return Err(RuntimeError::Refused {
                    doing: DOING,
                    status: 400,
                    message,
                });
            }
            container.state = ContainerState::Running {
                started_at: model::Timestamp::now(),
            };
            (container.id.clone(), container.behaviour.prints.clone())
        };
        for text in prints {
            self.print(&id, StdStream::Stdout, &text);
        }
        self.shared.changed();
        container::begin(&self.shared, &id);
        Ok(())
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Option<ContainerInfo>, RuntimeError> {
        self.enter(Call::Inspect, id.as_str()).await?;
        Ok(self.lock().find(id).map(|container| ContainerInfo {
            id: container.id.clone(),
            name: container.spec.name.clone(),
            labels: container.spec.labels.clone(),
            state: container.state.clone(),
            ip: container.state.is_running().then_some(container.ip),
            published: container.published(),
        }))
    }

    async fn list(&self, labels: &Labels) -> Result<Vec<ContainerSummary>, RuntimeError> {
        self.enter(Call::List, "").await?;
        let state = self.lock();
        let found = state
            .containers
            .values()
            .filter(|container| carries(&container.spec.labels, labels));
        Ok(found
            .map(|container| ContainerSummary {
                id: container.id.clone(),
                name: container.spec.name.clone(),
                labels: container.spec.labels.clone(),
                running: container.state.is_running(),
            })
            .collect())
    }

    async fn signal_all(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError> {
        self.enter(Call::Signal, id.as_str()).await?;
        let ends = {
            let mut state = self.lock();
            let Some(container) = state
                .find(id)
                .filter(|container| container.state.is_running())
            else {
                return Ok(());
            };
            container.signals.push(signal);
            (!container.behaviour.ignores_signals || signal == Signal::Kill)
                .then(|| container.id.clone())
        };
        let status = match signal {
            Signal::Hup => 129,
            Signal::Int => 130,
            Signal::Quit => 131,
            Signal::Kill => 137,
            Signal::Term => 143,
            Signal::Usr1 | Signal::Usr2 | Signal::Winch | Signal::Cont | Signal::Tstp => {
                return Ok(());
            }
        };
        if let Some(id) = ends {
            container::end(&self.shared, &id, ContainerExit { status, oom: false });
        }
        Ok(())
    }

    async fn kill(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.enter(Call::Kill, id.as_str()).await?;
        let id = self.lock().find(id).map(|container| {
            container.signals.push(Signal::Kill);
            container.id.clone()
        });
        if let Some(id) = id {
            container::end(
                &self.shared,
                &id,
                ContainerExit {
                    status: 137,
                    oom: false,
                },
            );
        }
        Ok(())
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.enter(Call::Remove, id.as_str()).await?;
        // Gone before anybody hears of its end.
        let removed = {
            let mut state = self.lock();
            let found = state.find(id).map(|container| container.id.clone());
            found.and_then(|id| state.containers.remove(&id))
        };
        if let Some(container) = removed {
            container.life.cancel();
            self.shared.changed();
            if container.state.is_running() {
                let event = crate::ContainerEvent {
                    id: container.id,
                    labels: container.spec.labels,
                };
                let _ = self.shared.deaths.send(event);
            }
        }
        Ok(())
    }

    async fn wait(&self, id: &ContainerId) -> Result<ContainerExit, RuntimeError> {
        let mut version = self.shared.version.subscribe();
        loop {
            version.borrow_and_update();
            if let ContainerState::Exited { exit, .. } = self.lock().known(id)?.state {
                return Ok(exit);
            }
            if version.changed().await.is_err() {
                return Err(RuntimeError::NotFound {
                    doing: DOING,
                    message: id.to_string(),
                });
            }
        }
    }

    async fn logs(&self, id: &ContainerId, query: LogQuery) -> Result<LogStream, RuntimeError> {
        self.enter(Call::Logs, id.as_str()).await?;
        let (id, total) = {
            let mut state = self.lock();
            let container = state.known(id)?;
            (container.id.clone(), container.lines.len())
        };
        let first = query.tail.map_or(0, |tail| total.saturating_sub(tail));
        let since = query.since.map(model::Timestamp::as_second);
        let (version, shared) = (self.shared.version.subscribe(), Arc::clone(&self.shared));
        let lines = futures::stream::unfold((first, version), move |(mut next, mut version)| {
            let (shared, id) = (Arc::clone(&shared), id.clone());
            async move {
                loop {
                    version.borrow_and_update();
                    let step = shared.lock().containers.get(&id).map(|container| {
                        (
                            container.lines.get(next).cloned(),
                            container.state.is_running(),
                        )
                    });
                    match step {
                        Some((Some(line), _)) => {
                            next += 1;
                            if since.is_none_or(|since| line.at.as_second() >= since) {
                                return Some((Ok(line), (next, version)));
                            }
                        }
                        Some((None, true)) if query.follow => version.changed().await.ok()?,
                        _ => return None,
                    }
                }
            }
        });
        Ok(Box::pin(lines)
            as std::pin::Pin<
                Box<dyn futures::Stream<Item = Result<RuntimeLogLine, RuntimeError>> + Send>,
            >)
    }

    async fn attach(&self, id: &ContainerId) -> Result<Attached, RuntimeError> {
        self.enter(Call::Attach, id.as_str()).await?;
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (sender, receiver) = mpsc::channel(64);
        let prints = {
            let mut state = self.lock();
            let container = state.known(id)?;
            container.attached = Some((theirs, sender.clone()));
            container.behaviour.prints.clone()
        };
        for text in prints {
            let bytes = Bytes::from(format!("{text}\n"));
            let _ = sender.try_send(crate::OutputChunk {
                stream: StdStream::Stdout,
                bytes,
            });
        }
        Ok(Attached {
            output: Box::pin(ReceiverStream::new(receiver).map(Ok)),
            input: Box::pin(ours),
        })
    }

    async fn resize(&self, id: &ContainerId, size: TtySize) -> Result<(), RuntimeError> {
        let mut state = self.lock();
        let container = state.known(id)?;
        container.spec.terminal = crate::Terminal::Tty(size);
        Ok(())
    }

    async fn exec(
        &self,
        id: &ContainerId,
        spec: &ExecSpec,
    ) -> Result<(Exec, Attached), RuntimeError> {
        self.enter(Call::Exec, id.as_str()).await?;
        self.start_exec(id, spec)
    }

    async fn execs(&self, id: &ContainerId, word: &str) -> Result<Vec<Exec>, RuntimeError> {
        let is_meant = |found: &super::FakeExec| {
            found.status.is_none() && found.spec.command.iter().any(|argument| argument == word)
        };
        let all = self.execs_of(id).into_iter();
        Ok(all
            .filter(is_meant)
            .map(|found| found.exec)
            .filter(|exec| self.exec_end(exec).is_none())
            .collect())
    }

    async fn resize_exec(&self, exec: &Exec, size: TtySize) -> Result<(), RuntimeError> {
        self.with_exec(exec, |found| found.size = Some(size));
        Ok(())
    }

    async fn signal_exec(&self, exec: &Exec, signal: Signal) -> Result<(), RuntimeError> {
        self.tell_exec(exec, signal);
        Ok(())
    }

    async fn wait_exec(&self, exec: &Exec) -> Result<Option<i64>, RuntimeError> {
        let mut version = self.shared.version.subscribe();
        loop {
            version.borrow_and_update();
            if let Some(end) = self.exec_end(exec) {
                return Ok(end);
            }
            if version.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    async fn memory_used(&self, id: &ContainerId) -> Result<u64, RuntimeError> {
        self.lock().known(id).map(|_| 1 << 20)
    }

    async fn listens_on_loopback_only(
        &self,
        id: &ContainerId,
        port: u16,
    ) -> Result<Option<IpAddr>, RuntimeError> {
        let mut state = self.lock();
        let container = state.known(id)?;
        let listens =
            container.state.is_running() && container.behaviour.listens_on_loopback == Some(port);
        Ok(listens.then_some(IpAddr::V4(Ipv4Addr::LOCALHOST)))
    }

    async fn ensure_network(&self, network: &NetworkSpec) -> Result<NetworkInfo, RuntimeError> {
        let info = NetworkInfo {
            name: network.name.clone(),
            bridge: network.bridge.clone(),
            subnet: network.subnet.clone(),
            gateway: None,
        };
        Ok(self
            .lock()
            .networks
            .entry(network.name.clone())
            .or_insert(info)
            .clone())
    }

    async fn image_exists(&self, image: &str) -> Result<bool, RuntimeError> {
        Ok(self
            .lock()
            .images
            .as_ref()
            .is_none_or(|images| images.contains(image)))
    }

    async fn events(&self, labels: &Labels) -> Result<EventStream, RuntimeError> {
        let wanted = labels.clone();
        let deaths = BroadcastStream::new(self.shared.deaths.subscribe());
        Ok(Box::pin(deaths.filter_map(move |event| {
            let event = event.ok().filter(|event| carries(&event.labels, &wanted));
            async move { event.map(Ok) }
        })))
    }
}
