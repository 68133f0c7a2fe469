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
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecondFactorEnrol {
    pub password: Secret<String>,
}

/// Shown once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecondFactorEnrolment {
    pub otpauth_url: Secret<String>,
    pub secret: Secret<String>,
}

/// `POST /account/two-factor/actions/confirm`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecondFactorConfirm {
    pub code: Secret<String>,
}

/// What being rid of it takes, and new recovery codes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecondFactorProof {
    pub password: Secret<String>,
    pub code: Secret<String>,
}

/// Shown once: they are kept only as hashes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RecoveryCodes {
    pub recovery_codes: Vec<Secret<String>>,
}
