//! Every socket this process listens on. They outlive it when another process takes over: whoever connects meanwhile
//! waits in the kernel's queue and is refused by nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, bail};

/// A socket that listens, and what it is for: the role's word and the address in the configuration.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) purpose: String,
    pub(crate) socket: TcpListener,
}

#[derive(Debug, Default)]
pub(crate) struct Sockets {
    /// From the process before this one, not yet asked for.
    inherited: Mutex<Vec<Named>>,
    /// Second handles of those in use.
    kept: Mutex<Vec<Named>>,
    is_closed: AtomicBool,
}

impl Sockets {
    pub(crate) fn inherit(sockets: Vec<Named>) -> Self {
        Self {
            inherited: Mutex::new(sockets),
            ..Self::default()
        }
    }

    /// One for each worker and address, so that connections never cross cores; or as many as the process before had. The
    /// same again when asked again.
    pub(crate) fn listen(
        &self,
        role: &str,
        addrs: &[SocketAddr],
        workers: NonZeroUsize,
    ) -> anyhow::Result<Vec<TcpListener>> {
        let mut sockets = Vec::new();
        for addr in addrs {
            sockets.extend(self.take(role, *addr, || router::bind(*addr, workers))?);
        }
        Ok(sockets)
    }

    pub(crate) fn listen_one(&self, role: &str, addr: SocketAddr) -> anyhow::Result<TcpListener> {
        let mut sockets = self.take(role, addr, || Ok(vec![TcpListener::bind(addr)?]))?;
        let socket = sockets.pop().context("no socket")?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }

    fn take(
        &self,
        role: &str,
        addr: SocketAddr,
        bind: impl FnOnce() -> std::io::Result<Vec<TcpListener>>,
    ) -> anyhow::Result<Vec<TcpListener>> {
        let purpose = purpose(role, addr);
        let mut kept = lock(&self.kept);
        if self.is_closed.load(Ordering::SeqCst) {
            bail!("this process is leaving, and listens on nothing more");
        }
        let known: Vec<TcpListener> = kept
            .iter()
            .filter(|named| named.purpose == purpose)
            .map(|named| named.socket.try_clone())
            .collect::<Result<_, _>>()?;
        if !known.is_empty() {
            return Ok(known);
        }
        let mut taken: Vec<TcpListener> = lock(&self.inherited)
            .extract_if(.., |named| named.purpose == purpose)
            .map(|named| named.socket)
            .collect();
        if taken.is_empty() {
            taken = bind().with_context(|| {
                format!(
                    "could not listen on {addr}: is another program there? Choose another port in the configuration; or \
                     stop paasd first, if it is there itself by another address"
                )
            })?;
        }
        for socket in &taken {
            kept.push(Named {
                purpose: purpose.clone(),
                socket: socket.try_clone()?,
            });
        }
        Ok(taken)
    }

    /// Closes what the process before listened on and this one does not. Ports of TCP routes are not in the configuration:
    /// the router asks for them, or gives them up, once it knows its routes.
    pub(crate) fn forget_others(&self) {
        lock(&self.inherited).retain(|named| TcpPorts::role_has(&named.purpose));
    }

    /// Closes the sockets that `purpose` names: the process before's, and those of this one that the roles have not.
    fn forget(&self, is_meant: impl Fn(&str) -> bool) {
        for sockets in [&self.inherited, &self.kept] {
            lock(sockets).retain(|named| !is_meant(&named.purpose));
        }
    }

    /// Handles for another process.
    pub(crate) fn handles(&self) -> anyhow::Result<Vec<(String, OwnedFd)>> {
        lock(&self.kept)
            .iter()
            .map(|named| Ok((named.purpose.clone(), named.socket.try_clone()?.into())))
            .collect()
    }

    /// Whoever connects once the roles have closed theirs is refused.
    pub(crate) fn close(&self) {
        lock(&self.inherited).clear();
        let mut kept = lock(&self.kept);
        self.is_closed.store(true, Ordering::SeqCst);
        kept.clear();
    }
}

fn purpose(role: &str, addr: SocketAddr) -> String {
    format!("{role} {addr}")
}

/// The sockets of TCP routes, which come and go while the process runs.
#[derive(Debug)]
pub(crate) struct TcpPorts {
    sockets: Arc<Sockets>,
    address: IpAddr,
    workers: NonZeroUsize,
    /// This host's own, which no route may have whatever the controller that admitted it knows of this host.
    reserved: BTreeMap<u16, String>,
}

impl TcpPorts {
    const ROLE: &str = "tcp";

    pub(crate) fn new(
        sockets: Arc<Sockets>,
        address: IpAddr,
        workers: NonZeroUsize,
        reserved: BTreeMap<u16, String>,
    ) -> Self {
        Self {
            sockets,
            address,
            workers,
            reserved,
        }
    }

