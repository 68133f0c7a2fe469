//! A log session: an app's lines from all live controllers as one stream, the newest ones first of all, then what comes.
//!
//! Each controller is a source with a task of its own; what they say meets in [`Merge`]. Where there is one controller
//! only, its lines pass as they are.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use controller_api::log_sink::overflow;
use futures::Stream;
use futures::stream::unfold;
use model::log::{LogLine, LogSource};
use model::{AppId, Timestamp};
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::merge::{Merge, Source};
use super::peers::Heard;
use super::{Filter, Lines, LogError, LogStore, Peers, Reader, Start};

/// A comment so often keeps proxies from cutting a silent stream.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A line waits so long for older ones from other controllers.
const HOLD: Duration = Duration::from_millis(250);
/// With so many lines waiting none waits longer.
const MAX_HELD: usize = 10_000;
/// Readings on their way from one source.
const DEPTH: usize = 4;
/// For all controllers to tell what they have; who takes longer is heard later.
const CATCH_UP: Duration = Duration::from_secs(3);
/// A session that is taken up again reads so many lines of each controller a second time, to know them as copies.
const OVERLAP: u64 = 1_000;
const RECONNECT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Server-sent events: lines with ids, so that a reader can go on where it was cut off.
    Events,
    /// Lines.
    Text,
}

/// What a session is to tell.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) app: AppId,
    pub(crate) filter: Filter,
    /// Newest lines to begin with.
    pub(crate) lines: usize,
    pub(crate) tail: bool,
    /// The id of the last event of an earlier session.
    pub(crate) after: Option<String>,
}

/// Where a session was: in an event's id, and so in its reader's hands until it takes the session up again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Position {
    /// The number of the last line told, by controller.
    told: BTreeMap<String, u64>,
    /// The time of the newest line told, as lines have it.
    time: String,
}

pub(crate) struct Session {
    wanted: Wanted,
    logs: LogStore,
    peers: Peers,
    live: watch::Receiver<Vec<SocketAddr>>,
    earlier: Position,
    /// The time of the newest line told.
    newest: String,
    merge: Merge,
    /// By source: its name in ids, and the time from which on its lines are news.
    names: Vec<(String, String)>,
    followed: BTreeMap<SocketAddr, Source>,
    catching_up: Vec<Source>,
    sender: mpsc::Sender<(Source, Said)>,
    said: mpsc::Receiver<(Source, Said)>,
    tasks: JoinSet<()>,
    began: Instant,
    /// Past the lines that were there at the beginning.
    is_tailing: bool,
    is_over: bool,
}

#[derive(Debug)]
enum Said {
    Lines(Lines),
    CaughtUp,
    /// The log was removed, or cannot be read.
    Over(Option<LogError>),
}

impl Session {
    /// `own` is this controller's address, which names it in ids.
    pub(crate) fn open(logs: &LogStore, peers: &Peers, own: SocketAddr, wanted: Wanted) -> Self {
        let (sender, said) = mpsc::channel(DEPTH);
        let own = name_of(own);
        let earlier = wanted
            .after
            .as_deref()
            .map(|id| Position::parse(id, &own))
            .unwrap_or_default();
        let mut session = Self {
            live: peers.live(),
            peers: peers.clone(),
            logs: logs.clone(),
            merge: Merge::default(),
            names: Vec::new(),
            followed: BTreeMap::new(),
            catching_up: Vec::new(),
            sender,
            said,
            tasks: JoinSet::new(),
            began: Instant::now(),
            is_tailing: false,
            is_over: false,
            newest: earlier.time.clone(),
            earlier,
            wanted,
        };
        session.follow_own(own);
        session.follow_peers();
        session
    }

