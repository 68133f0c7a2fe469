//! TCP routes: ports that belong to no app's host name, and whose connections go, whatever they speak, to a host whose
//! name is resolved when somebody connects, or to an app's web dynos.
//!
//! [`desk`] follows the records and opens and closes the ports; every worker accepts from its own socket of each
//! ([`door`]), finds the backend ([`connect`], [`resolve`]) and carries the bytes, as it does for upgraded connections.
//! A port that cannot be opened is reported and hurts nothing else.

mod connect;
mod desk;
mod door;
mod port;
mod resolve;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

pub(crate) use desk::{Desk, Ports, TRY_AGAIN_AFTER};
pub(crate) use door::attend;
pub(crate) use port::OpenPort;
pub(crate) use resolve::Resolver;

/// Where the sockets of TCP routes come from.
pub trait TcpSockets: fmt::Debug + Send + Sync {
    /// Sockets that listen on `port`, for so many workers: those of the process before, where there are any.
    ///
    /// # Errors
    /// When they cannot be had; the words are for operators.
    fn open(&self, port: u16) -> io::Result<Vec<TcpListener>>;

    /// Nobody will ask for `port` again.
    fn close(&self, port: u16);

    /// These are all the ports there are: what the process before listened on besides is closed.
    fn keep_only(&self, ports: &BTreeSet<u16>);
}

/// What an operator decides about TCP routes.
#[derive(Debug, Clone)]
pub struct Tcp {
    /// `None`: this router opens no ports.
    pub sockets: Option<Arc<dyn TcpSockets>>,
    /// Name servers, instead of those of the host.
    pub name_servers: Vec<SocketAddr>,
    /// Connections that one route may have at a time.
    pub connections_per_route: u32,
    /// To find and reach a backend, all tries together.
    pub connect: Duration,
    /// Without a byte either way.
    pub idle: Duration,
}

impl Default for Tcp {
    fn default() -> Self {
        Self {
            sockets: None,
            name_servers: Vec::new(),
            connections_per_route: 10_000,
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(3600),
        }
    }
}
