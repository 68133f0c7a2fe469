//! How a user names a buildpack.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A buildpack as the user gave it: `heroku/python`, `python`, or a URL with an optional `#ref`. What it stands for
/// is the buildpacks crate's business.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BuildpackRef(pub String);

impl fmt::Display for BuildpackRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
