//! The platform's master key, and what is done with it: sealing secrets at rest, and the roles' proof to each other.

use std::fmt;
use std::path::Path;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use model::{Sealed, Secret};
use rand::RngCore as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;

use crate::{Key, StoreError};

const NONCE_BYTES: usize = 24;

/// Derived keys; the master key itself is not kept. Never in the store: who has only the store has no secrets.
#[derive(Clone)]
pub struct Keyring {
    seal: XChaCha20Poly1305,
    internal_token: Secret<String>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring([redacted])")
    }
}

impl Keyring {
    pub fn new(master: &[u8; 32]) -> Self {
        let hkdf = Hkdf::<Sha256>::new(None, master);
        Self {
            seal: XChaCha20Poly1305::new((&derive(&hkdf, b"paas seal v1")).into()),
            internal_token: Secret::new(hex::encode(derive(&hkdf, b"paas internal v1"))),
        }
    }

    /// The key in the file (64 hex digits, mode 0600), which is made if there is none.
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
        let mut master = [0u8; 32];
        hex::decode_to_slice(text.trim(), &mut master).map_err(|e| files(e.into()))?;
        Ok(Self::new(&master))
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
            .seal
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
            .seal
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
