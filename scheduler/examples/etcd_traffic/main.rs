//! What a platform's traffic costs etcd, and how long its commits take to all hosts, by a real etcd on loopback.
//!
//! `cargo run --release -p scheduler --example etcd_traffic [name=value…]` prints what is stored and three tables;
//! docs/SCALING.md says what they mean. Names, and what they are if not said:
//!
//! - `nodes=100`: size of the platform, of ten dynos a node; more than 80 for a whole rack to be lost;
//! - `hosts=10,100`: how many connections with a watch each, a run for each number; each is the agent of its share of the
//!   nodes;
//! - `routers=2`: how many of the hosts are routers too;
//! - `members=1`: of etcd, or 3;
//! - `seconds=5`: how long each load lasts;
//! - `leases=1000`: how many are kept alive as nodes do, a run for each number; none for `leases=`.
//!
//! It needs etcd and setpriv, and as many open files as twice the hosts. Everything runs on this machine: where the hosts'
//! share of its processors matters, a column says so.

#![expect(clippy::print_stdout, reason = "the tables are what it is for")]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

mod board;
mod cluster;
mod fan_out;
#[path = "../platform/fleet.rs"]
mod fleet;
mod host;
mod leases;
mod switch;

use std::sync::Arc;
use std::time::Duration;

use model::Revision;
use store::status::BackendStatus;
use store::{Commit, Committed, Entry, Etcd, MAX_COMMIT_OPS, Op, Store};

use crate::board::Board;
use crate::cluster::Cluster;
use crate::fleet::Fleet;
use crate::host::{Hosts, Size};

struct Sizes {
    nodes: usize,
    hosts: Vec<usize>,
    routers: usize,
    members: usize,
    load_for: Duration,
    leases: Vec<usize>,
}

impl Sizes {
    fn parse(words: impl Iterator<Item = String>) -> Self {
        let mut sizes = Self {
            nodes: 100,
            hosts: vec![10, 100],
            routers: 2,
            members: 1,
            load_for: Duration::from_secs(5),
            leases: vec![1000],
        };
        for word in words {
            let (name, value) = word.split_once('=').unwrap();
            let each = value.split(',').filter(|one| !one.is_empty());
            let each: Vec<usize> = each.map(|one| one.parse().unwrap()).collect();
            match (name, each.as_slice()) {
                ("hosts", _) => sizes.hosts = each,
                ("leases", _) => sizes.leases = each,
                ("nodes", [nodes]) => sizes.nodes = *nodes,
                ("routers", [routers]) => sizes.routers = *routers,
                ("members", [members]) => sizes.members = *members,
                ("seconds", [seconds]) => sizes.load_for = Duration::from_secs(*seconds as u64),
                _ => panic!("{word} is not understood"),
            }
        }
        sizes
    }
}

/// An etcd that has no time left for its clients keeps them waiting for ever.
const LIMIT: Duration = Duration::from_secs(1800);

#[tokio::main]
async fn main() {
    let sizes = Sizes::parse(std::env::args().skip(1));
    tokio::time::timeout(LIMIT, measure(&sizes)).await.unwrap();
}

async fn measure(sizes: &Sizes) {
    let platform = Platform::start(sizes, 1).await;
    println!("{}", stored(&platform).await);
    drop(platform);
    print_header(fan_out::HEADER);
    for hosts in &sizes.hosts {
        let platform = Platform::start(sizes, *hosts).await;
        println!("{}", fan_out::measure(&platform, sizes.load_for).await);
    }
    print_header(switch::HEADER);
    for hosts in &sizes.hosts {
        let platform = Platform::start(sizes, *hosts).await;
        switch::measure(&platform).await;
    }
    print_header(leases::HEADER);
    for leases in &sizes.leases {
        let cluster = Cluster::start(sizes.members).await;
        println!(
            "{}",
            leases::measure(&cluster, *leases, sizes.load_for).await
        );
    }
}

/// An etcd with all records of a platform, and hosts that watch it.
struct Platform {
    cluster: Cluster,
    store: Arc<Etcd>,
    fleet: Fleet,
    board: Arc<Board>,
    hosts: Hosts,
}

impl Platform {
    async fn start(sizes: &Sizes, hosts: usize) -> Self {
        let cluster = Cluster::start(sizes.members).await;
        let fleet = Fleet::new(sizes.nodes, true);
        let store = cluster.connect().await;
        let base = fill(&*store, &fleet).await;
        let board = Arc::new(Board::new(hosts, base));
        let size = Size {
            hosts,
            nodes: sizes.nodes,
            routers: sizes.routers,
        };
        let hosts = Hosts::start(&cluster, size, &board).await;
        Self {
            cluster,
            store,
            fleet,
            board,
            hosts,
        }
    }
}

fn print_header(header: &str) {
    println!("\n{header}");
    println!("|{}", "---|".repeat(header.matches('|').count() - 1));
}

/// How much room the platform takes in each member.
async fn stored(platform: &Platform) -> String {
    let fleet = &platform.fleet;
    // etcd counts anew with each write to its file, ten times a second.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let BackendStatus::Etcd { members } = platform.store.status().await.unwrap().backend else {
        panic!("it is an etcd");
    };
    let used = members[0].state.as_ref().unwrap().used_bytes as usize;
    let records: usize = fleet
        .entries
        .iter()
        .map(|entry| entry.key.as_str().len() + entry.value.len())
        .sum();
    let dynos = fleet.dynos().count();
    format!(
        "{dynos} dynos: {} records of {} kB in all, {} kB of etcd's file in use; {} bytes a dyno of {} in the file",
        fleet.entries.len(),
        records >> 10,
        used >> 10,
        records / dynos,
        used / dynos,
    )
}

/// The revision at which everything is there.
async fn fill(store: &dyn Store, fleet: &Fleet) -> Revision {
    let mut revision = 0;
    for entries in fleet.entries.chunks(MAX_COMMIT_OPS) {
        let put = |entry: &Entry| Op::Put {
            key: entry.key.clone(),
            value: entry.value.clone(),
            lease: None,
        };
        let commit = Commit {
            compares: Vec::new(),
            ops: entries.iter().map(put).collect(),
        };
        let Committed::Done(done) = store.commit(commit).await.unwrap() else {
            panic!("nothing was compared");
        };
        revision = done;
    }
    revision
}
