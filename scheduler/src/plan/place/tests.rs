//! The search against one that looks at everything, and the words for what it does not find.

use model::DynoSize;
use proptest::prelude::*;

use super::*;

fn id(index: usize) -> NodeId {
    NodeId::from_uuid(uuid::Uuid::from_u128(index as u128 + 1))
}

fn tags(text: &str) -> BTreeMap<String, String> {
    let tag = model::placement::parse_tag(text).ok();
    tag.into_iter().collect()
}

/// Memory in units of the default dyno size, and how many of them are taken.
fn room(index: usize, (total, taken, zone, tag, is_unsteady): (u64, u64, u8, u8, bool)) -> Room {
    let unit = DynoSize::default().resources();
    let units = |count| Resources {
        memory_bytes: unit.memory_bytes * count,
        cpu_millis: unit.cpu_millis * count,
    };
    Room {
        name: format!("h{index}"),
        zone: (zone > 0).then(|| zone.to_string()),
        tags: tags(["", "disk=ssd", "disk=hdd"][usize::from(tag)]),
        capacity: units(total),
        reserved: units(taken.min(total)),
        building: Resources::default(),
        is_unsteady,
    }
}

fn free(rooms: Vec<(u64, u64, u8, u8, bool)>) -> Free {
    let mut free = Free::default();
    for (index, shape) in rooms.into_iter().enumerate() {
        free.add(id(index), room(index, shape));
    }
    free
}

fn need(peers: &Peers, tag: &str, one_per_node: bool) -> Need<'static> {
    Need {
        resources: DynoSize::default().resources(),
        tags: tags(tag),
        one_per_node,
        peers: Box::leak(Box::new(peers.clone())),
    }
}

proptest! {
    #[test]
    fn the_best_node_is_the_best_of_all_that_fit(
        rooms in prop::collection::vec((1u64..6, 0u64..6, 0u8..3, 0u8..3, any::<bool>()), 0..12),
        on in prop::collection::vec(0usize..12, 0..10),
        wants_tag in any::<bool>(),
        one_per_node in any::<bool>(),
    ) {
        let free = free(rooms);
        let mut peers = Peers::default();
        on.into_iter().for_each(|index| peers.add(id(index)));
        let need = need(&peers, if wants_tag { "disk=ssd" } else { "" }, one_per_node);
        let fitting = free.rooms.keys().filter(|node| free.fits(**node, &need, Room::free));
        let best = fitting.filter_map(|node| free.fitness(*node, &need)).min();
        prop_assert_eq!(free.best(&need).ok(), best);
    }

    #[test]
    fn a_type_is_never_all_on_one_node_or_in_one_zone_while_another_has_room(
        rooms in prop::collection::vec((1u64..6, 0u64..6, 0u8..3, 0u8..1, Just(false)), 2..10),
        quantity in 2usize..8,
    ) {
        let mut free = free(rooms);
        let mut peers = Peers::default();
        for _ in 0..quantity {
            let Ok(node) = free.place(&need(&peers, "", false)) else { break };
            peers.add(node);
        }
        let zone = |node: &NodeId| free.rooms[node].zone.clone();
        let nodes: Vec<NodeId> = peers.on_node.keys().copied().collect();
        let zones: BTreeSet<_> = nodes.iter().map(zone).collect();
        let placed: u32 = peers.on_node.values().sum();
        let any_but = |taken: &dyn Fn(&NodeId) -> bool| {
            free.rooms.keys().any(|node| !taken(node) && free.fits(*node, &need(&peers, "", false), Room::free))
        };
        if placed > 1 && nodes.len() == 1 {
            prop_assert!(!any_but(&|node| nodes.contains(node)), "all on one node");
        }
        if placed > 1 && zones.len() == 1 {
            prop_assert!(!any_but(&|node| zones.contains(&zone(node))), "all in one zone");
        }
    }

    #[test]
    fn no_node_ever_gives_more_than_it_has(
        rooms in prop::collection::vec((1u64..6, 0u64..6, 0u8..3, 0u8..3, any::<bool>()), 1..8),
        quantity in 0usize..40,
    ) {
        let mut free = free(rooms);
        let peers = Peers::default();
        for _ in 0..quantity {
            let _ = free.place(&need(&peers, "", false));
        }
        prop_assert!(free.rooms.values().all(|room| room.capacity.holds(room.reserved)));
    }
}

fn refusal(free: &Free, peers: &Peers, tag: &str, one_per_node: bool) -> String {
    free.best(&need(peers, tag, one_per_node))
        .unwrap_err()
        .to_string()
}

#[test]
fn whoever_finds_no_place_is_told_what_is_in_the_way() {
    let nobody = Peers::default();
    let mut none = free(Vec::new());
    none.aside.cordoned.push("h3".to_owned());
    assert_eq!(
        refusal(&none, &nobody, "", false),
        "there is no live node that takes new dynos (cordoned: h3)"
    );

    let full = free(vec![
        (4, 4, 0, 1, false),
        (4, 4, 0, 1, false),
        (4, 0, 0, 0, false),
    ]);
    assert_eq!(
        refusal(&full, &nobody, "disk=ssd", false),
        "it needs 512 MB of memory, and the most that is free on one node of the 2 with disk=ssd is 0 MB, on h1; \
         scale something down, choose a smaller dyno size, or add a node"
    );
    assert_eq!(
        refusal(&full, &nobody, "disk=tape", false),
        "no live node that takes new dynos has the tag disk=tape"
    );

    let one = free(vec![(4, 0, 0, 0, false)]);
    let mut peers = Peers::default();
    peers.add(id(0));
    assert!(refusal(&one, &peers, "", true).ends_with("and no two may share one; add a node"));

    let mut busy = room(0, (4, 0, 0, 0, false));
    busy.reserved.cpu_millis = busy.capacity.cpu_millis;
    let mut of_cpu = Free::default();
    of_cpu.add(id(0), busy);
    assert!(refusal(&of_cpu, &nobody, "", false).starts_with(
        "it reserves 125 thousandths of a CPU, and the most that is free on one node is 0, on h0"
    ));
}

#[test]
fn an_unsteady_node_is_taken_only_when_nothing_steady_fits() {
    let mut free = free(vec![(8, 6, 1, 0, false), (8, 0, 2, 0, true)]);
    let mut peers = Peers::default();
    let mut took = Vec::new();
    for _ in 0..3 {
        let node = free.place(&need(&peers, "", false)).unwrap();
        peers.add(node);
        took.push(node);
    }
    assert_eq!(took, [id(0), id(0), id(1)]);
}
