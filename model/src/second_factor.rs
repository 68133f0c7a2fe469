//! What somebody has besides a password: a device that makes codes (TOTP, RFC 6238), and recovery codes for when it is lost.

use serde::{Deserialize, Serialize};

use crate::{Account, Checksum, Sealed, Timestamp};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecondFactor {
    /// What codes are made from.
    pub secret: Sealed,
    /// `None` until a code has shown that the device has the secret; until then logging in takes none.
    pub confirmed_at: Option<Timestamp>,
    /// The step of the newest code that was taken: neither it nor one before it is taken again.
    pub last_step: Option<u64>,
    /// SHA-256 of the recovery codes that are left; each has 80 random bits.
    pub recovery_codes: Vec<Checksum>,
    /// Wrong codes since the last right one.
    #[serde(default)]
    pub wrong_codes: u32,
    /// Until then no code of the device is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_until: Option<Timestamp>,
}

/// Of whom the platform asks a second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecondFactorRule {
    #[default]
    Nobody,
    Administrators,
    Everybody,
}

impl SecondFactorRule {
    /// Whether the account is to have one. Who comes by an identity provider alone has what that one asks for.
    pub const fn asks(self, account: &Account) -> bool {
        let is_meant = match self {
            Self::Nobody => false,
            Self::Administrators => account.is_admin,
            Self::Everybody => true,
        };
        is_meant && account.has_password()
    }

    /// Whether the account lacks one that it is to have: it may do nothing then but get one.
    pub fn is_broken_by(self, account: &Account) -> bool {
        self.asks(account) && !account.has_second_factor()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccountId, Secret};

    fn account(is_admin: bool, password_hash: &str, confirmed: Option<bool>) -> Account {
        let now = Timestamp::UNIX_EPOCH;
        Account {
            id: AccountId::new(),
            email: "a@example.com".parse().unwrap(),
            name: None,
            is_admin,
            password_hash: Secret::from(password_hash),
            created_at: now,
            updated_at: now,
            last_login: None,
            identity: None,
            credentials_version: 0,
            suspended_at: None,
            second_factor: confirmed.map(|confirmed| SecondFactor {
                secret: Sealed::from_bytes(vec![1]),
                confirmed_at: confirmed.then_some(now),
                last_step: None,
                recovery_codes: Vec::new(),
                wrong_codes: 0,
                blocked_until: None,
            }),
        }
    }

    #[test]
    fn a_rule_is_broken_by_those_it_means_until_they_have_confirmed() {
        use SecondFactorRule::{Administrators, Everybody, Nobody};
        let (member, admin) = (
            |confirmed| account(false, "$argon2id$x", confirmed),
            |confirmed| account(true, "$argon2id$x", confirmed),
        );
        for (rule, account, broken) in [
            (Nobody, admin(None), false),
            (Administrators, member(None), false),
            (Administrators, admin(None), true),
            (Administrators, admin(Some(false)), true),
            (Administrators, admin(Some(true)), false),
            (Everybody, member(None), true),
            (Everybody, member(Some(true)), false),
            (Everybody, account(true, Account::NO_PASSWORD, None), false),
        ] {
            assert_eq!(rule.is_broken_by(&account), broken, "{rule:?} {account:?}");
        }
    }
}
