//! The planner in a world where everything is late and out of step: many seeds, and what must hold in all of them.

use model::{DynoState, ReleaseVersion};
use rand::Rng as _;

use super::world::{WEB, World};

const SEEDS: u64 = 100;

/// `PAAS_SEED` replays one run.
fn seeds() -> Vec<u64> {
    match option_env!("PAAS_SEED").and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => (0..SEEDS).collect(),
    }
}

/// The formation is there, of the current release, up, and every router sends requests to exactly its web dynos.
fn assert_converged(world: &World, seed: u64) {
    let app = world.app();
    assert_eq!(app.target, app.current, "seed {seed}: still on trial");
    let slug = world.release_at(app.current).unwrap().slug;
    let wanted: u32 = match slug {
        Some(_) => app
            .formation
            .values()
            .map(|formation| formation.quantity)
            .sum(),
        None => 0,
    };
    let dynos = world.dynos();
    assert_eq!(dynos.len() as u32, wanted, "seed {seed}: {dynos:#?}");
    assert!(
        dynos
            .iter()
            .all(|dyno| dyno.release == app.current && !dyno.replace),
        "seed {seed}"
    );
    let statuses = world.statuses();
    assert_eq!(
        statuses.len(),
        dynos.len(),
        "seed {seed}: statuses without dynos"
    );
    assert!(
        statuses
            .iter()
            .all(|s| matches!(s.state, DynoState::Up { .. })),
        "seed {seed}"
    );
    let web: Vec<_> = dynos
        .iter()
        .filter(|dyno| dyno.is_web())
        .map(|dyno| dyno.id)
        .collect();
    for router in &world.routers {
        let mut routed: Vec<_> = router.table[&app.id]
            .backends
            .iter()
            .map(|b| b.dyno)
            .collect();
        routed.sort();
        let mut web = web.clone();
        web.sort();
        assert_eq!(routed, web, "seed {seed}");
    }
}

#[test]
fn whatever_users_do_no_dyno_is_stopped_under_a_request_and_all_converges() {
    for seed in seeds() {
        let mut world = World::new(seed, 3, 2);
        world.deploy(&[WEB, "worker"], true);
        for _ in 0..250 {
            match world.random.random_range(0..40) {
                0 => {
                    let good = world.random.random_bool(0.7);
                    world.deploy(&[WEB, "worker"], good);
                }
                1 => {
                    let good = world.random.random_bool(0.7);
                    world.config_set(good);
                }
                2 => {
                    let quantity = world.random.random_range(0..5);
                    world.scale(WEB, quantity);
                }
                3 => {
                    let quantity = world.random.random_range(0..3);
                    world.scale("worker", quantity);
                }
                4 => world.restart_all(),
                _ => world.step(),
            }
        }
        // A release that nobody could see fail (no dyno of it was wanted) may be current and crash now: end well.
        world.deploy(&[WEB, "worker"], true);
        world.settle();
        assert_converged(&world, seed);
    }
}

#[test]
fn while_good_and_bad_releases_come_and_go_every_router_always_has_a_running_backend() {
    for seed in seeds() {
        let mut world = World::new(seed, 2, 2);
        world.deploy(&[WEB], true);
        world.settle();
        let quantity = world.random.random_range(1..4);
        world.scale(WEB, quantity);
        world.settle();
        for _ in 0..200 {
            match world.random.random_range(0..30) {
                0 => {
                    let good = world.random.random_bool(0.5);
                    world.config_set(good);
                }
                1 => world.restart_all(),
                2 => {
                    let quantity = world.random.random_range(1..5);
                    world.scale(WEB, quantity);
                }
                3 => {
                    let node = world.random.random_range(0..2);
                    let draining = world.random.random_bool(0.5);
                    world.drain(node, draining);
                }
                _ => world.step(),
            }
            for router in &world.routers {
                let backends = &router.table[&world.app].backends;
                let serves = backends
                    .iter()
                    .any(|b| world.containers.get(&b.dyno).is_some_and(|c| c.up));
                assert!(serves, "seed {seed}: a router has no running backend");
            }
        }
        world.drain(0, true);
        world.drain(1, false);
        world.settle();
        assert_converged(&world, seed);
        assert_eq!(world.dynos_on(0), 0, "seed {seed}: a dyno did not leave");
    }
}

