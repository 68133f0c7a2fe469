//! The planner, its leaders, agents, routers and store where everything fails: messages are lost and late, links are cut,
//! processes die, hosts die, leaders are paused in the middle of a plan, watches stall, clocks jump, the store goes away.
//! One seeded random number generator drives it all, so that every run can be had again.
//!
//! `PAAS_SEEDS=10000` runs that many; `PAAS_SEED=17` runs one. A failure names its seed, and `PAAS_GO_ON=1` all that fail.
//!
//! That the checks bite is a test, too: [`mutations`] leaves out one rule at a time, and a run goes wrong.

mod agent;
mod candidate;
mod check;
mod lease;
mod link;
mod mutations;
mod rest;
mod router;
mod routes;
mod store;
mod users;
mod world;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::SignedDuration;
use model::Timestamp;
use rand::Rng as _;
use scheduler::plan::Rules;

use self::mutations::Mutation;
use self::world::World;

/// Milliseconds since the world began.
type Millis = u64;

#[derive(Debug)]
struct Violation(String);

fn epoch() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn ms(millis: Millis) -> SignedDuration {
    SignedDuration::from_millis(i64::try_from(millis).unwrap())
}

/// One run: faults and wishes, then none of either, and what is left of it.
fn run(seed: u64, mutation: Option<Mutation>) -> Result<(), Violation> {
    let mut world = World::new(seed, mutation);
    for app in world.apps.clone() {
        world.deploy(app, true);
        let quantity = world.random.random_range(1..4);
        world.scale(app, "web", quantity);
    }
    let calm = world.random.random_range(0..60);
    for step in 0..450 {
        world.step()?;
        if step > calm && world.random.random_bool(0.06) {
            world.fault();
        }
        if step > calm {
            world.interrupt();
            world.overtake();
        }
        if world.random.random_bool(0.04) {
            world.wish();
        }
    }
    world.heal();
    world.settle()
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap())
}

/// The first of the runs that goes wrong, if any: `make` says what one is.
fn first_failure(
    seeds: Range<u64>,
    make: impl Fn(u64) -> Result<(), Violation> + Sync,
) -> Option<(u64, Violation)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, failed) = (
        AtomicU64::new(seeds.start),
        Mutex::new(None::<(u64, Violation)>),
    );
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || failed.lock().unwrap().is_some() {
                        return;
                    }
                    if let Err(violation) = make(seed) {
                        // Another thread may have found one of an earlier seed meanwhile.
                        let mut failed = failed.lock().unwrap();
                        if failed.as_ref().is_none_or(|(first, _)| seed < *first) {
                            *failed = Some((seed, violation));
                        }
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap()
}

/// As many as take about a quarter of a minute on two cores, built as tests are; [the module](self) says how to run more.
const SEEDS: u64 = 100;

#[test]
fn whatever_fails_every_rule_holds_and_all_comes_to_rest() {
    let mut seeds = match number("PAAS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("PAAS_SEEDS").unwrap_or(SEEDS),
    };
    let mut failures = Vec::new();
    while let Some((seed, Violation(what))) = first_failure(seeds.clone(), |seed| run(seed, None)) {
        eprintln!("PAAS_SEED={seed}: {what}");
        failures.push(seed);
        seeds.start = match number("PAAS_GO_ON") {
            Some(_) => seed + 1,
            None => seeds.end,
        };
    }
    assert!(failures.is_empty(), "seeds that go wrong: {failures:?}");
}

/// The store is away for minutes; then every lease has lapsed, and most agents are slow to be heard of again. Whether the
/// dynos are the same afterwards.
fn survives_an_outage(seed: u64, rules: impl FnOnce(&mut Rules)) -> Result<bool, Violation> {
    let mut world = World::new(seed, None);
    world.mend_links();
    rules(&mut world.rules);
    for app in world.apps.clone() {
        world.deploy(app, true);
        world.scale(app, "web", 3);
    }
    world.settle()?;
    let dynos = |world: &World| {
        let apps = world.truth.now.apps.values();
        let ids = apps.flat_map(|app| app.dynos.keys().copied());
        ids.collect::<BTreeSet<_>>()
    };
    let before = dynos(&world);
    world.store.down = true;
    let until = world.now + 120_000;
    while world.now < until {
        world.step()?;
    }
    world.store.down = false;
    let slow = world.now + 20_000;
    for agent in world.agents.iter_mut().skip(1) {
        agent.link.cut_until = slow;
    }
    world.settle()?;
    Ok(dynos(&world) == before)
}

#[test]
fn nothing_is_started_again_because_the_store_was_away() {
    for seed in 0..10 {
        let survives = survives_an_outage(seed, |_| {});
        assert!(matches!(survives, Ok(true)), "seed {seed}: {survives:?}");
        let gullible = survives_an_outage(seed, |rules| rules.mass_dead_after = rules.dead_after);
        assert!(
            matches!(gullible, Ok(false)),
            "seed {seed}: without the rule: {gullible:?}"
        );
    }
}
