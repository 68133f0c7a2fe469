//! Certificates that somebody brings: read, checked, and refused in words that say what to do.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{CertificateFacts, Checksum, Hostname, Secret, Timestamp};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;

/// Longer chains are mistakes: a whole bundle of roots, most likely.
const MAX_CHAIN: usize = 10;
const LEAST_RSA_BITS: usize = 2048;
/// Signatures by MD5 and SHA-1, which no client takes any more.
const BROKEN_SIGNATURES: [&str; 4] = [
    "1.2.840.113549.1.1.4",
    "1.2.840.113549.1.1.5",
    "1.2.840.10040.4.3",
    "1.2.840.10045.4.1",
];

/// A certificate that routers can use.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// PEM of the certificates alone, whatever else was in the text.
    pub chain: String,
    pub facts: CertificateFacts,
    /// SHA-256 of the DER of the last certificate, where it vouches for itself and is not the only one.
    pub pin: Option<Checksum>,
}

/// Why a certificate is not taken; `Display` is fit for whoever brought it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCertificate {
    #[error(
        "there is no certificate in it: a PEM file has lines such as -----BEGIN CERTIFICATE-----"
    )]
    NoCertificate,
    #[error("certificate {0} of the chain is damaged")]
    Damaged(usize),
    #[error(
        "the chain has {0} certificates; give the certificate and who issued it, without roots"
    )]
    TooLong(usize),
    #[error(
        "there is no private key in it: a PEM file has a line such as -----BEGIN PRIVATE KEY-----"
    )]
    NoKey,
    #[error(
        "the private key is encrypted; take its passphrase off with `openssl pkey -in server.key`"
    )]
    EncryptedKey,
    #[error("the private key is not that of the certificate")]
    OtherKey,
    #[error("the key is RSA of {0} bits, which is weak; at least {LEAST_RSA_BITS} are needed")]
    WeakKey(usize),
    #[error(
        "this kind of key cannot be used; use RSA of 2048 to 4096 bits, or ECDSA on P-256 or P-384"
    )]
    UnusableKey,
    #[error("certificate {0} of the chain is signed by MD5 or SHA-1, which clients refuse")]
    BrokenSignature(usize),
    #[error(
        "the chain is out of order: certificate {index} ({issuer}) did not issue the one before it ({subject}). The app's \
         own comes first, then who issued it, and so on"
    )]
    OutOfOrder {
        index: usize,
        subject: String,
        issuer: String,
    },
    #[error("certificate {index} of the chain expired at {at}")]
    Expired { index: usize, at: Timestamp },
    #[error("certificate {index} of the chain is not good before {at}")]
    NotYet { index: usize, at: Timestamp },
    #[error(
        "it names no host: clients look at the subject's alternative names, and there is none of DNS"
    )]
    NoNames,
    #[error("it is not for servers: its extended key usage leaves that out")]
    NotForServers,
}

/// Reads and checks a chain and its key.
///
/// # Errors
/// The first thing that is the matter with them.
pub fn inspect(
    chain: &str,
    key: &Secret<String>,
    now: Timestamp,
) -> Result<Inspected, BadCertificate> {
    let ders = read_chain(chain)?;
    let certificates = parse(&ders)?;
    let leaf = certificates.first().ok_or(BadCertificate::NoCertificate)?;
    check_strength(leaf)?;
    check_key(&ders, key)?;
    for (index, certificate) in certificates.iter().enumerate() {
        check_validity(certificate, index + 1, now)?;
    }
    check_order(&certificates)?;
    check_purpose(leaf)?;
    let facts = facts(leaf, &ders[0])?;
    Ok(Inspected {
        chain: ders.iter().map(to_pem).collect(),
        facts,
        pin: pin(&certificates, &ders),
    })
}

fn read_chain(text: &str) -> Result<Vec<CertificateDer<'static>>, BadCertificate> {
    let mut ders = Vec::new();
    for der in CertificateDer::pem_slice_iter(text.as_bytes()) {
        ders.push(der.map_err(|_| BadCertificate::Damaged(ders.len() + 1))?);
    }
    match ders.len() {
        0 => Err(BadCertificate::NoCertificate),
        1..=MAX_CHAIN => Ok(ders),
        many => Err(BadCertificate::TooLong(many)),
    }
}

