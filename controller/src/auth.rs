//! Who is asking: passwords, tokens, and the `Authorization` header in the forms clients use.

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{Account, Checksum, Secret, Timestamp, Token};
use rand::RngCore as _;
use sha2::{Digest as _, Sha256};
use store::{StoreError, Versioned, key};
use tokio::sync::Semaphore;

use crate::context::Context;

/// What a request brought to prove who it is from.
#[derive(Debug)]
pub(crate) enum Credentials {
    /// `Bearer T`, or `Basic` with the token as password, or as user name and no password.
    Token(Secret<String>),
    /// `Basic` as it came; only logging in reads it as an e-mail address and a password.
    Basic {
        user: String,
        password: Secret<String>,
    },
}

/// An authenticated request's account and token.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) account: Account,
    pub(crate) token: Versioned<Token>,
}

impl Credentials {
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, rest) = value.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self::Token(Secret::from(rest.trim())));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let text = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
        let (user, password) = text.split_once(':')?;
        Some(Self::Basic {
            user: user.to_owned(),
            password: Secret::from(password),
        })
    }

    fn token(&self) -> &str {
        match self {
            Self::Token(token) => token.expose(),
            Self::Basic { user, password } if password.expose().is_empty() => user,
            Self::Basic { password, .. } => password.expose(),
        }
    }
}

/// The session of a request, `None` when what it brought proves nothing.
pub(crate) async fn authenticate(
    context: &Context,
    headers: &HeaderMap,
) -> Result<Option<Session>, StoreError> {
    let Some(credentials) = Credentials::from_headers(headers) else {
        return Ok(None);
    };
    let place = key::token(&token_hash(credentials.token()));
    let Some(token) = key::TOKENS.get(context.store(), &place).await? else {
        return Ok(None);
    };
    if token.value.is_expired(Timestamp::now()) {
        return Ok(None);
    }
    let account = key::ACCOUNTS
        .get(context.store(), &key::account(token.value.account))
        .await?;
    let account = account.filter(|account| !account.value.is_suspended());
    Ok(account.map(|account| Session {
        account: account.value,
        token,
    }))
}

/// Under what a token is kept.
pub(crate) fn token_hash(token: &str) -> Checksum {
    hash_of(token.as_bytes())
}

/// A token that nobody can guess: 160 bits.
pub(crate) fn new_token() -> Secret<String> {
    Secret::new(format!("paas_{}", random_hex::<20>()))
}

/// A password for somebody who has not chosen one yet.
pub(crate) fn new_password() -> Secret<String> {
    Secret::new(random_hex::<12>())
}

pub(crate) fn random_hex<const BYTES: usize>() -> String {
    let mut bytes = [0u8; BYTES];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
}

/// Whether two secrets are the same, in a time that tells nothing about where they differ.
pub(crate) fn same_secret(a: &str, b: &str) -> bool {
    // Hashes of the two are compared: how many of their bytes agree says nothing about the secrets.
    hash_of(a.as_bytes()) == hash_of(b.as_bytes())
}

fn hash_of(bytes: &[u8]) -> Checksum {
    Checksum::of_digest(Sha256::digest(bytes).into())
}

/// Hashing and checking passwords, a few at a time: each takes 19 MiB and tens of milliseconds.
#[derive(Debug)]
pub(crate) struct Passwords {
    turns: Semaphore,
}

#[derive(Debug, thiserror::Error)]
#[error("the password could not be hashed")]
pub(crate) struct PasswordError;

/// Checked against when there is no such account, so that the answer takes as long.
const NOBODYS_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$Xm8Yk5VZyZ7k8RkZzLk1p1b0l8m3r5a0hK5b3l8r9oE";

impl Passwords {
    pub(crate) const fn new() -> Self {
        Self {
            turns: Semaphore::const_new(2),
        }
    }

    pub(crate) async fn hash(
        &self,
        password: Secret<String>,
    ) -> Result<Secret<String>, PasswordError> {
        let _turn = self.turns.acquire().await.map_err(|_| PasswordError)?;
        tokio::task::spawn_blocking(move || hash(&password))
            .await
            .map_err(|_| PasswordError)?
    }

    /// Whether the password is the account's.
    pub(crate) async fn verify(
        &self,
        account: Option<&Account>,
        password: Secret<String>,
    ) -> Result<bool, PasswordError> {
        let _turn = self.turns.acquire().await.map_err(|_| PasswordError)?;
        // Nor may it show that an account has no password.
        let account = account.filter(|account| account.has_password());
        let exists = account.is_some();
        let hash = account.map_or_else(
            || NOBODYS_HASH.to_owned(),
            |a| a.password_hash.expose().clone(),
        );
        let matches = tokio::task::spawn_blocking(move || {
            PasswordHash::new(&hash).is_ok_and(|hash| {
                Argon2::default()
                    .verify_password(password.expose().as_bytes(), &hash)
                    .is_ok()
            })
        })
        .await
        .map_err(|_| PasswordError)?;
        Ok(exists && matches)
    }
}

/// An argon2id PHC string.
pub(crate) fn hash(password: &Secret<String>) -> Result<Secret<String>, PasswordError> {
    let mut salt = [0u8; 16];
    rand::rng().fill_bytes(&mut salt);
    let salt = SaltString::encode_b64(&salt).map_err(|_| PasswordError)?;
    let hash = Argon2::default()
        .hash_password(password.expose().as_bytes(), &salt)
        .map_err(|_| PasswordError)?;
    Ok(Secret::new(hash.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(value: &str) -> Option<Credentials> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        Credentials::from_headers(&headers)
    }

    #[test]
    fn tokens_come_in_three_forms() {
        for value in [
            "Bearer abc".to_owned(),
            "bearer abc".to_owned(),
            format!("Basic {}", STANDARD.encode(":abc")),
            format!("Basic {}", STANDARD.encode("anyone:abc")),
            format!("basic {}", STANDARD.encode("abc:")),
        ] {
            assert_eq!(credentials(&value).unwrap().token(), "abc", "{value}");
        }
        for value in ["abc", "Basic !", "Digest abc", "Basic YWJj"] {
            assert!(credentials(value).is_none(), "{value}");
        }
    }

    #[tokio::test]
    async fn a_password_is_verified_and_an_unknown_account_takes_as_long() {
        let passwords = Passwords::new();
        let hash = passwords.hash(Secret::from("hunter2")).await.unwrap();
        assert!(hash.expose().starts_with("$argon2id$"));
        assert!(PasswordHash::new(NOBODYS_HASH).is_ok());
        assert!(
            !passwords
                .verify(None, Secret::from("hunter2"))
                .await
                .unwrap()
        );
    }

    #[test]
    fn secrets_are_compared_whole() {
        assert!(same_secret("abc", "abc"));
        assert!(!same_secret("abc", "abd") && !same_secret("abc", "ab") && !same_secret("", "a"));
    }
}
