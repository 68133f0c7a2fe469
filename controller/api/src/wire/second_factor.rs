//! What an account has besides a password (ours; Heroku's is in its dashboard).

use model::Secret;
use serde::{Deserialize, Serialize};

use crate::WireTime;

/// `GET /account/two-factor`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecondFactor {
    pub enabled: bool,
    pub enabled_at: Option<WireTime>,
    /// How many recovery codes are left.
    pub recovery_codes: usize,
    /// Whether the platform asks one of this account.
    pub required: bool,
}

/// `POST /account/two-factor`
#[derive(Clone, Serialize, Deserialize)]
pub struct SecondFactorEnrol {
    pub password: String,
}

/// Shown once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecondFactorEnrolment {
    pub otpauth_url: Secret<String>,
    pub secret: Secret<String>,
}

/// `POST /account/two-factor/actions/confirm`
#[derive(Clone, Serialize, Deserialize)]
pub struct SecondFactorConfirm {
    pub code: String,
}

/// What being rid of it takes, and new recovery codes.
#[derive(Clone, Serialize, Deserialize)]
pub struct SecondFactorProof {
    pub password: String,
    pub code: String,
}

/// Shown once: they are kept only as hashes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RecoveryCodes {
    pub recovery_codes: Vec<Secret<String>>,
}

impl std::fmt::Debug for SecondFactorEnrol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecondFactorEnrol").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SecondFactorConfirm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecondFactorConfirm")
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SecondFactorProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecondFactorProof").finish_non_exhaustive()
    }
}
