//! Builds that ask for a host, and dynos beside them.

use std::collections::BTreeSet;

use model::build_place::BuildPlacing;
use model::{
    AppId, BuildId, BuildPlace, BuildRequest, BuilderReport, DynoSize, HostRole, Node, ServiceId,
};
use store::{Txn, key};

use super::world::{WEB, World, node_id};

const GIB: u64 = 1 << 30;

fn builder_id(host: u32) -> ServiceId {
    ServiceId::from_uuid(uuid::Uuid::from_u128(u128::from(host) + 1))
}

fn app_id(number: u32) -> AppId {
    AppId::from_uuid(uuid::Uuid::from_u128(u128::from(number) + 1))
}

/// A world of hosts of 16 GiB, each with a builder of two builds at a time.
fn world(hosts: u32) -> World {
    let mut world = World::new(1, hosts, 1);
    (0..hosts).for_each(|host| world.add_builder(host));
    world
}

impl World {
    fn add_builder(&mut self, host: u32) {
        let report = BuilderReport {
            id: builder_id(host),
            host: node_id(host),
            addr: "127.0.0.1:1".parse().unwrap(),
            max_builds: 2,
            started_at: self.now,
        };
        let place = key::alive_builder(report.id);
        self.must(Txn::new().put(&key::ALIVE_BUILDERS, place, &report));
    }

    /// As the builder of host 0 does.
    fn ask_for_build(&mut self, app: u32, memory_bytes: u64) -> BuildRequest {
        let request = BuildRequest {
            build: BuildId::new(),
            app: app_id(app),
            asked_by: builder_id(0),
            memory_bytes,
            cpu_millis: 1000,
            attempt: 1,
            not: BTreeSet::new(),
        };
        self.ask_again(&request);
        request
    }

    fn ask_again(&mut self, request: &BuildRequest) {
        let place = key::build_request(request.app);
        self.must(Txn::new().put(&key::BUILD_REQUESTS, place, request));
        self.settle();
    }

    fn end_build(&mut self, app: u32) {
        self.must(Txn::new().delete(key::build_request(app_id(app))));
        self.settle();
    }

    fn answer(&self, app: u32) -> Option<BuildPlace> {
        self.read(&key::BUILD_PLACES, &key::build_place(app_id(app)))
    }

    /// The host that the app's build was given.
    fn host_of_build(&self, app: u32) -> Option<u32> {
        let (builder, host) = self.answer(app)?.given()?;
        let index = (0..9).find(|index| node_id(*index) == host).unwrap();
        assert_eq!(builder, builder_id(index));
        Some(index)
    }

    fn reason(&self, app: u32) -> Option<String> {
        match self.answer(app)?.outcome {
            BuildPlacing::On { .. } => None,
            BuildPlacing::Waits { reason, .. } => Some(reason),
        }
    }
}

#[test]
fn a_build_stays_where_its_push_is_unless_others_have_clearly_less_to_do() {
    let mut world = world(2);
    world.ask_for_build(1, 2 * GIB);
    assert_eq!(world.host_of_build(1), Some(0));
    // The next finds a build there.
    world.ask_for_build(2, 2 * GIB);
    assert_eq!(world.host_of_build(2), Some(1));
    world.end_build(1);
    world.end_build(2);
    assert!(
        world.answer(1).is_none() && world.answer(2).is_none(),
        "forgotten"
    );

    world.cordon(1);
    world.deploy(&[WEB], true);
    world.scale_to(WEB, 2, DynoSize::PerformanceM);
    world.settle();
    world.drain(1, false);
    assert_eq!((world.dynos_on(0), world.dynos_on(1)), (2, 0));
    world.ask_for_build(3, 2 * GIB);
    assert_eq!(world.host_of_build(3), Some(1));
}

