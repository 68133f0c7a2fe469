//! The records of TCP routes, and which ports are open because of them.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::TcpRoute;
use store::{Entry, Event, key};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::TcpSockets;
use super::port::{OpenPort, PortReading};
use crate::listen::{self, First};

/// How often a port that could not be opened is tried again: whoever has it may leave.
pub(crate) const TRY_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Which ports there are, for whoever tells of them and for the workers.
#[derive(Debug)]
pub(crate) struct Ports {
    book: Mutex<Book>,
    open: watch::Sender<Vec<OpenPort>>,
}

#[derive(Debug, Default)]
struct Book {
    standing: BTreeMap<u16, Standing>,
    /// No port is opened any more.
    has_left: bool,
}

#[derive(Debug)]
enum Standing {
    Open(OpenPort),
    /// And why it is not.
    Closed(String),
}

impl Ports {
    pub(crate) fn new() -> Self {
        Self {
            book: Mutex::default(),
            open: watch::Sender::new(Vec::new()),
        }
    }

    /// Those that are open, whenever that changes.
    pub(crate) fn open(&self) -> watch::Receiver<Vec<OpenPort>> {
        self.open.subscribe()
    }

    pub(crate) fn readings(&self) -> Vec<PortReading> {
        let book = self.lock();
        let readings = book.standing.iter().map(|(port, standing)| match standing {
            Standing::Open(open) => open.port.reading(),
            Standing::Closed(why) => PortReading {
                port: *port,
                error: Some(why.clone()),
                ..PortReading::default()
            },
        });
        readings.collect()
    }

    /// Ports that should be open and are not, and why.
    pub(crate) fn closed(&self) -> BTreeMap<u16, String> {
        let book = self.lock();
        let closed = book
            .standing
            .iter()
            .filter_map(|(port, standing)| match standing {
                Standing::Open(_) => None,
                Standing::Closed(why) => Some((*port, why.clone())),
            });
        closed.collect()
    }

    /// Closes all of them for good. Whoever has taken over has sockets of its own; what were not closed here would take
    /// connections and answer none.
    pub(crate) fn leave(&self) {
        let mut book = self.lock();
        book.has_left = true;
        book.standing.clear();
        self.tell(&book.standing);
    }

    fn tell(&self, standing: &BTreeMap<u16, Standing>) {
        let open: Vec<_> = standing
            .values()
            .filter_map(|standing| match standing {
                Standing::Open(open) => Some(open.clone()),
                Standing::Closed(_) => None,
            })
            .collect();
        self.open.send_if_modified(|known| {
            let is_same = known.len() == open.len()
                && known
                    .iter()
                    .zip(&open)
                    .all(|(a, b)| Arc::ptr_eq(&a.port, &b.port));
            *known = open;
            !is_same
        });
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens and closes ports as the records say.
#[derive(Debug)]
pub(crate) struct Desk {
    ports: Arc<Ports>,
    sockets: Option<Arc<dyn TcpSockets>>,
    workers: NonZeroUsize,
    routes: BTreeMap<u16, TcpRoute>,
}

impl Desk {
    pub(crate) fn new(
        ports: Arc<Ports>,
        sockets: Option<Arc<dyn TcpSockets>>,
        workers: NonZeroUsize,
    ) -> Self {
        Self {
            ports,
            sockets,
            workers,
            routes: BTreeMap::new(),
        }
    }

    /// These are all the routes there are.
    pub(crate) fn replace(&mut self, entries: &[Entry]) {
        self.routes.clear();
        for entry in entries {
            self.put(entry);
        }
        if let Some(sockets) = &self.sockets {
            let ports: BTreeSet<u16> = self.routes.keys().copied().collect();
            sockets.keep_only(&ports);
        }
    }

    pub(crate) fn apply(&mut self, event: &Event) {
        match event {
            Event::Put(entry) => self.put(entry),
            Event::Delete { key, .. } => {
                if let Ok(port) = key.name().parse() {
                    self.routes.remove(&port);
                }
            }
        }
    }

    /// One that makes no sense leaves its port as it is, for nobody has said what should be there instead.
    fn put(&mut self, entry: &Entry) {
        match key::TCP_ROUTES.decode(entry) {
            Ok(route) if route.value.port.to_string() == entry.key.name() => {
                self.routes.insert(route.value.port, route.value);
            }
            Ok(_) => {
                error!(key = %entry.key, "A TCP route is filed under another port; it is not served")
            }
            Err(error) => {
                error!(error = &error as &dyn std::error::Error, key = %entry.key, "Could not read a TCP route");
            }
        }
    }

    /// Makes the open ports those of the routes. What could not be opened before is tried again.
    pub(crate) fn settle(&mut self) {
        let Some(sockets) = self.sockets.clone() else {
            return;
        };
        let mut book = self.ports.lock();
        if book.has_left {
            return;
        }
        let standing = &mut book.standing;
        standing.retain(|port, _| {
            let stays = self.routes.contains_key(port);
            if !stays {
                info!(port, "Closing the port of a TCP route");
                sockets.close(*port);
            }
            stays
        });
        for (port, route) in &self.routes {
            if let Some(Standing::Open(open)) = standing.get(port) {
                open.port.set_route(route.clone());
                continue;
            }
            let opened = sockets.open(*port);
            let opened =
                opened.and_then(|listeners| listen::deal(listeners, self.workers, First::Anybody));
            let now = match opened {
                Ok(hands) => {
                    info!(port, "Opened the port of a TCP route");
                    Standing::Open(OpenPort::new(route.clone(), hands))
                }
                Err(error) => {
                    let why = error.to_string();
                    let is_news = !matches!(
                        standing.get(port),
                        Some(Standing::Closed(before)) if *before == why
                    );
                    if is_news {
                        warn!(
                            port,
                            error = why,
                            "Could not open the port of a TCP route; trying again from time to time"
                        );
                    }
                    Standing::Closed(why)
                }
            };
            standing.insert(*port, now);
        }
        self.ports.tell(standing);
    }

    pub(crate) fn has_closed(&self) -> bool {
        !self.ports.closed().is_empty()
    }
}
