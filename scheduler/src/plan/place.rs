//! Choosing a node for a dyno: filter by what it needs, then spread.

use std::collections::{BTreeMap, BTreeSet};

use model::{Node, NodeId, Resources};

use super::Context;
use super::unplaceable::{Aside, Unplaceable};
use crate::snapshot::NodeState;

/// What a dyno asks of its node.
#[derive(Debug)]
pub(super) struct Need<'a> {
    pub(super) resources: Resources,
    /// Tags the node must have.
    pub(super) tags: BTreeMap<String, String>,
    /// It shares its node with none of its peers.
    pub(super) one_per_node: bool,
    /// The dynos it is to be kept apart from.
    pub(super) peers: &'a Peers,
}

/// Where the dynos are that one is spread from: those of the same type that will stay.
#[derive(Debug, Clone, Default)]
pub(super) struct Peers {
    on_node: BTreeMap<NodeId, u32>,
}

impl Peers {
    pub(super) fn add(&mut self, node: NodeId) {
        *self.on_node.entry(node).or_default() += 1;
    }

    pub(super) fn remove(&mut self, node: NodeId) {
        if let Some(count) = self.on_node.get_mut(&node) {
            *count -= 1;
            if *count == 0 {
                self.on_node.remove(&node);
            }
        }
    }

    fn on(&self, node: NodeId) -> u32 {
        self.on_node.get(&node).copied().unwrap_or(0)
    }
}

/// What every usable node still has room for; grows smaller as one planning places dynos.
#[derive(Debug, Default)]
pub(super) struct Free {
    rooms: BTreeMap<NodeId, Room>,
    zones: BTreeMap<Option<String>, Zone>,
    /// Nodes that cannot be used, and why.
    aside: Aside,
}

/// The usable nodes of one zone: least loaded first, and before those the steady ones.
type Zone = BTreeSet<(bool, u64, NodeId)>;

#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: String,
    pub(super) zone: Option<String>,
    tags: BTreeMap<String, String>,
    capacity: Resources,
    /// By dynos.
    reserved: Resources,
    /// What builds that run there may use. They come and go: dynos keep away from it as long as there is another place
    /// for them, and nothing is moved because of it.
    building: Resources,
    /// It has been away a moment ago and may be so again: only where nothing steady will do.
    is_unsteady: bool,
}

/// How good a node is for a dyno; less is better. First not to lose it, then the spread over zones, then over nodes,
/// then over what there is to share; at last the id, so that the same snapshot gives the same plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fitness {
    pub(super) is_unsteady: bool,
    pub(super) in_zone: u32,
    pub(super) on_node: u32,
    pub(super) load: u64,
    pub(super) node: NodeId,
}

impl Free {
    pub(super) fn of(context: &Context<'_>) -> Self {
        let mut free = Self::default();
        for (id, state) in &context.snapshot.nodes {
            let Some(node) = state.node.as_ref().filter(|node| node.runs_dynos()) else {
                continue;
            };
            if state.alive.is_none() {
                free.aside.not_alive.push(node.name.clone());
            } else if node.draining {
                free.aside.draining.push(node.name.clone());
            } else if node.cordoned {
                free.aside.cordoned.push(node.name.clone());
            } else {
                free.add(*id, Room::of(context, *id, node, state));
            }
        }
        for (build, _, host) in context.snapshot.placed_builds() {
            free.reserve_for_build(host, build.resources());
        }
        free
    }

    fn add(&mut self, id: NodeId, room: Room) {
        let zone = self.zones.entry(room.zone.clone()).or_default();
        zone.insert(room.rank(id));
        self.rooms.insert(id, room);
    }

    /// The best node, which is then taken.
    pub(super) fn place(&mut self, need: &Need<'_>) -> Result<NodeId, Unplaceable> {
        let node = self.best(need)?.node;
        self.reserve(node, need.resources);
        Ok(node)
    }

    /// Where [`Free::place`] would put it: beside builds rather than nowhere. They are bounded, the first to be killed when
    /// a host runs out of memory, and over in minutes; a release that fails because somebody else builds is worse.
    pub(super) fn best(&self, need: &Need<'_>) -> Result<Fitness, Unplaceable> {
        let beside_builds = || {
            let is_building = |room: &Room| room.building != Resources::default();
            let may = self.rooms.values().any(is_building);
            may.then(|| self.search(need, None, Room::free_of_dynos))?
        };
        self.search(need, None, Room::free)
            .or_else(beside_builds)
            .ok_or_else(|| self.why_not(need))
    }

    /// As [`Free::best`], of all other nodes.
    pub(super) fn best_but(&self, need: &Need<'_>, not: NodeId) -> Option<Fitness> {
        self.search(need, Some(not), Room::free)
    }