    /// Ends after the present lines, unless it is to tail: then when the log is removed, or at shutdown.
    pub(crate) fn stream(
        self,
        format: Format,
        shutdown: CancellationToken,
    ) -> impl Stream<Item = Result<Bytes, LogError>> + Send + 'static {
        let greeting = match format {
            // Without `tail` the client should not linger in the belief that it was cut off.
            Format::Events => Some(Bytes::from_static(b"retry: 10\n\n")),
            Format::Text => None,
        };
        unfold((self, greeting), move |(mut session, greeting)| {
            let shutdown = shutdown.clone();
            async move {
                let chunk = match greeting {
                    Some(greeting) => Ok(greeting),
                    None => session.next(format, &shutdown).await?,
                };
                Some((chunk, (session, None)))
            }
        })
    }

    async fn next(
        &mut self,
        format: Format,
        shutdown: &CancellationToken,
    ) -> Option<Result<Bytes, LogError>> {
        if !self.is_tailing {
            let present = match self.present(format, shutdown).await? {
                Ok(present) => present,
                Err(error) => return Some(Err(error)),
            };
            if !present.is_empty() {
                return Some(Ok(present.into()));
            }
        }
        let heartbeat = tokio::time::sleep(HEARTBEAT);
        tokio::pin!(heartbeat);
        loop {
            if self.is_over || !self.wanted.tail {
                return None;
            }
            let mut text = String::new();
            self.take(format, &mut text);
            if !text.is_empty() {
                return Some(Ok(text.into()));
            }
            let held = self.merge.held() > 0;
            tokio::select! {
                () = shutdown.cancelled() => return None,
                Some((source, said)) = self.said.recv() => {
                    if let Some(ready) = self.hear(source, said, format) {
                        return Some(ready);
                    }
                }
                changed = self.live.changed() => {
                    changed.ok()?;
                    self.follow_peers();
                }
                () = tokio::time::sleep(HOLD / 5), if held => {}
                () = &mut heartbeat, if format == Format::Events => {
                    return Some(Ok(Bytes::from_static(b":\n\n")));
                }
            }
        }
    }

    /// The lines that were there at the beginning.
    async fn present(
        &mut self,
        format: Format,
        shutdown: &CancellationToken,
    ) -> Option<Result<String, LogError>> {
        let deadline = self.began + CATCH_UP;
        while !self.catching_up.is_empty() {
            let said = tokio::select! {
                () = shutdown.cancelled() => return None,
                said = tokio::time::timeout_at(deadline, self.said.recv()) => said,
            };
            match said {
                Ok(Some((source, said))) => {
                    if let Some(Err(error)) = self.hear(source, said, format) {
                        return Some(Err(error));
                    }
                }
                Ok(None) => return None,
                Err(_) => {
                    debug!(app.id = %self.wanted.app, "Not all controllers have told what they have");
                    self.catching_up.clear();
                }
            }
        }
        self.is_tailing = true;
        let mut events = Vec::new();
        while let Some(line) = self.merge.next(u64::MAX) {
            events.push(self.event(format, &line));
        }
        // After an earlier session all that is new is wanted.
        let most = if self.wanted.after.is_some() {
            usize::MAX
        } else {
            self.wanted.lines
        };
        Some(Ok(events
            .split_off(events.len().saturating_sub(most))
            .concat()))
    }

    fn hear(
        &mut self,
        source: Source,
        said: Said,
        format: Format,
    ) -> Option<Result<Bytes, LogError>> {
        match said {
            Said::Lines(lines) => {
                let now = self.now();
                let since = self.names.get(source).map_or("", |(_, since)| since);
                for (id, line) in lines.lines {
                    if line.as_str() >= since {
                        self.merge.push(source, id, line, now);
                    }
                }
                // A copy may be elsewhere: better told in vain than not at all.
                return (lines.lost > 0).then(|| Ok(self.loss(format, lines.lost).into()));
            }
            Said::CaughtUp => self.catching_up.retain(|other| *other != source),
            Said::Over(error) => {
                self.catching_up.clear();
                self.is_over = true;
                return error.map(Err);
            }
        }
        None
    }

    fn take(&mut self, format: Format, text: &mut String) {
        let is_alone = self.followed.is_empty();
        let until = if is_alone || self.merge.held() > MAX_HELD {
            u64::MAX
        } else {
            match self.now().checked_sub(millis(HOLD)) {
                Some(until) => until,
                None => return,
            }
        };
        while let Some(line) = self.merge.next(until) {
            text.push_str(&self.event(format, &line));
        }
    }

    fn event(&mut self, format: Format, line: &str) -> String {
        let time = line.split_once(' ').map_or("", |(time, _)| time);
        if time > self.newest.as_str() {
            self.newest = time.to_owned();
        }
        match format {
            Format::Events => format!("id: {}\ndata: {line}\n\n", self.id()),
            Format::Text => format!("{line}\n"),
        }
    }

    fn id(&self) -> Position {
        let named = self.names.iter().zip(self.merge.positions());
        Position {
            told: named
                .filter_map(|((name, _), position)| {
                    let position = position.or(self.earlier.told.get(name).copied())?;
                    Some((name.clone(), position))
                })
                .collect(),
            time: self.newest.clone(),
        }
    }

    fn loss(&self, format: Format, count: u64) -> String {
        let now = Timestamp::now();
        let (source, process) = (LogSource::Heroku, "logplex".to_owned());
        let line = LogLine {
            app: self.wanted.app,
            at: now,
            source,
            process,
            text: overflow(count, now),
        };
        match format {
            Format::Events => format!("data: {line}\n\n"),
            Format::Text => format!("{line}\n"),
        }
    }

    /// Milliseconds since the session began.
    fn now(&self) -> u64 {
        millis(self.began.elapsed())
    }

    fn add_source(&mut self, name: String) -> (Source, Start) {
        let told = self.earlier.told.get(&name).copied();
        let overlap = Start::Backlog(usize::try_from(OVERLAP).unwrap_or(usize::MAX));
        let (start, since) = match told {
            Some(told) => (Start::After(told.saturating_sub(OVERLAP)), String::new()),
            // It was not there when this session, or the one before it, began: what it has from before is old.
            None if self.is_tailing || self.wanted.after.is_some() => {
                (overlap, self.newest.clone())
            }
            None => (Start::Backlog(self.wanted.lines), String::new()),
        };
        let source = self.merge.add_source(told.unwrap_or(0));
        self.names.push((name, since));
        (source, start)
    }

    fn follow_own(&mut self, name: String) {
        let (source, start) = self.add_source(name);
        self.catching_up.push(source);
        let (logs, wanted, sender) = (self.logs.clone(), self.wanted.clone(), self.sender.clone());
        self.tasks.spawn(async move {
            let over = match follow_own(&logs, &wanted, start, source, &sender).await {
                Ok(()) => None,
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, app.id = %wanted.app, "Could not read a log");
                    Some(error)
                }
            };
            let _ = sender.send((source, Said::Over(over))).await;
        });
    }

    /// Follows controllers that are new; one that has gone stays on the list, and is followed again when it is back.
    fn follow_peers(&mut self) {
        let live = self.live.borrow_and_update().clone();
        for peer in live {
            if self.followed.contains_key(&peer) {
                continue;
            }
            let (source, start) = self.add_source(name_of(peer));
            self.followed.insert(peer, source);
            if !self.is_tailing {
                self.catching_up.push(source);
            }
            let follow = FollowPeer {
                peers: self.peers.clone(),
                live: self.live.clone(),
                wanted: self.wanted.clone(),
                sender: self.sender.clone(),
                peer,
                source,
            };
            self.tasks.spawn(follow.run(start));
        }
    }
}

