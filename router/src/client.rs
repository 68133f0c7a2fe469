//! A client's connection: who is at its other end, and how they reached us.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use crate::admission::{Place, Terms};
use crate::certificates::Shown;
use crate::fault::Fault;
use crate::http1::request::Origin;
use crate::worker::Worker;

/// Somebody else waits for the place.
const TURNED_AWAY_WITHIN: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) worker: Rc<Worker>,
    pub(crate) ip: IpAddr,
    /// The other end's address, as it is passed on; or the one that a load balancer before us says it has.
    pub(crate) peer: String,
    /// Whether that is one of the proxies whose word about their clients is believed.
    pub(crate) is_trusted: bool,
    /// The port that was used, where a load balancer tells.
    pub(crate) port: Option<u16>,
    /// `tls1.3`; `None`: plain HTTP.
    pub(crate) tls_version: Option<&'static str>,
    /// The certificate it was shown, if any.
    pub(crate) shown: Option<Shown>,
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

    /// Whose request it is, by the list of those that passed it on: the last that is none of the proxies we trust. What
    /// stands before that one could have been written by it.
    pub(crate) fn address(&self, forwarded_for: &[u8]) -> IpAddr {
        if !self.is_trusted {
            return self.ip;
        }
        let mut nearest = self.ip;
        // The last is the other end of this connection.
        for text in forwarded_for.rsplit(|byte| *byte == b',').skip(1) {
            let Some(address) = parse_address(text.trim_ascii()) else {
                break;
            };
            nearest = address;
            if !self.worker.shared.config.proxies.are_trusted_at(address) {
                break;
            }
        }
        nearest
    }
}

/// Some proxies add a port, and brackets where they have to.
fn parse_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let plain = text.trim_start_matches('[').trim_end_matches(']');
    let with_port = || text.parse::<SocketAddr>().map(|address| address.ip());
    plain.parse().or_else(|_| with_port()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_proxies_write_them() {
        for (text, address) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
        ] {
            assert_eq!(
                parse_address(text.as_bytes()),
                address.parse().ok(),
                "{text}"
            );
        }
        for bad in ["", "unknown", "_hidden", "1.2.3", "a:b"] {
            assert_eq!(parse_address(bad.as_bytes()), None, "{bad}");
        }
    }
}
