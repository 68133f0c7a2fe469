//! How fast etcd takes commits, and how fast all hosts hear of them.

use std::time::Duration;

use model::{DynoStatus, Revision, Timestamp};
use store::{Committed, Etcd, Txn, key};
use tokio::time::{Instant, sleep};

use crate::Platform;
use crate::board::Board;
use crate::cluster::{Counted, own_cpu_seconds};
use crate::fleet::Fleet;
use crate::host::{Hosts, decode};

pub(crate) const HEADER: &str = "| hosts | at rest: etcd's CPU | etcd's memory | one commit seen by all: p50 | p99 | one writer: commits/s | \
     16 writers: commits/s | events/s seen | MB/s sent | all have seen the last after | etcd's CPU s per million events | hosts' | fsync |";

const WRITERS: usize = 16;
/// Commits that are followed one by one to all hosts.
const FOLLOWED: usize = 200;
const FOLLOW_FOR: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(10);
/// How long the hosts may be behind after a load.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(120);

pub(crate) async fn measure(platform: &Platform, load_for: Duration) -> String {
    let Platform {
        cluster,
        board,
        hosts,
        ..
    } = platform;
    let count = hosts.connections.len();
    let before = cluster.counted().await;
    sleep(load_for).await;
    let rest = cluster.counted().await.since(before);

    let mut statuses = Statuses::share_out(&platform.fleet, WRITERS);
    let mut delays = one_by_one(board, &hosts.connections[0], &mut statuses[0]).await;
    delays.sort();
    let alone = load(board, hosts, &mut statuses[..1], load_for).await;
    let (counted, cpu) = (cluster.counted().await, own_cpu_seconds());
    let full = load(board, hosts, &mut statuses, load_for).await;
    let (counted, cpu) = (
        cluster.counted().await.since(counted),
        own_cpu_seconds() - cpu,
    );
    assert_eq!(board.lost(), 0, "no host is to lose its watch");
    let Counted {
        cpu_seconds,
        sent_bytes,
        fsync_seconds,
        fsyncs,
        resident_bytes,
    } = counted;
    let millions = full.delivered as f64 / 1e6;
    format!(
        "| {count} | {:.0} % | {:.0} MB | {:.1} ms | {:.1} ms | {:.0} | {:.0} | {:.0} | {:.1} | {} ms | {:.1} | {:.1} | {:.1} ms |",
        rest.cpu_seconds / load_for.as_secs_f64() * 100.0,
        resident_bytes / f64::from(1 << 20),
        milliseconds(delays[delays.len() / 2]),
        milliseconds(delays[delays.len() * 99 / 100]),
        alone.commits_per_second(),
        full.commits_per_second(),
        full.delivered as f64 / full.took().as_secs_f64(),
        sent_bytes / full.took().as_secs_f64() / 1e6,
        full.behind.as_millis(),
        cpu_seconds / millions,
        cpu / millions,
        fsync_seconds / fsyncs * 1000.0,
    )
}

/// One writer's dynos, each written with its revision, as agents do.
struct Statuses {
    all: Vec<(DynoStatus, Option<Revision>)>,
    next: usize,
}

impl Statuses {
    fn share_out(fleet: &Fleet, writers: usize) -> Vec<Self> {
        let all: Vec<DynoStatus> = fleet
            .entries
            .iter()
            .filter(|entry| key::DYNO_STATUS.holds(&entry.key))
            .map(|entry| decode(&key::DYNO_STATUS, entry))
            .collect();
        let of = |writer: usize| Self {
            all: all
                .iter()
                .skip(writer)
                .step_by(writers)
                .map(|status| (status.clone(), None))
                .collect(),
            next: 0,
        };
        (0..writers).map(of).collect()
    }

    async fn write(&mut self, store: &Etcd) -> Revision {
        self.next = (self.next + 1) % self.all.len();
        let (status, seen) = &mut self.all[self.next];
        status.updated_at = Timestamp::now();
        let place = key::dyno_status(status.app, status.dyno);
        loop {
            let txn = Txn::new().exists(key::dyno(status.app, status.dyno)).put(
                &key::DYNO_STATUS,
                place.clone(),
                status,
            );
            let txn = match *seen {
                Some(revision) => txn.at_revision(place.clone(), revision),
                None => txn.exists(place.clone()),
            };
            match txn.commit(store).await {
                Ok(Committed::Done(revision)) => {
                    *seen = Some(revision);
                    return revision;
                }
                // Nobody else writes it: one of before that was not answered was taken after all.
                Ok(Committed::Conflict) | Err(_) => *seen = None,
            }
        }
    }
}

/// Each is written when all have seen the one before; the time from the call to the last host.
async fn one_by_one(board: &Board, store: &Etcd, statuses: &mut Statuses) -> Vec<Duration> {
    let (mut delays, until) = (Vec::new(), Instant::now() + FOLLOW_FOR);
    while delays.len() < FOLLOWED && Instant::now() < until {
        let began = Instant::now();
        let revision = statuses.write(store).await;
        let seen = board.all_have(revision, CATCH_UP_WITHIN).await.unwrap();
        delays.push(seen - began);
        sleep(PAUSE).await;
    }
    delays
}

struct Load {
    commits: usize,
    delivered: u64,
    wrote_for: Duration,
    /// From the answer to the last commit until all had seen it.
    behind: Duration,
}

impl Load {
    fn commits_per_second(&self) -> f64 {
        self.commits as f64 / self.wrote_for.as_secs_f64()
    }

    fn took(&self) -> Duration {
        self.wrote_for + self.behind
    }
}

/// Each writer as fast as it is answered, over a connection of its own as far as there are enough.
async fn load(board: &Board, hosts: &Hosts, statuses: &mut [Statuses], load_for: Duration) -> Load {
    let (delivered, began) = (board.delivered(), Instant::now());
    let writers = statuses.iter_mut().zip(hosts.connections.iter().cycle());
    let written = futures::future::join_all(writers.map(|(statuses, store)| async move {
        let (mut commits, mut newest) = (0, 0);
        while began.elapsed() < load_for {
            newest = statuses.write(store).await;
            commits += 1;
        }
        (commits, newest)
    }))
    .await;
    let wrote_for = began.elapsed();
    let newest = written.iter().map(|(_, newest)| *newest).max().unwrap();
    let seen = board.all_have(newest, CATCH_UP_WITHIN).await.unwrap();
    Load {
        commits: written.iter().map(|(commits, _)| commits).sum(),
        delivered: board.delivered() - delivered,
        wrote_for,
        behind: seen.saturating_duration_since(began + wrote_for),
    }
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
