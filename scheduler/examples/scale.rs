//! How the planner does as the platform grows: ten dynos a node, all of them up and routed.
//!
//! `cargo run --release -p scheduler --example scale [nodes…]` prints a row for each size; docs/SCALING.md says what the
//! columns mean.

#![expect(clippy::print_stdout, reason = "the table is what it is for")]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

#[path = "platform/fleet.rs"]
mod fleet;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use model::{RouterId, RouterReport};
use scheduler::plan::{Plan, RandomIds, Rules};
use scheduler::planner::Planner;
use store::{Commit, Entry, Event, Txn, Update, key};

use crate::fleet::{Fleet, NODES_PER_RACK, node_id, start};

fn main() {
    let sizes: Vec<usize> = std::env::args()
        .skip(1)
        .map(|size| size.parse().unwrap())
        .collect();
    let sizes = match sizes.is_empty() {
        true => vec![100, 1_000, 10_000],
        false => sizes,
    };
    println!(
        "| nodes | dynos | stored | snapshot read in | its memory | look at all | look at one app | place all | \
         rack lost: routes | its commits | rack lost: replaced | its commits | their bytes |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for nodes in sizes {
        println!("{}", measure(nodes));
    }
}

fn measure(nodes: usize) -> String {
    let rules = Rules::for_domain("paas.test");
    let full = routed(Fleet::new(nodes, true));
    let stored: usize = full.entries.iter().map(bytes_of).sum();
    let before = resident_bytes();
    let (mut planner, read) = timed(|| planner_of(&full));
    let memory = resident_bytes().saturating_sub(before);
    let now = start();
    let all = |planner: &mut Planner, now| planner.look_at_all(&rules, now, &mut RandomIds);
    let (first, _) = timed(|| all(&mut planner, now));
    assert!(first.changes.is_empty(), "at rest, nothing is to be done");
    let now = now + SignedDuration::from_secs(60);
    let (_, at_all) = timed(|| all(&mut planner, now));

    let one = full.entries.iter().find(|e| key::DYNO_STATUS.holds(&e.key));
    let revision = planner.revision() + 1;
    planner.apply(Update::Changes {
        revision,
        events: vec![Event::Put(one.unwrap().clone())],
    });
    let (touched, at_one) = timed(|| planner.look(&rules, now, &mut RandomIds));
    assert_eq!(touched.outlooks.len(), 1);

    let rack = (0..NODES_PER_RACK).map(|index| Event::Delete {
        key: key::alive_node(node_id(index)),
        revision: revision + 1,
    });
    planner.apply(Update::Changes {
        revision: revision + 1,
        events: rack.collect(),
    });
    let (routes, lost) = timed(|| planner.look(&rules, now, &mut RandomIds));
    let now = now + SignedDuration::try_from(rules.dead_after + Duration::from_millis(1)).unwrap();
    let (replaced, replacing) = timed(|| planner.look(&rules, now, &mut RandomIds));
    let (routes, replaced) = (Weight::of(routes), Weight::of(replaced));
    drop(planner);

    let mut empty = planner_of(&routed(Fleet::new(nodes, false)));
    let (placed, placing) = timed(|| all(&mut empty, start()));
    assert_eq!(placed.changes.len(), nodes, "each app is placed");
    format!(
        "| {nodes} | {} | {} MB | {} ms | {} MB | {} ms | {:.2} ms | {} ms | {} ms | {} | {} ms | {} | {} kB |",
        full.dynos().count(),
        stored >> 20,
        read.as_millis(),
        memory >> 20,
        at_all.as_millis(),
        at_one.as_secs_f64() * 1000.0,
        placing.as_millis(),
        lost.as_millis(),
        routes.commits,
        replacing.as_millis(),
        replaced.commits,
        (routes.bytes + replaced.bytes) >> 10,
    )
}

/// What a plan costs the store.
struct Weight {
    commits: usize,
    bytes: usize,
}

impl Weight {
    fn of(plan: Plan) -> Self {
        let commits = plan.changes.into_iter();
        let commits: Vec<Commit> = commits
            .map(|change| change.txn.into_commit().unwrap())
            .collect();
        Self {
            commits: commits.len(),
            bytes: commits.iter().map(Commit::bytes).sum(),
        }
    }
}

fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let made = act();
    (made, began.elapsed())
}

fn bytes_of(entry: &Entry) -> usize {
    entry.key.as_str().len() + entry.value.len()
}

fn resident_bytes() -> usize {
    let statm = fs_err::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// With a router that has applied whatever there is.
fn routed(mut fleet: Fleet) -> Fleet {
    let router = RouterReport {
        id: RouterId::from_uuid(uuid::Uuid::from_u128(1)),
        applied: u64::MAX,
        certificates: 0,
        draining: BTreeMap::new(),
        started_at: start(),
        about: Default::default(),
    };
    fleet.put(Txn::new().put(&key::ALIVE_ROUTERS, key::alive_router(router.id), &router));
    fleet
}

fn planner_of(fleet: &Fleet) -> Planner {
    let mut planner = Planner::default();
    planner.apply(Update::Snapshot {
        revision: fleet.entries.len() as u64,
        entries: fleet.entries.clone(),
    });
    planner
}
