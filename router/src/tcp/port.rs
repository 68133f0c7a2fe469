//! A port that is open: its sockets, its route as it is now, and what is counted of it. Connections outlive the sockets.

use std::net::TcpListener as StdListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use model::TcpRoute;

use crate::metrics::Counter;

#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    route: ArcSwap<TcpRoute>,
    /// Of all workers together: they share the limit.
    connections: AtomicU32,
    cells: Box<[PortCell]>,
    complaints: Mutex<Complaints>,
}

/// One worker's counts. Alone on its cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct PortCell {
    pub(crate) accepted: Counter,
    pub(crate) failed: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
}

/// What is told of a port, open or not.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct PortReading {
    pub(crate) port: u16,
    /// Why it is not open.
    pub(crate) error: Option<String>,
    pub(crate) connections: u64,
    pub(crate) accepted: u64,
    pub(crate) failed: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

/// A connection's place among those its route may have.
#[derive(Debug)]
pub(crate) struct Seat(Arc<Port>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How often the log hears of the same port.
const COMPLAIN_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Complaints {
    last: Option<Instant>,
    untold: u64,
}

/// A port with its sockets, which are closed when the last of these is dropped.
#[derive(Debug, Clone)]
pub(crate) struct OpenPort {
    pub(crate) port: Arc<Port>,
    /// Each worker's.
    hands: Arc<Vec<Vec<StdListener>>>,
}

impl OpenPort {
    /// `hands` are the sockets as they were dealt out to the workers.
    pub(super) fn new(route: TcpRoute, hands: Vec<Vec<StdListener>>) -> Self {
        Self {
            port: Arc::new(Port::new(route, hands.len())),
            hands: Arc::new(hands),
        }
    }

    /// Handles of the worker's sockets.
    pub(super) fn listeners(&self, worker: usize) -> std::io::Result<Vec<StdListener>> {
        self.hands[worker]
            .iter()
            .map(StdListener::try_clone)
            .collect()
    }
}

impl Port {
    pub(super) fn new(route: TcpRoute, workers: usize) -> Self {
        Self {
            number: route.port,
            cells: (0..workers).map(|_| PortCell::default()).collect(),
            route: ArcSwap::from_pointee(route),
            connections: AtomicU32::new(0),
            complaints: Mutex::default(),
        }
    }

    pub(crate) fn route(&self) -> Arc<TcpRoute> {
        self.route.load_full()
    }

    pub(super) fn set_route(&self, route: TcpRoute) {
        self.route.store(Arc::new(route));
    }

    pub(crate) fn cell(&self, worker: usize) -> &PortCell {
        &self.cells[worker]
    }

    /// `None`: the route has as many connections as it may.
    pub(crate) fn take_seat(self: &Arc<Self>, limit: u32) -> Option<Seat> {
        let seat = Seat(self.clone());
        let taken = self.connections.fetch_add(1, Ordering::Relaxed);
        (taken < limit).then_some(seat)
    }

    /// Whether the log is to hear of a failure, and of how many it has not since the last time.
    pub(crate) fn may_complain(&self, now: Instant) -> Option<u64> {
        let complaints = self.complaints.lock();
        let mut complaints = complaints.unwrap_or_else(PoisonError::into_inner);
        let is_soon = complaints
            .last
            .is_some_and(|last| now.saturating_duration_since(last) < COMPLAIN_EVERY);
        if is_soon {
            complaints.untold += 1;
            return None;
        }
        complaints.last = Some(now);
        Some(std::mem::take(&mut complaints.untold))
    }

    pub(crate) fn reading(&self) -> PortReading {
        let sum = |pick: fn(&PortCell) -> &Counter| self.cells.iter().map(|c| pick(c).get()).sum();
        PortReading {
            port: self.number,
            error: None,
            connections: self.connections.load(Ordering::Relaxed).into(),
            accepted: sum(|cell| &cell.accepted),
            failed: sum(|cell| &cell.failed),
            bytes_in: sum(|cell| &cell.bytes_in),
            bytes_out: sum(|cell| &cell.bytes_out),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{AccountId, AppId, TcpTarget, Timestamp};

    use super::*;

    fn port() -> Arc<Port> {
        let route = TcpRoute {
            port: 5432,
            target: TcpTarget::App(AppId::new()),
            proxy_protocol: false,
            allow: Vec::new(),
            created_at: Timestamp::UNIX_EPOCH,
            created_by: AccountId::new(),
        };
        Arc::new(Port::new(route, 2))
    }

    #[test]
    fn a_seat_is_free_again_when_it_is_left_and_a_refused_one_takes_none() {
        let port = port();
        let seats = [port.take_seat(2), port.take_seat(2)];
        assert!(seats.iter().all(Option::is_some));
        assert!(port.take_seat(2).is_none());
        assert_eq!(port.reading().connections, 2);
        drop(seats);
        assert_eq!(port.reading().connections, 0);
    }

    #[test]
    fn the_log_hears_of_a_port_once_a_second_and_of_how_many_failed_meanwhile() {
        let (port, now) = (port(), Instant::now());
        assert_eq!(port.may_complain(now), Some(0));
        assert_eq!(port.may_complain(now), None);
        assert_eq!(port.may_complain(now + COMPLAIN_EVERY / 2), None);
        assert_eq!(port.may_complain(now + COMPLAIN_EVERY), Some(2));
    }
}
