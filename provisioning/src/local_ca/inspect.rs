//! Whether the certificates that are there still do.

use model::{Hostname, Timestamp};
use rcgen::{KeyPair, PublicKeyData as _};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;

use super::{LocalCa, LocalCaError, names_of};
use crate::files;

/// An authority fit for use: its certificate and its key belong together, and it may sign for the domain.
#[derive(Debug)]
pub(super) struct Authority {
    pub(super) pem: String,
    pub(super) key: KeyPair,
}

impl Authority {
    /// None when there is none, or when it is not fit for use beyond `renew_at`.
    pub(super) fn load(
        local: &LocalCa,
        domain: &Hostname,
        renew_at: Timestamp,
    ) -> Result<Option<Self>, LocalCaError> {
        let (Some(pem), Some(key)) = (read(&local.ca)?, read(&local.ca_key)?) else {
            return Ok(None);
        };
        let Ok(key) = KeyPair::from_pem(&key) else {
            return Ok(None);
        };
        let fit = with_certificate(&pem, |certificate| {
            certificate.is_ca()
                && is_of(certificate, &key)
                && outlives(certificate, renew_at)
                && may_sign_for(certificate, domain)
        });
        Ok(fit.then_some(Self { pem, key }))
    }
}

/// Whether the last of several certificates vouches for itself.
pub(super) fn ends_in_a_root(chain: &str) -> bool {
    let all: Vec<Pem> = Pem::iter_from_buffer(chain.as_bytes())
        .filter_map(Result::ok)
        .collect();
    let [_, .., last] = all.as_slice() else {
        return false;
    };
    last.parse_x509()
        .is_ok_and(|last| last.is_ca() && last.subject() == last.issuer())
}

#[derive(Debug)]
pub(super) struct Leaf;

impl Leaf {
    /// Whether the leaf on disk is the authority's, for this domain, with its key, beyond `renew_at`.
    pub(super) fn is_good(
        local: &LocalCa,
        authority: &Authority,
        domain: &Hostname,
        renew_at: Timestamp,
    ) -> Result<bool, LocalCaError> {
        let (Some(pem), Some(key)) = (read(&local.cert)?, read(&local.key)?) else {
            return Ok(false);
        };
        let Ok(key) = KeyPair::from_pem(&key) else {
            return Ok(false);
        };
        let signed = |leaf: &X509Certificate<'_>| {
            with_certificate(&authority.pem, |issuer| {
                leaf.verify_signature(Some(issuer.public_key())).is_ok()
            })
        };
        Ok(with_certificate(&pem, |leaf| {
            is_of(leaf, &key)
                && outlives(leaf, renew_at)
                && dns_names(leaf) == names_of(domain)
                && signed(leaf)
        }))
    }
}

fn read(path: &std::path::Path) -> Result<Option<String>, LocalCaError> {
    files::read(path).map_err(LocalCaError::Files)
}

/// Whether the first certificate of the text passes; a text without one does not.
fn with_certificate(pem: &str, passes: impl FnOnce(&X509Certificate<'_>) -> bool) -> bool {
    let Some(Ok(first)) = Pem::iter_from_buffer(pem.as_bytes()).next() else {
        return false;
    };
    first
        .parse_x509()
        .is_ok_and(|certificate| passes(&certificate))
}

fn is_of(certificate: &X509Certificate<'_>, key: &KeyPair) -> bool {
    certificate.public_key().raw == key.subject_public_key_info()
}

fn outlives(certificate: &X509Certificate<'_>, moment: Timestamp) -> bool {
    certificate.validity().not_after.timestamp() > moment.as_second()
}

fn may_sign_for(certificate: &X509Certificate<'_>, domain: &Hostname) -> bool {
    let Ok(Some(constraints)) = certificate.name_constraints() else {
        return false;
    };
    let permitted = constraints.value.permitted_subtrees.iter().flatten();
    permitted
        .map(|subtree| &subtree.base)
        .any(|base| matches!(base, GeneralName::DNSName(name) if *name == domain.as_str()))
}

fn dns_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let mut names: Vec<String> = (names.value.general_names.iter())
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect();
    names.sort();
    names
}
