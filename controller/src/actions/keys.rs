//! SSH public keys: for git over SSH.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use model::{Account, KeyId, SshKey, Timestamp};
use sha2::{Digest as _, Sha256};
use store::{Committed, Store, Txn, Versioned, key};

use super::ActionError;

const KINDS: [&str; 7] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
];
const MIN_RSA_BITS: usize = 2048;
const MAX_KEY_BYTES: usize = 16 * 1024;
const MAX_KEYS: usize = 1000;

pub(crate) async fn add(
    store: &dyn Store,
    account: &Account,
    public_key: &str,
) -> Result<SshKey, ActionError> {
    let parsed = parse(public_key)?;
    let record = SshKey {
        id: KeyId::new(),
        account: account.id,
        public_key: parsed.public_key,
        fingerprint: parsed.fingerprint,
        comment: parsed.comment,
        created_at: Timestamp::now(),
    };
    if list(store, account).await?.len() >= MAX_KEYS {
        return Err(ActionError::invalid(format!(
            "The account has {MAX_KEYS} keys; remove some first."
        )));
    }
    let txn = Txn::new().create(&key::SSH_KEYS, key::ssh_key(&record.fingerprint), &record);
    match txn.commit(store).await? {
        Committed::Done(_) => Ok(record),
        Committed::Conflict => Err(ActionError::invalid(
            "That key is in use already. A key belongs to one account; remove it there first, or make another.",
        )),
    }
}

pub(crate) async fn list(
    store: &dyn Store,
    account: &Account,
) -> Result<Vec<Versioned<SshKey>>, ActionError> {
    let mut keys = key::SSH_KEYS.all(store).await?;
    keys.retain(|key| key.value.account == account.id);
    Ok(keys)
}

/// By id or fingerprint.
pub(crate) async fn find(
    store: &dyn Store,
    account: &Account,
    identity: &str,
) -> Result<Versioned<SshKey>, ActionError> {
    let id = identity.parse::<KeyId>().ok();
    let is_meant = |key: &SshKey| Some(key.id) == id || key.fingerprint == identity;
    let found = list(store, account)
        .await?
        .into_iter()
        .find(|key| is_meant(&key.value));
    found.ok_or(ActionError::Gone { resource: "key" })
}

pub(crate) async fn remove(store: &dyn Store, key: &Versioned<SshKey>) -> Result<(), ActionError> {
    Txn::new().delete(key.key.clone()).commit(store).await?;
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct PublicKey {
    /// Kind, key and comment, one space between.
    public_key: String,
    fingerprint: String,
    comment: String,
}

fn parse(text: &str) -> Result<PublicKey, ActionError> {
    let unreadable = || {
        ActionError::invalid(
            "That is no SSH public key. It must look like: ssh-ed25519 AAAAC3Nz… name@host (the file ends in .pub).",
        )
    };
    let text = text.trim();
    if text.contains("PRIVATE KEY") {
        return Err(ActionError::invalid(
            "That is a private key, which must never leave your machine. Add the file that ends in .pub.",
        ));
    }
    if text.len() > MAX_KEY_BYTES || text.contains(['\n', '\r', '\0']) {
        return Err(unreadable());
    }
    let mut words = text.split_whitespace();
    let (kind, encoded) = words.next().zip(words.next()).ok_or_else(unreadable)?;
    let comment = words.collect::<Vec<_>>().join(" ");
    if !KINDS.contains(&kind) {
        return Err(ActionError::invalid(format!(
            "Keys of the kind {kind:?} are not accepted; make one with: ssh-keygen -t ed25519"
        )));
    }
    let blob = STANDARD.decode(encoded).map_err(|_| unreadable())?;
    let (inner_kind, rest) = field(&blob).ok_or_else(unreadable)?;
    if inner_kind != kind.as_bytes() || rest.is_empty() {
        return Err(unreadable());
    }
    if kind == "ssh-rsa" {
        let modulus = field(rest)
            .and_then(|(_, rest)| field(rest))
            .ok_or_else(unreadable)?
            .0;
        let bytes = modulus.iter().skip_while(|byte| **byte == 0).count();
        if bytes * 8 < MIN_RSA_BITS {
            return Err(ActionError::invalid(format!(
                "RSA keys must have at least {MIN_RSA_BITS} bits; better: ssh-keygen -t ed25519"
            )));
        }
    }
    let fingerprint = format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&blob)));
    let public_key = format!("{kind} {encoded} {comment}").trim_end().to_owned();
    Ok(PublicKey {
        public_key,
        fingerprint,
        comment,
    })
}

/// A length-prefixed field of the SSH wire format, and what follows it.
fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*length).try_into().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl someone@example.com";

    #[test]
    fn fingerprints_are_those_of_ssh_keygen() {
        let key = parse(&format!("  {ED25519}\n")).unwrap();
        assert_eq!(
            key.fingerprint,
            "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"
        );
        assert_eq!(
            (key.public_key.as_str(), key.comment.as_str()),
            (ED25519, "someone@example.com")
        );
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        let short_rsa = format!(
            "ssh-rsa {}",
            STANDARD.encode(
                [
                    &b"\0\0\0\x07ssh-rsa\0\0\0\x01\x03\0\0\0\x80"[..],
                    &[0xff; 128]
                ]
                .concat()
            )
        );
        for bad in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 !!!",
            "ssh-ed25519 AAAA",
            "ssh-dss AAAAB3NzaC1kc3M= x",
            "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
            &format!("{ED25519}\nssh-ed25519 AAAA"),
            &short_rsa,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
