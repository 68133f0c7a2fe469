//! What can go wrong with a container engine.

use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error("the container engine did not answer within {} s: {doing}", after.as_secs())]
    TimedOut {
        doing: &'static str,
        after: Duration,
    },
    #[error("there is no such container, image or network: {doing}: {message}")]
    NotFound {
        doing: &'static str,
        message: String,
    },
    #[error("the container engine refused: {doing}: {message}")]
    Refused {
        doing: &'static str,
        status: u16,
        message: String,
    },
    #[error("the container engine could not be reached: {doing}")]
    Unreachable {
        doing: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("this cannot be asked of the container engine: {reason}")]
    Unsupported { reason: String },
}

impl RuntimeError {
    pub(crate) fn unreachable(
        doing: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unreachable {
            doing,
            source: source.into(),
        }
    }

    /// Whether the thing asked about is not there.
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}