/// Ends when the log is removed, or after the present lines if there is no tail.
async fn follow_own(
    logs: &LogStore,
    wanted: &Wanted,
    start: Start,
    source: Source,
    sender: &mpsc::Sender<(Source, Said)>,
) -> Result<(), LogError> {
    let mut reader = Reader::open(logs, wanted.app, wanted.filter.clone(), start).await?;
    let mut caught_up = false;
    loop {
        while let Some(lines) = reader.read().await? {
            if sender.send((source, Said::Lines(lines))).await.is_err() {
                return Ok(());
            }
        }
        if !caught_up {
            caught_up = true;
            let _ = sender.send((source, Said::CaughtUp)).await;
        }
        // Without a tail the session ends itself, when it has heard all controllers.
        if !wanted.tail {
            std::future::pending::<()>().await;
        }
        if !reader.changed().await {
            return Ok(());
        }
    }
}

/// Reads one other controller for as long as the session lasts.
struct FollowPeer {
    peers: Peers,
    live: watch::Receiver<Vec<SocketAddr>>,
    wanted: Wanted,
    sender: mpsc::Sender<(Source, Said)>,
    peer: SocketAddr,
    source: Source,
}

impl FollowPeer {
    async fn run(mut self, mut start: Start) {
        loop {
            match self.read(&mut start).await {
                Ok(()) => {}
                Err(error) => debug!(
                    error = &*error,
                    "Could not read another controller's log; will retry"
                ),
            }
            // Whoever waits for it waits no longer.
            let said = self.sender.send((self.source, Said::CaughtUp));
            if said.await.is_err() || !self.wanted.tail {
                return;
            }
            tokio::time::sleep(RECONNECT).await;
            let is_back = self.live.wait_for(|live| live.contains(&self.peer));
            if is_back.await.is_err() {
                return;
            }
        }
    }

