//! A client that has just come: a socket that the kernel was not yet asked to watch.
//!
//! Who comes with a single request has often sent it by the time it is looked at, and can be answered without ever being
//! waited for. To have it watched, and then no more, would cost as much as to hear it.

use std::io::{self, Read as _};
use std::net::TcpStream;

/// It is heard once. Before that happens again it has to be watched: who always has something to say would have the
/// worker to itself, for it is there that tasks are made to yield.
#[derive(Debug)]
pub(crate) struct Fresh {
    /// Does not block.
    socket: TcpStream,
    is_heard: bool,
}

impl Fresh {
    pub(crate) const fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            is_heard: false,
        }
    }

    pub(crate) const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(crate) fn watched(self) -> io::Result<tokio::net::TcpStream> {
        tokio::net::TcpStream::from_std(self.socket)
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
}
