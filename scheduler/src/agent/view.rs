//! The part of the store that concerns one node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use model::{Dyno, DynoId, DynoStatus, NodeId, Revision};
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::{Entry, Event, Key, Table, Update, key};
use tracing::error;

/// What is followed.
pub(crate) fn followed() -> Vec<Key> {
    vec![
        key::DYNOS.prefix(),
        key::DYNO_STATUS.prefix(),
        key::NODES.prefix(),
    ]
}

#[derive(Debug)]
pub(crate) struct NodeView {
    node: NodeId,
    /// Dynos placed here.
    pub dynos: BTreeMap<DynoId, Arc<Dyno>>,
    /// Statuses written by this node.
    pub statuses: BTreeMap<DynoId, (DynoStatus, Revision)>,
    /// Addresses of the other nodes.
    pub peers: BTreeMap<NodeId, IpAddr>,
}

impl NodeView {
    pub(crate) const fn new(node: NodeId) -> Self {
        Self {
            node,
            dynos: BTreeMap::new(),
            statuses: BTreeMap::new(),
            peers: BTreeMap::new(),
        }
    }

    /// Whether it was a snapshot.
    pub(crate) fn apply(&mut self, update: Update) -> bool {
        match update {
            Update::Snapshot { entries, .. } => {
                *self = Self::new(self.node);
                for entry in entries {
                    self.put(&entry);
                }
                true
            }
            Update::Changes { events, .. } => {
                for event in events {
                    match event {
                        Event::Put(entry) => self.put(&entry),
                        Event::Delete { key, .. } => self.delete(&key),
                    }
                }
                false
            }
        }
    }

    pub(crate) fn dyno_ids(&self) -> BTreeSet<DynoId> {
        self.dynos.keys().copied().collect()
    }

    fn put(&mut self, entry: &Entry) {
        if entry.key.starts_with(&key::DYNOS.prefix()) {
            let Some(dyno) = decode(&key::DYNOS, entry) else {
                return;
            };
            if dyno.node == Some(self.node) {
                self.dynos.insert(dyno.id, Arc::new(dyno));
            } else {
                self.dynos.remove(&dyno.id);
            }
        } else if entry.key.starts_with(&key::DYNO_STATUS.prefix()) {
            let Some(status) = decode(&key::DYNO_STATUS, entry) else {
                return;
            };
            if status.node == self.node {
                self.statuses.insert(status.dyno, (status, entry.revision));
            } else {
                self.statuses.remove(&status.dyno);
            }
        } else if entry.key.starts_with(&key::NODES.prefix()) {
            let Some(node) = decode(&key::NODES, entry) else {
                return;
            };
            if node.id != self.node {
                self.peers.insert(node.id, node.address);
            }
        }
    }

    fn delete(&mut self, key: &Key) {
        if key.starts_with(&key::DYNOS.prefix()) {
            if let Ok(dyno) = key.name().parse() {
                self.dynos.remove(&dyno);
            }
        } else if key.starts_with(&key::DYNO_STATUS.prefix()) {
            if let Ok(dyno) = key.name().parse() {
                self.statuses.remove(&dyno);
            }
        } else if let Ok(node) = key.name().parse() {
            self.peers.remove(&node);
        }
    }
}

/// A record this version cannot read is left as it was seen last: better a dyno too many than one stopped by mistake.
fn decode<T: Serialize + DeserializeOwned>(table: &Table<T>, entry: &Entry) -> Option<T> {
    match table.decode(entry) {
        Ok(record) => Some(record.value),
        Err(error) => {
            error!(error = &error as &dyn std::error::Error, "Skips a record");
            None
        }
    }
}
