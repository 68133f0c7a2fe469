//! TLS towards clients: rustls with ring, TLS 1.2 (ECDHE with AEAD only) and 1.3, session tickets, and for each name the
//! certificate that is for it.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
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
use crate::certificates::{Certificates, Ready, Shown};
use crate::tickets::Tickets;

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

/// How hands are shaken with a certificate: as with any other, and it alone is shown.
#[derive(Debug, Clone)]
pub(crate) struct Manner {
    pub(crate) apps: Arc<ServerConfig>,
    /// Without HTTP/2, where several versions of libcurl, git's on Debian 12 (7.88) among them, break off or damage pushes
    /// of some megabytes (curl/curl#11157, #11353, #14892).
    git: Arc<ServerConfig>,
    /// What is shown first.
    pub(crate) leaf: CertificateDer<'static>,
}

/// The same for all certificates.
#[derive(Debug)]
pub(crate) struct Base {
    config: ServerConfig,
    pub(crate) tickets: Arc<Tickets>,
}

/// Clients' connections, as far as TLS goes. Shared by all workers.
#[derive(Debug)]
pub(crate) struct Tls {
    pub(crate) base: Arc<Base>,
    /// What the host's own configuration has, for as long as no record says otherwise.
    pub(crate) configured: Ready,
    current: ArcSwap<Certificates>,
    git_name: String,
}

#[derive(Debug)]
struct Only(Arc<CertifiedKey>);

impl ResolvesServerCert for Only {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// Nothing is shown until a certificate is chosen.
#[derive(Debug)]
struct Nothing;

impl ResolvesServerCert for Nothing {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

impl Base {
    fn new() -> Result<Self, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unusable)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Nothing));
        let tickets = Tickets::new();
        config.ticketer = tickets.clone();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { config, tickets })
    }

    pub(crate) fn manner(&self, chain: &[u8], key: &[u8]) -> Result<Manner, TlsError> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(TlsError::Pem)?;
        let leaf = chain.first().ok_or(TlsError::NoCertificate)?.clone();
        let key = PrivateKeyDer::from_pem_slice(key).map_err(TlsError::Pem)?;
        let certified = CertifiedKey::from_der(chain, key, self.config.crypto_provider())
            .map_err(TlsError::Unusable)?;
        let mut apps = self.config.clone();
        apps.cert_resolver = Arc::new(Only(Arc::new(certified)));
        let mut git = apps.clone();
        git.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Manner {
            apps: Arc::new(apps),
            git: Arc::new(git),
            leaf,
        })
    }
}

impl Tls {
    /// The certificate that was shown comes with the connection.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<(TlsStream<TcpStream>, Shown)> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let name = start
            .client_hello()
            .server_name()
            .map(str::to_ascii_lowercase);
        let Ready {
            certificate,
            manner,
        } = self.current.load().choose(name.as_deref());
        let is_git = name.as_ref().is_some_and(|name| *name == self.git_name);
        let config = if is_git { &manner.git } else { &manner.apps };
        let stream = start.into_stream(config.clone()).await?;
        let shown = Shown {
            name: name.map(String::into_boxed_str),
            certificate,
        };
        Ok((stream, shown))
    }

    /// What is in use now.
    pub(crate) fn current(&self) -> arc_swap::Guard<Arc<Certificates>> {
        self.current.load()
    }

    /// In use for every handshake from here on.
    pub(crate) fn use_from_now_on(&self, certificates: Certificates) {
        self.current.store(Arc::new(certificates));
    }
}

pub(crate) fn acceptor(config: &TlsConfig, domain: &Hostname) -> Result<Tls, TlsError> {
    let base = Arc::new(Base::new()?);
    let configured = Ready::configured(manner(&base, config)?);
    Ok(Tls {
        current: ArcSwap::from_pointee(Certificates::only(configured.clone())),
        base,
        configured,
        git_name: format!("git.{domain}"),
    })
}

/// Whether a router could use it.
pub(crate) fn check(config: &TlsConfig) -> Result<(), TlsError> {
    manner(&Base::new()?, config).map(|_| ())
}

fn manner(base: &Base, config: &TlsConfig) -> Result<Manner, TlsError> {
    match config {
        TlsConfig::Files { cert, key } => base.manner(
            &fs::read(cert).map_err(TlsError::Read)?,
            &fs::read(key).map_err(TlsError::Read)?,
        ),
        TlsConfig::Pem { cert, key } => base.manner(cert.as_bytes(), key.expose().as_bytes()),
    }
}
