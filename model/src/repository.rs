//! An app's git repository as all builders agree on it: refs, and the packs that hold their objects.
//!
//! The packs themselves are blobs. What a builder has on its disk is a copy that it may lose.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{AccountId, AppId, BuildId, BuildpackRef, Checksum, SourceId, Timestamp};

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
    #[serde(flatten)]
    pub code: Code,
    /// How often the build was begun, this time included.
    pub attempt: u32,
}

/// Where a build's code is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Code {
    Pushed(Pushed),
    Archive { archive: Archive },
}

/// What a push asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    /// The branch that deploys.
    pub branch: RefUpdate,
    /// What came along with it.
    pub tags: Vec<RefUpdate>,
    /// Objects that the repository does not have yet.
    pub packs: Vec<Pack>,
}

/// A gzipped tar of the code. It leaves the app's repository as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    pub place: ArchivePlace,
    /// What it must have, if its maker said so.
    pub checksum: Option<Checksum>,
    /// What its maker calls its content: a commit, a version.
    pub version: Option<String>,
    /// For this build only, in place of the app's.
    pub buildpacks: Vec<BuildpackRef>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchivePlace {
    /// It was uploaded here.
    Blob(Checksum),
    /// It is to be fetched, over HTTP.
    Url(String),
}

impl BuildSource {
    /// Blobs that must stay until the build is over.
    pub fn blobs(&self) -> Vec<&Checksum> {
        match &self.code {
            Code::Pushed(pushed) => pushed.packs.iter().map(|pack| &pack.checksum).collect(),
            Code::Archive { archive } => match &archive.place {
                ArchivePlace::Blob(checksum) => vec![checksum],
                ArchivePlace::Url(_) => Vec::new(),
            },
        }
    }
}

/// What somebody has uploaded, or is about to, to have it built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub id: SourceId,
    pub account: AccountId,
    /// Once it is here.
    pub blob: Option<Checksum>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
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

    pub fn merge(&self, source: &Pushed, now: Timestamp) -> Merged {
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

impl BuildCache {
    /// The blob of a cache with nothing in it: an empty tar (1 KiB of zeros), compressed. As the newest cache it takes the
    /// place of every builder's copy.
    pub const EMPTY: [u8; 11] = [
        0x28, 0xb5, 0x2f, 0xfd, 0x60, 0x00, 0x03, 0x03, 0x20, 0x00, 0x00,
    ];
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

    fn push(branch: RefUpdate, tags: Vec<RefUpdate>, packs: Vec<Pack>) -> Pushed {
        Pushed {
            branch,
            tags,
            packs,
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
        let stale = |push: Pushed| one.merge(&push, now);
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

    #[test]
    fn sources_of_pushes_are_written_as_ever_and_archives_beside_them() {
        let (build, app) = (BuildId::new(), AppId::new());
        let source = |code| BuildSource {
            build,
            app,
            code,
            attempt: 0,
        };
        let pushed = push(
            update("refs/heads/main", None, "1"),
            vec![],
            vec![pack("a")],
        );
        let text = serde_json::to_value(source(Code::Pushed(pushed.clone()))).unwrap();
        assert_eq!(text["branch"]["new"], "1");
        let archive = Archive {
            place: ArchivePlace::Blob("b".repeat(64).parse().unwrap()),
            checksum: None,
            version: Some("v1".to_owned()),
            buildpacks: vec![],
        };
        for code in [Code::Pushed(pushed), Code::Archive { archive }] {
            let source = source(code);
            let text = serde_json::to_string(&source).unwrap();
            assert_eq!(serde_json::from_str::<BuildSource>(&text).unwrap(), source);
            assert_eq!(source.blobs().len(), 1);
        }
    }
}
