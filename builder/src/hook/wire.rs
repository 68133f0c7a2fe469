//! What hook and builder say to each other: one line of JSON there, frames back.
//!
//! A frame is a kind byte, a big-endian `u32` length, and so many bytes.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) push: String,
    pub(crate) updates: Vec<RefUpdate>,
    /// Where the pushed objects are until the push is accepted.
    pub(crate) quarantine: Option<Quarantine>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefUpdate {
    pub(crate) old: String,
    pub(crate) new: String,
    pub(crate) name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Quarantine {
    pub(crate) object_directory: PathBuf,
    pub(crate) alternates: Option<String>,
}

/// For git to show.
pub(crate) const OUTPUT: u8 = b'o';
/// One byte: 0 accepts the push.
pub(crate) const VERDICT: u8 = b'v';

/// The most a request may hold: some ten thousand refs.
pub(crate) const MAX_REQUEST: u64 = 4 << 20;

pub(crate) fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(5 + payload.len());
    frame.push(kind);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A line as git gives it to pre-receive: `<old> <new> <ref>`.
pub(crate) fn parse_update(line: &str) -> Option<RefUpdate> {
    let mut parts = line.splitn(3, ' ');
    let (old, new, name) = (parts.next()?, parts.next()?, parts.next()?);
    let is_id =
        |text: &str| matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
    (is_id(old) && is_id(new) && name.starts_with("refs/")).then(|| RefUpdate {
        old: old.to_owned(),
        new: new.to_owned(),
        name: name.to_owned(),
    })
}

impl RefUpdate {
    pub(crate) fn is_deletion(&self) -> bool {
        self.new.bytes().all(|b| b == b'0')
    }

    pub(crate) fn is_creation(&self) -> bool {
        self.old.bytes().all(|b| b == b'0')
    }
}