#[test]
fn a_build_goes_to_a_host_with_room_and_the_first_of_a_full_host_goes_anyway() {
    let mut world = world(2);
    world.cordon(1);
    world.deploy(&[WEB], true);
    world.scale_to(WEB, 1, DynoSize::PerformanceL);
    world.settle();
    world.drain(1, false);
    assert_eq!(world.dynos_on(0), 1);
    // 2 GiB are left on the first host, and too little for this one.
    world.ask_for_build(1, 3 * GIB);
    assert_eq!(world.host_of_build(1), Some(1));
    world.ask_for_build(2, 3 * GIB);
    assert_eq!(
        world.host_of_build(2),
        Some(1),
        "a second one rather than without room"
    );
    world.ask_for_build(3, 3 * GIB);
    assert_eq!(
        world.host_of_build(3),
        Some(0),
        "the only host without a full hand of builds"
    );
    world.ask_for_build(4, 3 * GIB);
    let reason = "None of the 2 hosts that take builds has room for another one";
    assert_eq!(world.reason(4).as_deref(), Some(reason));
    world.end_build(1);
    assert_eq!((world.host_of_build(4), world.reason(4)), (Some(1), None));
}

#[test]
fn hosts_that_take_nothing_new_take_no_builds() {
    let mut world = world(3);
    world.cordon(0);
    world.drain(1, true);
    world.ask_for_build(1, GIB);
    assert_eq!(world.host_of_build(1), Some(2));
    world.end_build(1);
    world.kill_node(2);
    let request = world.ask_for_build(1, GIB);
    let reason = world.reason(1).unwrap();
    assert!(reason.starts_with("No host takes builds now"), "{reason}");
    world.drain(1, false);
    world.settle();
    assert_eq!(world.host_of_build(1), Some(1));
    // That builder is lost, and another is there again.
    world.drain(0, false);
    let again = BuildRequest {
        attempt: 2,
        not: [builder_id(1)].into(),
        ..request
    };
    world.ask_again(&again);
    assert_eq!(world.host_of_build(1), Some(0));
    assert_eq!(world.answer(1).unwrap().attempt, 2);
}

#[test]
fn a_host_that_runs_no_dynos_takes_as_many_builds_as_it_says() {
    let mut world = World::new(1, 1, 1);
    let mut host: Node = world.read(&key::NODES, &key::node(node_id(0))).unwrap();
    host.roles = [HostRole::Builder].into();
    host.memory_bytes = 0;
    let put = Txn::new().put(&key::NODES, key::node(host.id), &host);
    world.must(put.delete(key::alive_node(host.id)));
    world.add_builder(0);
    for app in 1..=3 {
        world.ask_for_build(app, 100 * GIB);
    }
    let hosts = [1, 2, 3].map(|app| world.host_of_build(app));
    assert_eq!(hosts, [Some(0), Some(0), None]);
}

#[test]
fn dynos_keep_away_from_the_room_of_builds_while_there_is_other_room() {
    let mut world = world(2);
    world.ask_for_build(1, 15 * GIB);
    assert_eq!(world.host_of_build(1), Some(0));
    world.deploy(&[WEB], true);
    world.scale_to(WEB, 4, DynoSize::PerformanceM);
    world.settle();
    assert_eq!((world.dynos_on(0), world.dynos_on(1)), (0, 4));
    // No dyno is refused because somebody builds.
    world.scale_to(WEB, 8, DynoSize::PerformanceM);
    world.settle();
    assert_eq!(world.dynos_on(0) + world.dynos_on(1), 8);
    assert!(world.dynos_on(0) >= 2);
    assert!(
        world
            .told
            .iter()
            .all(|line| !line.text.contains("Cannot be placed"))
    );
}

#[test]
fn nothing_is_moved_because_of_a_build() {
    let mut world = world(2);
    world.deploy(&[WEB, "worker"], true);
    world.scale("worker", 1);
    world.settle();
    let before: Vec<_> = world.dynos().iter().map(|dyno| dyno.id).collect();
    world.ask_for_build(1, 12 * GIB);
    world.settle();
    let after: Vec<_> = world.dynos().iter().map(|dyno| dyno.id).collect();
    assert_eq!(after, before);
}
