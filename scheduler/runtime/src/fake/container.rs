//! The life of a fake container.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Behaviour, FakeContainer, FakeExec, Shared};
use crate::{
    ContainerEvent, ContainerExit, ContainerId, ContainerSpec, ContainerState, OutputChunk,
    RuntimeLogLine, Signal, StdStream,
};

pub(super) struct Container {
    pub serial: u64,
    pub id: ContainerId,
    pub spec: ContainerSpec,
    pub state: ContainerState,
    pub ip: IpAddr,
    pub signals: Vec<Signal>,
    pub lines: Vec<RuntimeLogLine>,
    pub behaviour: Behaviour,
    /// Cancelled when it ends: stops what it does.
    pub life: CancellationToken,
    pub execs: Vec<FakeExec>,
    /// The container's ends of an attachment.
    pub attached: Option<(DuplexStream, mpsc::Sender<OutputChunk>)>,
}

impl Container {
    /// Nobody listens there: what is published is only told.
    pub(super) fn published(&self) -> Option<SocketAddr> {
        let publish = self.spec.publish.filter(|_| self.state.is_running())?;
        let offset = u16::try_from(self.serial % 10_000).unwrap_or(0);
        Some(SocketAddr::new(publish.host, 32_768 + offset))
    }

    pub(super) fn view(&self) -> FakeContainer {
        FakeContainer {
            serial: self.serial,
            id: self.id.clone(),
            spec: self.spec.clone(),
            state: self.state.clone(),
            signals: self.signals.clone(),
        }
    }
}

/// Starts doing what the script says.
pub(super) fn begin(shared: &Arc<Shared>, id: &ContainerId) {
    let Some((behaviour, ip, life, attached)) =
        shared.lock().containers.get_mut(id).map(|container| {
            (
                container.behaviour.clone(),
                container.ip,
                container.life.clone(),
                container.attached.take(),
            )
        })
    else {
        return;
    };
    if let Some((port, after)) = behaviour.listens {
        spawn(
            &life,
            listen(SocketAddr::new(ip, port), after, id.to_string()),
        );
    }
    if let Some((after, status)) = behaviour.exits {
        let (shared, id) = (Arc::clone(shared), id.clone());
        spawn(&life, async move {
            tokio::time::sleep(after).await;
            end(&shared, &id, ContainerExit { status, oom: false });
        });
    }
    if let Some((input, output)) = attached {
        let (shared, id) = (Arc::clone(shared), id.clone());
        spawn(&life, async move {
            if behaviour.echoes {
                echo(input, output).await;
                end(
                    &shared,
                    &id,
                    ContainerExit {
                        status: 0,
                        oom: false,
                    },
                );
            } else {
                // Holds both ends open for as long as the container lives.
                let _ends = (input, output);
                std::future::pending::<()>().await;
            }
        });
    }
}

pub(super) fn end(shared: &Shared, id: &ContainerId, exit: ContainerExit) {
    let event = {
        let mut state = shared.lock();
        let Some(container) = state
            .containers
            .get_mut(id)
            .filter(|container| container.state.is_running())
        else {
            return;
        };
        container.state = ContainerState::Exited {
            exit,
            finished_at: Timestamp::now(),
        };
        container.life.cancel();
        ContainerEvent {
            id: id.clone(),
            labels: container.spec.labels.clone(),
        }
    };
    shared.changed();
    let _ = shared.deaths.send(event);
}

fn spawn(life: &CancellationToken, work: impl Future<Output = ()> + Send + 'static) {
    let life = life.clone();
    tokio::spawn(async move { life.run_until_cancelled_owned(work).await });
}

async fn listen(addr: SocketAddr, after: Duration, name: String) {
    tokio::time::sleep(after).await;
    let Ok(listener) = TcpListener::bind(addr).await else {
        return;
    };
    let body = format!("hello from {name}\n");
    let response = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    while let Ok((mut connection, _)) = listener.accept().await {
        let response = response.clone();
        tokio::spawn(async move {
            let mut request = [0; 4096];
            if matches!(connection.read(&mut request).await, Ok(read) if read > 0) {
                let _ = connection.write_all(response.as_bytes()).await;
            }
        });
    }
}

async fn echo(mut input: DuplexStream, output: mpsc::Sender<OutputChunk>) {
    let mut buffer = [0; 4096];
    while let Ok(read) = input.read(&mut buffer).await {
        let bytes = Bytes::copy_from_slice(&buffer[..read]);
        if read == 0
            || output
                .send(OutputChunk {
                    stream: StdStream::Stdout,
                    bytes,
                })
                .await
                .is_err()
        {
            return;
        }
    }
}
