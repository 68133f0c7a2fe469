//! Finding the live controllers, for whoever sends them log lines.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use model::ServiceRole;
use store::{Event, Follower, Key, Store, Update, key};
use tokio::sync::watch;
use tracing::warn;

/// The addresses of all live controllers, kept up to date until the receiver is dropped.
pub(crate) async fn follow_controllers(
    store: Arc<dyn Store>,
    found: watch::Sender<Vec<SocketAddr>>,
) {
    let mut follower = Follower::new(store, vec![key::alive_services_of(ServiceRole::Controller)]);
    let mut addresses: BTreeMap<Key, SocketAddr> = BTreeMap::new();
    loop {
        let update = tokio::select! {
            () = found.closed() => return,
            update = follower.next() => update,
        };
        let (entries, gone) = match update {
            Update::Snapshot { entries, .. } => {
                addresses.clear();
                (entries, Vec::new())
            }
            Update::Changes { events, .. } if events.is_empty() => continue,
            Update::Changes { events, .. } => split(events),
        };
        for key in gone {
            addresses.remove(&key);
        }
        for entry in entries {
            match key::ALIVE_SERVICES.decode(&entry) {
                Ok(service) => {
                    addresses.insert(entry.key, service.value.addr);
                }
                Err(error) => warn!(
                    error = &error as &dyn std::error::Error,
                    "Left out an unreadable controller"
                ),
            }
        }
        found.send_replace(addresses.values().copied().collect());
    }
}

fn split(events: Vec<Event>) -> (Vec<store::Entry>, Vec<Key>) {
    let (mut put, mut gone) = (Vec::new(), Vec::new());
    for event in events {
        match event {
            Event::Put(entry) => put.push(entry),
            Event::Delete { key, .. } => gone.push(key),
        }
    }
    (put, gone)
}
