//! The other controllers: which there are, and reading an app's lines from one of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use model::{AppId, Secret, ServiceRole};
use rustls::ClientConfig;
use store::{Event, Follower, Store, Update, key};
use tokio::sync::watch;
use tracing::warn;

use super::reader::{CAUGHT_UP, LOST};
use super::{Filter, Lines, Start, line};

const CONNECT_DEADLINE: Duration = Duration::from_secs(1);
/// A peer that is this silent, heartbeats included, has gone.
const SILENCE: Duration = Duration::from_secs(20);
/// Longer than any line with its number.
const MAX_LINE: usize = 64 << 10;

/// The live controllers besides this one; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    live: watch::Receiver<Vec<SocketAddr>>,
    scheme: &'static str,
    /// `None` where it could not be set up: then nobody else is read.
    http: Option<reqwest::Client>,
    token: Secret<String>,
}

/// Keeps [`Peers`] up to date; to be run.
#[derive(Debug)]
pub(crate) struct FollowPeers {
    own: SocketAddr,
    live: watch::Sender<Vec<SocketAddr>>,
}

/// What comes from a peer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Lines(Lines),
    /// All that was there at the beginning has been told.
    CaughtUp,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    #[error("another controller could not be read")]
    Http(#[from] reqwest::Error),
    #[error("another controller has been silent for too long")]
    Silent,
    #[error("another controller says what is no log")]
    Nonsense,
}

impl Peers {
    /// `own` is the address under which this controller is on record; `tls` proves who is who, and without it (in tests)
    /// the others are called over plain HTTP.
    pub(crate) fn new(
        own: SocketAddr,
        token: Secret<String>,
        tls: Option<&ClientConfig>,
    ) -> (Self, FollowPeers) {
        let (scheme, http) = controller_api::tls::between_hosts(tls, CONNECT_DEADLINE);
        let (sender, live) = watch::channel(Vec::new());
        let peers = Self {
            live,
            scheme,
            http,
            token,
        };
        (peers, FollowPeers { own, live: sender })
    }

    pub(super) fn live(&self) -> watch::Receiver<Vec<SocketAddr>> {
        self.live.clone()
    }

    /// Posts JSON to a controller.
    pub(crate) async fn post(
        &self,
        peer: SocketAddr,
        path: &str,
        body: Vec<u8>,
        within: Duration,
    ) -> Result<(), PeerError> {
        let http = self.http.as_ref().ok_or(PeerError::Nonsense)?;
        http.post(format!("{}://{peer}{path}", self.scheme))
            .bearer_auth(self.token.expose())
            .header("content-type", "application/json")
            .body(body)
            .timeout(within)
            .send()
            .await?
            .error_for_status()?;
        Ok(())
    }

    pub(super) async fn read(
        &self,
        peer: SocketAddr,
        app: AppId,
        filter: &Filter,
        start: Start,
        tail: bool,
    ) -> Result<PeerLines, PeerError> {
        let http = self.http.as_ref().ok_or(PeerError::Nonsense)?;
        let body =
            serde_json::json!({ "app": app, "filter": filter, "start": start, "tail": tail });
        let response = http
            .post(format!("{}://{peer}/internal/logs/read", self.scheme))
            .bearer_auth(self.token.expose())
            .json(&body)
            .send();
        let response = tokio::time::timeout(SILENCE, response)
            .await
            .map_err(|_| PeerError::Silent)??
            .error_for_status()?;
        Ok(PeerLines {
            body: response.bytes_stream().boxed(),
            partial: Vec::new(),
        })
    }
}

/// An app's lines as a peer tells them.
pub(super) struct PeerLines {
    body: BoxStream<'static, Result<Bytes, reqwest::Error>>,
    partial: Vec<u8>,
}

impl PeerLines {
    /// `None` at the end. Safe to cancel.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Heard>>, PeerError> {
        loop {
            let chunk = tokio::time::timeout(SILENCE, self.body.next())
                .await
                .map_err(|_| PeerError::Silent)?;
            let Some(chunk) = chunk else {
                return Ok(None);
            };
            self.partial.extend_from_slice(&chunk?);
            let heard = parse(&mut self.partial)?;
            if !heard.is_empty() {
                return Ok(Some(heard));
            }
        }
    }
}

/// Takes the whole lines off the front.
fn parse(partial: &mut Vec<u8>) -> Result<Vec<Heard>, PeerError> {
    let mut heard = Vec::new();
    let mut lines = Lines::default();
    let whole = partial
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1);
    for text in partial
        .drain(..whole)
        .as_slice()
        .split(|byte| *byte == b'\n')
    {
        let text = std::str::from_utf8(text).map_err(|_| PeerError::Nonsense)?;
        if text.is_empty() {
            continue;
        }
        if text == CAUGHT_UP {
            heard.push(Heard::Lines(std::mem::take(&mut lines)));
            heard.push(Heard::CaughtUp);
        } else if let Some(count) = text.strip_prefix(LOST) {
            lines.lost += count.parse::<u64>().map_err(|_| PeerError::Nonsense)?;
        } else {
            let (id, line) = line::split(text).ok_or(PeerError::Nonsense)?;
            lines.lines.push((id, line.to_owned()));
        }
    }
    if partial.len() > MAX_LINE {
        return Err(PeerError::Nonsense);
    }
    if lines != Lines::default() {
        heard.push(Heard::Lines(lines));
    }
    Ok(heard)
}

impl FollowPeers {
    /// Until dropped.
    pub(crate) async fn run(self, store: Arc<dyn Store>) {
        let prefix = key::alive_services_of(ServiceRole::Controller);
        let mut follower = Follower::new(store, vec![prefix]);
        let mut known = BTreeMap::new();
        loop {
            let events = match follower.next().await {
                Update::Snapshot { entries, .. } => {
                    known.clear();
                    entries.into_iter().map(Event::Put).collect()
                }
                Update::Changes { events, .. } => events,
            };
            for event in events {
                match event {
                    Event::Delete { key, .. } => drop(known.remove(&key)),
                    Event::Put(entry) => match key::ALIVE_SERVICES.decode(&entry) {
                        Ok(service) => drop(known.insert(entry.key, service.value.addr)),
                        Err(error) => warn!(
                            error = &error as &dyn std::error::Error,
                            "Left out an unreadable controller"
                        ),
                    },
                }
            }
            let mut others: Vec<_> = known
                .values()
                .copied()
                .filter(|addr| *addr != self.own)
                .collect();
            others.sort();
            others.dedup();
            self.live.send_if_modified(|live| {
                let changed = *live != others;
                *live = others;
                changed
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_is_read_in_whatever_pieces_it_comes() {
        let text = "3 2012 a[b]: c\n! 7\n.\n\n4 2012 a[b]: d\n5 2012";
        let lines = |lines: &[(u64, &str)], lost| {
            let lines = lines.iter().map(|(id, line)| (*id, (*line).to_owned()));
            Heard::Lines(Lines {
                lines: lines.collect(),
                lost,
            })
        };
        let mut partial = text.as_bytes().to_vec();
        assert_eq!(
            parse(&mut partial).unwrap(),
            [
                lines(&[(3, "2012 a[b]: c")], 7),
                Heard::CaughtUp,
                lines(&[(4, "2012 a[b]: d")], 0)
            ]
        );
        assert_eq!(partial, b"5 2012");
        partial.extend(b" a[b]: e\n");
        assert_eq!(
            parse(&mut partial).unwrap(),
            [lines(&[(5, "2012 a[b]: e")], 0)]
        );
        assert!(parse(&mut b"<html>\n".to_vec()).is_err());
    }
}
