//! Single looks of the planner that a simulation would hit too rarely.

use std::time::Duration;

use model::{DynoSize, ReleaseStatus};

use super::world::{WEB, World, node_id};

#[test]
fn an_app_that_fits_nowhere_fails_naming_the_constraint() {
    let mut world = World::new(1, 0, 1);
    let version = world.deploy(&[WEB], true);
    world.settle();
    let ReleaseStatus::Failed(failure) = world.release_at(version).unwrap().status else {
        panic!("{version} should have failed");
    };
    assert_eq!(
        failure.reason,
        "web.1 could not be placed: there is no live node that takes new dynos"
    );
}

#[test]
fn without_routers_a_switch_waits_before_it_takes_silence_for_consent() {
    let mut world = World::new(1, 1, 0);
    let version = world.deploy(&[WEB], true);
    for _ in 0..100 {
        world.step();
    }
    world.later(Duration::from_secs(20));
    world.settle();
    assert_eq!(world.app().current, version);
}

#[test]
fn a_cordoned_node_keeps_its_dynos_and_gets_no_new_ones() {
    let mut world = World::new(1, 2, 1);
    world.deploy(&[WEB], true);
    world.scale(WEB, 2);
    world.settle();
    let before: Vec<_> = world.dynos().iter().map(|dyno| dyno.id).collect();
    world.cordon(0);
    world.scale(WEB, 4);
    world.settle();
    let dynos = world.dynos();
    assert!(
        before
            .iter()
            .all(|id| dynos.iter().any(|dyno| dyno.id == *id))
    );
    assert_eq!((world.dynos_on(0), world.dynos_on(1)), (1, 3));
}

#[test]
fn a_drained_node_is_left_by_its_dynos_and_comes_back_empty() {
    let mut world = World::new(1, 2, 1);
    world.deploy(&[WEB, "worker"], true);
    world.scale(WEB, 3);
    world.scale("worker", 1);
    world.settle();
    world.drain(0, true);
    world.settle();
    assert_eq!((world.dynos_on(0), world.dynos_on(1)), (0, 4));
    // What it would have got today, it gets now.
    world.drain(0, false);
    world.settle();
    assert_eq!((world.dynos_on(0), world.dynos_on(1)), (1, 3));
}

#[test]
fn dynos_that_have_no_other_place_stay_on_a_draining_node_and_serve() {
    let mut world = World::new(1, 1, 1);
    world.deploy(&[WEB], true);
    world.scale(WEB, 3);
    world.settle();
    let before = serving(&world);
    world.drain(0, true);
    world.settle();
    assert_eq!(serving(&world), before);
    assert_eq!(world.dynos_on(0), 3);
    // The drain is called off, and it is as if it had never been.
    world.drain(0, false);
    world.settle();
    assert_eq!(serving(&world), before);
    assert_eq!(world.dynos().len(), 3);
}

fn serving(world: &World) -> Vec<model::DynoId> {
    let backends = &world.routers[0].table[&world.app].backends;
    backends.iter().map(|backend| backend.dyno).collect()
}

/// An app of which one dyno runs, and the next has no place.
fn world_that_is_too_small() -> World {
    let mut world = World::new(1, 1, 1);
    world.deploy(&[WEB, "worker"], true);
    world.settle();
    world.told.clear();
    world.scale_to(WEB, 3, DynoSize::PerformanceL);
    world.settle();
    world
}

fn told(world: &World) -> Vec<String> {
    let line = |line: &model::LogLine| {
        let source = line.source.as_str();
        format!("{source}[{}]: {}", line.process, line.text)
    };
    world.told.iter().map(line).collect()
}

#[test]
fn a_dyno_without_a_place_says_why_once_and_again_only_when_the_reason_changes() {
    let mut world = world_that_is_too_small();
    let no_memory = "heroku[web.2]: Cannot be placed: it needs 14336 MB of memory, and the most that is free on one \
                     node is 1536 MB, on node0; scale something down, choose a smaller dyno size, or add a node";
    assert_eq!(told(&world), [no_memory]);
    world.settle();
    // The same reason with another figure.
    world.scale_to("worker", 1, DynoSize::default());
    world.settle();
    assert_eq!(told(&world), [no_memory]);

    world.kill_node(0);
    world.settle();
    let no_node = "heroku[web.2]: Cannot be placed: there is no live node that takes new dynos (not alive: node0)";
    // What runs there is not given up while there is nobody to run it instead.
    assert_eq!(told(&world), [no_memory, no_node]);
}

#[test]
fn a_dyno_that_is_placed_at_last_says_so_and_the_next_in_line_says_why_not() {
    let mut world = world_that_is_too_small();
    world.told.clear();
    world.add_node(1);
    world.settle();
    let said = told(&world);
    assert_eq!(said.len(), 2, "{said:#?}");
    assert_eq!(said[0], "heroku[web.2]: Placed: there is room for it now");
    assert!(said[1].starts_with("heroku[web.3]: Cannot be placed: it needs 14336 MB"));
}

#[test]
fn a_dyno_that_finds_a_place_soon_or_is_scaled_away_leaves_no_word() {
    let mut world = world_that_is_too_small();
    assert_eq!(world.told_short(), 1);
    world.told.clear();
    world.scale_to(WEB, 1, DynoSize::PerformanceL);
    world.settle();
    assert_eq!(world.told_short(), 0);

    world.scale_to(WEB, 2, DynoSize::PerformanceL);
    for _ in 0..20 {
        world.look();
    }
    world.add_node(1);
    world.settle();
    assert_eq!(told(&world), Vec::<String>::new());
    assert_eq!(world.dynos().len(), 2);
}

#[test]
fn what_is_not_wanted_any_more_serves_while_nothing_is_heard_of_what_is() {
    let mut world = World::new(1, 3, 1);
    world.deploy(&[WEB], true);
    world.scale(WEB, 3);
    world.settle();
    let first = { world.dynos().into_iter() }.find(|dyno| dyno.name.index == 1);
    let node = first.unwrap().node;
    let index = (0..3).find(|index| Some(node_id(*index)) == node).unwrap();
    world.kill_node(index);
    world.scale(WEB, 1);
    for _ in 0..200 {
        world.step();
        let dynos = world.dynos();
        let is_there = |id: &model::DynoId| {
            let mut dynos = dynos.iter();
            dynos.any(|dyno| dyno.id == *id && dyno.node != node)
        };
        assert!(serving(&world).iter().any(is_there));
    }
}

#[test]
fn one_dyno_at_a_time_makes_room_for_the_next_release() {
    let mut world = World::new(1, 1, 1);
    world.deploy(&[WEB], true);
    // As many as there is room for.
    world.scale_to(WEB, 6, DynoSize::PerformanceM);
    world.settle();
    let version = world.deploy(&[WEB], true);
    let mut least = 6;
    for _ in 0..2_000 {
        world.step();
        least = least.min(serving(&world).len());
    }
    assert_eq!((world.app().current, least), (version, 5));
}

#[test]
fn a_one_off_dyno_that_is_kept_stays_on_record_until_it_is_let_go() {
    let mut world = World::new(1, 1, 1);
    world.deploy(&[WEB], true);
    world.settle();
    let ended = [false, true].map(|is_kept| world.one_off_that_ended(is_kept));
    world.settle();
    let has = |world: &World, id| world.dynos().iter().any(|dyno| dyno.id == id);
    assert_eq!(ended.map(|id| has(&world, id)), [false, true]);
    world.let_go(ended[1]);
    world.settle();
    assert!(!has(&world, ended[1]));
}
