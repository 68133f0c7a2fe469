//! The platform's master key, and what is done with it: sealing secrets at rest, and the roles' proof to each other.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use model::{HostRole, Sealed, Secret};
use rand::RngCore as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::key::{self, HOST_AUTHORITY};
use crate::{Key, StoreError};

const NONCE_BYTES: usize = 24;

/// Keys derived from the master key, or as many of them as this host needs. Never in the store: who has only the store
/// has no secrets.
#[derive(Clone)]
pub struct Keyring {
    /// Only hosts that control others have it, and with it all there is.
    master: Option<Secret<String>>,
    /// Seals the host authority: whoever has it can make hosts.
    authority: Option<XChaCha20Poly1305>,
    /// Seals the keys of certificates, which routers open.
    certificates: Option<XChaCha20Poly1305>,
    /// Seals all else: config vars, host keys, ….
    seal: Option<XChaCha20Poly1305>,
    internal_token: Secret<String>,
}

/// The keys that a host's roles call for. All have what they prove themselves with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Controllers.
    All,
    Some {
        /// Nodes and builders open config vars.
        secrets: bool,
        /// Routers open the keys of certificates.
        certificates: bool,
    },
}

impl Share {
    pub fn of(roles: &BTreeSet<HostRole>) -> Self {
        if roles.contains(&HostRole::Controller) {
            Self::All
        } else {
            Self::Some {
                secrets: roles.contains(&HostRole::Node) || roles.contains(&HostRole::Builder),
                certificates: roles.contains(&HostRole::Router),
            }
        }
    }
}

/// How keys of a share are written to the file.
#[derive(Serialize, Deserialize)]
struct Parts {
    #[serde(skip_serializing_if = "Option::is_none")]
    seal: Option<Secret<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificates: Option<Secret<String>>,
    internal: Secret<String>,
}

const SEAL: &[u8] = b"paas seal v1";
const CERTIFICATES: &[u8] = b"paas certificates v1";
const AUTHORITY: &[u8] = b"paas host authority v1";
const INTERNAL: &[u8] = b"paas internal v1";

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring([redacted])")
    }
}

impl Keyring {
    pub fn new(master: &[u8; 32]) -> Self {
        let hkdf = Hkdf::<Sha256>::new(None, master);
        Self {
            master: Some(Secret::new(hex::encode(master))),
            authority: Some(XChaCha20Poly1305::new((&derive(&hkdf, AUTHORITY)).into())),
            certificates: Some(XChaCha20Poly1305::new(
                (&derive(&hkdf, CERTIFICATES)).into(),
            )),
            seal: Some(XChaCha20Poly1305::new((&derive(&hkdf, SEAL)).into())),
            internal_token: Secret::new(hex::encode(derive(&hkdf, INTERNAL))),
        }
    }

    /// The keys in the file (mode 0600): the master key, 64 hex digits, or what [`Keyring::share`] wrote. A master key is
    /// made if there is no file.
    pub fn load_or_create(path: &Path) -> Result<Self, StoreError> {
        let files = |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Files {
            path: path.to_owned(),
            source,
        };
        if !path.exists() {
            let mut master = [0u8; 32];
            rand::rng().fill_bytes(&mut master);
            write_private(path, &hex::encode(master)).map_err(|e| files(e.into()))?;
        }
        let text = fs_err::read_to_string(path).map_err(|e| files(e.into()))?;
        Self::parse(text.trim()).map_err(files)
    }

    fn parse(text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        if !text.starts_with('{') {
            return Ok(Self::new(&key_of(text)?));
        }
        let parts: Parts = serde_json::from_str(text)?;
        let cipher = |key: &Option<Secret<String>>| match key {
            Some(key) => {
                key_of(key.expose()).map(|key| Some(XChaCha20Poly1305::new((&key).into())))
            }
            None => Ok(None),
        };
        Ok(Self {
            master: None,
            authority: None,
            certificates: cipher(&parts.certificates)?,
            seal: cipher(&parts.seal)?,
            internal_token: parts.internal,
        })
    }

    /// What to put into the key file of a host that is to have this much. `None` if this host has too little itself.
    pub fn share(&self, share: Share) -> Option<Secret<String>> {
        let master = self.master.as_ref()?;
        let Share::Some {
            secrets,
            certificates,
        } = share
        else {
            return Some(master.clone());
        };
        let hkdf = Hkdf::<Sha256>::new(None, &key_of(master.expose()).ok()?);
        let parts = Parts {
            seal: secrets.then(|| Secret::new(hex::encode(derive(&hkdf, SEAL)))),
            certificates: certificates
                .then(|| Secret::new(hex::encode(derive(&hkdf, CERTIFICATES)))),
            internal: self.internal_token.clone(),
        };
        serde_json::to_string(&parts).ok().map(Secret::new)
    }

    /// Whether it opens all that is sealed.
    pub const fn is_whole(&self) -> bool {
        self.master.is_some()
    }

    /// Whether it opens the keys of certificates.
    pub const fn opens_certificates(&self) -> bool {
        self.certificates.is_some()
    }

    fn cipher(&self, place: &Key) -> Result<&XChaCha20Poly1305, StoreError> {
        let cipher = if *place == key::platform(HOST_AUTHORITY) {
            &self.authority
        } else if place.starts_with(&key::tls()) {
            &self.certificates
        } else {
            &self.seal
        };
        cipher.as_ref().ok_or(StoreError::Unseal)
    }

