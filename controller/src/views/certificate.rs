//! Certificates.

use std::collections::HashMap;

use controller_api::wire;
use model::{App, DomainId, EndpointOrigin, Hostname, PlatformCertificate, SniEndpoint};

use super::app_ref;

/// `ids` are those of the app's domains.
pub(crate) fn endpoint(
    app: &App,
    endpoint: &SniEndpoint,
    ids: &HashMap<Hostname, DomainId>,
) -> wire::SniEndpoint {
    let facts = &endpoint.facts;
    wire::SniEndpoint {
        app: app_ref(app),
        certificate_chain: endpoint.chain.clone(),
        created_at: endpoint.created_at.into(),
        display_name: None,
        domains: (endpoint.serves.iter())
            .filter_map(|name| ids.get(name).copied())
            .collect(),
        id: endpoint.id,
        name: endpoint.name.clone(),
        ssl_cert: wire::SslCert {
            acm: endpoint.origin == EndpointOrigin::Managed,
            ca_signed: !facts.is_self_signed,
            cert_domains: facts.names.clone(),
            expires_at: facts.expires_at.into(),
            fingerprint: facts.fingerprint.clone(),
            id: endpoint.id,
            issuer: facts.issuer.clone(),
            self_signed: facts.is_self_signed,
            starts_at: facts.starts_at.into(),
            subject: facts.subject.clone(),
        },
        updated_at: endpoint.updated_at.into(),
    }
}

pub(crate) fn of_platform(certificate: &PlatformCertificate) -> wire::PlatformCertificate {
    let facts = &certificate.facts;
    wire::PlatformCertificate {
        certificate_chain: certificate.chain.clone(),
        fingerprint: facts.fingerprint.clone(),
        names: facts.names.clone(),
        issuer: facts.issuer.clone(),
        subject: facts.subject.clone(),
        starts_at: facts.starts_at.into(),
        expires_at: facts.expires_at.into(),
        origin: certificate.origin,
        updated_at: certificate.updated_at.into(),
    }
}
