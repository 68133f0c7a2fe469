//! Lines that came here and are delivered by another controller, on their way there.
//!
//! In order and bounded. What cannot be handed over waits: until its home answers, or until the store knows that there is
//! another.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use futures::future::join_all;
use model::AppId;
use model::log::LogLine;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use uuid::Uuid;

use super::{Drains, Place, lock};
use crate::logs::Peers;

const MAX_BYTES: usize = 16 << 20;
/// What is handed over at once; one parcel more than that at most.
const MAX_AT_ONCE: usize = 512 << 10;
/// What a controller takes at once: as JSON, text may be six times as long.
pub(crate) const MAX_PARCELS_BYTES: usize = 16 << 20;
const OVERHEAD: usize = 128;
const POST_WITHIN: Duration = Duration::from_secs(5);
/// On the way out there is little time.
const LAST_POST_WITHIN: Duration = Duration::from_secs(2);
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// An app's lines of one batch. The same batch may come in several ways, and has one number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Parcel {
    pub(crate) sender: Uuid,
    pub(crate) number: u64,
    pub(crate) app: AppId,
    pub(crate) lines: Vec<LogLine>,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Guards a few pushes and pops; never held across an await.
    queue: Mutex<Queue>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    parcels: VecDeque<Parcel>,
    bytes: usize,
    is_overflowing: bool,
}

impl Outbox {
    pub(super) fn push(&self, parcel: Parcel) {
        lock(&self.queue).push(parcel);
        self.filled.notify_one();
    }

    fn take(&self) -> Vec<Parcel> {
        lock(&self.queue).take()
    }

    fn put_back(&self, parcels: Vec<Parcel>) {
        lock(&self.queue).put_back(parcels);
        self.filled.notify_one();
    }
}

impl Queue {
    fn push(&mut self, parcel: Parcel) {
        self.bytes += parcel.cost();
        self.parcels.push_back(parcel);
        self.keep_bound();
    }

    fn take(&mut self) -> Vec<Parcel> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while bytes < MAX_AT_ONCE
            && let Some(parcel) = self.parcels.pop_front()
        {
            bytes += parcel.cost();
            taken.push(parcel);
        }
        self.bytes -= bytes;
        taken
    }

    fn put_back(&mut self, parcels: Vec<Parcel>) {
        for parcel in parcels.into_iter().rev() {
            self.bytes += parcel.cost();
            self.parcels.push_front(parcel);
        }
        self.keep_bound();
    }

    /// The oldest go. Mostly their home had them from whoever sent them here, too.
    fn keep_bound(&mut self) {
        let is_over = self.bytes > MAX_BYTES;
        if is_over && !self.is_overflowing {
            warn!(
                "Lines for drains cannot be handed over to another controller; the oldest are dropped"
            );
        }
        self.is_overflowing = is_over;
        while self.bytes > MAX_BYTES
            && let Some(oldest) = self.parcels.pop_front()
        {
            self.bytes -= oldest.cost();
        }
    }
}

impl Parcel {
    fn cost(&self) -> usize {
        let lines = self.lines.iter().map(|line| line.text.len() + OVERHEAD);
        lines.sum::<usize>() + OVERHEAD
    }
}

/// Hands over until `leaving`, then what is left, once.
pub(super) async fn run(drains: Drains, peers: Peers, leaving: CancellationToken) {
    let outbox = &drains.shared.outbox;
    let mut failures = 0u32;
    loop {
        tokio::select! {
            () = leaving.cancelled() => break,
            () = outbox.filled.notified() => {}
        }
        if hand_over(&drains, &peers, POST_WITHIN).await {
            failures = 0;
            continue;
        }
        let pause = Duration::from_millis(50 << failures.min(7)).min(MAX_PAUSE);
        failures = failures.saturating_add(1);
        tokio::select! {
            () = leaving.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    hand_over(&drains, &peers, LAST_POST_WITHIN).await;
}

/// All that waits; `false` if some of it has to wait longer.
async fn hand_over(drains: &Drains, peers: &Peers, within: Duration) -> bool {
    let outbox = &drains.shared.outbox;
    loop {
        let parcels = outbox.take();
        if parcels.is_empty() {
            return true;
        }
        let mut by_home: BTreeMap<SocketAddr, Vec<Parcel>> = BTreeMap::new();
        let mut left = Vec::new();
        for parcel in parcels {
            match drains.shared.place(parcel.app) {
                Place::Nowhere => {}
                Place::Here => drains.take(parcel),
                Place::At(home) => by_home.entry(home).or_default().push(parcel),
                Place::Unknown => left.push(parcel),
            }
        }
        let posts = by_home.into_iter().map(async |(home, parcels)| {
            match post(peers, home, &parcels, within).await {
                Ok(()) => Vec::new(),
                Err(error) => {
                    debug!(error = &*error, %home, "Could not hand lines over; will retry");
                    parcels
                }
            }
        });
        left.extend(join_all(posts).await.into_iter().flatten());
        if !left.is_empty() {
            outbox.put_back(left);
            return false;
        }
    }
}

async fn post(
    peers: &Peers,
    home: SocketAddr,
    parcels: &[Parcel],
    within: Duration,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let body = serde_json::to_vec(parcels)?;
    Ok(peers.post(home, "/internal/drains", body, within).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(number: u64, bytes: usize) -> Parcel {
        let app = AppId::from_uuid(Uuid::nil());
        Parcel {
            sender: Uuid::nil(),
            number,
            app,
            lines: vec![LogLine {
                app,
                at: model::Timestamp::UNIX_EPOCH,
                source: model::log::LogSource::App,
                process: "web.1".to_owned(),
                text: "x".repeat(bytes),
            }],
        }
    }

    fn numbers(parcels: &[Parcel]) -> Vec<u64> {
        parcels.iter().map(|parcel| parcel.number).collect()
    }

    #[test]
    fn what_could_not_be_handed_over_comes_first_again() {
        let mut queue = Queue::default();
        for number in 0..4 {
            queue.push(parcel(number, MAX_AT_ONCE / 2));
        }
        let taken = queue.take();
        assert_eq!(numbers(&taken), [0, 1]);
        queue.put_back(taken);
        assert_eq!(numbers(&queue.take()), [0, 1]);
        assert_eq!(numbers(&queue.take()), [2, 3]);
        assert_eq!((queue.bytes, queue.take().len()), (0, 0));
    }

    #[test]
    fn what_waits_is_bounded_and_the_oldest_go() {
        let mut queue = Queue::default();
        for number in 0..40 {
            queue.push(parcel(number, 1 << 20));
        }
        assert!(queue.bytes <= MAX_BYTES);
        assert_eq!(queue.parcels.back().map(|parcel| parcel.number), Some(39));
        assert_eq!(queue.parcels.front().map(|parcel| parcel.number), Some(25));
    }
}
