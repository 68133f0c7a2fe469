//! A slug: a built app, packed, named by what is in it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{AppId, InvalidName, ProcessType, SlugId, Timestamp};

/// The SHA-256 of a blob in lower-case hex: its name in the blob store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Checksum(String);

impl Checksum {
    /// From what SHA-256 made of the bytes.
    pub fn of_digest(digest: [u8; 32]) -> Self {
        use fmt::Write as _;
        let mut hex = String::with_capacity(64);
        for byte in digest {
            // Writing to a string does not fail.
            let _ = write!(hex, "{byte:02x}");
        }
        Self(hex)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Checksum {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let ok = text.len() == 64
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        ok.then(|| Self(text.to_owned()))
            .ok_or_else(|| InvalidName {
                kind: "checksum",
                text: text.chars().take(100).collect(),
                rule: "must be 64 lower-case hexadecimal digits",
            })
    }
}

impl TryFrom<String> for Checksum {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<Checksum> for String {
    fn from(checksum: Checksum) -> String {
        checksum.0
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A built app. The blob is a zstd-compressed tar whose paths land in `/app`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slug {
    pub id: SlugId,
    pub app: AppId,
    pub checksum: Checksum,
    /// Bytes of the blob.
    pub size: u64,
    /// Bytes on disk once unpacked.
    pub unpacked_size: u64,
    /// The git commit it was built from.
    pub commit: Option<String>,
    pub commit_description: Option<String>,
    /// What the last buildpack calls itself (`Python`).
    pub language: Option<String>,
    /// Procfile over the buildpack's defaults; may hold `release`.
    pub process_types: BTreeMap<ProcessType, String>,
    /// Stack of the build, and so of its dynos.
    pub stack: String,
    pub created_at: Timestamp,
}

impl Slug {
    /// The release phase's command, where the Procfile has one.
    pub fn release_command(&self) -> Option<&str> {
        self.process_types
            .get(&ProcessType::release())
            .map(String::as_str)
    }
}
