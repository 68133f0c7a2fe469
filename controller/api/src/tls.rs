//! Whom a client trusts: the system's roots and, where given, a platform's own CA.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the CA certificate is not valid PEM")]
    BadPem(#[source] rustls::pki_types::pem::Error),
    #[error("the CA certificate cannot be used")]
    BadCertificate(#[source] rustls::Error),
    #[error("the CA file holds no certificate")]
    NoCertificate,
    #[error("TLS could not be set up")]
    Setup(#[source] rustls::Error),
}

/// For HTTPS and for WebSockets over TLS. With `ca_pem`, its certificates are trusted besides the system's.
pub fn client_config(ca_pem: Option<&str>) -> Result<ClientConfig, TlsError> {
    let mut roots = ca_pem.map_or_else(|| Ok(RootCertStore::empty()), read_roots)?;
    // A system without roots, or with some unreadable ones, can still reach whatever the rest vouches for.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    with_roots(roots)
}

/// For `host`. No public CA vouches for names below `localhost`: where a platform there has its own, reading the
/// system's hundreds of roots is left out.
pub fn client_config_for(host: &str, ca_pem: Option<&str>) -> Result<ClientConfig, TlsError> {
    match ca_pem {
        Some(pem) if crate::is_localhost(host) => with_roots(read_roots(pem)?),
        _ => client_config(ca_pem),
    }
}

fn read_roots(pem: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots
            .add(certificate.map_err(TlsError::BadPem)?)
            .map_err(TlsError::BadCertificate)?;
    }
    if roots.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    Ok(roots)
}

/// For clients of plain HTTP: nothing is read, and no server is trusted.
pub(crate) fn no_roots() -> Result<ClientConfig, TlsError> {
    with_roots(RootCertStore::empty())
}

fn with_roots(roots: RootCertStore) -> Result<ClientConfig, TlsError> {
    let config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_root_certificates(roots)
            .with_no_client_auth();
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_that_is_no_certificate_is_refused() {
        assert!(matches!(
            client_config(Some("hello")),
            Err(TlsError::NoCertificate)
        ));
        let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(
            client_config(Some(bad)),
            Err(TlsError::BadCertificate(_))
        ));
        assert!(client_config(None).is_ok());
        assert!(matches!(
            client_config_for("api.paas.localhost", Some("hello")),
            Err(TlsError::NoCertificate)
        ));
    }
}
