//! A dyno's output, from the engine's log to the platform's: each line once, in order, across restarts of the agent.
//!
//! The position (which container, the time of its last line) is kept in a file. It is written a moment after the lines
//! before it were handed on, so that an agent that is killed repeats the last moment rather than losing it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use controller_api::LogSink;
use futures::StreamExt as _;
use model::{AppId, LogLine, LogSource, Timestamp};
use runtime::{ContainerId, LogPosition, LogQuery, Runtime, RuntimeError, RuntimeLogLine};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// How far the file may be behind.
const SAVE_EVERY: Duration = Duration::from_millis(250);
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Whose output it is.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub app: AppId,
    pub process: String,
    pub container: ContainerId,
    pub position_file: PathBuf,
}

/// Follows one container until it has ended or [`LogFollower::stop`].
#[derive(Debug)]
pub(crate) struct LogFollower {
    container: ContainerId,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl LogFollower {
    pub(crate) fn start(
        source: Source,
        runtime: Arc<dyn Runtime>,
        logs: LogSink,
        stop: CancellationToken,
        tasks: &TaskTracker,
    ) -> Self {
        let container = source.container.clone();
        let task = tasks.spawn(follow(source, runtime, logs, stop.clone()));
        Self {
            container,
            stop,
            task: Some(task),
        }
    }

    pub(crate) const fn container(&self) -> &ContainerId {
        &self.container
    }

    /// Until all that a container which has ended wrote is handed on; within reason.
    pub(crate) async fn drain(&mut self, within: Duration) {
        let Some(mut task) = self.task.take() else {
            return;
        };
        if tokio::time::timeout(within, &mut task).await.is_err() {
            warn!(container.id = %self.container, "The end of a container's log did not come in time");
            self.stop.cancel();
            let _ = tokio::time::timeout(Duration::from_secs(1), task).await;
        }
    }
}

impl Drop for LogFollower {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn follow(source: Source, runtime: Arc<dyn Runtime>, logs: LogSink, stop: CancellationToken) {
    let mut position = Position::load(&source.position_file, &source.container).await;
    loop {
        let end = tokio::select! {
            // First: once told to stop it hands on no more, because the next follower will.
            biased;
            () = stop.cancelled() => None,
            end = hand_on(&source, &*runtime, &logs, &mut position) => Some(end),
        };
        position.save(&source).await;
        let Some(end) = end else { return };
        match end {
            Ok(()) => match runtime.inspect(&source.container).await {
                Ok(Some(info)) if info.state.is_running() => {}
                Ok(_) => return,
                Err(error) => debug!(
                    error = &error as &dyn std::error::Error,
                    "Could not look at a container"
                ),
            },
            Err(error) if error.is_not_found() => return,
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, container.id = %source.container,
                    "Could not follow a container's log; will retry");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY_AFTER) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Until the stream ends.
async fn hand_on(
    source: &Source,
    runtime: &dyn Runtime,
    logs: &LogSink,
    position: &mut Position,
) -> Result<(), RuntimeError> {
    let mut lines = runtime
        .logs(&source.container, LogQuery::follow_since(position.line.at))
        .await?;
    let mut resume = position.line.resume();
    let mut save = tokio::time::interval(SAVE_EVERY);
    save.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut saved_soon = position.clone();
    loop {
        tokio::select! {
            line = lines.next() => {
                let Some(line) = line.transpose()? else { return Ok(()) };
                if resume.was_seen(line.at) {
                    continue;
                }
                position.line.advance(line.at);
                logs.send(log_line(source, &line));
            }
            // A dyno that says nothing costs nothing.
            _ = save.tick(), if position.saved != position.line => {
                // One tick behind: what is saved has had that long to get away.
                saved_soon.save(source).await;
                position.saved = saved_soon.saved;
                saved_soon.line = position.line;
            }
        }
    }
}

fn log_line(source: &Source, line: &RuntimeLogLine) -> LogLine {
    let mut text = String::from_utf8_lossy(&line.bytes).into_owned();
    if line.cut {
        text.push_str(" [cut]");
    }
    LogLine {
        app: source.app,
        at: line.at,
        source: LogSource::App,
        process: source.process.clone(),
        text,
    }
}

/// After the last line handed on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Position {
    line: LogPosition,
    /// As the file has it.
    saved: LogPosition,
}

impl Position {
    async fn load(path: &Path, container: &ContainerId) -> Self {
        let text = fs_err::tokio::read_to_string(path)
            .await
            .unwrap_or_default();
        Self::parse(&text, container).unwrap_or_default()
    }

    fn parse(text: &str, container: &ContainerId) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        if words.next()? != container.as_str() {
            return None;
        }
        let at = Timestamp::from_nanosecond(words.next()?.parse().ok()?).ok()?;
        let line = LogPosition {
            at: Some(at),
            same: words.next()?.parse().ok()?,
        };
        Some(Self { line, saved: line })
    }

    async fn save(&mut self, source: &Source) {
        let Some(at) = self.line.at.filter(|_| self.saved != self.line) else {
            return;
        };
        let text = format!(
            "{} {} {}\n",
            source.container,
            at.as_nanosecond(),
            self.line.same
        );
        let new = source.position_file.with_extension("new");
        let written = async {
            fs_err::tokio::write(&new, text).await?;
            fs_err::tokio::rename(&new, &source.position_file).await
        };
        match written.await {
            Ok(()) => self.saved = self.line,
            // The directory goes when the dyno does; its last lines are out by then.
            Err(error) => debug!(%error, "Could not keep the position in a log"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanosecond: i128) -> Timestamp {
        Timestamp::from_nanosecond(nanosecond).unwrap()
    }

    #[test]
    fn a_position_is_of_one_container() {
        let container = ContainerId::new("abc");
        let position = Position::parse("abc 12 3\n", &container).unwrap();
        assert_eq!((position.line.at, position.line.same), (Some(at(12)), 3));
        assert_eq!(Position::parse("abd 12 3\n", &container), None);
        assert_eq!(Position::parse("abc 12", &container), None);
        assert_eq!(Position::parse("", &container), None);
    }
}
