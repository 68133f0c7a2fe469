//! Certificates: an app's SNI endpoints, and the platform's own.

use std::collections::BTreeSet;

use model::{Checksum, DomainId, EndpointId, Hostname, PlatformOrigin, Secret};
use serde::{Deserialize, Serialize};

use super::AppRef;
use crate::WireTime;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SniEndpoint {
    pub app: AppRef,
    pub certificate_chain: String,
    pub created_at: WireTime,
    pub display_name: Option<String>,
    pub domains: Vec<DomainId>,
    pub id: EndpointId,
    pub name: String,
    pub ssl_cert: SslCert,
    pub updated_at: WireTime,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SslCert {
    /// Whether the platform got it, and renews it.
    pub acm: bool,
    #[serde(rename = "ca_signed?")]
    pub ca_signed: bool,
    pub cert_domains: BTreeSet<Hostname>,
    pub expires_at: WireTime,
    /// SHA-256 of the certificate.
    pub fingerprint: Checksum,
    pub id: EndpointId,
    pub issuer: String,
    #[serde(rename = "self_signed?")]
    pub self_signed: bool,
    pub starts_at: WireTime,
    pub subject: String,
}

/// To add one, or to put another in its place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CertificateUpload {
    pub certificate_chain: String,
    pub private_key: Secret<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformCertificate {
    pub certificate_chain: String,
    pub fingerprint: Checksum,
    pub names: BTreeSet<Hostname>,
    pub issuer: String,
    pub subject: String,
    pub starts_at: WireTime,
    pub expires_at: WireTime,
    pub origin: PlatformOrigin,
    pub updated_at: WireTime,
}
