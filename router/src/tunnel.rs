//! After a switch of protocols: bytes both ways, whatever they mean, until one side ends it or both are silent for too long.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use crate::alarm::Alarm;
use crate::buffer::{self, Buf};
use crate::exchange::Exchange;
use crate::pool::Link;

/// One way of a tunnel.
#[derive(Debug)]
struct Pump {
    buf: Buf,
    /// Nothing more comes.
    has_ended: bool,
    is_shut: bool,
    is_kept_back: bool,
}

impl Pump {
    const fn new(buf: Buf) -> Self {
        Self {
            buf,
            has_ended: false,
            is_shut: false,
            is_kept_back: false,
        }
    }

    /// Moves what it can, and counts it. Ready when all has come and gone.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        moved: &mut u64,
    ) -> Poll<io::Result<()>> {
        loop {
            if !self.buf.is_empty() {
                let gone = ready!(Pin::new(&mut *to).poll_write(cx, self.buf.data()))?;
                if gone == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.buf.advance(gone);
                self.is_kept_back = true;
                *moved += gone as u64;
            } else if self.is_kept_back {
                ready!(Pin::new(&mut *to).poll_flush(cx))?;
                self.is_kept_back = false;
            } else if self.is_shut {
                return Poll::Ready(Ok(()));
            } else if self.has_ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.is_shut = true;
            } else {
                let count = ready!(self.buf.poll_fill(cx, from, buffer::SIZE))?;
                self.has_ended = count == 0;
            }
        }
    }
}

/// Takes the exchange over. From here on it counts as load of its dyno, but nothing waits for it to end. `client` gives the
/// client's side, once it has been told; `None` if it has left instead.
pub(crate) fn begin<A>(
    mut exchange: Exchange,
    mut link: Link,
    alarm: Rc<Alarm>,
    client: impl Future<Output = Option<(A, Buf)>> + 'static,
) where
    A: AsyncRead + AsyncWrite + Unpin + 'static,
{
    link.becomes_tunnel();
    let claim = exchange.become_tunnel();
    let worker = exchange.worker.clone();
    worker.tunnels.spawn_local(async move {
        if let Some(client) = client.await {
            let dyno = (link.stream, link.buf);
            let (idle, mut count) = (exchange.idle, |to_dyno, to_client| {
                exchange.bytes_in += to_dyno;
                exchange.bytes += to_client;
            });
            let ended = splice(client, dyno, idle, &alarm, &mut count).await;
            if let Err(error) = ended {
                debug!(error = &error as &dyn std::error::Error, "A tunnel broke");
            }
        }
        drop(claim);
        exchange.log(None, 101);
    });
}

/// Each side comes with what it has said already. `count` is told how many bytes have gone to the dyno and to the client
/// since it was told last.
///
/// # Errors
/// Where one side broke off, or both were silent for longer than `idle`.
pub(crate) async fn splice<A, B>(
    client: (A, Buf),
    dyno: (B, Buf),
    idle: Duration,
    alarm: &Alarm,
    count: &mut impl FnMut(u64, u64),
) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let ((mut client, said), (mut dyno, answered)) = (client, dyno);
    let (mut up, mut down) = (Pump::new(said), Pump::new(answered));
    alarm.set(idle);
    poll_fn(|cx| {
        let (mut to_dyno, mut to_client) = (0, 0);
        let up = up.poll(cx, &mut client, &mut dyno, &mut to_dyno);
        let down = down.poll(cx, &mut dyno, &mut client, &mut to_client);
        count(to_dyno, to_client);
        let (up, down) = (up?, down?);
        if up.is_ready() && down.is_ready() {
            return Poll::Ready(Ok(()));
        }
        if to_dyno > 0 || to_client > 0 {
            alarm.set(idle);
        } else if alarm.has_rung() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        alarm.watch(cx.waker());
        Poll::Pending
    })
    .await
}
