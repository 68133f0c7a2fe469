//! Choosing a node for a dyno: filter by what it needs, then spread.

use std::collections::BTreeMap;

use model::{AppId, DynoSize, NodeId, ProcessType};

use crate::snapshot::{NodeState, Snapshot};

/// What every usable node still has room for; grows smaller as one planning places dynos.
#[derive(Debug)]
pub(super) struct Free {
    nodes: BTreeMap<NodeId, Room>,
}

#[derive(Debug)]
struct Room {
    zone: Option<String>,
    memory_bytes: u64,
    reserved_bytes: u64,
    dynos: BTreeMap<(AppId, ProcessType), u32>,
}

/// Why no node would do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unplaceable {
    #[error("there is no live node that takes new dynos")]
    NoNode,
    #[error(
        "it needs {} MB of memory, and the most that is free on one node is {} MB; \
         scale something down, choose a smaller dyno size, or add a node",
        need_bytes >> 20, most_free_bytes >> 20
    )]
    NoMemory {
        need_bytes: u64,
        most_free_bytes: u64,
    },
}

impl Unplaceable {
    /// Whether both are the same reason, whatever the figures: those change with every dyno anywhere.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl Free {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let mut free = Self {
            nodes: snapshot
                .nodes
                .iter()
                .filter_map(|(id, state)| Some((*id, Room::of(state)?)))
                .collect(),
        };
        for app in snapshot.apps.values() {
            for dyno in app.dynos.values().map(|dyno| &dyno.value) {
                if let Some(node) = dyno.node {
                    free.reserve(node, dyno.app, &dyno.name.process_type, dyno.size);
                }
            }
        }
        free
    }

    /// The best node, which is then taken.
    ///
    /// Best: fewest dynos of the same app and type in the zone, then on the node; then the least reserved share of
    /// memory; then the smallest id, so that the same snapshot gives the same plan.
    pub(super) fn place(
        &mut self,
        app: AppId,
        process_type: &ProcessType,
        size: DynoSize,
    ) -> Result<NodeId, Unplaceable> {
        let node = self.best(app, process_type, size)?;
        self.reserve(node, app, process_type, size);
        Ok(node)
    }

    /// Where [`Free::place`] would put it.
    pub(super) fn best(
        &self,
        app: AppId,
        process_type: &ProcessType,
        size: DynoSize,
    ) -> Result<NodeId, Unplaceable> {
        let need_bytes = size.memory_bytes();
        let same = (app, process_type.clone());
        let mut in_zone: BTreeMap<&Option<String>, u32> = BTreeMap::new();
        for room in self.nodes.values() {
            *in_zone.entry(&room.zone).or_default() += room.count(&same);
        }
        let best = self
            .nodes
            .iter()
            .filter(|(_, room)| room.free_bytes() >= need_bytes)
            .min_by_key(|(id, room)| {
                let zone = in_zone.get(&room.zone).copied().unwrap_or(0);
                (zone, room.count(&same), room.reserved_permille(), **id)
            });
        best.map(|(id, _)| *id).ok_or_else(|| {
            self.nodes.values().map(Room::free_bytes).max().map_or(
                Unplaceable::NoNode,
                |most_free_bytes| Unplaceable::NoMemory {
                    need_bytes,
                    most_free_bytes,
                },
            )
        })
    }

    fn reserve(&mut self, node: NodeId, app: AppId, process_type: &ProcessType, size: DynoSize) {
        if let Some(room) = self.nodes.get_mut(&node) {
            room.reserved_bytes += size.memory_bytes();
            *room.dynos.entry((app, process_type.clone())).or_default() += 1;
        }
    }
}

impl Room {
    /// Of a node that is alive and takes dynos.
    fn of(state: &NodeState) -> Option<Self> {
        let node = state
            .node
            .as_ref()
            .filter(|node| !node.cordoned && !node.draining && state.alive.is_some())?;
        Some(Self {
            zone: node.zone.clone(),
            memory_bytes: node.memory_bytes,
            reserved_bytes: 0,
            dynos: BTreeMap::new(),
        })
    }

    fn count(&self, same: &(AppId, ProcessType)) -> u32 {
        self.dynos.get(same).copied().unwrap_or(0)
    }

    const fn free_bytes(&self) -> u64 {
        self.memory_bytes.saturating_sub(self.reserved_bytes)
    }

    fn reserved_permille(&self) -> u128 {
        u128::from(self.reserved_bytes) * 1000 / u128::from(self.memory_bytes.max(1))
    }
}
