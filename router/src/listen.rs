//! The sockets a router listens on: one per worker and port, so that the kernel spreads connections over the workers.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::time::Duration;

use libc::c_int;
use nix::sys::socket::SetSockOpt as _;
use nix::sys::socket::sockopt::SetStruct;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::Internal;

/// Already bound. Worker *n* takes listener *n*; when there are fewer listeners than workers, workers share them.
#[derive(Debug, Default)]
pub struct Listeners {
    pub http: Vec<TcpListener>,
    pub https: Vec<TcpListener>,
    pub internal: Internal,
}

/// Enough that a burst waits in the kernel rather than being refused.
const BACKLOG: i32 = 4096;

/// Finds clients that have gone without a word.
const KEEP_ALIVE: TcpKeepalive = TcpKeepalive::new().with_time(Duration::from_secs(60));

/// Who says the first word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    Client,
    /// Either end.
    Anybody,
}

impl First {
    /// A client is made known to us as soon as it speaks, and if it does not, after so many seconds: so that most can be
    /// heard at once, and those who say nothing cost us nothing until then. 0: as soon as it comes.
    const fn silent_seconds(self) -> c_int {
        match self {
            Self::Client => 1,
            Self::Anybody => 0,
        }
    }
}

nix::setsockopt_impl!(
    DeferAccept,
    libc::IPPROTO_TCP,
    libc::TCP_DEFER_ACCEPT,
    c_int,
    SetStruct<'_, c_int>
);

#[derive(Debug, Clone, Copy)]
struct DeferAccept;

/// Binds `count` listeners to one address with `SO_REUSEPORT`. With port 0 all get the same free port.
pub fn bind(addr: SocketAddr, count: NonZeroUsize) -> io::Result<Vec<TcpListener>> {
    let first = bind_one(addr)?;
    let addr = first.local_addr()?;
    let rest = (1..count.get()).map(|_| bind_one(addr));
    std::iter::once(Ok(first)).chain(rest).collect()
}

fn bind_one(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Most of it connections have from their listener. They are served all the same if it refuses.
fn tune(listener: &TcpListener, first: First) {
    let socket = SockRef::from(listener);
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&KEEP_ALIVE);
    // Whatever it is: the socket may be one that was handed over.
    let _ = DeferAccept.set(listener, &first.silent_seconds());
}

/// Deals the listeners out to `workers`.
pub(crate) fn deal(
    listeners: Vec<TcpListener>,
    workers: NonZeroUsize,
    first: First,
) -> io::Result<Vec<Vec<TcpListener>>> {
    let workers = workers.get();
    let mut hands: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    let count = listeners.len();
    for (index, listener) in listeners.into_iter().enumerate() {
        listener.set_nonblocking(true)?;
        tune(&listener, first);
        let mut sharer = index + count;
        while sharer < workers {
            hands[sharer].push(listener.try_clone()?);
            sharer += count;
        }
        hands[index % workers].push(listener);
    }
    Ok(hands)
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::GetSockOpt as _;
    use nix::sys::socket::sockopt::GetStruct;

    use super::*;

    nix::getsockopt_impl!(
        DeferAccept,
        libc::IPPROTO_TCP,
        libc::TCP_DEFER_ACCEPT,
        c_int,
        GetStruct<c_int>
    );

    #[test]
    fn who_may_be_greeted_first_is_not_waited_for() {
        let workers = NonZeroUsize::MIN;
        let mut listeners = bind(SocketAddr::from(([127, 0, 0, 1], 0)), workers).unwrap();
        for (first, defers) in [(First::Client, true), (First::Anybody, false)] {
            let hands = deal(listeners, workers, first).unwrap();
            listeners = hands.into_iter().flatten().collect();
            assert_eq!(DeferAccept.get(&listeners[0]).unwrap() > 0, defers);
        }
    }
}
