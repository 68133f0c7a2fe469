//! Log entries of Docker put together to lines.
//!
//! Docker cuts what a process writes into entries of at most 16 KiB, each with the time it was read; only the last of a
//! line ends in a line feed. The streams are two, so a line of one may begin before a line of the other has ended.

use std::collections::VecDeque;
use std::pin::Pin;

use bollard::container::LogOutput;
use bollard::errors::Error as BollardError;
use bollard::query_parameters as query;
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};
use model::Timestamp;

use super::convert;
use crate::observed::MAX_LINE_BYTES;
use crate::{LogPosition, LogQuery, LogResume, LogStream, RuntimeError, RuntimeLogLine, StdStream};

pub(super) fn options(wanted: LogQuery) -> query::LogsOptions {
    let tail = wanted
        .tail
        .map_or_else(|| "all".to_owned(), |lines| lines.to_string());
    let since = wanted
        .since
        .map_or(0, |at| i32::try_from(at.as_second()).unwrap_or(0));
    query::LogsOptionsBuilder::new()
        .stdout(true)
        .stderr(true)
        .timestamps(true)
        .follow(wanted.follow)
        .since(since)
        .tail(&tail)
        .build()
}

pub(super) type Entries = Pin<Box<dyn Stream<Item = Result<LogOutput, BollardError>> + Send>>;

/// The lines of what `open` reads.
///
/// When a container ends, Docker sometimes ends a followed log before its last, unfinished line. So after the end the rest
/// is read once more, without following.
pub(super) fn lines(
    open: impl Fn(LogQuery) -> Entries + Send + 'static,
    query: LogQuery,
) -> LogStream {
    let reader = Reader {
        entries: open(query),
        open,
        query,
        joiner: Joiner::default(),
        position: LogPosition::default(),
        resume: LogResume::default(),
        rest: VecDeque::new(),
        is_done: false,
    };
    let lines = futures::stream::unfold(reader, |mut reader| async move {
        let line = reader.next().await?;
        Some((line, reader))
    });
    Box::pin(lines)
}

struct Reader<F> {
    entries: Entries,
    open: F,
    /// What is being read; not followed once the end was seen.
    query: LogQuery,
    joiner: Joiner,
    position: LogPosition,
    resume: LogResume,
    /// Unfinished lines, after the end.
    rest: VecDeque<RuntimeLogLine>,
    is_done: bool,
}

impl<F: Fn(LogQuery) -> Entries> Reader<F> {
    async fn next(&mut self) -> Option<Result<RuntimeLogLine, RuntimeError>> {
        loop {
            if let Some(line) = self.rest.pop_front() {
                return Some(Ok(line));
            }
            if self.is_done {
                return None;
            }
            match self.entries.next().await {
                Some(Ok(entry)) => {
                    if let Some(line) = self.joiner.push(&entry)
                        && !self.resume.was_seen(line.at)
                    {
                        self.position.advance(line.at);
                        return Some(Ok(line));
                    }
                }
                Some(Err(error)) => {
                    self.is_done = true;
                    return Some(Err(convert("reading a container's log", error)));
                }
                None if self.query.follow => self.read_on_without_following(),
                None => {
                    self.is_done = true;
                    self.rest = self.joiner.finish().into();
                }
            }
        }
    }

    fn read_on_without_following(&mut self) {
        self.query.follow = false;
        if self.position.at.is_some() {
            self.query.since = self.position.at;
            self.query.tail = None;
        }
        self.resume = self.position.resume();
        self.joiner = Joiner::default();
        self.entries = (self.open)(self.query);
    }
}

/// Lines that have begun and not ended, one of each stream.
#[derive(Debug, Default)]
struct Joiner {
    stdout: Option<Begun>,
    stderr: Option<Begun>,
}

#[derive(Debug)]
struct Begun {
    at: Timestamp,
    bytes: BytesMut,
    cut: bool,
}

impl Joiner {
    fn push(&mut self, entry: &LogOutput) -> Option<RuntimeLogLine> {
        let (stream, begun) = match entry {
            LogOutput::StdErr { .. } => (StdStream::Stderr, &mut self.stderr),
            _ => (StdStream::Stdout, &mut self.stdout),
        };
        let (at, text) = split_time(entry.as_ref())?;
        let (text, ended) = match text.strip_suffix(b"\n") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let line = begun.get_or_insert_with(|| Begun {
            at,
            bytes: BytesMut::new(),
            cut: false,
        });
        let room = MAX_LINE_BYTES.saturating_sub(line.bytes.len());
        line.bytes.extend_from_slice(&text[..text.len().min(room)]);
        line.cut |= text.len() > room;
        if ended {
            begun.take().map(|line| line.end(stream))
        } else {
            None
        }
    }

