//! What can go wrong with the store. A lost race is not an error: see [`crate::Committed`].

use crate::Key;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the store could not be reached or could not answer: {doing}")]
    Unavailable {
        doing: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("a commit of {ops} operations and {bytes} bytes is over the limit of {max_ops} and {max_bytes}", max_ops = crate::MAX_COMMIT_OPS, max_bytes = crate::MAX_COMMIT_BYTES)]
    CommitTooLarge { ops: usize, bytes: usize },
    #[error("a commit writes {key} twice")]
    WrittenTwice { key: Key },
    #[error("the lease {lease} has lapsed")]
    LeaseLapsed { lease: i64 },
    #[error("the record at {key} could not be read")]
    Corrupt {
        key: Key,
        #[source]
        source: serde_json::Error,
    },
    #[error("the record for {key} could not be written down")]
    Encode {
        key: Key,
        #[source]
        source: serde_json::Error,
    },
    #[error(
        "a sealed value could not be opened: it was sealed with another master key, or was changed"
    )]
    Unseal,
    #[error("the app changed under this operation {attempts} times in a row")]
    Contended { attempts: u32 },
    #[error("the store's files at {path} could not be used")]
    Files {
        path: std::path::PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// For a backend's own error while `doing` something.
    pub fn unavailable(
        doing: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable {
            doing,
            source: source.into(),
        }
    }

    /// For calls after the store was closed.
    pub(crate) fn closed(doing: &'static str) -> Self {
        Self::unavailable(doing, "the store was closed")
    }

    /// Whether trying again later may help.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Contended { .. })
    }
}
