//! Certificates for a platform that has no public name: a certificate authority made at install, and the wildcard
//! certificate it signs for the platform's domain.
//!
//! Files in the directory: `ca.pem` (give it to clients), `ca.key`, `cert.pem` (leaf, then authority), `key.pem`; the keys
//! are 0600. The authority may sign for nothing but the platform's domain (name constraints), so a client that trusts it
//! gives away no more than that. Making certificates again after a loss, a change of domain or near the end of their
//! validity is the same path as making them at first.

mod inspect;

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, ToSpan as _};
use model::{Hostname, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};

use crate::files::{self, Access};
use inspect::{Authority, Leaf};

const AUTHORITY_DAYS: i64 = 3650;
/// Clients refuse leaves that live longer than 825 days.
const LEAF_DAYS: i64 = 820;
const RENEW_BEFORE_DAYS: i64 = 30;
/// Clients' clocks may be behind ours.
const BACKDATED: SignedDuration = SignedDuration::from_hours(24);

#[derive(Debug, thiserror::Error)]
pub enum LocalCaError {
    #[error("could not read or write the local certificates")]
    Files(#[source] std::io::Error),
    #[error("could not make the {what}")]
    Make {
        what: &'static str,
        #[source]
        source: rcgen::Error,
    },
    #[error("{now} is not a time certificates can be made at")]
    Clock { now: Timestamp },
}

/// Where the certificates are, and whether they are new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalCa {
    /// The authority's certificate: what clients trust.
    pub ca: PathBuf,
    pub ca_key: PathBuf,
    /// The wildcard certificate, followed by the authority's.
    pub cert: PathBuf,
    pub key: PathBuf,
    pub made: Made,
}

/// What [`ensure`] had to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    Nothing,
    /// Running routers must load the new leaf; clients need nothing.
    Leaf,
    /// Clients must be given the new authority.
    Everything,
}

/// Makes what is missing, broken, for another domain, or within 30 days of its end; keeps the rest as it is.
pub fn ensure(dir: &Path, domain: &Hostname, now: Timestamp) -> Result<LocalCa, LocalCaError> {
    fs_err::create_dir_all(dir).map_err(LocalCaError::Files)?;
    let mut local = LocalCa {
        ca: dir.join("ca.pem"),
        ca_key: dir.join("ca.key"),
        cert: dir.join("cert.pem"),
        key: dir.join("key.pem"),
        made: Made::Nothing,
    };
    let renew_at = now
        .checked_add((24 * RENEW_BEFORE_DAYS).hours())
        .map_err(|_| LocalCaError::Clock { now })?;
    let authority = match Authority::load(&local, domain, renew_at)? {
        Some(authority) => authority,
        None => {
            make_authority(&local, domain, now)?;
            local.made = Made::Everything;
            Authority::load(&local, domain, renew_at)?.ok_or(LocalCaError::Clock { now })?
        }
    };
    if !Leaf::is_good(&local, &authority, domain, renew_at)? {
        make_leaf(&local, &authority, domain, now)?;
        if local.made == Made::Nothing {
            local.made = Made::Leaf;
        }
    }
    Ok(local)
}

/// Whether a chain brings its own root along, as ours do: then it is by that root that the platform is known, for nobody
/// else may vouch for it.
pub fn brings_its_root(chain: &str) -> bool {
    inspect::ends_in_a_root(chain)
}

fn make_authority(local: &LocalCa, domain: &Hostname, now: Timestamp) -> Result<(), LocalCaError> {
    let make = |source| LocalCaError::Make {
        what: "local certificate authority",
        source,
    };
    let key = KeyPair::generate().map_err(make)?;
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("paas local CA for {domain}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(domain.to_string())],
        excluded_subtrees: vec![
            GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0; 4])),
            GeneralSubtree::IpAddress(CidrSubnet::V6([0; 16], [0; 16])),
        ],
    });
    set_validity(&mut params, now, AUTHORITY_DAYS)?;
    let certificate = params.self_signed(&key).map_err(make)?;
    write(&local.ca_key, &key.serialize_pem(), Access::Owner)?;
    write(&local.ca, &certificate.pem(), Access::Everybody)
}

fn make_leaf(
    local: &LocalCa,
    authority: &Authority,
    domain: &Hostname,
    now: Timestamp,
) -> Result<(), LocalCaError> {
    let make = |source| LocalCaError::Make {
        what: "platform's certificate",
        source,
    };
    let issuer = Issuer::from_ca_cert_pem(&authority.pem, &authority.key).map_err(make)?;
    let key = KeyPair::generate().map_err(make)?;
    let mut params = CertificateParams::new(names_of(domain)).map_err(make)?;
    params
        .distinguished_name
        .push(DnType::CommonName, domain.to_string());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, now, LEAF_DAYS)?;
    let certificate = params.signed_by(&key, &issuer).map_err(make)?;
    write(&local.key, &key.serialize_pem(), Access::Owner)?;
    let chain = format!("{}{}", certificate.pem(), authority.pem);
    write(&local.cert, &chain, Access::Everybody)
}

fn write(path: &Path, text: &str, access: Access) -> Result<(), LocalCaError> {
    files::write(path, text, access).map_err(LocalCaError::Files)
}

/// The names the leaf is for, sorted.
fn names_of(domain: &Hostname) -> Vec<String> {
    vec![format!("*.{domain}"), domain.to_string()]
}

fn set_validity(
    params: &mut CertificateParams,
    now: Timestamp,
    days: i64,
) -> Result<(), LocalCaError> {
    let at = |moment: Option<Timestamp>| {
        moment
            .and_then(|moment| time::OffsetDateTime::from_unix_timestamp(moment.as_second()).ok())
            .ok_or(LocalCaError::Clock { now })
    };
    let from = now.checked_sub(BACKDATED).ok();
    params.not_before = at(from)?;
    params.not_after = at(from.and_then(|from| from.checked_add((24 * days).hours()).ok()))?;
    Ok(())
}
