//! Why no node would do, in words that name what would have to change.

use std::fmt;

use model::NodeId;

use super::place::{Need, Room};

/// Why no node would do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unplaceable {
    #[error("there is no live node that takes new dynos{aside}")]
    NoNode { aside: Box<Aside> },
    #[error("no live node that takes new dynos has the tag {tags}{aside}")]
    NoTag { tags: String, aside: Box<Aside> },
    #[error(
        "it needs {need} MB of memory, and the most that is free on one node{among} is {most_free} MB, on {on}; \
         scale something down, choose a smaller dyno size, or add a node{aside}"
    )]
    NoMemory {
        /// MiB.
        need: u64,
        most_free: u64,
        /// The node that has the most.
        on: String,
        among: String,
        aside: Box<Aside>,
    },
    #[error(
        "it reserves {need} thousandths of a CPU, and the most that is free on one node{among} is {most_free}, on {on}; \
         scale something down, choose a smaller dyno size, or add a node{aside}"
    )]
    NoCpu {
        need: u64,
        most_free: u64,
        on: String,
        among: String,
        aside: Box<Aside>,
    },
    #[error(
        "each node{among} with room for it has a dyno of its type already, and no two may share one; add a node{aside}"
    )]
    OnePerNode { among: String, aside: Box<Aside> },
}

/// Nodes there are and that cannot be used now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aside {
    pub(super) cordoned: Vec<String>,
    pub(super) draining: Vec<String>,
    pub(super) not_alive: Vec<String>,
}

impl Unplaceable {
    /// Whether both are the same reason, whatever the figures: those change with every dyno anywhere.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    pub(super) fn explain<'a>(
        rooms: impl Iterator<Item = (&'a NodeId, &'a Room)>,
        aside: &Aside,
        need: &Need<'_>,
    ) -> Self {
        let aside = Box::new(aside.clone());
        let rooms: Vec<&Room> = rooms.map(|(_, room)| room).collect();
        if rooms.is_empty() {
            return Self::NoNode { aside };
        }
        let tags = model::placement::listed(&need.tags);
        let tagged: Vec<&Room> = rooms
            .into_iter()
            .filter(|room| room.has(&need.tags))
            .collect();
        let among = match (tags.is_empty(), tagged.len()) {
            (true, _) => String::new(),
            (false, 1) => format!(" of the 1 with {tags}"),
            (false, count) => format!(" of the {count} with {tags}"),
        };
        let Some(roomiest) = tagged
            .iter()
            .max_by_key(|room| room.free_of_dynos().memory_bytes)
        else {
            return Self::NoTag { tags, aside };
        };
        let need_bytes = need.resources.memory_bytes;
        if roomiest.free_of_dynos().memory_bytes < need_bytes {
            return Self::NoMemory {
                need: need_bytes >> 20,
                most_free: roomiest.free_of_dynos().memory_bytes >> 20,
                on: roomiest.name.clone(),
                among,
                aside,
            };
        }
        // Of those with the memory, the one with the most of the rest.
        let idlest = tagged
            .iter()
            .filter(|room| room.free_of_dynos().memory_bytes >= need_bytes)
            .max_by_key(|room| room.free_of_dynos().cpu_millis);
        match idlest {
            Some(idlest) if idlest.free_of_dynos().cpu_millis < need.resources.cpu_millis => {
                Self::NoCpu {
                    need: need.resources.cpu_millis,
                    most_free: idlest.free_of_dynos().cpu_millis,
                    on: idlest.name.clone(),
                    among,
                    aside,
                }
            }
            _ => Self::OnePerNode { among, aside },
        }
    }
}

/// How many nodes are named.
const MAX_NAMED: usize = 5;

impl fmt::Display for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = [
            ("cordoned", &self.cordoned),
            ("draining", &self.draining),
            ("not alive", &self.not_alive),
        ];
        let mut told: Vec<String> = Vec::new();
        for (what, names) in groups {
            if names.is_empty() {
                continue;
            }
            let shown = names.iter().take(MAX_NAMED).cloned();
            let mut text = format!("{what}: {}", shown.collect::<Vec<_>>().join(", "));
            if names.len() > MAX_NAMED {
                text += &format!(" and {} more", names.len() - MAX_NAMED);
            }
            told.push(text);
        }
        if told.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", told.join("; "))
    }
}