    /// Seals a value for one place: moved to another key, it does not open.
    pub fn seal<T: Serialize>(&self, place: &Key, value: &T) -> Result<Sealed, StoreError> {
        let plain = serde_json::to_vec(value).map_err(|source| StoreError::Encode {
            key: place.clone(),
            source,
        })?;
        let mut nonce = [0u8; NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        let payload = Payload {
            msg: &plain,
            aad: place.as_str().as_bytes(),
        };
        let sealed = self
            .cipher(place)?
            .encrypt(XNonce::from_slice(&nonce), payload)
            .map_err(|_| StoreError::Unseal)?;
        Ok(Sealed::from_bytes([nonce.as_slice(), &sealed].concat()))
    }

    pub fn open<T: DeserializeOwned>(&self, place: &Key, sealed: &Sealed) -> Result<T, StoreError> {
        let (nonce, ciphertext) = sealed
            .as_bytes()
            .split_at_checked(NONCE_BYTES)
            .ok_or(StoreError::Unseal)?;
        let payload = Payload {
            msg: ciphertext,
            aad: place.as_str().as_bytes(),
        };
        let plain = self
            .cipher(place)?
            .decrypt(XNonce::from_slice(nonce), payload)
            .map_err(|_| StoreError::Unseal)?;
        serde_json::from_slice(&plain).map_err(|source| StoreError::Corrupt {
            key: place.clone(),
            source,
        })
    }

    /// What roles show each other over HTTP.
    pub const fn internal_token(&self) -> &Secret<String> {
        &self.internal_token
    }
}

fn key_of(text: &str) -> Result<[u8; 32], hex::FromHexError> {
    let mut key = [0u8; 32];
    hex::decode_to_slice(text, &mut key)?;
    Ok(key)
}

fn derive(hkdf: &Hkdf<Sha256>, info: &[u8]) -> [u8; 32] {
    let mut key = [0u8; 32];
    // 32 bytes is far below HKDF-SHA256's 8,160: this cannot fail.
    let _ = hkdf.expand(info, &mut key);
    key
}

/// Temp file, fsync, link: a crash leaves either no key or a whole one, and of two who make it at once one wins.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use fs_err::os::unix::fs::OpenOptionsExt as _;
    use std::io::Write as _;
    let temporary = path.with_extension(format!("new.{}", uuid::Uuid::new_v4().simple()));
    let mut file = fs_err::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    let linked = written.and_then(|()| match fs_err::hard_link(&temporary, path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    fs_err::remove_file(&temporary)?;
    linked?;
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => fs_err::File::open(dir)?.sync_all(),
        _ => fs_err::File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_only_with_the_same_key_and_place() {
        let keyring = Keyring::new(&[7; 32]);
        let (here, there) = (Key::from_text("/a"), Key::from_text("/b"));
        let sealed = keyring.seal(&here, &"secret value".to_owned()).unwrap();
        assert_eq!(
            keyring.open::<String>(&here, &sealed).unwrap(),
            "secret value"
        );
        assert!(keyring.open::<String>(&there, &sealed).is_err());
        assert!(
            Keyring::new(&[8; 32])
                .open::<String>(&here, &sealed)
                .is_err()
        );
        assert!(
            keyring
                .open::<String>(&here, &Sealed::from_bytes(vec![1, 2, 3]))
                .is_err()
        );
    }

    #[test]
    fn of_many_who_make_the_key_file_at_once_all_get_the_same_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let makers: Vec<_> = (0..8)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || Keyring::load_or_create(&path).unwrap())
            })
            .collect();
        let mut tokens: Vec<_> = makers
            .into_iter()
            .map(|maker| maker.join().unwrap().internal_token().clone())
            .collect();
        tokens.dedup();
        assert_eq!(tokens.len(), 1);
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            1,
            "no temporary file is left"
        );
    }

    #[test]
    fn a_key_file_with_something_else_in_it_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        std::fs::write(&path, "too short").unwrap();
        assert!(matches!(
            Keyring::load_or_create(&path),
            Err(StoreError::Files { .. })
        ));
    }

    #[test]
    fn a_host_is_given_as_much_as_its_roles_need() {
        let whole = Keyring::new(&[7; 32]);
        let (app, authority) = (Key::from_text("/paas/v1/x"), key::platform(HOST_AUTHORITY));
        let sealed = whole.seal(&app, &"secret").unwrap();
        let signing = whole.seal(&authority, &"key").unwrap();
        let certificate = key::platform_certificate();
        let private = whole.seal(&certificate, &"key").unwrap();
        for (roles, opens_secrets, opens_certificates, opens_authority) in [
            (
                vec![HostRole::Controller, HostRole::Scheduler],
                true,
                true,
                true,
            ),
            (vec![HostRole::Node, HostRole::Router], true, true, false),
            (vec![HostRole::Builder], true, false, false),
            (
                vec![HostRole::Router, HostRole::Scheduler],
                false,
                true,
                false,
            ),
            (vec![HostRole::Scheduler], false, false, false),
        ] {
            let roles: BTreeSet<_> = roles.into_iter().collect();
            let given = whole.share(Share::of(&roles)).unwrap();
            let theirs = Keyring::parse(given.expose()).unwrap();
            assert_eq!(theirs.internal_token(), whole.internal_token());
            let open = |place, sealed| theirs.open::<String>(place, sealed).is_ok();
            assert_eq!(open(&app, &sealed), opens_secrets, "{roles:?}");
            assert_eq!(
                open(&certificate, &private),
                opens_certificates,
                "{roles:?}"
            );
            assert_eq!(theirs.opens_certificates(), opens_certificates);
            assert_eq!(open(&authority, &signing), opens_authority, "{roles:?}");
            assert_eq!(theirs.is_whole(), opens_authority);
            assert_eq!(theirs.share(Share::of(&roles)).is_some(), opens_authority);
        }
    }

    #[test]
    fn the_key_file_is_private_and_kept() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let first = Keyring::load_or_create(&path).unwrap();
        let second = Keyring::load_or_create(&path).unwrap();
        assert_eq!(first.internal_token(), second.internal_token());
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
