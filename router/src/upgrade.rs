//! After a 101: bytes both ways, whatever the protocol, until one side ends it or both are silent for too long.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::future::try_join;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::sleep_until;
use tracing::debug;

use crate::exchange::Exchange;
use crate::pool::Connection;

const BUFFER: usize = 8 * 1024;

/// Takes the exchange over. From here on it counts as load of its dyno, but nothing waits for it to end.
pub(crate) fn tunnel(
    exchange: Rc<Exchange>,
    connection: Connection,
    client: OnUpgrade,
    backend: OnUpgrade,
) {
    let worker = exchange.worker.clone();
    exchange.set_status(101);
    connection.becomes_tunnel();
    let claim = exchange.become_tunnel();
    worker.tunnels.spawn_local(async move {
        let (bytes, last) = (Cell::new(0), Cell::new(Instant::now()));
        match try_join(client, backend).await {
            Ok((client, backend)) => {
                let (client, backend) = (TokioIo::new(client), TokioIo::new(backend));
                if let Err(error) = splice(client, backend, exchange.idle(), &bytes, &last).await {
                    debug!(error = &error as &dyn std::error::Error, "A tunnel broke");
                }
            }
            Err(error) => debug!(
                error = &error as &dyn std::error::Error,
                "An upgrade failed"
            ),
        }
        drop((connection, claim));
        exchange.bytes.set(bytes.get());
        exchange.log(None, 101);
    });
}

/// `to_client` counts bytes from the backend.
async fn splice<A, B>(
    client: A,
    backend: B,
    idle: Duration,
    to_client: &Cell<u64>,
    last: &Cell<Instant>,
) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (client_reads, client_writes) = tokio::io::split(client);
    let (backend_reads, backend_writes) = tokio::io::split(backend);
    let up = pump(client_reads, backend_writes, |_| last.set(Instant::now()));
    let down = pump(backend_reads, client_writes, |count| {
        last.set(Instant::now());
        to_client.set(to_client.get() + count);
    });
    let silence = async {
        while last.get().elapsed() < idle {
            sleep_until((last.get() + idle).into()).await;
        }
    };
    tokio::select! {
        done = try_join(up, down) => done.map(|_| ()),
        () = silence => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    moved: impl Fn(u64),
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
        to.flush().await?;
        moved(count as u64);
    }
}
