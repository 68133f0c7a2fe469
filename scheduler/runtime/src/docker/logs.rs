//! Log entries of Docker put together to lines.
//!
//! Docker cuts what a process writes into entries of at most 16 KiB, each with the time it was read; only the last of a
//! line ends in a line feed. The streams are two, so a line of one may begin before a line of the other has ended.

use bollard::container::LogOutput;
use bollard::errors::Error as BollardError;
use bollard::query_parameters as query;
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};
use model::Timestamp;

use super::convert;
use crate::observed::MAX_LINE_BYTES;
use crate::{LogQuery, LogStream, RuntimeLogLine, StdStream};

pub(super) fn options(wanted: LogQuery) -> query::LogsOptions {
    let tail = wanted.tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string());
    let since = wanted.since.map_or(0, |at| i32::try_from(at.as_second()).unwrap_or(0));
    query::LogsOptionsBuilder::new()
        .stdout(true)
        .stderr(true)
        .timestamps(true)
        .follow(wanted.follow)
        .since(since)
        .tail(&tail)
        .build()
}

pub(super) fn lines(
    entries: impl Stream<Item = Result<LogOutput, BollardError>> + Send + 'static,
) -> LogStream {
    let state = (Box::pin(entries), Joiner::default(), false);
    let lines = futures::stream::unfold(state, |(mut entries, mut joiner, done)| async move {
        if done {
            return None;
        }
        loop {
            match entries.next().await {
                Some(Ok(entry)) => {
                    if let Some(line) = joiner.push(&entry) {
                        return Some((vec![Ok(line)], (entries, joiner, false)));
                    }
                }
                Some(Err(error)) => {
                    let error = convert("reading a container's log", error);
                    return Some((vec![Err(error)], (entries, joiner, true)));
                }
                None => {
                    let rest = joiner.finish().into_iter().map(Ok).collect();
                    return Some((rest, (entries, joiner, true)));
                }
            }
        }
    });
    Box::pin(lines.flat_map(futures::stream::iter))
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
        let line = begun.get_or_insert_with(|| Begun { at, bytes: BytesMut::new(), cut: false });
        let room = MAX_LINE_BYTES.saturating_sub(line.bytes.len());
        line.bytes.extend_from_slice(&text[..text.len().min(room)]);
        line.cut |= text.len() > room;
        if ended { begun.take().map(|line| line.end(stream)) } else { None }
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
        RuntimeLogLine { at: self.at, stream, bytes, cut: self.cut }
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

    async fn joined(entries: Vec<Result<LogOutput, BollardError>>) -> Vec<(String, bool)> {
        lines(futures::stream::iter(entries))
            .map(|line| line.unwrap())
            .map(|line| (String::from_utf8_lossy(&line.bytes).into_owned(), line.cut))
            .collect()
            .await
    }

    #[tokio::test]
    async fn parts_of_a_line_are_joined_and_streams_kept_apart() {
        use StdStream::{Stderr, Stdout};
        let entries = vec![
            entry(Stdout, "one "),
            entry(Stderr, "other\n"),
            entry(Stdout, "two\r\n"),
            entry(Stdout, "\n"),
            entry(Stdout, "no end"),
        ];
        let lines: Vec<_> = joined(entries).await.into_iter().map(|(text, _)| text).collect();
        assert_eq!(lines, ["other", "one two", "", "no end"]);
    }

    #[tokio::test]
    async fn an_endless_line_takes_bounded_memory_and_says_that_it_was_cut() {
        let part = "x".repeat(16 << 10);
        let mut entries: Vec<_> = (0..20).map(|_| entry(StdStream::Stdout, &part)).collect();
        entries.push(entry(StdStream::Stdout, "end\n"));
        let lines = joined(entries).await;
        assert_eq!((lines.len(), lines[0].0.len(), lines[0].1), (1, MAX_LINE_BYTES, true));
    }
}