    /// `start` becomes where to go on.
    async fn read(
        &self,
        start: &mut Start,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let (wanted, from) = (&self.wanted, *start);
        let mut lines = self
            .peers
            .read(self.peer, wanted.app, &wanted.filter, from, wanted.tail)
            .await?;
        while let Some(heard) = lines.next().await? {
            for heard in heard {
                let said = match heard {
                    Heard::Lines(lines) => {
                        if let Some((id, _)) = lines.lines.last() {
                            *start = Start::After(*id);
                        }
                        Said::Lines(lines)
                    }
                    Heard::CaughtUp => Said::CaughtUp,
                };
                self.sender.send((self.source, said)).await?;
            }
        }
        Ok(())
    }
}

/// A controller's name in ids: nothing of its address shows.
fn name_of(addr: SocketAddr) -> String {
    let hash = Sha256::digest(addr.to_string());
    hex::encode(&hash[..4])
}

impl fmt::Display for Position {
    /// `<controller>=<number>,…,t=<time>`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, number) in &self.told {
            write!(f, "{name}={number},")?;
        }
        write!(f, "{TIME}={}", self.time)
    }
}

const TIME: &str = "t";

impl Position {
    /// Nothing of what is no id. A bare number is one of `own`.
    fn parse(id: &str, own: &str) -> Self {
        let mut position = Self::default();
        if let Ok(number) = id.parse() {
            position.told.insert(own.to_owned(), number);
        }
        for (name, value) in id.split(',').filter_map(|part| part.split_once('=')) {
            if name == TIME {
                position.time = value.to_owned();
            } else if let Ok(number) = value.parse() {
                position.told.insert(name.to_owned(), number);
            }
        }
        position
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written_and_nonsense_is_nothing() {
        let own = name_of("10.0.0.1:80".parse().unwrap());
        assert_eq!(own.len(), 8);
        let position = Position {
            told: BTreeMap::from([(own.clone(), 7), ("abc".to_owned(), 8)]),
            time: "2012-10-11T03:47:20.123456+00:00".to_owned(),
        };
        assert_eq!(Position::parse(&position.to_string(), "x"), position);
        assert_eq!(Position::parse("7", &own).told[&own], 7);
        assert_eq!(Position::parse("a=b,c", "x"), Position::default());
    }
}
