//! Keeping drains and controllers as the store has them: a worker for each drain, and who is home to which app.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use model::{DrainId, LogDrain, ServiceEndpoint, ServiceRole};
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::{Event, Follower, Key, Keyring, Store, Update, Versioned, key};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::buffer::{Buffer, Held};
use super::courier::Courier;
use super::network::Network;
use super::trouble::Trouble;
use super::worker::Worker;
use super::{Drains, Table, outbox, url_of};
use crate::config::DrainsConfig;
use crate::logs::{LogStore, Peers};

/// Everything that runs for drains; to be run.
pub(crate) struct DrainsTask {
    drains: Drains,
    logs: LogStore,
    peers: Peers,
    keyring: Keyring,
    network: Arc<Network>,
    held: Held,
    running: HashMap<DrainId, Running>,
    workers: JoinSet<()>,
    /// Workers go after what is handed over has gone.
    workers_leave: CancellationToken,
}

struct Running {
    drain: LogDrain,
    buffer: Arc<Buffer>,
    worker: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

impl Drains {
    /// `own` is the address under which this controller is on record.
    pub(crate) fn start(
        own: SocketAddr,
        config: DrainsConfig,
        logs: LogStore,
        peers: Peers,
        keyring: Keyring,
    ) -> (Self, DrainsTask) {
        let drains = Self::new(own);
        let task = DrainsTask {
            drains: drains.clone(),
            logs,
            peers,
            keyring,
            network: Arc::new(Network::new(config)),
            held: Held::default(),
            running: HashMap::new(),
            workers: JoinSet::new(),
            workers_leave: CancellationToken::new(),
        };
        (drains, task)
    }
}

impl DrainsTask {
    /// Until `leaving`; then what waits is tried once more, which takes as long as receivers take.
    pub(crate) async fn run(mut self, store: Arc<dyn Store>, leaving: CancellationToken) {
        let mut outbox = JoinSet::new();
        let handing_over = outbox::run(self.drains.clone(), self.peers.clone(), leaving.clone());
        outbox.spawn(handing_over);
        let mut drains = Records::new(store.clone(), key::LOG_DRAINS.prefix());
        let controllers = key::alive_services_of(ServiceRole::Controller);
        let mut controllers = Records::new(store, controllers);
        loop {
            tokio::select! {
                () = leaving.cancelled() => break,
                () = drains.change(|entry| key::LOG_DRAINS.decode(entry)) => {}
                () = controllers.change(|entry| key::ALIVE_SERVICES.decode(entry)) => {}
                Some(ended) = self.workers.join_next() => {
                    if ended.is_err_and(|ended| ended.is_panic()) {
                        error!("A drain's task panicked; it delivers nothing until the drain is changed");
                    }
                    continue;
                }
            }
            if let (Some(drains), Some(controllers)) = (&drains.known, &controllers.known) {
                self.reconcile(drains.values());
                self.publish(controllers.values());
            }
        }
        outbox.join_all().await;
        self.workers_leave.cancel();
        while self.workers.join_next().await.is_some() {}
    }

    fn reconcile<'a>(&mut self, wanted: impl Iterator<Item = &'a Versioned<LogDrain>>) {
        let mut before = std::mem::take(&mut self.running);
        for seen in wanted {
            let drain = &seen.value;
            let known = before.remove(&drain.id);
            let running = match known {
                Some(running) if running.drain == *drain => Some(running),
                // What waits goes where the drain leads now.
                known => {
                    let held = || Arc::new(Buffer::new(self.held.clone()));
                    let buffer = known.map_or_else(held, |known| known.buffer.clone());
                    self.begin(seen, buffer)
                }
            };
            self.running
                .extend(running.map(|running| (drain.id, running)));
        }
    }

    fn begin(&mut self, seen: &Versioned<LogDrain>, buffer: Arc<Buffer>) -> Option<Running> {
        let drain = &seen.value;
        let url = match url_of(&self.keyring, seen) {
            Ok(url) => url,
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, key = %seen.key, "Left out an unreadable drain");
                return None;
            }
        };
        let (name, origin) = (drain.token.to_string(), url.origin());
        let worker = Worker {
            buffer: buffer.clone(),
            courier: Courier::new(self.network.clone(), drain, url),
            trouble: Trouble::new(self.logs.clone(), drain.app, name, origin),
        };
        let worker = self.workers.spawn(worker.run(self.workers_leave.clone()));
        Some(Running {
            drain: drain.clone(),
            buffer,
            worker,
        })
    }

    fn publish<'a>(&self, controllers: impl Iterator<Item = &'a Versioned<ServiceEndpoint>>) {
        let mut table = Table {
            controllers: controllers.map(|seen| seen.value.addr).collect(),
            apps: HashMap::new(),
        };
        // One that is just replaced by a newer process is on record twice.
        table.controllers.sort();
        table.controllers.dedup();
        for running in self.running.values() {
            let buffers = table.apps.entry(running.drain.app).or_default();
            buffers.push(running.buffer.clone());
        }
        let place = &self.drains.shared.table;
        *place.write().unwrap_or_else(PoisonError::into_inner) = Some(table);
    }
}

/// What is below one prefix; `None` until it was heard.
struct Records<T> {
    follower: Follower,
    known: Option<BTreeMap<Key, Versioned<T>>>,
}

impl<T: Serialize + DeserializeOwned> Records<T> {
    fn new(store: Arc<dyn Store>, prefix: Key) -> Self {
        Self {
            follower: Follower::new(store, vec![prefix]),
            known: None,
        }
    }

    /// Once something has changed. Safe to cancel.
    async fn change(
        &mut self,
        decode: impl Fn(&store::Entry) -> Result<Versioned<T>, store::StoreError>,
    ) {
        let events = match self.follower.next().await {
            Update::Snapshot { entries, .. } => {
                self.known = None;
                entries.into_iter().map(Event::Put).collect()
            }
            Update::Changes { events, .. } => events,
        };
        let known = self.known.get_or_insert_default();
        for event in events {
            match event {
                Event::Delete { key, .. } => drop(known.remove(&key)),
                Event::Put(entry) => match decode(&entry) {
                    Ok(record) => drop(known.insert(entry.key, record)),
                    Err(error) => {
                        warn!(
                            error = &error as &dyn std::error::Error,
                            "Left out an unreadable record"
                        );
                    }
                },
            }
        }
    }
}
