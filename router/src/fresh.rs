//! A client that has just come: a socket that is not registered with the runtime, and so not with the kernel's epoll.
//!
//! Who comes with a single request has sent it by the time it is looked at, and can be answered without ever being waited
//! for. To register it, and take that back, would cost as much as to hear it.

use std::io::{self, Read as _};
use std::net::TcpStream;
use std::time::Instant;

use tracing::warn;

/// It is heard once. Before that happens again it has to be registered: who always has something to say would have the
/// worker to itself, for it is there that tasks are made to yield.
#[derive(Debug)]
pub(crate) struct Fresh {
    /// Does not block.
    socket: TcpStream,
    is_heard: bool,
    /// When it was first asked whether it has left again.
    doubted_since: Option<Instant>,
}

impl Fresh {
    pub(crate) const fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            is_heard: false,
            doubted_since: None,
        }
    }

    pub(crate) const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(crate) fn registered(self) -> io::Result<tokio::net::TcpStream> {
        tokio::net::TcpStream::from_std(self.socket).inspect_err(|error| {
            warn!(
                error = error as &dyn std::error::Error,
                "Could not wait for a connection"
            );
        })
    }

    /// `None`: it has to be waited for.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> Option<io::Result<usize>> {
        if self.is_heard {
            return None;
        }
        let read = self.at_once(|mut socket| socket.read(into));
        self.is_heard = read.is_some();
        read
    }

    /// See [`Fresh::read`].
    pub(crate) fn at_once(
        &self,
        mut act: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Option<io::Result<usize>> {
        loop {
            match act(&self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return Some(done),
            }
        }
    }

    /// Whether it is time to look whether the client has left: most are answered before that is worth the while. `now`
    /// is what time it was at the last look of the alarms, and the first time is no sooner than at the next.
    pub(crate) fn is_worth_a_look(&mut self, now: Instant) -> bool {
        *self.doubted_since.get_or_insert(now) != now
    }
}