    fn role_has(purpose: &str) -> bool {
        purpose
            .strip_prefix(Self::ROLE)
            .is_some_and(|rest| rest.starts_with(' '))
    }

    fn addr(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address, port)
    }
}

impl router::TcpSockets for TcpPorts {
    fn open(&self, port: u16) -> io::Result<Vec<TcpListener>> {
        if let Some(whose) = self.reserved.get(&port) {
            return Err(io::Error::other(format!("it is this host's own ({whose})")));
        }
        let opened = self
            .sockets
            .listen(Self::ROLE, &[self.addr(port)], self.workers);
        opened.map_err(|error| io::Error::other(format!("{:#}", error.root_cause())))
    }

    fn close(&self, port: u16) {
        let closed = purpose(Self::ROLE, self.addr(port));
        self.sockets.forget(|purpose| purpose == closed);
    }

    fn keep_only(&self, ports: &BTreeSet<u16>) {
        let kept: BTreeSet<_> = ports
            .iter()
            .map(|port| purpose(Self::ROLE, self.addr(*port)))
            .collect();
        self.sockets
            .forget(|purpose| Self::role_has(purpose) && !kept.contains(purpose));
    }
}

fn lock(sockets: &Mutex<Vec<Named>>) -> MutexGuard<'_, Vec<Named>> {
    sockets.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use router::TcpSockets as _;

    use super::*;

    #[test]
    fn a_successor_gets_the_same_sockets_and_binds_what_is_new() {
        let (any, two) = (
            SocketAddr::from(([127, 0, 0, 1], 0)),
            NonZeroUsize::new(2).unwrap(),
        );
        let first = Sockets::default();
        let http = first.listen("http", &[any], two).unwrap();
        let bound = http[0].local_addr().unwrap();
        assert_eq!(http.len(), 2);

        let handed = first.handles().unwrap();
        drop((http, first));
        let named = |(purpose, socket): (String, OwnedFd)| Named {
            purpose,
            socket: socket.into(),
        };
        let second = Sockets::inherit(handed.into_iter().map(named).collect());
        // Nobody accepts at this moment, and still nobody is refused.
        std::net::TcpStream::connect(bound).unwrap();
        let http = second.listen("http", &[any], two).unwrap();
        assert_eq!(http.len(), 2);
        assert_eq!(http[0].local_addr().unwrap(), bound);
        assert_ne!(
            second.listen_one("ssh", any).unwrap().local_addr().unwrap(),
            bound
        );

        let again = second.listen("http", &[any], two).unwrap();
        assert_eq!(again[0].local_addr().unwrap(), bound);
        drop((http, again));
        second.close();
        assert!(std::net::TcpStream::connect(bound).is_err());
        // Not even for who asks a moment too late.
        assert!(second.listen("http", &[any], two).is_err());
    }

    #[test]
    fn ports_of_tcp_routes_are_handed_over_and_closed_when_no_route_has_them() {
        let (local, one) = (IpAddr::from([127, 0, 0, 1]), NonZeroUsize::MIN);
        let ports = |sockets: &Arc<Sockets>| {
            TcpPorts::new(
                sockets.clone(),
                local,
                one,
                [(443, "router.https".to_owned())].into(),
            )
        };
        let free = || {
            let free = TcpListener::bind((local, 0)).unwrap();
            free.local_addr().unwrap().port()
        };
        let answers = |port: u16| std::net::TcpStream::connect((local, port)).is_ok();
        let (first, stays, goes) = (Arc::new(Sockets::default()), free(), free());
        for port in [stays, goes] {
            ports(&first).open(port).unwrap();
        }
        let handed = first.handles().unwrap();
        first.close();
        let named = |(purpose, socket): (String, OwnedFd)| Named {
            purpose,
            socket: socket.into(),
        };
        let second = Arc::new(Sockets::inherit(handed.into_iter().map(named).collect()));
        // Before it knows its routes.
        second.forget_others();
        assert!(answers(stays) && answers(goes));
        ports(&second).keep_only(&[stays].into());
        assert!(answers(stays) && !answers(goes));
        drop(ports(&second).open(stays).unwrap());
        ports(&second).close(stays);
        assert!(!answers(stays));

        let own = ports(&second).open(443).unwrap_err().to_string();
        assert!(own.contains("router.https"), "{own}");
        let taken = TcpListener::bind((local, 0)).unwrap();
        let error = ports(&second).open(taken.local_addr().unwrap().port());
        let error = error.unwrap_err().to_string();
        assert!(error.contains("in use"), "{error}");
    }
}
