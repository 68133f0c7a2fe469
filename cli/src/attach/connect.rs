//! Opens the WebSocket, over TLS where the API is reached over TLS.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use controller_api::Client;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::Error as WsError;
use tokio_tungstenite::{WebSocketStream, client_async};
use tokio_util::either::Either;
use url::Url;

use crate::failure::Failure;

/// Longer than the platform waits for the dyno, so that its reason is what is seen.
const CONNECT_WITHIN: Duration = Duration::from_secs(90);

pub(crate) type Socket = WebSocketStream<Connection>;

/// The stream below the WebSocket.
pub(crate) type Connection = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Attaches to the dyno whose creation answered with this `attach_url`.
pub(crate) async fn connect(
    client: &Client,
    ca_pem: Option<&str>,
    attach_url: &str,
) -> Result<Socket> {
    let url = client.attach_endpoint(attach_url)?;
    let socket = tokio::time::timeout(CONNECT_WITHIN, open(ca_pem, &url))
        .await
        .map_err(|_| {
            Failure::new("The dyno could not be reached in time")
                .advise("See why with `paas logs`.")
        })?;
    socket.context("could not attach to the dyno")
}

async fn open(ca_pem: Option<&str>, url: &Url) -> Result<Socket> {
    let tcp = dial(url).await?;
    tcp.set_nodelay(true)?;
    let stream = if url.scheme() == "wss" {
        let config = controller_api::tls::client_config(ca_pem)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let name = tokio_rustls::rustls::pki_types::ServerName::try_from(host)?;
        let tls = TlsConnector::from(Arc::new(config))
            .connect(name, tcp)
            .await?;
        Connection::Right(Box::new(tls))
    } else {
        Connection::Left(tcp)
    };
    let request = url.as_str().into_client_request()?;
    match client_async(request, stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(WsError::Http(response)) => {
            let reason = response.body().as_deref().and_then(message_of);
            let status = response.status();
            Err(
                Failure::new(reason.unwrap_or_else(|| format!("the platform answered {status}")))
                    .into(),
            )
        }
        Err(error) => Err(error.into()),
    }
}

/// The `message` of an API error.
fn message_of(body: &[u8]) -> Option<String> {
    let body: controller_api::wire::ErrorBody = serde_json::from_slice(body).ok()?;
    Some(body.message)
}

async fn dial(url: &Url) -> Result<TcpStream> {
    let host = url.host_str().context("the API's address has no host")?;
    let port = url
        .port_or_known_default()
        .context("the API's address has no port")?;
    let stream = if host == "localhost" || host.ends_with(".localhost") {
        let here = [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::from(Ipv6Addr::LOCALHOST),
        ];
        TcpStream::connect(here.map(|ip| SocketAddr::new(ip, port)).as_slice()).await
    } else {
        TcpStream::connect((host.trim_matches(['[', ']']), port)).await
    };
    stream.with_context(|| format!("could not connect to {host}:{port}"))
}
