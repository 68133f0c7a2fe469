//! What is counted of one worker, whichever app it works for.

use std::iter::Sum;
use std::sync::Arc;

use super::counter::{Counter, UnderWay};
use crate::buffer::BufferCount;

/// Alone on its cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct WorkerCell {
    accepted: [Counter; 3],
    connections: [UnderWay; 5],
    pub(crate) requests: Counter,
    pub(crate) handshakes: Counter,
    pub(crate) resumed: Counter,
    pub(crate) failed_handshakes: Counter,
    pub(crate) buffers: Arc<BufferCount>,
}

/// What a client's connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http1OverTls,
    Http2,
    Http2OverTls,
    /// Of a TCP route, whatever it is.
    Tcp,
}

impl Protocol {
    pub(crate) const ALL: [Self; 5] = [
        Self::Http1,
        Self::Http1OverTls,
        Self::Http2,
        Self::Http2OverTls,
        Self::Tcp,
    ];

    /// Name, and whether over TLS, as labels have it.
    pub(crate) const fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::Http1 => ("http1", "false"),
            Self::Http1OverTls => ("http1", "true"),
            Self::Http2 => ("http2", "false"),
            Self::Http2OverTls => ("http2", "true"),
            Self::Tcp => ("tcp", "false"),
        }
    }
}

/// Which kind of listener a connection came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Http,
    Https,
    Tcp,
}

impl Door {
    pub(crate) const ALL: [(Self, &'static str); 3] = [
        (Self::Http, "http"),
        (Self::Https, "https"),
        (Self::Tcp, "tcp"),
    ];
}

/// Counts as a connection until dropped.
#[derive(Debug)]
pub(crate) struct Connected {
    worker: Arc<WorkerCell>,
    protocol: Protocol,
}

impl Connected {
    pub(crate) fn new(worker: &Arc<WorkerCell>, protocol: Protocol) -> Self {
        worker.connections[protocol as usize].begin();
        Self {
            worker: worker.clone(),
            protocol,
        }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.worker.connections[self.protocol as usize].end();
    }
}

impl WorkerCell {
    pub(crate) fn accept(&self, door: Door) {
        self.accepted[door as usize].one();
    }

    pub(super) fn totals(&self) -> WorkerTotals {
        WorkerTotals {
            accepted: std::array::from_fn(|door| self.accepted[door].get()),
            connections: std::array::from_fn(|protocol| self.connections[protocol].now()),
            requests: self.requests.get(),
            handshakes: self.handshakes.get(),
            resumed: self.resumed.get(),
            failed_handshakes: self.failed_handshakes.get(),
            buffers: self.buffers.in_use(),
        }
    }
}

/// Added up.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WorkerTotals {
    accepted: [u64; 3],
    connections: [u64; 5],
    pub(crate) requests: u64,
    pub(crate) handshakes: u64,
    pub(crate) resumed: u64,
    pub(crate) failed_handshakes: u64,
    pub(crate) buffers: u64,
}

impl WorkerTotals {
    pub(crate) fn accepted(&self, door: Door) -> u64 {
        self.accepted[door as usize]
    }

    pub(crate) fn connections(&self, protocol: Protocol) -> u64 {
        self.connections[protocol as usize]
    }
}

impl Sum for WorkerTotals {
    fn sum<I: Iterator<Item = Self>>(workers: I) -> Self {
        workers.fold(Self::default(), |mut sum, worker| {
            for (sum, more) in sum.accepted.iter_mut().zip(worker.accepted) {
                *sum += more;
            }
            for (sum, more) in sum.connections.iter_mut().zip(worker.connections) {
                *sum += more;
            }
            Self {
                requests: sum.requests + worker.requests,
                handshakes: sum.handshakes + worker.handshakes,
                resumed: sum.resumed + worker.resumed,
                failed_handshakes: sum.failed_handshakes + worker.failed_handshakes,
                buffers: sum.buffers + worker.buffers,
                ..sum
            }
        })
    }
}
