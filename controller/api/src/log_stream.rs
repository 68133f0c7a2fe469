//! Reading a log session: server-sent events in, lines out, across dropped connections.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tracing::debug;
use url::Url;

use crate::client::{Client, ClientError};
use crate::wire::LogSession;

/// A tail that hears nothing for this long, not even a heartbeat, connects again.
const SILENCE: Duration = Duration::from_secs(60);
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// The lines of one log session, in Heroku's form, without line ends.
pub struct LogStream {
    client: Client,
    url: Url,
    tail: bool,
    body: Option<BoxStream<'static, Result<Bytes, reqwest::Error>>>,
    parser: SseParser,
    ready: VecDeque<String>,
    failures: u32,
}

impl fmt::Debug for LogStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogStream")
            .field("tail", &self.tail)
            .finish_non_exhaustive()
    }
}

impl LogStream {
    /// Cheap: the first [`LogStream::next`] connects.
    pub fn new(client: &Client, session: &LogSession, tail: bool) -> Result<Self, ClientError> {
        let url = Url::parse(&session.logplex_url).map_err(|_| ClientError::BadUrl {
            url: session.logplex_url.clone(),
        })?;
        Ok(Self {
            client: client.clone(),
            url,
            tail,
            body: None,
            parser: SseParser::default(),
            ready: VecDeque::new(),
            failures: 0,
        })
    }

    /// The next line; `None` after the last one of a session that does not tail. A tail ends with an error only, and
    /// only when the session itself is over: lost connections are made anew and go on after the last line seen.
    pub async fn next(&mut self) -> Result<Option<String>, ClientError> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some(line));
            }
            let Some(body) = &mut self.body else {
                self.connect().await?;
                continue;
            };
            match tokio::time::timeout(SILENCE, body.next()).await {
                Ok(Some(Ok(bytes))) => {
                    self.failures = 0;
                    self.parser.push(&bytes, &mut self.ready);
                }
                Ok(None) if !self.tail => return Ok(None),
                Ok(Some(Err(source))) if !self.tail => {
                    return Err(ClientError::Interrupted { source });
                }
                Ok(Some(Err(_)) | None) | Err(_) => {
                    debug!("The log stream broke off; connecting again");
                    self.body = None;
                    self.parser.drop_partial();
                    self.pause().await;
                }
            }
        }
    }

    async fn connect(&mut self) -> Result<(), ClientError> {
        let mut request = self
            .client
            .http()
            .get(self.url.clone())
            .header("accept", "text/event-stream");
        if let Some(id) = &self.parser.last_id {
            request = request.header("last-event-id", id);
        }
        match self.client.execute(request).await {
            Ok(response) => {
                self.body = Some(response.bytes_stream().boxed());
                Ok(())
            }
            Err(error) if self.tail && is_passing(&error) => {
                self.pause().await;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn pause(&mut self) {
        let pause = Duration::from_millis(100 << self.failures.min(7)).min(MAX_PAUSE);
        self.failures = self.failures.saturating_add(1);
        tokio::time::sleep(pause).await;
    }
}

fn is_passing(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. }
        | ClientError::TimedOut { .. }
        | ClientError::Interrupted { .. } => true,
        ClientError::Api(error) => error.status >= 500,
        _ => false,
    }
}

/// As much of server-sent events as log streams use: `id`, `data`, comments.
#[derive(Debug, Default)]
struct SseParser {
    partial: Vec<u8>,
    id: Option<String>,
    data: Vec<String>,
    /// Of the last complete event.
    last_id: Option<String>,
}

impl SseParser {
    fn push(&mut self, bytes: &[u8], lines: &mut VecDeque<String>) {
        self.partial.extend_from_slice(bytes);
        while let Some(end) = self.partial.iter().position(|b| *b == b'\n') {
            let rest = self.partial.split_off(end + 1);
            let mut line = std::mem::replace(&mut self.partial, rest);
            line.truncate(end);
            self.line(&String::from_utf8_lossy(&line), lines);
        }
    }

    fn line(&mut self, line: &str, lines: &mut VecDeque<String>) {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            if let Some(id) = self.id.take() {
                self.last_id = Some(id);
            }
            lines.extend(self.data.drain(..));
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.id = Some(value.to_owned()),
            "data" => self.data.push(value.to_owned()),
            _ => {}
        }
    }

    /// What came of an event that was cut off comes again.
    fn drop_partial(&mut self) {
        self.partial.clear();
        self.data.clear();
        self.id = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text = "retry: 10\n\nid: 7\ndata: one\n\n:\n\nid: 8\r\ndata: two\r\ndata:three\r\n\r\nid: 9\ndata: cut";
        for step in 1..text.len() {
            let (mut parser, mut lines) = (SseParser::default(), VecDeque::new());
            for chunk in text.as_bytes().chunks(step) {
                parser.push(chunk, &mut lines);
            }
            assert_eq!(lines, ["one", "two", "three"], "in steps of {step}");
            assert_eq!(parser.last_id.as_deref(), Some("8"));
        }
    }
}
