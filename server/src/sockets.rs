//! Every socket this process listens on. They outlive it when another process takes over: whoever connects meanwhile
//! waits in the kernel's queue and is refused by nobody.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;

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
}

impl Sockets {
    pub(crate) fn inherit(sockets: Vec<Named>) -> Self {
        Self {
            inherited: Mutex::new(sockets),
            kept: Mutex::default(),
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
        let purpose = format!("{role} {addr}");
        let mut kept = lock(&self.kept);
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

    /// Closes what the process before listened on and this one does not.
    pub(crate) fn forget_others(&self) {
        lock(&self.inherited).clear();
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
        lock(&self.kept).clear();
    }
}

fn lock(sockets: &Mutex<Vec<Named>>) -> MutexGuard<'_, Vec<Named>> {
    sockets.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
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
    }
}
