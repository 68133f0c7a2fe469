//! A container as it is found.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

use bytes::Bytes;
use futures::Stream;
use model::Timestamp;
use tokio::io::AsyncWrite;

use crate::{Labels, RuntimeError};

/// The engine's id of a container, or its name: the engine takes both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(String);

impl ContainerId {
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    pub fn from_name(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A command that runs in a container besides what it was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// The engine's.
    pub id: String,
    pub container: ContainerId,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerInfo {
    pub id: ContainerId,
    pub name: String,
    pub labels: Labels,
    pub state: ContainerState,
    /// Its address in its network, while it runs.
    pub ip: Option<IpAddr>,
    /// Where its published port is reached from other hosts, while it runs.
    pub published: Option<SocketAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerState {
    /// Made, never started.
    Created,
    Running {
        started_at: Timestamp,
    },
    Exited {
        exit: ContainerExit,
        finished_at: Timestamp,
    },
}

impl ContainerState {
    pub const fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }
}

/// A line of a listing: cheap to get, without how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSummary {
    pub id: ContainerId,
    pub name: String,
    pub labels: Labels,
    pub running: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContainerExit {
    /// As a shell tells it: 128 + n for a signal.
    pub status: i64,
    /// Its main process was killed because the container had used up its memory.
    pub oom: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StdStream {
    Stdout,
    Stderr,
}

/// Which log lines are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogQuery {
    /// Only lines from this second on. To resume exactly, drop the lines already seen by their `at`.
    pub since: Option<Timestamp>,
    /// Only the last so many lines.
    pub tail: Option<usize>,
    /// Go on until the container ends.
    pub follow: bool,
}

impl LogQuery {
    pub const fn last(lines: usize) -> Self {
        Self {
            since: None,
            tail: Some(lines),
            follow: false,
        }
    }

    pub const fn follow_since(since: Option<Timestamp>) -> Self {
        Self {
            since,
            tail: None,
            follow: true,
        }
    }
}

/// One line, without its line end. Longer than [`MAX_LINE_BYTES`] it is cut there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeLogLine {
    /// When its first byte was written, to the nanosecond.
    pub at: Timestamp,
    pub stream: StdStream,
    pub bytes: Bytes,
    /// The rest was dropped.
    pub cut: bool,
}

pub use model::log::MAX_LINE_BYTES;

pub type LogStream = Pin<Box<dyn Stream<Item = Result<RuntimeLogLine, RuntimeError>> + Send>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputChunk {
    /// Always `Stdout` with a terminal.
    pub stream: StdStream,
    pub bytes: Bytes,
}

pub type OutputStream = Pin<Box<dyn Stream<Item = Result<OutputChunk, RuntimeError>> + Send>>;

/// Both directions of a container's standard streams.
pub struct Attached {
    /// Ends when the container's processes have closed their output.
    pub output: OutputStream,
    /// Shutting it down is end of file to the container.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attached")
    }
}

/// A container's main process has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerEvent {
    pub id: ContainerId,
    pub labels: Labels,
}

pub type EventStream = Pin<Box<dyn Stream<Item = Result<ContainerEvent, RuntimeError>> + Send>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkInfo {
    pub name: String,
    /// The host's bridge interface.
    pub bridge: String,
    /// `172.30.0.0/16`, where the engine says.
    pub subnet: Option<String>,
    /// The host's own address in it.
    pub gateway: Option<IpAddr>,
}
