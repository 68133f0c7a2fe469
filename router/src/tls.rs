//! TLS towards clients: rustls with ring, session tickets, and the platform's certificate for whatever name is asked.

use std::io;
use std::sync::Arc;

use fs_err as fs;
use model::Hostname;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{Acceptor, ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::TlsConfig;

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("could not read the certificate or key")]
    Read(#[source] std::io::Error),
    #[error("the certificate or key is not valid PEM")]
    Pem(#[source] rustls::pki_types::pem::Error),
    #[error("the certificate file holds no certificate")]
    NoCertificate,
    #[error("the certificate and key cannot be used")]
    Unusable(#[source] rustls::Error),
}

/// Which certificate a client is shown.
#[derive(Debug)]
struct Certificates {
    platform: Arc<CertifiedKey>,
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.platform.clone())
    }
}

/// Clients' connections, as far as TLS goes.
#[derive(Clone)]
pub(crate) struct Tls {
    apps: Arc<ServerConfig>,
    /// Without HTTP/2, where several versions of libcurl, git's on Debian 12 (7.88) among them, break off or damage pushes
    /// of some megabytes (curl/curl#11157, #11353, #14892).
    git: Arc<ServerConfig>,
    git_name: String,
}

impl Tls {
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let is_git = start
            .client_hello()
            .server_name()
            .is_some_and(|name| name.eq_ignore_ascii_case(&self.git_name));
        let config = if is_git { &self.git } else { &self.apps };
        start.into_stream(config.clone()).await
    }
}

pub(crate) fn acceptor(config: &TlsConfig, domain: &Hostname) -> Result<Tls, TlsError> {
    let apps = server(config)?;
    let mut git = apps.clone();
    git.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Tls {
        apps: Arc::new(apps),
        git: Arc::new(git),
        git_name: format!("git.{domain}"),
    })
}

pub(crate) fn server(config: &TlsConfig) -> Result<ServerConfig, TlsError> {
    let (cert, key) = match config {
        TlsConfig::Files { cert, key } => (
            fs::read(cert).map_err(TlsError::Read)?,
            fs::read(key).map_err(TlsError::Read)?,
        ),
        TlsConfig::Pem { cert, key } => {
            (cert.clone().into_bytes(), key.expose().clone().into_bytes())
        }
    };
    let chain = CertificateDer::pem_slice_iter(&cert)
        .collect::<Result<Vec<_>, _>>()
        .map_err(TlsError::Pem)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(TlsError::Pem)?;
    let provider = Arc::new(ring::default_provider());
    let platform = CertifiedKey::from_der(chain, key, &provider).map_err(TlsError::Unusable)?;
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Unusable)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Certificates {
            platform: Arc::new(platform),
        }));
    server.ticketer = ring::Ticketer::new().map_err(TlsError::Unusable)?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(server)
}
