//! What a controller asks a builder about an archive of code, and is answered: `POST /internal/archives`.

use model::Checksum;
use serde::{Deserialize, Serialize};

/// Bytes of an `app.json`; a longer one counts as none.
pub const MAX_MANIFEST: u64 = 256 << 10;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "looked", rename_all = "snake_case")]
pub enum Looked {
    Found {
        /// The archive as it was then.
        blob: Checksum,
        /// The text of its `app.json`, if it has one.
        manifest: Option<String>,
    },
    /// It is not fit to be built. A sentence for whoever brought it.
    Refused { reason: String },
}
