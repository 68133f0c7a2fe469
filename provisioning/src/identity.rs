//! What a host proves itself with: a key of its own, and the certificate that the platform's authority made for it.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use controller_api::host_tls::{BACKDATED, IdentityFiles, name_of_host, name_of_role};
use model::{HostRole, NodeId, Secret, Timestamp};
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;

use crate::files::{self, Access};

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("could not read or write the host's identity")]
    Files(#[from] io::Error),
    #[error("could not make a key for the host")]
    Make(#[source] rcgen::Error),
}

/// Who a host is, as its certificate is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub node: NodeId,
    pub address: IpAddr,
    pub roles: BTreeSet<HostRole>,
}

/// A new key, and the request to certify it, PEM. Names are for the authority to give.
#[derive(Debug)]
pub struct Request {
    pub key: Secret<String>,
    pub request: String,
}

pub fn request() -> Result<Request, IdentityError> {
    let key = KeyPair::generate().map_err(IdentityError::Make)?;
    let request = CertificateParams::default()
        .serialize_request(&key)
        .and_then(|request| request.pem())
        .map_err(IdentityError::Make)?;
    Ok(Request {
        key: Secret::new(key.serialize_pem()),
        request,
    })
}

/// Keeps a certificate together with its key, in one step; `authority` where it is new too.
pub fn keep(
    files: &IdentityFiles,
    key: &Secret<String>,
    certificate: &str,
    authority: Option<&str>,
) -> Result<(), IdentityError> {
    if let Some(dir) = files.host.parent() {
        fs_err::create_dir_all(dir)?;
    }
    if let Some(authority) = authority {
        files::write(&files.authority, authority, Access::Everybody)?;
    }
    let both = format!("{}{certificate}", key.expose());
    files::write(&files.host, &both, Access::Owner)?;
    Ok(())
}

/// What a host has in its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// No certificate, or none that can be used.
    None,
    Expired,
    /// It is for another address or other roles than the host's.
    Differs,
    /// Good, and to be renewed at that moment: two thirds of its time are left then for what may go wrong.
    Good {
        renew_at: Timestamp,
    },
}

pub fn standing(
    files: &IdentityFiles,
    host: &Host,
    now: Timestamp,
) -> Result<Standing, IdentityError> {
    let (Some(_), Some(text)) = (files::read(&files.authority)?, files::read(&files.host)?) else {
        return Ok(Standing::None);
    };
    Ok(judge(&text, host, now).unwrap_or(Standing::None))
}

fn judge(text: &str, host: &Host, now: Timestamp) -> Option<Standing> {
    let key = KeyPair::from_pem(text).ok()?;
    let block = Pem::iter_from_buffer(text.as_bytes())
        .filter_map(Result::ok)
        .find(|block| block.label == "CERTIFICATE")?;
    let certificate = block.parse_x509().ok()?;
    if certificate.public_key().raw != key.subject_public_key_info() {
        return None;
    }
    let validity = certificate.validity();
    let (from, until) = (
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    );
    if until <= now.as_second() {
        return Some(Standing::Expired);
    }
    if !says(&certificate, host) {
        return Some(Standing::Differs);
    }
    let made = from + i64::try_from(BACKDATED.as_secs()).ok()?;
    let renew_at = Timestamp::from_second(made + (until - made) / 3).ok()?;
    Some(Standing::Good { renew_at })
}

fn says(certificate: &X509Certificate<'_>, host: &Host) -> bool {
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return false;
    };
    let (mut told, mut addresses) = (BTreeSet::new(), Vec::new());
    for name in &names.value.general_names {
        match name {
            GeneralName::DNSName(name) => {
                told.insert((*name).to_owned());
            }
            GeneralName::IPAddress(bytes) => addresses.push(*bytes),
            _ => {}
        }
    }
    let mut expected: BTreeSet<String> = host.roles.iter().copied().map(name_of_role).collect();
    expected.insert(name_of_host(host.node));
    let own = match host.address {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    told == expected && addresses.contains(&own.as_slice())
}