#[test]
fn a_switch_takes_each_step_once_however_late_the_routers_are() {
    let mut world = World::new(4, 1, 1);
    world.deploy(&[WEB], true);
    world.settle();
    world.restart_all();
    // The scheduler looks many times before a router hears anything.
    let before = world.route_writes();
    for _ in 0..20 {
        for _ in 0..30 {
            world.look();
        }
        world.hear();
    }
    world.settle();
    assert_converged(&world, 4);
    let writes = world.route_writes() - before;
    assert_eq!(
        writes, 2,
        "one to add the new dyno, one to take the old away"
    );
}

#[test]
fn a_bad_release_fails_with_its_reason_and_the_old_one_is_current() {
    let mut world = World::new(1, 1, 1);
    let good = world.deploy(&[WEB], true);
    world.settle();
    let bad = world.deploy(&[WEB], false);
    world.settle();
    assert_eq!(world.app().current, good);
    assert_eq!(world.app().latest, bad);
    let model::ReleaseStatus::Failed(failure) = world.release_at(bad).unwrap().status else {
        panic!("{bad} should have failed");
    };
    assert_eq!(failure.reason, "web.1: Process exited with status 1");
    assert_eq!(failure.log_tail, ["boom"]);
    assert_converged(&world, 1);
}

#[test]
fn a_process_type_goes_only_after_the_release_without_it_is_live() {
    let mut world = World::new(2, 1, 1);
    world.deploy(&[WEB, "worker"], true);
    world.scale("worker", 2);
    world.settle();
    let bad = world.deploy(&[WEB], false);
    world.settle();
    assert!(world.release_at(bad).unwrap().status.is_failed());
    assert_eq!(
        world
            .dynos()
            .iter()
            .filter(|d| d.name.process_type.as_str() == "worker")
            .count(),
        2
    );
    world.deploy(&[WEB], true);
    world.settle();
    assert!(world.dynos().iter().all(|dyno| dyno.is_web()));
    assert!(
        !world
            .app()
            .formation
            .contains_key(&"worker".parse().unwrap())
    );
}

#[test]
fn a_dead_nodes_dynos_are_replaced_elsewhere() {
    for seed in seeds().into_iter().take(50) {
        let mut world = World::new(seed, 3, 0);
        world.deploy(&[WEB], true);
        world.scale(WEB, 4);
        world.settle();
        let on_first = world
            .dynos()
            .iter()
            .filter(|d| d.node == world.dynos()[0].node)
            .count();
        assert!(on_first < 4, "seed {seed}: all dynos on one node");
        world.kill_node(0);
        world.settle();
        let dead = model::NodeId::from_uuid(uuid::Uuid::from_u128(1));
        let live = world.dynos().into_iter().filter(|d| !d.is_stopping());
        let nodes: Vec<_> = live.map(|dyno| dyno.node).collect();
        assert_eq!(nodes.len(), 4, "seed {seed}");
        assert!(!nodes.contains(&Some(dead)), "seed {seed}");
    }
}

#[test]
fn a_destroyed_app_leaves_no_dyno_status_or_route() {
    for seed in seeds().into_iter().take(50) {
        let mut world = World::new(seed, 2, 1);
        world.deploy(&[WEB], true);
        world.scale(WEB, 3);
        for _ in 0..(seed % 60) {
            world.step();
        }
        world.destroy();
        world.settle();
        assert!(
            world.dynos().is_empty() && world.statuses().is_empty(),
            "seed {seed}"
        );
        assert!(
            world.keys(&store::key::ROUTES.prefix()).is_empty(),
            "seed {seed}"
        );
    }
}

#[test]
fn versions_only_grow_and_are_never_reused() {
    let mut world = World::new(3, 1, 1);
    let mut last = ReleaseVersion(1);
    for good in [true, false, false, true, false, true] {
        let version = world.deploy(&[WEB], good);
        assert!(version > last);
        last = version;
        world.settle();
    }
    assert_eq!(world.app().current, last);
}
