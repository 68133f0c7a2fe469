//! Mutual TLS between the platform's hosts.
//!
//! Each host has a certificate of the platform's own authority, and shows it to whomever it calls and to whoever calls it.
//! It names the host (`<node>.host.paas.internal`) and its roles (`controller.paas.internal`): who calls a controller takes
//! no other host for one, wherever the address came from.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use model::{HostRole, NodeId, ServiceRole};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ResolvesServerCert, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};

/// Below it are the names in hosts' certificates; no public name can be.
const DOMAIN: &str = "paas.internal";

/// Certificates begin this long before they are made: other hosts' clocks may be behind.
pub const BACKDATED: Duration = Duration::from_secs(3600);

/// What is called by the role's name: `controller.paas.internal`.
pub fn name_of_role(role: HostRole) -> String {
    format!("{role}.{DOMAIN}")
}

/// `<node>.host.paas.internal`
pub fn name_of_host(node: NodeId) -> String {
    format!("{node}.host.{DOMAIN}")
}

/// The host that a name in a certificate says it is of.
pub fn host_of_name(name: &str) -> Option<NodeId> {
    name.strip_suffix(DOMAIN)?
        .strip_suffix(".host.")?
        .parse()
        .ok()
}

/// Where a host keeps its identity, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityFiles {
    /// The authority's certificate; several during a change of authorities.
    pub authority: PathBuf,
    /// The host's key and its certificate, in one file: replaced in one step.
    pub host: PathBuf,
}

impl IdentityFiles {
    pub fn below(data_dir: &Path) -> Self {
        let dir = data_dir.join("identity");
        Self {
            authority: dir.join("authority.pem"),
            host: dir.join("host.pem"),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum HostTlsError {
    #[error("{} could not be read", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is not valid PEM", path.display())]
    Pem {
        path: PathBuf,
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    #[error("{} holds no certificate", path.display())]
    Empty { path: PathBuf },
    #[error("the host's certificate cannot be used")]
    Unusable(#[source] rustls::Error),
    #[error("the authority's certificate cannot be used")]
    Authority(#[source] VerifierBuilderError),
}

/// A host's identity in use. Configurations made of it show the certificate that was loaded last.
#[derive(Debug)]
pub struct HostTls {
    files: IdentityFiles,
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    own: Arc<Own>,
}

#[derive(Debug)]
struct Own(ArcSwap<CertifiedKey>);

impl HostTls {
    pub fn load(files: IdentityFiles) -> Result<Self, HostTlsError> {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&files.authority)? {
            roots.add(certificate).map_err(HostTlsError::Unusable)?;
        }
        let own = certified(&files, &provider)?;
        Ok(Self {
            files,
            provider,
            roots: Arc::new(roots),
            own: Arc::new(Own(ArcSwap::from_pointee(own))),
        })
    }

    /// Shows the certificate that is in the files now, in connections from here on.
    pub fn reload(&self) -> Result<(), HostTlsError> {
        let own = certified(&self.files, &self.provider)?;
        self.own.0.store(Arc::new(own));
        Ok(())
    }

    pub const fn files(&self) -> &IdentityFiles {
        &self.files
    }

    /// For a listener that only the platform's hosts may connect to.
    pub fn server(&self) -> Result<ServerConfig, HostTlsError> {
        let clients =
            WebPkiClientVerifier::builder_with_provider(self.roots.clone(), self.provider.clone())
                .build()
                .map_err(HostTlsError::Authority)?;
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(HostTlsError::Unusable)?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(self.own.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// For calls to hosts of one role: whatever the address or name in a URL, the host must prove that role.
    pub fn client(&self, role: ServiceRole) -> Result<ClientConfig, HostTlsError> {
        self.client_of(role.of_host())
    }

    /// The same, of any role.
    pub fn client_of(&self, role: HostRole) -> Result<ClientConfig, HostTlsError> {
        let inner =
            WebPkiServerVerifier::builder_with_provider(self.roots.clone(), self.provider.clone())
                .build()
                .map_err(HostTlsError::Authority)?;
        let name = ServerName::try_from(name_of_role(role)).map_err(|_| {
            HostTlsError::Unusable(rustls::Error::General(
                "a role's name is no name".to_owned(),
            ))
        })?;
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(HostTlsError::Unusable)?
            // Stricter than the default, not laxer: the name verified is the role's instead of the URL's.
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(RoleVerifier { name, inner }))
            .with_client_cert_resolver(self.own.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl ResolvesServerCert for Own {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl rustls::client::ResolvesClientCert for Own {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The usual verification, of the role's name.
#[derive(Debug)]
struct RoleVerifier {
    name: ServerName<'static>,
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for RoleVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.inner
            .verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn certified(
    files: &IdentityFiles,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, HostTlsError> {
    let chain = certificates(&files.host)?;
    let key =
        PrivateKeyDer::from_pem_slice(&read(&files.host)?).map_err(|source| HostTlsError::Pem {
            path: files.host.clone(),
            source,
        })?;
    CertifiedKey::from_der(chain, key, provider).map_err(HostTlsError::Unusable)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, HostTlsError> {
    let found = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| HostTlsError::Pem {
            path: path.to_owned(),
            source,
        })?;
    if found.is_empty() {
        return Err(HostTlsError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>, HostTlsError> {
    std::fs::read(path).map_err(|source| HostTlsError::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_read_from_its_name_and_from_no_other() {
        let node = NodeId::new();
        assert_eq!(host_of_name(&name_of_host(node)), Some(node));
        for other in [
            "controller.paas.internal",
            ".host.paas.internal",
            "x.host.paas.internal",
            "",
        ] {
            assert_eq!(host_of_name(other), None, "{other}");
        }
        assert_eq!(host_of_name(&format!("{node}.host.paas.example")), None);
    }
}
