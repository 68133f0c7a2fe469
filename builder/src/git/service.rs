//! The two things a git client can ask of a repository.

use model::{Need, Permission};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// Clone and fetch.
    UploadPack,
    /// Push.
    ReceivePack,
}

impl Service {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "git-upload-pack" => Some(Self::UploadPack),
            "git-receive-pack" => Some(Self::ReceivePack),
            _ => None,
        }
    }

    /// `git-upload-pack`, as the protocol spells it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }

    /// `upload-pack`, as git's command line spells it.
    pub(crate) const fn subcommand(self) -> &'static str {
        match self {
            Self::UploadPack => "upload-pack",
            Self::ReceivePack => "receive-pack",
        }
    }

    pub(crate) const fn needs(self) -> Permission {
        match self {
            Self::UploadPack => Permission::View,
            Self::ReceivePack => Permission::Deploy,
        }
    }

    /// Code that is pushed runs with the app's config vars.
    pub(crate) const fn needs_of_token(self) -> Need {
        match self {
            Self::UploadPack => Need::Read,
            Self::ReceivePack => Need::WriteProtected,
        }
    }
}
