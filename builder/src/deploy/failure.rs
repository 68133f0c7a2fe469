//! Why a push is refused once its ref was accepted for deploying.

use std::error::Error;
use std::fmt;

/// `Display` is the reason kept with the build, fit for the app's owner.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Still to be told, line by line.
    #[error("{}", .0.join(" "))]
    Refused(Vec<String>),
    /// The pusher has read it already.
    #[error("{0}")]
    Told(String),
    /// The release was made, and failed; the pusher has read why.
    #[error("{0}")]
    Release(String),
    #[error("Cancelled by the client")]
    Cancelled,
    /// Nothing is left to do: the branch is where the push wants it.
    #[error("Another push has deployed this very commit meanwhile")]
    AlreadyThere,
    /// The builder ends, and somebody else is to go on.
    #[error("The builder is restarting")]
    Stopping,
    /// The release was made, but what became of it is not known here.
    #[error("could not follow the release")]
    Unfollowed(#[source] Box<Self>),
    #[error("Another builder took over")]
    LockLost,
    /// Ours, not the app's.
    #[error("could not {doing}")]
    Internal {
        doing: &'static str,
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl Failure {
    pub(crate) fn refused<const N: usize>(lines: [String; N]) -> Self {
        Self::Refused(lines.into())
    }

    pub(crate) fn internal(
        doing: &'static str,
    ) -> impl FnOnce(Box<dyn Error + Send + Sync>) -> Self {
        move |source| Self::Internal { doing, source }
    }
}

impl From<store::StoreError> for Failure {
    fn from(source: store::StoreError) -> Self {
        Self::Internal {
            doing: "use the platform's store",
            source: source.into(),
        }
    }
}

impl From<crate::git::repo::RepoError> for Failure {
    fn from(source: crate::git::repo::RepoError) -> Self {
        Self::Internal {
            doing: "read the repository",
            source: source.into(),
        }
    }
}

/// An error with all it comes from, on one line.
pub(crate) fn chain(error: &dyn Error) -> impl fmt::Display {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
