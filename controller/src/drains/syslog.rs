//! Syslog over TCP or TLS: one connection, kept open; frames with their lengths, and no answer.
//!
//! What TCP has taken when a connection breaks may have arrived or not: that batch is sent again as a whole.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use model::{DrainToken, DrainTransport, DrainUrl};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::courier::Failure;
use super::frame::Batch;
use super::network::{Network, certificate_trouble};
use crate::outbound::words;

/// For the handshake, after the connection.
const TLS_WITHIN: Duration = Duration::from_secs(10);
/// For one batch.
const WRITE_WITHIN: Duration = Duration::from_secs(15);

pub(super) struct Syslog {
    pub(super) token: DrainToken,
    network: Arc<Network>,
    url: DrainUrl,
    connection: Option<Connection>,
}

struct Connection {
    stream: Box<dyn Duplex>,
    /// Receivers have nothing to say. One that does is read no further: it shall not keep us busy.
    is_talkative: bool,
}

trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}

impl Syslog {
    pub(super) const fn new(network: Arc<Network>, token: DrainToken, url: DrainUrl) -> Self {
        Self {
            token,
            network,
            url,
            connection: None,
        }
    }

    pub(super) async fn send(&mut self, batch: &Batch) -> Result<(), Failure> {
        // What was hung up while nobody looked would take the batch and lose it.
        let _ = self.hung_up().now_or_never();
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let writing = async {
            connection.stream.write_all(&batch.frames).await?;
            connection.stream.flush().await
        };
        match timeout(WRITE_WITHIN, writing).await {
            Ok(Ok(())) => {
                self.connection = Some(connection);
                Ok(())
            }
            Ok(Err(error)) => Err(Failure::passing(format!(
                "the connection broke: {}",
                words(&error)
            ))),
            Err(_) => Err(Failure::passing(format!(
                "nothing is taken within {} s",
                WRITE_WITHIN.as_secs()
            ))),
        }
    }

    pub(super) async fn hung_up(&mut self) {
        let Some(connection) = &mut self.connection else {
            return pending().await;
        };
        let mut scrap = [0; 256];
        while !connection.is_talkative {
            match connection.stream.read(&mut scrap).await {
                Ok(1..) => connection.is_talkative = true,
                Ok(0) | Err(_) => {
                    self.connection = None;
                    return;
                }
            }
        }
        pending().await
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let stream = self
            .network
            .outbound
            .connect(self.url.host(), self.url.port())
            .await?;
        // Batches are whole: there is nothing to wait for.
        let _ = stream.set_nodelay(true);
        let stream: Box<dyn Duplex> = match self.url.transport() {
            DrainTransport::SyslogTls => Box::new(self.handshake(stream).await?),
            DrainTransport::Syslog | DrainTransport::Http => Box::new(stream),
        };
        Ok(Connection {
            stream,
            is_talkative: false,
        })
    }

    async fn handshake(&self, stream: TcpStream) -> Result<impl Duplex + 'static, Failure> {
        let connector = TlsConnector::from(self.network.tls().await?);
        let name = ServerName::try_from(self.url.host().to_owned())
            .map_err(|_| Failure::certificate("no certificate can be for that host"))?;
        match timeout(TLS_WITHIN, connector.connect(name, stream)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(match certificate_trouble(&error) {
                Some(why) => Failure::certificate(why),
                None => Failure::passing(format!("no TLS: {}", words(&error))),
            }),
            Err(_) => Err(Failure::passing("no TLS: timed out")),
        }
    }
}
