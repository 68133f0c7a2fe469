//! Hosts as etcd knows them: a connection each, a watch over everything each, and what agents and routers write.
//!
//! Containers are not there, so they start and stop at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use futures::StreamExt as _;
use model::{Dyno, DynoState, DynoStatus, NodeId, Revision, RouterId, RouterReport, Timestamp};
use serde::Deserialize;
use store::{
    Committed, Entry, Etcd, Event, Key, Presence, Store, Table, Txn, WatchBatch, WatchItem, key,
};
use tokio::task::JoinSet;

use crate::board::Board;
use crate::cluster::Cluster;
use crate::fleet::node_id;

const CONNECTING_AT_ONCE: usize = 32;

pub(crate) struct Hosts {
    pub(crate) connections: Vec<Arc<Etcd>>,
    lost: Arc<RwLock<BTreeSet<NodeId>>>,
    _watching: JoinSet<()>,
}

/// How many there are to be of each. The nodes are divided among the hosts; the first hosts are routers too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) hosts: usize,
    pub(crate) nodes: usize,
    pub(crate) routers: usize,
}

struct Host {
    index: usize,
    store: Arc<dyn Store>,
    nodes: BTreeSet<NodeId>,
    lost: Arc<RwLock<BTreeSet<NodeId>>>,
    router: Option<Presence<RouterReport>>,
    /// What is being written of its dynos.
    writes: JoinSet<()>,
}

/// As much of a dyno's record as says whose it is: every host looks at each, on cores that it would not share.
#[derive(Deserialize)]
struct Placed {
    node: Option<NodeId>,
}

impl Hosts {
    pub(crate) async fn start(cluster: &Cluster, size: Size, board: &Arc<Board>) -> Self {
        let connections: Vec<Arc<Etcd>> =
            futures::stream::iter((0..size.hosts).map(|_| cluster.connect()))
                .buffer_unordered(CONNECTING_AT_ONCE)
                .collect()
                .await;
        let lost = Arc::<RwLock<_>>::default();
        let mut watching = JoinSet::new();
        for (index, etcd) in connections.iter().enumerate() {
            let watch = etcd.watch(&Key::root(), board.base()).await.unwrap();
            let store: Arc<dyn Store> = etcd.clone();
            let host = Host {
                index,
                router: (index < size.routers).then(|| router(&store, index, board.base())),
                store,
                nodes: (index..size.nodes)
                    .step_by(size.hosts)
                    .map(node_id)
                    .collect(),
                lost: Arc::clone(&lost),
                writes: JoinSet::new(),
            };
            watching.spawn(host.run(watch, board.clone()));
        }
        Self {
            connections,
            lost,
            _watching: watching,
        }
    }

    /// Nothing more is heard of these nodes.
    pub(crate) fn lose(&self, nodes: impl Iterator<Item = NodeId>) {
        let mut lost = self.lost.write().unwrap_or_else(PoisonError::into_inner);
        lost.extend(nodes);
    }
}

fn router(store: &Arc<dyn Store>, index: usize, applied: u64) -> Presence<RouterReport> {
    let id = RouterId::from_uuid(uuid::Uuid::from_u128(index as u128 + 1));
    let report = RouterReport {
        id,
        applied,
        certificates: 0,
        draining: BTreeMap::new(),
        started_at: Timestamp::now(),
        about: Default::default(),
    };
    Presence::start(
        store.clone(),
        &key::ALIVE_ROUTERS,
        key::alive_router(id),
        report,
        store::presence::TTL,
    )
}

impl Host {
    async fn run(mut self, mut watch: store::Watch, board: Arc<Board>) {
        while let Some(Ok(item)) = watch.next().await {
            match item {
                WatchItem::Batch(batch) => {
                    board.sees(self.index, &batch);
                    self.act_on(&batch);
                }
                WatchItem::Progress(_) => {}
                WatchItem::Resync => break,
            }
        }
        board.loses_a_host();
    }

    fn act_on(&mut self, batch: &WatchBatch) {
        let has_routes = |event: &Event| key::ROUTES.holds(event.key());
        if let Some(router) = &self.router
            && batch.events.iter().any(has_routes)
        {
            router.update(|report| report.applied = batch.revision);
        }
        for event in &batch.events {
            if let Event::Put(entry) = event
                && key::DYNOS.holds(&entry.key)
                && self.has(entry)
            {
                let dyno = decode(&key::DYNOS, entry);
                self.writes.spawn(tend(self.store.clone(), dyno));
            }
        }
        while self.writes.try_join_next().is_some() {}
    }

    fn has(&self, entry: &Entry) -> bool {
        let placed: Placed = serde_json::from_slice(&entry.value).unwrap();
        placed.node.is_some_and(|node| {
            self.nodes.contains(&node)
                && !self
                    .lost
                    .read()
                    .unwrap_or_else(PoisonError::into_inner)
                    .contains(&node)
        })
    }
}

pub(crate) fn decode<T>(table: &Table<T>, entry: &Entry) -> T
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    table.decode(entry).unwrap().value
}

/// What an agent writes of a dyno that is new to it or is to stop.
async fn tend(store: Arc<dyn Store>, dyno: Dyno) {
    let now = Timestamp::now();
    let addr = dyno.is_web().then(|| ([10, 0, 0, 1], 5000).into());
    let states = match (dyno.is_stopping(), dyno.replace) {
        (true, _) => [
            DynoState::Stopping { since: now },
            DynoState::Stopped {
                at: now,
                exit: None,
            },
        ],
        (false, false) => [
            DynoState::Starting { since: now },
            DynoState::Up { since: now, addr },
        ],
        // It is up, and stays so until another has taken its place.
        (false, true) => return,
    };
    let place = key::dyno_status(dyno.app, dyno.id);
    let mut seen = match dyno.is_stopping() {
        true => revision_of(&*store, &place).await,
        false => None,
    };
    for state in states {
        let status = DynoStatus {
            dyno: dyno.id,
            app: dyno.app,
            node: dyno.node.unwrap(),
            state,
            restarts: 0,
            updated_at: now,
        };
        let txn = Txn::new().exists(key::dyno(dyno.app, dyno.id)).put(
            &key::DYNO_STATUS,
            place.clone(),
            &status,
        );
        let txn = match seen {
            Some(revision) => txn.at_revision(place.clone(), revision),
            None => txn.absent(place.clone()),
        };
        match txn.commit(&*store).await {
            Ok(Committed::Done(revision)) => seen = Some(revision),
            // Its record was written once more, and has been tended already.
            Ok(Committed::Conflict) => return,
            // Taken or not: the next state is written over what is there.
            Err(_) => seen = revision_of(&*store, &place).await,
        }
    }
}

/// Asks until etcd answers.
async fn revision_of(store: &dyn Store, key: &Key) -> Option<Revision> {
    loop {
        if let Ok(found) = store.get(key).await {
            return found.map(|entry| entry.revision);
        }
    }
}
