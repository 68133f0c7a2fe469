//! What a connection costs that does nothing: each has had one request answered and is kept.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use crate::case::{CASES, host};
use crate::peers::Peer;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Tls,
    Http2,
}

impl Kind {
    const ALL: [(Self, &'static str, f64); 3] = [
        (Self::Plain, "HTTP/1.1", 4.0),
        (Self::Tls, "HTTP/1.1 over TLS", 16.0),
        (Self::Http2, "HTTP/2 over TLS", 20.0),
    ];
}

const CONNECTIONS: usize = 2000;
/// Proxies give back what they need no more within this.
const SETTLE: Duration = Duration::from_secs(3);

/// KiB of resident memory per connection, as a table.
pub(crate) fn compare(peers: &[Peer], dir: &std::path::Path) -> anyhow::Result<String> {
    let mut text = "| idle connection, KiB |".to_owned();
    for peer in peers {
        let _ = write!(text, " {} |", peer.name());
    }
    let _ = write!(text, " target |\n|---|{}---|", "---|".repeat(peers.len()));
    for (kind, name, target) in Kind::ALL {
        let _ = write!(text, "\n| {name} |");
        for peer in peers {
            let figure = measure(*peer, kind, dir)
                .with_context(|| format!("{name} through {}", peer.name()))?;
            let _ = write!(text, " {figure:.1} |");
        }
        let _ = write!(text, " {target:.0} |");
    }
    Ok(text)
}

fn measure(peer: Peer, kind: Kind, dir: &std::path::Path) -> anyhow::Result<f64> {
    let proxy = peer.start(dir, &CASES[0])?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let tls = connector(dir, kind)?;
        // What the first ones need is not theirs alone.
        let mut kept = Vec::new();
        for _ in 0..50 {
            kept.push(open(peer, kind, &tls).await?);
        }
        tokio::time::sleep(SETTLE).await;
        let before = proxy.resident_bytes()?;
        for _ in 0..CONNECTIONS {
            kept.push(open(peer, kind, &tls).await?);
        }
        tokio::time::sleep(SETTLE).await;
        let more = proxy.resident_bytes()?.saturating_sub(before);
        Ok(more as f64 / CONNECTIONS as f64 / 1024.0)
    })
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

async fn open(peer: Peer, kind: Kind, tls: &TlsConnector) -> anyhow::Result<Box<dyn Stream>> {
    let port = match kind {
        Kind::Plain => peer.http(),
        Kind::Tls | Kind::Http2 => peer.https(),
    };
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let mut stream: Box<dyn Stream> = match kind {
        Kind::Plain => Box::new(stream),
        Kind::Tls | Kind::Http2 => {
            Box::new(tls.connect(ServerName::try_from(host(0))?, stream).await?)
        }
    };
    match kind {
        Kind::Plain | Kind::Tls => ask(&mut stream).await?,
        Kind::Http2 => ask_http2(&mut stream).await?,
    }
    Ok(stream)
}

async fn ask(stream: &mut Box<dyn Stream>) -> anyhow::Result<()> {
    let ask = format!("GET /1k HTTP/1.1\r\nHost: {}\r\n\r\n", host(0));
    stream.write_all(ask.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.windows(4).any(|seen| seen == b"\r\n\r\n") || !answer.ends_with(&[b'x'; 1024]) {
        ensure!(stream.read_buf(&mut answer).await? > 0, "it was closed");
    }
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "no 200");
    Ok(())
}

/// Frames by hand: a client's library would have memory and tasks of its own for each.
async fn ask_http2(stream: &mut Box<dyn Stream>) -> anyhow::Result<()> {
    let mut ask = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    ask.extend(frame(4, 0, 0, &[]));
    // GET, https, a path and an authority, each as a literal without index.
    let mut block = vec![0x82, 0x87];
    for (index, value) in [(4, "/1k".to_owned()), (1, host(0))] {
        block.extend([index, u8::try_from(value.len())?]);
        block.extend(value.as_bytes());
    }
    ask.extend(frame(1, 0x5, 1, &block));
    stream.write_all(&ask).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await?;
        let (kind, flags) = (head[3], head[4]);
        ensure!(!matches!(kind, 3 | 7), "it was reset");
        if kind == 4 && flags & 1 == 0 {
            stream.write_all(&frame(4, 1, 0, &[])).await?;
        }
        if kind <= 1 && flags & 1 == 1 {
            return Ok(());
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn connector(dir: &std::path::Path, kind: Kind) -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(dir.join("cert.pem"))?)?;
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let protocol: &[u8] = match kind {
        Kind::Http2 => b"h2",
        Kind::Plain | Kind::Tls => b"http/1.1",
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
