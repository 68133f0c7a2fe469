//! What it costs etcd that hosts say they are alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use store::presence::NODE_TTL;
use store::{Lease, Store as _, StoreError};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout_at};

use crate::cluster::{Cluster, own_cpu_seconds};

pub(crate) const HEADER: &str = "| leases | kept alive each s | answered each s | lost | slowest answer | etcd's CPU | hosts' CPU |";

/// Connections that the leases are divided among.
const CONNECTIONS: usize = 100;
const GRANTING_AT_ONCE: usize = 16;
const GRANT_WITHIN: Duration = Duration::from_secs(40);
const LONGEST: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Answers {
    kept: AtomicU64,
    lost: AtomicU64,
    slowest_micros: AtomicU64,
}

/// Kept alive four times in its life, as a node's is.
pub(crate) async fn measure(cluster: &Cluster, leases: usize, load_for: Duration) -> String {
    let connections: Vec<_> = futures::stream::iter((0..CONNECTIONS).map(|_| cluster.connect()))
        .buffer_unordered(GRANTING_AT_ONCE)
        .collect()
        .await;
    let (answers, mut keepers) = (Arc::<Answers>::default(), JoinSet::new());
    let grants = connections.iter().cycle().take(leases);
    let mut granted = futures::stream::iter(grants.map(|store| store.lease(NODE_TTL)))
        .buffer_unordered(GRANTING_AT_ONCE);
    let until = Instant::now() + GRANT_WITHIN;
    while let Ok(Some(lease)) = timeout_at(until, granted.next()).await {
        // An etcd that has all its time taken gives no more of them: the row says how many there are.
        if let Ok(lease) = lease {
            keepers.spawn(keep(lease, answers.clone()));
        }
    }
    let leases = keepers.len();
    // What came of granting them is over.
    sleep(NODE_TTL).await;
    answers.slowest_micros.store(0, Ordering::Relaxed);
    let kept = answers.kept.load(Ordering::Relaxed);
    let (counted, cpu, began) = (cluster.counted().await, own_cpu_seconds(), Instant::now());
    sleep(load_for.min(LONGEST)).await;
    let seconds = began.elapsed().as_secs_f64();
    let kept = answers.kept.load(Ordering::Relaxed) - kept;
    let cpu = own_cpu_seconds() - cpu;
    let counted = cluster.counted().await.since(counted);
    format!(
        "| {leases} | {} | {:.0} | {} | {} ms | {:.0} % | {:.0} % |",
        leases * 4 / NODE_TTL.as_secs() as usize,
        kept as f64 / seconds,
        answers.lost.load(Ordering::Relaxed),
        answers.slowest_micros.load(Ordering::Relaxed) / 1000,
        counted.cpu_seconds / seconds * 100.0,
        cpu / seconds * 100.0,
    )
}

async fn keep(lease: Arc<dyn Lease>, answers: Arc<Answers>) {
    let every = NODE_TTL / 4;
    // Not all at the same moment.
    let first = Instant::now() + every.mul_f64(rand::random());
    let mut every = interval_at(first, every);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let asked = Instant::now();
        match lease.keep_alive().await {
            Ok(()) => {}
            Err(StoreError::LeaseLapsed { .. }) => {
                answers.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Err(_) => continue,
        }
        answers.kept.fetch_add(1, Ordering::Relaxed);
        let micros = asked.elapsed().as_micros() as u64;
        answers.slowest_micros.fetch_max(micros, Ordering::Relaxed);
    }
}