fn parse<'a>(ders: &'a [CertificateDer<'_>]) -> Result<Vec<X509Certificate<'a>>, BadCertificate> {
    let parsed = ders
        .iter()
        .enumerate()
        .map(|(index, der)| match X509Certificate::from_der(der) {
            Ok(([], certificate)) => Ok(certificate),
            _ => Err(BadCertificate::Damaged(index + 1)),
        });
    parsed.collect()
}

fn check_strength(leaf: &X509Certificate<'_>) -> Result<(), BadCertificate> {
    match leaf.public_key().parsed() {
        Ok(PublicKey::RSA(key)) if key.key_size() < LEAST_RSA_BITS => {
            Err(BadCertificate::WeakKey(key.key_size()))
        }
        _ => Ok(()),
    }
}

/// By the same library that routers use.
fn check_key(ders: &[CertificateDer<'static>], key: &Secret<String>) -> Result<(), BadCertificate> {
    let text = key.expose();
    if text.contains("ENCRYPTED") {
        return Err(BadCertificate::EncryptedKey);
    }
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| BadCertificate::NoKey)?;
    match CertifiedKey::from_der(ders.to_vec(), key, &ring::default_provider()) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => Err(BadCertificate::OtherKey),
        Err(_) => Err(BadCertificate::UnusableKey),
    }
}

fn check_validity(
    certificate: &X509Certificate<'_>,
    index: usize,
    now: Timestamp,
) -> Result<(), BadCertificate> {
    let validity = certificate.validity();
    let (from, to) = (
        moment(validity.not_before, index)?,
        moment(validity.not_after, index)?,
    );
    if now >= to {
        return Err(BadCertificate::Expired { index, at: to });
    }
    if now < from {
        return Err(BadCertificate::NotYet { index, at: from });
    }
    Ok(())
}

fn check_order(certificates: &[X509Certificate<'_>]) -> Result<(), BadCertificate> {
    for (index, pair) in certificates.windows(2).enumerate() {
        let [subject, issuer] = pair else { continue };
        let algorithm = subject.signature_algorithm.algorithm.to_id_string();
        if BROKEN_SIGNATURES.contains(&algorithm.as_str()) {
            return Err(BadCertificate::BrokenSignature(index + 1));
        }
        let is_named = subject.issuer().as_raw() == issuer.subject().as_raw();
        if !is_named || subject.verify_signature(Some(issuer.public_key())).is_err() {
            return Err(BadCertificate::OutOfOrder {
                index: index + 2,
                subject: subject.subject().to_string(),
                issuer: issuer.subject().to_string(),
            });
        }
    }
    Ok(())
}

fn check_purpose(leaf: &X509Certificate<'_>) -> Result<(), BadCertificate> {
    match leaf.extended_key_usage() {
        Ok(Some(usage)) if !usage.value.server_auth && !usage.value.any => {
            Err(BadCertificate::NotForServers)
        }
        _ => Ok(()),
    }
}

fn facts(
    leaf: &X509Certificate<'_>,
    der: &CertificateDer<'_>,
) -> Result<CertificateFacts, BadCertificate> {
    let names = names(leaf);
    if names.is_empty() {
        return Err(BadCertificate::NoNames);
    }
    Ok(CertificateFacts {
        names,
        subject: leaf.subject().to_string(),
        issuer: leaf.issuer().to_string(),
        starts_at: moment(leaf.validity().not_before, 1)?,
        expires_at: moment(leaf.validity().not_after, 1)?,
        fingerprint: fingerprint(der),
        is_self_signed: leaf.subject().as_raw() == leaf.issuer().as_raw(),
    })
}

fn names(leaf: &X509Certificate<'_>) -> BTreeSet<Hostname> {
    let Ok(Some(names)) = leaf.subject_alternative_name() else {
        return BTreeSet::new();
    };
    let names = names.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => name.parse().ok(),
            _ => None,
        })
        .collect()
}

fn pin(certificates: &[X509Certificate<'_>], ders: &[CertificateDer<'_>]) -> Option<Checksum> {
    let [_, .., last] = certificates else {
        return None;
    };
    let is_root = last.is_ca() && last.subject().as_raw() == last.issuer().as_raw();
    is_root.then(|| ders.last().map(fingerprint)).flatten()
}

fn fingerprint(der: &CertificateDer<'_>) -> Checksum {
    Checksum::of_digest(Sha256::digest(der).into())
}

fn moment(time: ASN1Time, index: usize) -> Result<Timestamp, BadCertificate> {
    Timestamp::from_second(time.timestamp()).map_err(|_| BadCertificate::Damaged(index))
}

fn to_pem(der: &CertificateDer<'_>) -> String {
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let text = STANDARD.encode(der);
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

#[cfg(test)]
mod tests;