    fn finish(&mut self) -> Vec<RuntimeLogLine> {
        let rest = [
            self.stdout.take().map(|line| line.end(StdStream::Stdout)),
            self.stderr.take().map(|line| line.end(StdStream::Stderr)),
        ];
        rest.into_iter().flatten().collect()
    }
}

impl Begun {
    fn end(self, stream: StdStream) -> RuntimeLogLine {
        let mut bytes: Bytes = self.bytes.freeze();
        if bytes.ends_with(b"\r") {
            bytes.truncate(bytes.len() - 1);
        }
        RuntimeLogLine {
            at: self.at,
            stream,
            bytes,
            cut: self.cut,
        }
    }
}

fn split_time(entry: &[u8]) -> Option<(Timestamp, &[u8])> {
    let space = entry.iter().position(|byte| *byte == b' ')?;
    let at = std::str::from_utf8(&entry[..space]).ok()?.parse().ok()?;
    Some((at, &entry[space + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(stream: StdStream, text: &str) -> Result<LogOutput, BollardError> {
        let message = Bytes::from(format!("2024-05-01T10:00:00.000000001Z {text}"));
        Ok(match stream {
            StdStream::Stdout => LogOutput::StdOut { message },
            StdStream::Stderr => LogOutput::StdErr { message },
        })
    }

    type Recorded = Vec<Result<LogOutput, BollardError>>;

    async fn read(
        open: impl Fn(LogQuery) -> Recorded + Send + 'static,
        follow: bool,
    ) -> Vec<(String, bool)> {
        let query = LogQuery {
            follow,
            ..LogQuery::default()
        };
        lines(
            move |query| Box::pin(futures::stream::iter(open(query))),
            query,
        )
        .map(|line| line.unwrap())
        .map(|line| (String::from_utf8_lossy(&line.bytes).into_owned(), line.cut))
        .collect()
        .await
    }

    async fn joined(open: impl Fn() -> Recorded + Send + 'static) -> Vec<(String, bool)> {
        read(move |_| open(), false).await
    }

    #[tokio::test]
    async fn a_followed_log_that_ends_early_is_read_to_its_end() {
        use StdStream::Stdout;
        let open = |query: LogQuery| {
            let mut all = vec![
                entry(Stdout, "one\n"),
                entry(Stdout, "two\n"),
                entry(Stdout, "three\n"),
            ];
            if query.follow {
                all.pop();
                all.push(entry(Stdout, "thr"));
            } else {
                all.push(entry(Stdout, "no end"));
            }
            all
        };
        let lines: Vec<_> = read(open, true)
            .await
            .into_iter()
            .map(|(text, _)| text)
            .collect();
        assert_eq!(lines, ["one", "two", "three", "no end"]);
    }

    #[tokio::test]
    async fn parts_of_a_line_are_joined_and_streams_kept_apart() {
        use StdStream::{Stderr, Stdout};
        let entries = || {
            vec![
                entry(Stdout, "one "),
                entry(Stderr, "other\n"),
                entry(Stdout, "two\r\n"),
                entry(Stdout, "\n"),
                entry(Stdout, "no end"),
            ]
        };
        let lines: Vec<_> = joined(entries)
            .await
            .into_iter()
            .map(|(text, _)| text)
            .collect();
        assert_eq!(lines, ["other", "one two", "", "no end"]);
    }

    #[tokio::test]
    async fn an_endless_line_takes_bounded_memory_and_says_that_it_was_cut() {
        let entries = || {
            let part = "x".repeat(16 << 10);
            let mut entries: Vec<_> = (0..20).map(|_| entry(StdStream::Stdout, &part)).collect();
            entries.push(entry(StdStream::Stdout, "end\n"));
            entries
        };
        let lines = joined(entries).await;
        assert_eq!(
            (lines.len(), lines[0].0.len(), lines[0].1),
            (1, MAX_LINE_BYTES, true)
        );
    }
}
