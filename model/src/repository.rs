//! An app's git repository as all builders agree on it: refs, and the packs that hold their objects.
//!
//! The packs themselves are blobs. What a builder has on its disk is a copy that it may lose.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{AppId, BuildId, Checksum, Timestamp};

/// So many refs fit a record, and so one commit of the store, with room to spare.
pub const MAX_REFS: usize = 5_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    pub app: AppId,
    /// Full names (`refs/heads/main`) and the ids of the objects they are at.
    pub refs: BTreeMap<String, String>,
    /// Oldest first. All that the refs reach is in these together, and no pack needs another to be read.
    pub packs: Vec<Pack>,
    pub updated_at: Timestamp,
}

/// A git pack; its blob is named by the checksum of its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pack {
    pub checksum: Checksum,
    /// Bytes.
    pub size: u64,
}

/// One ref of a push: from where to where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefUpdate {
    pub name: String,
    /// `None`: the ref is new.
    pub old: Option<String>,
    pub new: String,
}

/// What a build is made from, and what its app's repository gets once its release is up.
///
/// Made with the build, before it starts; gone when the repository has what it is to have, or when nothing will come of
/// the build. So whatever has one and no builder at work on it is work left behind, and any builder can take it up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildSource {
    pub build: BuildId,
    pub app: AppId,
    /// The branch that deploys.
    pub branch: RefUpdate,
    /// What came along with it.
    pub tags: Vec<RefUpdate>,
    /// Objects that the repository does not have yet.
    pub packs: Vec<Pack>,
    /// How often the build was begun, this time included.
    pub attempt: u32,
}

/// What a push would make of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    Changed(Repository),
    /// The branch is where the push wants it.
    AlreadyThere,
    /// The ref of this name is not where the push found it.
    Stale(String),
}

impl Repository {
    /// One that was never pushed to.
    pub const fn empty(app: AppId) -> Self {
        Self {
            app,
            refs: BTreeMap::new(),
            packs: Vec::new(),
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }

    pub fn merge(&self, source: &BuildSource, now: Timestamp) -> Merged {
        let is_at = |name: &str| self.refs.get(name);
        if is_at(&source.branch.name) == Some(&source.branch.new) {
            return Merged::AlreadyThere;
        }
        let updates = || std::iter::once(&source.branch).chain(&source.tags);
        if let Some(stale) = updates().find(|update| is_at(&update.name) != update.old.as_ref()) {
            return Merged::Stale(stale.name.clone());
        }
        let mut merged = self.clone();
        merged
            .refs
            .extend(updates().map(|update| (update.name.clone(), update.new.clone())));
        let have: BTreeSet<_> = self.packs.iter().map(|pack| &pack.checksum).collect();
        merged.packs.extend(
            source
                .packs
                .iter()
                .filter(|pack| !have.contains(&pack.checksum))
                .cloned(),
        );
        merged.updated_at = now;
        Merged::Changed(merged)
    }

    /// Bytes of all packs.
    pub fn size(&self) -> u64 {
        self.packs.iter().map(|pack| pack.size).sum()
    }
}

/// An app's build cache: the blob is a zstd-compressed tar of the directory that builds are given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildCache {
    pub app: AppId,
    pub checksum: Checksum,
    /// Bytes of the blob.
    pub size: u64,
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(name: &str, old: Option<&str>, new: &str) -> RefUpdate {
        RefUpdate {
            name: name.to_owned(),
            old: old.map(str::to_owned),
            new: new.to_owned(),
        }
    }

    fn pack(digit: &str) -> Pack {
        Pack {
            checksum: digit.repeat(64).parse().unwrap(),
            size: 10,
        }
    }

    fn push(branch: RefUpdate, tags: Vec<RefUpdate>, packs: Vec<Pack>) -> BuildSource {
        BuildSource {
            build: BuildId::new(),
            app: AppId::new(),
            branch,
            tags,
            packs,
            attempt: 1,
        }
    }

    fn changed(merged: Merged) -> Repository {
        match merged {
            Merged::Changed(repository) => repository,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_push_moves_its_refs_and_brings_its_packs_once() {
        let now = Timestamp::UNIX_EPOCH;
        let empty = Repository::empty(AppId::new());
        let first = push(
            update("refs/heads/main", None, "1"),
            vec![update("refs/tags/v1", None, "t")],
            vec![pack("a")],
        );
        let one = changed(empty.merge(&first, now));
        assert_eq!((one.refs.len(), one.size()), (2, 10));
        let second = push(
            update("refs/heads/main", Some("1"), "2"),
            vec![],
            vec![pack("a"), pack("b")],
        );
        let two = changed(one.merge(&second, now));
        assert_eq!(two.packs, [pack("a"), pack("b")]);
        assert_eq!(two.refs["refs/heads/main"], "2");
        assert_eq!(two.merge(&second, now), Merged::AlreadyThere);
    }

    #[test]
    fn a_ref_that_is_not_where_the_push_found_it_stops_all_of_the_push() {
        let now = Timestamp::UNIX_EPOCH;
        let first = push(update("refs/heads/main", None, "1"), vec![], vec![]);
        let one = changed(Repository::empty(AppId::new()).merge(&first, now));
        let stale = |push: BuildSource| one.merge(&push, now);
        assert_eq!(
            stale(push(update("refs/heads/main", None, "2"), vec![], vec![])),
            Merged::Stale("refs/heads/main".to_owned())
        );
        let tags = vec![update("refs/tags/v1", Some("x"), "y")];
        assert_eq!(
            stale(push(
                update("refs/heads/main", Some("1"), "2"),
                tags,
                vec![]
            )),
            Merged::Stale("refs/tags/v1".to_owned())
        );
    }
}
