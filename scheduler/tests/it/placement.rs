//! What an app asks of its nodes, changed while it runs.

use super::world::{WEB, World};

/// Three web dynos on two nodes, of which the second has the tag.
fn world() -> World {
    let mut world = World::new(1, 2, 1);
    world.tag_node(1, "disk=ssd");
    world.deploy(&[WEB], true);
    world.scale(WEB, 3);
    world.settle();
    assert!(world.dynos_on(0) > 0);
    world.told.clear();
    world
}

fn ask_for(world: &mut World, tag: &str) {
    let tag = model::placement::parse_tag(tag).unwrap();
    world.place(|placement| placement.tags = [tag].into());
}

/// Steps until nothing is left to do, with every router having somebody to send requests to all the while.
fn settle_serving(world: &mut World, at_least: usize) {
    for _ in 0..400 {
        world.step();
        for router in &world.routers {
            let backends = &router.table[&world.app].backends;
            let up = backends
                .iter()
                .filter(|b| world.containers.get(&b.dyno).is_some_and(|c| c.up));
            assert!(up.count() >= at_least);
        }
    }
    world.settle();
}

#[test]
fn dynos_move_to_where_the_tags_are_and_are_served_by_as_many_all_the_while() {
    let mut world = world();
    ask_for(&mut world, "disk=ssd");
    settle_serving(&mut world, 3);
    assert_eq!((world.dynos_on(0), world.dynos_on(1)), (0, 3));
    assert_eq!(world.dynos().len(), 3);
}

#[test]
fn tags_that_no_node_has_touch_nothing_and_say_so() {
    let mut world = world();
    let mut before: Vec<_> = world.dynos().iter().map(|dyno| dyno.id).collect();
    ask_for(&mut world, "disk=tape");
    settle_serving(&mut world, 3);
    let told: Vec<&str> = world.told.iter().map(|line| line.text.as_str()).collect();
    let reason = "Cannot be placed: no live node that takes new dynos has the tag disk=tape";
    assert!(
        !told.is_empty() && told.iter().all(|text| *text == reason),
        "{told:#?}"
    );
    let runs = |world: &World| {
        let dynos = world.dynos().into_iter();
        let placed = dynos.filter(|dyno| dyno.node.is_some() && !dyno.is_stopping());
        placed.map(|dyno| dyno.id).collect::<Vec<_>>()
    };
    before.sort();
    assert_eq!(runs(&world), before);
    // Taken back, it is as if it had never been.
    world.place(|placement| placement.tags.clear());
    world.settle();
    assert_eq!(runs(&world), before);
    assert_eq!(world.dynos().len(), 3);
}

#[test]
fn dynos_that_are_to_be_apart_part_and_the_one_too_many_runs_on_and_says_why() {
    let mut world = world();
    let one_per_node = |placement: &mut model::Placement| {
        let own = placement.types.entry(WEB.parse().unwrap()).or_default();
        own.one_per_node = true;
    };
    world.place(one_per_node);
    settle_serving(&mut world, 3);
    let told: Vec<&str> = world.told.iter().map(|line| line.text.as_str()).collect();
    let reason = "Cannot be placed: each node with room for it has a dyno of its type already, and no two may share \
                  one; add a node";
    assert_eq!(told, [reason]);
    world.add_node(2);
    settle_serving(&mut world, 3);
    assert_eq!([0, 1, 2].map(|node| world.dynos_on(node)), [1, 1, 1]);
}

/// The ids of dynos that have a place and are to keep it.
fn running(world: &World) -> Vec<model::DynoId> {
    let dynos = world.dynos().into_iter();
    let mut placed: Vec<_> = dynos
        .filter(|dyno| dyno.node.is_some() && !dyno.is_stopping())
        .map(|dyno| dyno.id)
        .collect();
    placed.sort();
    placed
}

#[test]
fn nothing_makes_room_for_a_size_that_no_node_has() {
    let mut world = world();
    for node in 0..2 {
        world.shrink_node(node, 4 << 30);
    }
    let before = running(&world);
    world.scale_to(WEB, 3, model::DynoSize::PerformanceL);
    settle_serving(&mut world, 3);
    assert_eq!(running(&world), before);
    let told = world
        .told
        .iter()
        .any(|line| line.text.contains("MB of memory"));
    assert!(told, "{:?}", world.told);
}

#[test]
fn what_ran_on_a_node_that_died_and_was_removed_leaves_no_record() {
    let mut world = world();
    let there = world.dynos_on(0);
    assert!(there > 0);
    world.kill_node(0);
    world.remove_node(0);
    world.settle();
    assert_eq!((world.dynos_on(0), world.dynos_on(1)), (0, 3));
    assert_eq!(world.dynos().len(), 3);
}

#[test]
fn nothing_makes_room_on_nodes_that_take_no_new_dynos() {
    let mut world = world();
    let before = running(&world);
    for node in 0..2 {
        world.cordon(node);
    }
    world.restart_all();
    settle_serving(&mut world, 3);
    assert_eq!(running(&world), before);
    for node in 0..2 {
        world.drain(node, false);
    }
    settle_serving(&mut world, 2);
    let after = running(&world);
    assert!(
        after.len() == 3 && after.iter().all(|id| !before.contains(id)),
        "{after:?}"
    );
}

#[test]
fn a_rebalance_on_request_says_what_it_moves_and_when_it_is_done() {
    let mut world = World::new(1, 1, 1);
    world.deploy(&[WEB, "worker"], true);
    world.scale_to("worker", 1, model::DynoSize::Standard2X);
    world.settle();
    world.ask_to_rebalance();
    world.settle();
    let progress = world.rebalance_progress().unwrap();
    assert_eq!((progress.moved, progress.finished_at.is_some()), (0, true));

    // The nodes' loads are 93 thousandths apart: too little for a move that nobody asked for.
    world.add_node(1);
    world.settle();
    assert_eq!((world.dynos_on(0), world.dynos_on(1)), (2, 0));
    world.ask_to_rebalance();
    settle_serving(&mut world, 1);
    assert_eq!((world.dynos_on(0), world.dynos_on(1)), (1, 1));
    let progress = world.rebalance_progress().unwrap();
    assert_eq!((progress.moved, progress.moves.len()), (1, 1));
    assert!(progress.finished_at.is_some());
    assert!(world.keys(&store::key::REBALANCE.prefix()).is_empty());
}
