//! Single looks of the planner that a simulation would hit too rarely.

use std::time::Duration;

use model::ReleaseStatus;

use super::world::{WEB, World};

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