    fn search(
        &self,
        need: &Need<'_>,
        not: Option<NodeId>,
        free: fn(&Room) -> Resources,
    ) -> Option<Fitness> {
        let mut in_zone: BTreeMap<&Option<String>, u32> = BTreeMap::new();
        for (node, count) in &need.peers.on_node {
            if let Some(room) = self.rooms.get(node) {
                *in_zone.entry(&room.zone).or_default() += count;
            }
        }
        let mut best: Option<Fitness> = None;
        for (zone, nodes) in &self.zones {
            let in_zone = in_zone.get(zone).copied().unwrap_or(0);
            for (is_unsteady, load, node) in nodes {
                let on_node = need.peers.on(*node);
                let fitness = Fitness {
                    is_unsteady: *is_unsteady,
                    in_zone,
                    on_node,
                    load: *load,
                    node: *node,
                };
                if best.is_some_and(|best| best < fitness) && on_node == 0 {
                    // They only get worse from here on.
                    break;
                }
                let may = Some(*node) != not && self.fits(*node, need, free);
                if may && best.is_none_or(|best| fitness < best) {
                    best = Some(fitness);
                }
            }
        }
        best
    }

    /// How good the node is, whether or not there is room on it.
    pub(super) fn fitness(&self, node: NodeId, need: &Need<'_>) -> Option<Fitness> {
        let room = self.rooms.get(&node)?;
        let of_zone = |(id, count): (&NodeId, &u32)| {
            let zone = self.rooms.get(id).map(|other| &other.zone);
            if zone == Some(&room.zone) { *count } else { 0 }
        };
        Some(Fitness {
            is_unsteady: room.is_unsteady,
            in_zone: need.peers.on_node.iter().map(of_zone).sum(),
            on_node: need.peers.on(node),
            load: room.rank(node).1,
            node,
        })
    }

    fn fits(&self, node: NodeId, need: &Need<'_>, free: fn(&Room) -> Resources) -> bool {
        self.rooms.get(&node).is_some_and(|room| {
            room.has(&need.tags)
                && free(room).holds(need.resources)
                && !(need.one_per_node && need.peers.on(node) > 0)
        })
    }

    fn why_not(&self, need: &Need<'_>) -> Unplaceable {
        Unplaceable::explain(self.rooms.iter(), &self.aside, need)
    }

    /// Takes from the node's room, for a dyno.
    pub(super) fn reserve(&mut self, node: NodeId, resources: Resources) {
        self.change(node, |room| room.reserved = room.reserved.plus(resources));
    }

    /// The same for a build.
    pub(super) fn reserve_for_build(&mut self, node: NodeId, resources: Resources) {
        self.change(node, |room| room.building = room.building.plus(resources));
    }

    fn change(&mut self, node: NodeId, change: impl FnOnce(&mut Room)) {
        if let Some(room) = self.rooms.get_mut(&node)
            && let Some(zone) = self.zones.get_mut(&room.zone)
        {
            zone.remove(&room.rank(node));
            change(room);
            zone.insert(room.rank(node));
        }
    }

    pub(super) fn room(&self, node: NodeId) -> Option<&Room> {
        self.rooms.get(&node)
    }

    pub(super) fn rooms(&self) -> impl ExactSizeIterator<Item = (NodeId, &Room)> {
        self.rooms.iter().map(|(id, room)| (*id, room))
    }

    pub(super) fn zones(&self) -> usize {
        self.zones.len()
    }
}

impl Room {
    fn of(context: &Context<'_>, id: NodeId, node: &Node, state: &NodeState) -> Self {
        let overcommit = u64::from(context.rules.cpu_overcommit_percent);
        Self {
            name: node.name.clone(),
            zone: node.zone.clone(),
            tags: node.tags.clone(),
            capacity: Resources {
                memory_bytes: node.memory_bytes,
                cpu_millis: u64::from(node.cpus) * 1000 * overcommit / 100,
            },
            reserved: state.reserved,
            building: Resources::default(),
            is_unsteady: context.is_unsteady(id),
        }
    }

    pub(super) fn has(&self, tags: &BTreeMap<String, String>) -> bool {
        model::placement::has_all(&self.tags, tags)
    }

    /// What neither dynos nor builds have.
    pub(super) fn free(&self) -> Resources {
        self.free_of_dynos().minus(self.building)
    }

    /// What dynos do not have, though builds may be using it.
    pub(super) fn free_of_dynos(&self) -> Resources {
        self.capacity.minus(self.reserved)
    }

    /// By which the nodes of a zone are tried in order: the steady ones, and of those the least loaded, with builds.
    fn rank(&self, id: NodeId) -> (bool, u64, NodeId) {
        (self.is_unsteady, self.load_with(self.building), id)
    }

    pub(super) const fn is_unsteady(&self) -> bool {
        self.is_unsteady
    }

    /// [`Room::load`] with the builds.
    pub(super) fn load_with_builds(&self) -> u64 {
        self.load_with(self.building)
    }

    /// The larger of the two shares that dynos reserve, in thousandths.
    pub(super) fn load(&self) -> u64 {
        self.load_with(Resources::default())
    }

    /// As [`Room::load`], with this much more on it.
    pub(super) fn load_with(&self, more: Resources) -> u64 {
        let reserved = self.reserved.plus(more);
        let share = |part: u64, of: u64| u128::from(part) * 1000 / u128::from(of.max(1));
        let memory = share(reserved.memory_bytes, self.capacity.memory_bytes);
        let cpu = share(reserved.cpu_millis, self.capacity.cpu_millis);
        u64::try_from(memory.max(cpu)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests;
