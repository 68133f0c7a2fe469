//! Which ports the router listens on when nobody said.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

/// A port for plain HTTP and one for TLS, chosen together: 80 with 8443 would only confuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebPorts {
    pub http: u16,
    pub https: u16,
}

impl WebPorts {
    pub const STANDARD: Self = Self {
        http: 80,
        https: 443,
    };
    pub const ALTERNATIVE: Self = Self {
        http: 8080,
        https: 8443,
    };
}

/// The standard ports when both are free, else the alternative ones, else nothing.
pub fn choose(is_free: impl Fn(u16) -> bool) -> Option<WebPorts> {
    [WebPorts::STANDARD, WebPorts::ALTERNATIVE]
        .into_iter()
        .find(|ports| is_free(ports.http) && is_free(ports.https))
}

/// Whether this process may listen on the port, on every address of the host.
pub fn is_free(port: u16) -> bool {
    can_listen(port).is_ok()
}

/// Listens for an instant. Says why not: taken, or not permitted.
pub fn can_listen(port: u16) -> io::Result<()> {
    let listen = |addr: SocketAddr| TcpListener::bind(addr).map(drop);
    listen((Ipv4Addr::UNSPECIFIED, port).into())?;
    match listen((Ipv6Addr::UNSPECIFIED, port).into()) {
        // A host without IPv6 has no such address; that is no obstacle.
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_ports_are_taken_only_as_a_pair() {
        assert_eq!(choose(|_| true), Some(WebPorts::STANDARD));
        assert_eq!(choose(|port| port != 443), Some(WebPorts::ALTERNATIVE));
        assert_eq!(choose(|port| port != 80), Some(WebPorts::ALTERNATIVE));
        assert_eq!(choose(|port| port != 80 && port != 8443), None);
    }

    #[test]
    fn a_port_somebody_listens_on_is_not_free() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_eq!(
            can_listen(port).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        drop(taken);
        assert!(is_free(port));
    }
}
