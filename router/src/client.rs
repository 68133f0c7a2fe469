//! A client's connection: who is at its other end, and how they reached us.

use std::cell::Cell;
use std::rc::Rc;
use std::time::SystemTime;

use crate::certificates::Shown;
use crate::http1::request::Origin;
use crate::worker::Worker;

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
    /// The certificate it was shown, if any.
    pub(crate) shown: Option<Shown>,
    /// Whether it has asked for anything yet.
    pub(crate) has_asked: Cell<bool>,
}

impl Client {
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
