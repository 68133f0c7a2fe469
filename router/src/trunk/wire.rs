//! The socket under a trunk.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::pool::UNACKNOWLEDGED;

/// How long a dyno may take nothing at all while it is sent bodies: its kernel's buffer may be full, which ours counts as
/// silence. But the trunk is everybody's, and so is the wait for a host that died.
const UNREAD: Duration = Duration::from_secs(20);

/// Has the kernel end the connection when the other end's host is gone.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    /// Bodies that are on their way to the dyno.
    uploads: Rc<Cell<u32>>,
    patience: Option<Duration>,
}

impl Wire {
    pub(super) const fn new(stream: TcpStream, uploads: Rc<Cell<u32>>) -> Self {
        Self {
            stream,
            uploads,
            patience: None,
        }
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.get_mut().stream)
    }

    /// Before it writes: then there will be something to be acknowledged.
    fn watch(mut self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        let patience = match self.uploads.get() {
            0 => UNACKNOWLEDGED,
            _ => UNREAD,
        };
        if self.patience != Some(patience) {
            self.patience = Some(patience);
            // Without it the death of the host is noticed later.
            let _ = SockRef::from(&self.stream).set_tcp_user_timeout(self.patience);
        }
        self.stream()
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.watch().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.watch().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}
