//! A terminal that waits for somebody to say, in a browser, that it is his.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{AccountId, Checksum, Sealed, Timestamp, TokenId};

/// Stored under the SHA-256 of what its address in the browser ends with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrowserLogin {
    /// What the terminal calls itself.
    pub description: String,
    /// Where it asked from.
    pub address: Option<IpAddr>,
    /// Shown in the terminal and in the browser, for somebody to compare.
    pub code: String,
    /// SHA-256 of what the terminal proves itself with when it asks how things are.
    pub terminal: Checksum,
    /// How long the token is to be good for.
    pub token_secs: u64,
    pub state: BrowserLoginState,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrowserLoginState {
    Waiting,
    /// Somebody has gone from this browser to the identity provider, and is to come back with what was sealed.
    AtProvider {
        browser: Checksum,
        sealed: Sealed,
    },
    /// Somebody has come back from there to this browser, as whom was sealed. The account that he would be linked with has
    /// a password, which he is asked for.
    Arrived {
        browser: Checksum,
        sealed: Sealed,
    },
    /// Somebody at this browser has proven who he is, and is asked whether the terminal is his.
    Identified {
        browser: Checksum,
        account: AccountId,
        /// The account's, when he did.
        #[serde(default)]
        credentials_version: u32,
    },
    /// The terminal gets a token of this account as soon as it asks.
    Approved {
        account: AccountId,
        #[serde(default)]
        credentials_version: u32,
        /// The one it gets.
        #[serde(default = "TokenId::new")]
        token: TokenId,
    },
    Refused,
}

impl BrowserLogin {
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at <= now
    }

    /// Whose terminal it would be, if this browser said yes, and what his credentials' version was.
    pub fn identified_by(&self, asking: &Checksum) -> Option<(AccountId, u32)> {
        match &self.state {
            BrowserLoginState::Identified {
                browser,
                account,
                credentials_version,
            } if browser == asking => Some((*account, *credentials_version)),
            _ => None,
        }
    }

    /// Whether nobody has proven anything yet.
    pub const fn is_anybodys(&self) -> bool {
        matches!(
            self.state,
            BrowserLoginState::Waiting | BrowserLoginState::AtProvider { .. }
        )
    }

    /// Whether nothing more can come of it in a browser.
    pub const fn is_decided(&self) -> bool {
        matches!(
            self.state,
            BrowserLoginState::Approved { .. } | BrowserLoginState::Refused
        )
    }
}
