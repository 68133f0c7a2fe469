//! The directory of one build: `<data>/builds/<build>/`.
//!
//! ```text
//! job/ tmp/ out/   as `buildpacks::Job` lays them out
//! app/             /app of the build, which some packs want to be there
//! var-tmp/         /var/tmp of the build
//! output.log       all that was printed
//! slug.tar.zst     the tree, packed
//! source.tgz       the archive that its code came as, if it did
//! ```
//!
//! All that a build can write is in here, so that its size can be watched and all of it goes at once.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use model::BuildId;

#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    pub(crate) fn create(builds: &Path, build: BuildId) -> io::Result<Self> {
        let workspace = Self {
            root: builds.join(build.to_string()),
        };
        // Nobody else's to enter: the modes of what is in it only matter inside the container.
        private_dir(&workspace.root)?;
        for dir in [workspace.app(), workspace.var_tmp()] {
            fs_err::create_dir(&dir)?;
            buildpacks::job::hand_over(&dir).map_err(io::Error::other)?;
        }
        Ok(workspace)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn app(&self) -> PathBuf {
        self.root.join("app")
    }

    pub(crate) fn var_tmp(&self) -> PathBuf {
        self.root.join("var-tmp")
    }

    pub(crate) fn log(&self) -> PathBuf {
        log_in(&self.root)
    }

    pub(crate) fn archive(&self) -> PathBuf {
        self.root.join("source.tgz")
    }

    pub(crate) fn slug(&self) -> PathBuf {
        self.root.join("slug.tar.zst")
    }
}

/// All that was printed by the build of this directory.
pub(crate) fn log_in(dir: &Path) -> PathBuf {
    dir.join("output.log")
}

pub(crate) fn private_dir(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}
