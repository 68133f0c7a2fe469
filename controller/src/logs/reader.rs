//! Following an app's log as a stream of bytes: the backlog first, then what comes.

use std::time::Duration;

use bytes::Bytes;
use controller_api::log_sink::overflow;
use futures::Stream;
use futures::stream::unfold;
use model::log::{LogLine, LogSource};
use model::{AppId, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Cursor, Filter, Lines, LogError, LogStore};

/// A comment so often keeps proxies from cutting a silent stream.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Lines that come within this time of each other are sent together.
const GATHER: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Server-sent events: lines with numbers, so that a reader can go on where it was cut off.
    Events,
    /// Lines.
    Text,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

    /// Ends after the present lines, unless it is to `tail`: then when the log is removed, or at shutdown.
    pub(crate) fn stream(
        self,
        format: Format,
        tail: bool,
        shutdown: CancellationToken,
    ) -> impl Stream<Item = Result<Bytes, LogError>> + Send + 'static {
        let greeting = match format {
            // Without `tail` the client should not linger in the belief that it was cut off.
            Format::Events => Some(Bytes::from_static(b"retry: 10\n\n")),
            Format::Text => None,
        };
        unfold((self, greeting), move |(mut reader, greeting)| {
            let shutdown = shutdown.clone();
            async move {
                let chunk = match greeting {
                    Some(greeting) => Ok(greeting),
                    None => reader.next(format, tail, &shutdown).await?,
                };
                Some((chunk, (reader, None)))
            }
        })
    }

    async fn next(
        &mut self,
        format: Format,
        tail: bool,
        shutdown: &CancellationToken,
    ) -> Option<Result<Bytes, LogError>> {
        loop {
            let ready = std::mem::take(&mut self.ready);
            if let Some(chunk) = self.chunk(format, &ready) {
                return Some(Ok(chunk));
            }
            let behind = self.cursor.next_id < *self.latest.borrow_and_update();
            if behind {
                match self
                    .logs
                    .read(self.app, self.cursor, self.filter.clone())
                    .await
                {
                    Ok((lines, cursor)) if cursor != self.cursor || !lines.lines.is_empty() => {
                        (self.ready, self.cursor) = (lines, cursor);
                        continue;
                    }
                    // Files that are gone: nothing more will come of them, but new lines will.
                    Ok(_) => {}
                    Err(error) => {
                        warn!(error = &error as &dyn std::error::Error, app.id = %self.app, "Could not read a log");
                        return Some(Err(error));
                    }
                }
            }
            if !tail {
                return None;
            }
            tokio::select! {
                () = shutdown.cancelled() => return None,
                changed = self.latest.changed() => {
                    changed.ok()?;
                    tokio::time::sleep(GATHER).await;
                }
                () = tokio::time::sleep(HEARTBEAT), if format == Format::Events => {
                    return Some(Ok(Bytes::from_static(b":\n\n")));
                }
            }
        }
    }

    fn chunk(&self, format: Format, lines: &Lines) -> Option<Bytes> {
        let mut text = String::new();
        if lines.lost > 0 {
            let notice = self.loss(lines.lost);
            match format {
                Format::Events => text.extend(["data: ", notice.as_str(), "\n\n"]),
                Format::Text => text.extend([notice.as_str(), "\n"]),
            }
        }
        for (id, line) in &lines.lines {
            match format {
                Format::Events => text.extend([
                    "id: ",
                    id.to_string().as_str(),
                    "\ndata: ",
                    line.as_str(),
                    "\n\n",
                ]),
                Format::Text => text.extend([line.as_str(), "\n"]),
            }
        }
        (!text.is_empty()).then(|| text.into())
    }

    fn loss(&self, count: u64) -> String {
        let now = Timestamp::now();
        let (source, process) = (LogSource::Heroku, "logplex".to_owned());
        LogLine {
            app: self.app,
            at: now,
            source,
            process,
            text: overflow(count, now),
        }
        .to_string()
    }
}
