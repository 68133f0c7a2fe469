//! The platform's own certificate, for its domain and one label below it: one record, which every router follows.
//!
//! Hosts put in what their configuration names; an administrator may set another. See
//! [`PlatformCertificate::gives_way_to`] for who wins.

use model::{Hostname, InvalidName, PlatformCertificate, PlatformOrigin, Secret, Timestamp};
use store::{Committed, Keyring, Store, StoreError, Txn, Versioned, key};

use crate::certificate::{BadCertificate, Inspected, inspect};

#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error(transparent)]
    Bad(#[from] BadCertificate),
    #[error("it is not for *.{domain}")]
    OtherNames { domain: String },
    #[error("the platform's domain is none")]
    Domain(#[from] InvalidName),
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// A certificate for the platform.
#[derive(Debug)]
pub struct Candidate<'a> {
    pub chain: &'a str,
    pub key: &'a Secret<String>,
}

/// How often others may be quicker.
const ATTEMPTS: u32 = 10;

pub(crate) async fn current(
    store: &dyn Store,
) -> Result<Option<Versioned<PlatformCertificate>>, StoreError> {
    key::PLATFORM_CERTIFICATES
        .get(store, &key::platform_certificate())
        .await
}

/// Puts in what a host's files hold, unless what is there is to stay. Whether it did.
///
/// # Errors
/// When the certificate is of no use, or the store fails.
pub async fn publish(
    store: &dyn Store,
    keyring: &Keyring,
    domain: &str,
    candidate: &Candidate<'_>,
) -> Result<bool, PublishError> {
    let names = wildcard(domain)?;
    let now = Timestamp::now();
    let inspected = inspect(candidate.chain, candidate.key, now)?;
    // What vouches for itself is of an installation's own making, also where it is a copy that a host was given.
    let origin = match inspected.pin {
        Some(_) => PlatformOrigin::Made,
        None => PlatformOrigin::Configured,
    };
    let stays = |current: &PlatformCertificate| {
        !current.gives_way_to(&inspected.facts, origin, &names, now)
    };
    put(store, keyring, candidate, &inspected, origin, stays)
        .await
        .map(|put| put.is_some())
}

/// Puts it in whatever is there.
pub(crate) async fn set(
    store: &dyn Store,
    keyring: &Keyring,
    domain: &str,
    candidate: &Candidate<'_>,
) -> Result<PlatformCertificate, PublishError> {
    let inspected = inspect(candidate.chain, candidate.key, Timestamp::now())?;
    if !inspected.facts.covers(&wildcard(domain)?) {
        return Err(PublishError::OtherNames {
            domain: domain.to_owned(),
        });
    }
    let put = put(
        store,
        keyring,
        candidate,
        &inspected,
        PlatformOrigin::Set,
        |_| false,
    )
    .await?;
    put.ok_or_else(|| StoreError::Contended { attempts: ATTEMPTS }.into())
}

async fn put(
    store: &dyn Store,
    keyring: &Keyring,
    candidate: &Candidate<'_>,
    inspected: &Inspected,
    origin: PlatformOrigin,
    stays: impl Fn(&PlatformCertificate) -> bool,
) -> Result<Option<PlatformCertificate>, PublishError> {
    let place = key::platform_certificate();
    let wanted = PlatformCertificate {
        chain: inspected.chain.clone(),
        key: keyring.seal(&place, candidate.key)?,
        facts: inspected.facts.clone(),
        origin,
        pin: inspected.pin.clone(),
        updated_at: Timestamp::now(),
    };
    for _ in 0..ATTEMPTS {
        let seen = current(store).await?;
        let txn = match &seen {
            Some(seen) if stays(&seen.value) => return Ok(None),
            Some(seen) => Txn::new().replace(&key::PLATFORM_CERTIFICATES, seen, &wanted),
            None => Txn::new().create(&key::PLATFORM_CERTIFICATES, place.clone(), &wanted),
        };
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(Some(wanted));
        }
    }
    Err(StoreError::Contended { attempts: ATTEMPTS }.into())
}

fn wildcard(domain: &str) -> Result<Hostname, InvalidName> {
    format!("*.{domain}").parse()
}
