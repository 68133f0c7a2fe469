//! What lies between a client and its S3 server: connections that break in the middle, and servers that have too much to do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// So many connections to come get the fault; `usize::MAX`: all.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Cut after `cut_after` bytes, both ways together.
    pub(crate) cut: AtomicUsize,
    pub(crate) cut_after: AtomicU64,
    /// Answered with `503 SlowDown`.
    pub(crate) slow_down: AtomicUsize,
    /// Those that got one.
    pub(crate) hit: AtomicUsize,
}

pub(crate) struct Between {
    pub(crate) addr: SocketAddr,
    pub(crate) faults: Arc<Faults>,
    _tasks: JoinSet<()>,
}

impl Between {
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let faults = Arc::new(Faults::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, server, faults.clone()));
        Self {
            addr,
            faults,
            _tasks: tasks,
        }
    }
}

async fn serve(listener: TcpListener, server: SocketAddr, faults: Arc<Faults>) {
    let mut connections = JoinSet::new();
    loop {
        let (near, _) = listener.accept().await.unwrap();
        let faults = faults.clone();
        connections.spawn(async move {
            // Either side may break off at any time: that is what this is for.
            let _ = connection(near, server, &faults).await;
        });
    }
}

async fn connection(
    mut near: TcpStream,
    server: SocketAddr,
    faults: &Faults,
) -> std::io::Result<()> {
    if take(&faults.slow_down, faults) {
        return slow_down(&mut near).await;
    }
    let mut far = TcpStream::connect(server).await?;
    if !take(&faults.cut, faults) {
        tokio::io::copy_bidirectional(&mut near, &mut far).await?;
        return Ok(());
    }
    let mut left = faults.cut_after.load(Ordering::Relaxed);
    let (mut up, mut down) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    while left > 0 {
        let passed = tokio::select! {
            read = near.read(&mut up) => {
                let read = read?;
                far.write_all(&up[..read]).await?;
                read
            }
            read = far.read(&mut down) => {
                let read = read?;
                near.write_all(&down[..read]).await?;
                read
            }
        };
        if passed == 0 {
            break;
        }
        left = left.saturating_sub(passed as u64);
    }
    Ok(())
}

fn take(fault: &AtomicUsize, faults: &Faults) -> bool {
    let taken = fault.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| match left {
        0 => None,
        usize::MAX => Some(usize::MAX),
        left => Some(left - 1),
    });
    if taken.is_ok() {
        faults.hit.fetch_add(1, Ordering::Relaxed);
    }
    taken.is_ok()
}

/// As S3 says it, once the request is read: who is still sending reads no answer.
async fn slow_down(near: &mut TcpStream) -> std::io::Result<()> {
    const BODY: &str = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>";
    let mut request = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let head = loop {
        if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        let read = near.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        request.extend_from_slice(&buffer[..read]);
    };
    let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok())
        .unwrap_or(0_usize);
    let mut left = (head + length).saturating_sub(request.len());
    while left > 0 {
        let read = near.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        left = left.saturating_sub(read);
    }
    let answer = format!(
        "HTTP/1.1 503 Slow Down\r\ncontent-type: application/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{BODY}",
        BODY.len()
    );
    near.write_all(answer.as_bytes()).await?;
    near.shutdown().await
}
