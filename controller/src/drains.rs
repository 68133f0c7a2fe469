//! Log drains: passing an app's lines on to where its owner wants them, as Heroku's Logplex does.
//!
//! Every log line reaches two controllers. One of all, the app's home, delivers it: whoever else gets lines of an app with
//! drains hands them over ([`outbox`]), and the home takes each batch once ([`seen`]). Each drain has a bounded [`buffer`]
//! that drops its oldest lines and a [`worker`] of its own, so that taking lines in never waits for a drain, nor one drain
//! for another. Nothing of it is on disk: what a controller that dies had not delivered is in the app's log only.

mod buffer;
mod courier;
mod follow;
mod frame;
mod network;
mod outbox;
mod post;
mod seen;
mod syslog;
mod trouble;
mod worker;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use controller_api::log_sink::home_of;
use model::log::LogLine;
use model::{AppId, DrainUrl, LogDrain};
use store::{Keyring, StoreError, Versioned};
use uuid::Uuid;

use self::buffer::Buffer;
use self::outbox::Outbox;
pub(crate) use self::outbox::{MAX_PARCELS_BYTES, Parcel};
use self::seen::Seen;

/// Of all apps together: each may hold a connection and some memory on its app's home.
pub(crate) const MAX_DRAINS: usize = 5_000;

/// Where lines are handed in; cheap to clone, never waits.
#[derive(Debug, Clone)]
pub(crate) struct Drains {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    own: SocketAddr,
    /// Names what this controller itself has to say.
    sender: Uuid,
    number: AtomicU64,
    /// `None` until the store has told. Guards a few lines.
    table: RwLock<Option<Table>>,
    seen: Mutex<Seen>,
    outbox: Outbox,
}

/// What the store says.
#[derive(Debug)]
struct Table {
    controllers: Vec<SocketAddr>,
    apps: HashMap<AppId, Vec<Arc<Buffer>>>,
}

/// Where an app's lines are delivered from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Nowhere,
    Here,
    At(SocketAddr),
    Unknown,
}

impl Drains {
    /// `own` is the address under which this controller is on record.
    fn new(own: SocketAddr) -> Self {
        Self {
            shared: Arc::new(Shared {
                own,
                sender: Uuid::new_v4(),
                number: AtomicU64::new(0),
                table: RwLock::default(),
                seen: Mutex::default(),
                outbox: Outbox::default(),
            }),
        }
    }

    /// Whether there is any use in handing in lines of the app.
    pub(crate) fn want(&self, app: AppId) -> bool {
        self.shared.place(app) != Place::Nowhere
    }

    /// Lines that have come to this controller, under the number of their batch.
    pub(crate) fn offer(&self, parcel: Parcel) {
        match self.shared.place(parcel.app) {
            Place::Nowhere => {}
            Place::Here => self.take(parcel),
            Place::At(_) | Place::Unknown => self.shared.outbox.push(parcel),
        }
    }

    /// A line of this controller's own.
    pub(crate) fn offer_own(&self, line: LogLine) {
        let number = self.shared.number.fetch_add(1, Ordering::Relaxed) + 1;
        self.offer(Parcel {
            sender: self.shared.sender,
            number,
            app: line.app,
            lines: vec![line],
        });
    }

    /// What this controller is home to, or another one believes so: it goes no further.
    pub(crate) fn take(&self, parcel: Parcel) {
        let buffers = match &*read(&self.shared.table) {
            Some(table) => table.apps.get(&parcel.app).cloned(),
            None => return self.shared.outbox.push(parcel),
        };
        let batch = (parcel.sender, parcel.number);
        let Some(buffers) = buffers.filter(|_| lock(&self.shared.seen).is_first(batch, parcel.app))
        else {
            return;
        };
        for line in parcel.lines.into_iter().map(Arc::new) {
            for buffer in &buffers {
                buffer.push(line.clone());
            }
        }
    }
}

impl Shared {
    fn place(&self, app: AppId) -> Place {
        let table = read(&self.table);
        let Some(table) = &*table else {
            return Place::Unknown;
        };
        if !table.apps.contains_key(&app) {
            return Place::Nowhere;
        }
        match home_of(app, &table.controllers) {
            Some(home) if home != self.own => Place::At(home),
            // One that nobody has on record delivers what it has.
            _ => Place::Here,
        }
    }
}

/// Where a drain leads.
pub(crate) fn url_of(
    keyring: &Keyring,
    drain: &Versioned<LogDrain>,
) -> Result<DrainUrl, StoreError> {
    let text: String = keyring.open(&drain.key, &drain.value.url)?;
    // Only what parses is sealed.
    text.parse().map_err(|_| StoreError::Unseal)
}

/// What these guard is whole after every statement: a panic elsewhere spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}
