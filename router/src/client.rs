//! A client's connection: who is at its other end, and how they reached us.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use crate::admission::{Place, Terms};
use crate::fault::Fault;
use crate::http1::request::Origin;
use crate::worker::Worker;

/// Somebody else waits for the place.
const TURNED_AWAY_WITHIN: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) worker: Rc<Worker>,
    /// The other end's address, as it is passed on; or the one that a load balancer before us says it has.
    pub(crate) peer: String,
    /// Whether that is one of the proxies whose word about their clients is believed.
    pub(crate) is_trusted: bool,
    /// The port that was used, where a load balancer tells.
    pub(crate) port: Option<u16>,
    /// `tls1.3`; `None`: plain HTTP.
    pub(crate) tls_version: Option<&'static str>,
    /// Whether it has asked for anything yet.
    pub(crate) has_asked: Cell<bool>,
    /// Requests that have begun.
    pub(crate) begun: Cell<u64>,
    /// Those of them that are not over.
    pub(crate) under_way: Cell<u32>,
    /// It is counted until nothing of the connection is left, a tunnel included.
    pub(crate) place: Place,
}

impl Client {
    /// Whether it is only told that there is no room.
    pub(crate) fn is_turned_away(&self) -> bool {
        self.place.terms() == Terms::TurnedAway
    }

    /// What keeps any request of its from an answer.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.is_turned_away().then_some(Fault::TooManyConnections)
    }

    /// How long it may take to ask, the first time and again.
    pub(crate) fn patience(&self) -> Duration {
        let patience = self.worker.shared.config.timeouts.client_head;
        match self.is_turned_away() {
            true => patience.min(TURNED_AWAY_WITHIN),
            false => patience,
        }
    }

    /// Of a request that begins now.
    pub(crate) fn origin(&self, now: SystemTime) -> Origin<'_> {
        let ports = self.worker.shared.config.public_ports;
        let is_https = self.tls_version.is_some();
        let port = if is_https { ports.https } else { ports.http };
        let since = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Origin {
            peer: &self.peer,
            is_https,
            port: self.port.unwrap_or(port),
            https_port: ports.https,
            is_believed: self.is_trusted,
            unix_millis: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        }
    }
}
