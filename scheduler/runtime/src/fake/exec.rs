//! Commands in a fake container: each sends back what comes in. With pipes it ends with status 0 at the end of its input;
//! a terminal has no such end.

use bytes::Bytes;
use futures::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWrite};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::Fake;
use super::engine::DOING;
use crate::{
    Attached, ContainerId, Exec, ExecSpec, OutputChunk, RuntimeError, Signal, StdStream, TtySize,
};

/// As a test sees it.
#[derive(Debug, Clone)]
pub struct FakeExec {
    pub exec: Exec,
    pub spec: ExecSpec,
    pub size: Option<TtySize>,
    pub signals: Vec<Signal>,
    /// How it ended, if it has.
    pub status: Option<i64>,
    pub(super) life: CancellationToken,
}

impl Fake {
    /// Every command that was started in a container, in that order.
    pub fn execs_of(&self, id: &ContainerId) -> Vec<FakeExec> {
        self.lock()
            .find(id)
            .map(|container| container.execs.clone())
            .unwrap_or_default()
    }

    pub(super) fn start_exec(
        &self,
        id: &ContainerId,
        spec: &ExecSpec,
    ) -> Result<(Exec, Attached), RuntimeError> {
        let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
        let (sender, receiver) = mpsc::channel(64);
        let (exec, life) = {
            let mut state = self.lock();
            state.made += 1;
            let exec = Exec {
                id: format!("exec{:08}", state.made),
                container: id.clone(),
            };
            let container = state.known(id)?;
            if !container.state.is_running() {
                return Err(RuntimeError::Refused {
                    doing: DOING,
                    status: 409,
                    message: "it does not run".to_owned(),
                });
            }
            let life = container.life.child_token();
            container.execs.push(FakeExec {
                exec: exec.clone(),
                spec: spec.clone(),
                size: None,
                signals: Vec::new(),
                status: None,
                life: life.clone(),
            });
            (exec, life)
        };
        let (engine, ended, tty) = (self.clone(), exec.clone(), spec.tty);
        tokio::spawn(async move {
            let echo = async {
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = theirs.read(&mut buffer).await {
                    let chunk = OutputChunk {
                        stream: StdStream::Stdout,
                        bytes: Bytes::copy_from_slice(&buffer[..read]),
                    };
                    // As with Docker, it runs on when nobody listens.
                    let _ = sender.send(chunk).await;
                }
                if tty {
                    std::future::pending::<()>().await;
                }
            };
            if life.run_until_cancelled(echo).await.is_some() {
                engine.end_exec(&ended, 0);
            }
        });
        let input: std::pin::Pin<Box<dyn AsyncWrite + Send>> = Box::pin(ours);
        let output = Box::pin(ReceiverStream::new(receiver).map(Ok));
        Ok((exec, Attached { output, input }))
    }

    pub(super) fn with_exec<T>(
        &self,
        exec: &Exec,
        change: impl FnOnce(&mut FakeExec) -> T,
    ) -> Option<T> {
        let mut state = self.lock();
        let container = state.find(&exec.container)?;
        let found = container
            .execs
            .iter_mut()
            .find(|known| known.exec == *exec)?;
        Some(change(found))
    }

    fn end_exec(&self, exec: &Exec, status: i64) {
        self.with_exec(exec, |found| {
            found.status.get_or_insert(status);
            found.life.cancel();
        });
        self.shared.changed();
    }

    pub(super) fn tell_exec(&self, exec: &Exec, signal: Signal) {
        self.with_exec(exec, |found| found.signals.push(signal));
        let status = match signal {
            Signal::Hup => 129,
            Signal::Int => 130,
            Signal::Quit => 131,
            Signal::Kill => 137,
            Signal::Term => 143,
            Signal::Usr1 | Signal::Usr2 | Signal::Winch | Signal::Cont | Signal::Tstp => return,
        };
        self.end_exec(exec, status);
    }

    /// `None`: it runs; else whether it ended by itself, and how.
    pub(super) fn exec_end(&self, exec: &Exec) -> Option<Option<i64>> {
        let mut state = self.lock();
        let Some(container) = state.find(&exec.container) else {
            return Some(None);
        };
        let status = container
            .execs
            .iter()
            .find(|known| known.exec == *exec)
            .and_then(|found| found.status);
        match (status, container.state.is_running()) {
            (None, true) => None,
            (status, _) => Some(status),
        }
    }
}
