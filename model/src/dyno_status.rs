//! A dyno as it is: written by the agent of its node alone.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{AppId, DynoId, NodeId, Timestamp};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DynoStatus {
    pub dyno: DynoId,
    pub app: AppId,
    pub node: NodeId,
    pub state: DynoState,
    /// How often it was started again after ending by itself.
    pub restarts: u32,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum DynoState {
    /// Created or booting. A web dyno leaves it when `$PORT` accepts connections.
    Starting { since: Timestamp },
    /// Running; `addr` is where a web dyno is reached from every router.
    Up {
        since: Timestamp,
        addr: Option<SocketAddr>,
    },
    /// Ended by itself; started again at `retry_at`.
    Crashed {
        at: Timestamp,
        exit: Exit,
        retry_at: Timestamp,
    },
    /// SIGTERM was sent.
    Stopping { since: Timestamp },
    /// Ended for good: asked to, or a one-off dyno that finished.
    Stopped { at: Timestamp, exit: Option<Exit> },
}

/// How a dyno's run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    pub reason: ExitReason,
    /// The last lines it wrote, oldest first; at most [`MAX_TAIL_LINES`] of [`MAX_TAIL_LINE_BYTES`].
    pub log_tail: Vec<String>,
}

pub const MAX_TAIL_LINES: usize = 50;
pub const MAX_TAIL_LINE_BYTES: usize = 400;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum ExitReason {
    /// Status as a shell tells it: 128 + n for a signal.
    Exited { status: i64 },
    /// R10: `$PORT` was not bound in time.
    BootTimeout { seconds: u64 },
    /// R15: used more memory than its size has.
    OutOfMemory,
    /// The container could not be made or started.
    LaunchFailed { message: String },
}

impl ExitReason {
    /// Heroku's words for it.
    pub fn describe(&self) -> String {
        match self {
            Self::Exited { status } => format!("Process exited with status {status}"),
            Self::BootTimeout { seconds } => format!(
                "Error R10 (Boot timeout) -> Web process failed to bind to $PORT within {seconds} seconds of launch"
            ),
            Self::OutOfMemory => "Error R15 (Memory quota vastly exceeded)".to_owned(),
            Self::LaunchFailed { message } => format!("Could not start: {message}"),
        }
    }
}

impl DynoState {
    pub const fn is_up(&self) -> bool {
        matches!(self, Self::Up { .. })
    }

    pub const fn is_stopped(&self) -> bool {
        matches!(self, Self::Stopped { .. })
    }

    /// Heroku's word for it: starting, up, crashed, down.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Starting { .. } => "starting",
            Self::Up { .. } => "up",
            Self::Crashed { .. } => "crashed",
            Self::Stopping { .. } | Self::Stopped { .. } => "down",
        }
    }
}

/// A dyno that stayed up this long has left its crashes behind.
pub const STABLE_AFTER: Duration = Duration::from_secs(300);

/// How long to wait before a crashed dyno is started again: at once the first time, then 10 s doubling up to 20 min.
pub fn crash_backoff(restarts: u32) -> Duration {
    match restarts {
        0 => Duration::ZERO,
        n => Duration::from_secs(
            10u64
                .saturating_mul(1 << n.saturating_sub(1).min(10))
                .min(1200),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_at_once_and_later_ones_back_off_to_a_bound() {
        let seconds: Vec<_> = [0, 1, 2, 3, 8, 100]
            .into_iter()
            .map(|n| crash_backoff(n).as_secs())
            .collect();
        assert_eq!(seconds, [0, 10, 20, 40, 1200, 1200]);
    }
}
