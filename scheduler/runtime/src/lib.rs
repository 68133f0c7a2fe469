//! What the platform asks of a container engine, and nothing more: a trait, Docker behind it, and a fake for tests.
//!
//! Invariants: every call but [`Runtime::wait`], [`Runtime::wait_exec`] and the streams ends within a deadline, so a hung engine is an error and
//! not a hung platform; no call passes user data through a shell; nobody else imports the engine's client.

pub mod docker;
pub mod error;
pub mod fake;
pub mod observed;
pub mod position;
pub mod slug;
pub mod spec;

use std::fmt;
use std::net::IpAddr;

use async_trait::async_trait;

pub use docker::Docker;
pub use error::RuntimeError;
pub use fake::Fake;
pub use observed::{
    Attached, ContainerEvent, ContainerExit, ContainerId, ContainerInfo, ContainerState,
    ContainerSummary, EventStream, Exec, LogQuery, LogStream, NetworkInfo, OutputChunk,
    OutputStream, RuntimeLogLine, StdStream,
};
pub use position::{LogPosition, LogResume};
pub use spec::{
    ContainerSpec, ExecSpec, Labels, Limits, LogKeeping, Mount, NetworkSpec, Publish, Signal,
    Terminal, TtySize, Ulimit,
};

/// A container engine on this host.
#[async_trait]
pub trait Runtime: Send + Sync + fmt::Debug {
    /// Makes a container; it runs nothing yet.
    async fn create(&self, spec: &ContainerSpec) -> Result<ContainerId, RuntimeError>;

    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError>;

    /// By id or by name (`ContainerId::from_name`); `None` when there is no such container.
    async fn inspect(&self, id: &ContainerId) -> Result<Option<ContainerInfo>, RuntimeError>;

    /// All containers, running or not, that carry all of `labels`.
    async fn list(&self, labels: &Labels) -> Result<Vec<ContainerSummary>, RuntimeError>;

    /// Sends the signal to every process of the container but the engine's own init; to those that would die under a child
    /// of theirs, or pass the signal on to it, when that child has ended. Fine when it no longer runs.
    async fn signal_all(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError>;

    /// SIGKILL to everything in it. Fine when it no longer runs.
    async fn kill(&self, id: &ContainerId) -> Result<(), RuntimeError>;

    /// Kills it if need be, and removes it with its unnamed volumes. Fine when it is already gone.
    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError>;

    /// Until the container has ended. No deadline.
    async fn wait(&self, id: &ContainerId) -> Result<ContainerExit, RuntimeError>;

    /// What it wrote, as whole lines, oldest first.
    async fn logs(&self, id: &ContainerId, query: LogQuery) -> Result<LogStream, RuntimeError>;

    /// The container's standard streams. Call it before [`Runtime::start`] to miss nothing.
    async fn attach(&self, id: &ContainerId) -> Result<Attached, RuntimeError>;

    /// Of a container with a terminal.
    async fn resize(&self, id: &ContainerId, size: TtySize) -> Result<(), RuntimeError>;

    /// Starts a command in a running container.
    async fn exec(
        &self,
        id: &ContainerId,
        spec: &ExecSpec,
    ) -> Result<(Exec, Attached), RuntimeError>;

    /// Those that have not ended, and whose argument vectors have this word. None of a container that does not run.
    async fn execs(&self, id: &ContainerId, word: &str) -> Result<Vec<Exec>, RuntimeError>;

    /// Of one with a terminal.
    async fn resize_exec(&self, exec: &Exec, size: TtySize) -> Result<(), RuntimeError>;

    /// Sends the signal to every process of its session, and to their descendants. Fine when it has ended.
    async fn signal_exec(&self, exec: &Exec, signal: Signal) -> Result<(), RuntimeError>;

    /// Its status, as a shell tells it, once it has ended; `None` when it ended with its container. No deadline.
    async fn wait_exec(&self, exec: &Exec) -> Result<Option<i64>, RuntimeError>;

    /// Bytes of memory its processes use now, without reclaimable page cache.
    async fn memory_used(&self, id: &ContainerId) -> Result<u64, RuntimeError>;

    /// The loopback address at which its processes listen on the port, when they listen on it nowhere else: nobody
    /// outside the container reaches them there. `None` too when that cannot be told.
    async fn listens_on_loopback_only(
        &self,
        id: &ContainerId,
        port: u16,
    ) -> Result<Option<IpAddr>, RuntimeError>;

    /// Makes the network if there is none of that name.
    async fn ensure_network(&self, network: &NetworkSpec) -> Result<NetworkInfo, RuntimeError>;

    async fn image_exists(&self, image: &str) -> Result<bool, RuntimeError>;

    /// Ends of containers that carry all of `labels`, from now on. The stream ends when the engine goes away.
    async fn events(&self, labels: &Labels) -> Result<EventStream, RuntimeError>;
}
