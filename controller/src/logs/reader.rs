//! Reading this controller's lines of an app: what is there first, then what comes.

use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use futures::stream::unfold;
use model::AppId;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Cursor, Filter, Lines, LogError, LogStore};

/// Something so often tells a peer that this controller is there.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Lines that come within this time of each other are sent together.
const GATHER: Duration = Duration::from_millis(20);
/// To a peer, after what was there at the beginning; and before the number of lines that were lost.
pub(super) const CAUGHT_UP: &str = ".";
pub(super) const LOST: &str = "! ";

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Start {
    /// With the newest so many lines that pass.
    Backlog(usize),
    /// With the line after that number.
    After(u64),
}

#[derive(Debug)]
pub(crate) struct Reader {
    logs: LogStore,
    app: AppId,
    filter: Filter,
    /// The number of the next line; closed when the log is removed.
    latest: watch::Receiver<u64>,
    cursor: Cursor,
    ready: Lines,
}

impl Reader {
    pub(crate) async fn open(
        logs: &LogStore,
        app: AppId,
        filter: Filter,
        start: Start,
    ) -> Result<Self, LogError> {
        // Before the first reading: what comes after it is not missed.
        let latest = logs.follow(app).await?;
        let (ready, cursor) = match start {
            Start::Backlog(count) => logs.backlog(app, filter.clone(), count).await?,
            Start::After(id) => (Lines::default(), logs.seek(app, id).await?),
        };
        Ok(Self {
            logs: logs.clone(),
            app,
            filter,
            latest,
            cursor,
            ready,
        })
    }

    /// Lines that are there and were not read; `None` when all were.
    pub(super) async fn read(&mut self) -> Result<Option<Lines>, LogError> {
        loop {
            let ready = std::mem::take(&mut self.ready);
            if ready != Lines::default() {
                return Ok(Some(ready));
            }
            if self.cursor.next_id >= *self.latest.borrow_and_update() {
                return Ok(None);
            }
            let read = self
                .logs
                .read(self.app, self.cursor, self.filter.clone())
                .await?;
            if read.1 == self.cursor && read.0 == Lines::default() {
                // Files that are gone: nothing more will come of them, but new lines will.
                return Ok(None);
            }
            (self.ready, self.cursor) = read;
        }
    }

    /// Until there may be more; `false` when the log is removed.
    pub(super) async fn changed(&mut self) -> bool {
        let changed = self.latest.changed().await.is_ok();
        if changed {
            tokio::time::sleep(GATHER).await;
        }
        changed
    }

    /// For another controller: numbered lines, then what comes if it is to `tail`.
    pub(crate) fn stream(
        self,
        tail: bool,
        shutdown: CancellationToken,
    ) -> impl Stream<Item = Result<Bytes, LogError>> + Send + 'static {
        unfold((self, false), move |(mut reader, caught_up)| {
            let shutdown = shutdown.clone();
            async move {
                loop {
                    match reader.read().await {
                        Ok(Some(lines)) => {
                            return Some((Ok(numbered(&lines)), (reader, caught_up)));
                        }
                        Ok(None) if !caught_up => {
                            let chunk = format!("{CAUGHT_UP}\n").into();
                            return Some((Ok(chunk), (reader, true)));
                        }
                        Ok(None) if !tail => return None,
                        Ok(None) => {}
                        Err(error) => return Some((Err(error), (reader, caught_up))),
                    }
                    tokio::select! {
                        () = shutdown.cancelled() => return None,
                        there = reader.changed() => {
                            if !there {
                                return None;
                            }
                        }
                        () = tokio::time::sleep(HEARTBEAT) => {
                            return Some((Ok(Bytes::from_static(b"\n")), (reader, caught_up)));
                        }
                    }
                }
            }
        })
    }
}

fn numbered(lines: &Lines) -> Bytes {
    let mut text = String::new();
    if lines.lost > 0 {
        text.push_str(&format!("{LOST}{}\n", lines.lost));
    }
    for (id, line) in &lines.lines {
        text.extend([id.to_string().as_str(), " ", line.as_str(), "\n"]);
    }
    text.into()
}
