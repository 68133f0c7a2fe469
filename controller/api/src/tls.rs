//! Whom a client trusts: the system's roots and, where given, a platform's own CA.

use std::sync::Arc;
use std::time::Duration;

use model::Checksum;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use sha2::{Digest as _, Sha256};

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

/// For HTTPS to a server whose chain holds the authority of this fingerprint (SHA-256 of its DER), and is good by it.
pub fn pinned(fingerprint: &Checksum) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Pinned {
        fingerprint: fingerprint.clone(),
        provider: provider.clone(),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(config)
}

/// SHA-256 of the last certificate of a PEM text, which in a chain is the authority's.
pub fn fingerprint_of_authority(chain_pem: &str) -> Option<Checksum> {
    let last = CertificateDer::pem_slice_iter(chain_pem.as_bytes()).last()?;
    Some(fingerprint(&last.ok()?))
}

fn fingerprint(certificate: &CertificateDer<'_>) -> Checksum {
    Checksum::of_digest(Sha256::digest(certificate).into())
}

/// The usual verification, with one authority: that of the fingerprint, which the server itself must bring along.
#[derive(Debug)]
struct Pinned {
    fingerprint: Checksum,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let authority = intermediates
            .iter()
            .find(|certificate| fingerprint(certificate) == self.fingerprint)
            .ok_or(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer,
            ))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(roots.into(), self.provider.clone())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// For clients of plain HTTP: nothing is read, and no server is trusted.
pub fn no_roots() -> Result<ClientConfig, TlsError> {
    with_roots(RootCertStore::empty())
}

/// How one of the platform's hosts calls others: the scheme, and a client that is `None` where it cannot be set up. `tls`
/// proves who is who; without it (in tests) over plain HTTP. A host that is down does not say so: `connect_within`.
pub fn between_hosts(
    tls: Option<&ClientConfig>,
    connect_within: Duration,
) -> (&'static str, Option<reqwest::Client>) {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let tls = tls.map_or_else(no_roots, |tls| Ok(tls.clone()));
    let http = tls.ok().and_then(|tls| {
        reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(tls)
            .connect_timeout(connect_within)
            .build()
            .ok()
    });
    (scheme, http)
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
