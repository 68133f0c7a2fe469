//! Bringing a copy up to the record: the packs it lacks come from the blob store, its refs are set, packs that the record
//! does not name any more go.
//!
//! `<repo>/paas-packs/<checksum>` says under which name git has the pack of a blob. It is written when git has the pack, so
//! a builder that dies in between fetches a pack again and does no harm.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::SystemTime;

use model::{Checksum, Repository};
use store::blob::BlobStore;

use super::Repo;
use super::command::OWN_REFS;
use super::repo::{RepoError, ended};

const NAMES: &str = "paas-packs";

pub(super) async fn bring_up(
    repo: &Repo,
    repository: &Repository,
    blobs: &BlobStore,
) -> Result<(), RepoError> {
    let names = repo.path().join(NAMES);
    fs_err::create_dir_all(&names).map_err(failed(repo, "prepare"))?;
    for pack in &repository.packs {
        if name_of(repo, &pack.checksum).is_none() {
            fetch(repo, &pack.checksum, blobs).await?;
        }
    }
    set_refs(repo, &repository.refs).await?;
    drop_others(repo, repository).map_err(failed(repo, "tidy"))
}

/// Records that git has the pack of this blob.
pub(super) fn note(repo: &Repo, checksum: &Checksum, name: &str) -> io::Result<()> {
    let names = repo.path().join(NAMES);
    fs_err::create_dir_all(&names)?;
    fs_err::write(names.join(checksum.as_str()), name)
}

/// What git calls the pack of a blob, if it is here whole.
fn name_of(repo: &Repo, checksum: &Checksum) -> Option<String> {
    let place = repo.path().join(NAMES).join(checksum.as_str());
    let name = fs_err::read_to_string(place).ok()?;
    let is_here = |extension: &str| file_of(repo, &name, extension).exists();
    (is_pack_name(&name) && is_here("pack") && is_here("idx")).then_some(name)
}

fn is_pack_name(name: &str) -> bool {
    name.strip_prefix("pack-")
        .is_some_and(|hash| !hash.is_empty() && hash.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn file_of(repo: &Repo, name: &str, extension: &str) -> PathBuf {
    repo.path().join(format!("objects/pack/{name}.{extension}"))
}

async fn fetch(repo: &Repo, checksum: &Checksum, blobs: &BlobStore) -> Result<(), RepoError> {
    let scratch = repo.path().join(NAMES).join(format!("{checksum}.fetched"));
    let name = index(repo, checksum, &scratch, blobs).await?;
    note(repo, checksum, &name).map_err(failed(repo, "note a pack of"))
}

/// Gives git the pack of a blob, by way of the file `scratch`, into the object directory that `repo` writes to; git's
/// name for it.
pub(super) async fn index(
    repo: &Repo,
    checksum: &Checksum,
    scratch: &Path,
    blobs: &BlobStore,
) -> Result<String, RepoError> {
    blobs
        .fetch_to(checksum, scratch)
        .await
        .map_err(|source| RepoError::Blob {
            doing: "fetch a pack from",
            source,
        })?;
    let file = fs_err::File::open(scratch).map_err(failed(repo, "read a pack for"))?;
    let mut command = repo.git();
    let output = command
        .args(["index-pack", "--stdin"])
        .stdin(Stdio::from(file.into_file()))
        .output()
        .await
        .map_err(failed(repo, "index a pack of"))?;
    let said = ended(output, "index a pack", repo.path())?;
    fs_err::remove_file(scratch).map_err(failed(repo, "tidy"))?;
    // `pack\t<hash>`
    let hash = said.split_whitespace().last().unwrap_or_default();
    Ok(format!("pack-{hash}"))
}

async fn set_refs(repo: &Repo, wanted: &BTreeMap<String, String>) -> Result<(), RepoError> {
    let mut present: BTreeMap<String, String> =
        repo.refs_below("refs/").await?.into_iter().collect();
    present.retain(|name, _| !name.starts_with(OWN_REFS));
    let deleted = present
        .keys()
        .filter(|name| !wanted.contains_key(*name))
        .map(|name| (name.as_str(), None));
    let moved = wanted
        .iter()
        .filter(|(name, object)| present.get(*name) != Some(object))
        .map(|(name, object)| (name.as_str(), Some(object.as_str())));
    repo.set_refs(&deleted.chain(moved).collect::<Vec<_>>())
        .await
}

/// Whoever reads one of them right now has it open, or finds its objects in a pack that took its place.
fn drop_others(repo: &Repo, repository: &Repository) -> io::Result<()> {
    let wanted: BTreeSet<&str> = repository
        .packs
        .iter()
        .map(|pack| pack.checksum.as_str())
        .collect();
    let kept: BTreeSet<String> = repository
        .packs
        .iter()
        .filter_map(|pack| name_of(repo, &pack.checksum))
        .collect();
    for entry in fs_err::read_dir(repo.path().join(NAMES))? {
        let (path, file_name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let file_name = file_name.to_string_lossy().into_owned();
        if wanted.contains(file_name.as_str()) {
            continue;
        }
        // A name, or what was being fetched when a builder died.
        let name = fs_err::read_to_string(&path).unwrap_or_default();
        if is_pack_name(&name) && !kept.contains(&name) {
            // The index first: it is by this that git finds a pack.
            for extension in ["idx", "rev", "bitmap", "pack"] {
                remove(&file_of(repo, &name, extension))?;
            }
        }
        remove(&path)?;
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Remembers when the copy was last used; only the order in which copies are dropped hangs on it.
pub(super) fn touch(repo: &Repo, now: SystemTime) {
    if let Ok(names) = fs_err::File::open(repo.path().join(NAMES)) {
        let _ = names.file().set_modified(now);
    }
}

pub(super) fn last_used(path: &Path) -> SystemTime {
    fs_err::metadata(path.join(NAMES))
        .and_then(|found| found.modified())
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

fn failed(repo: &Repo, doing: &'static str) -> impl FnOnce(io::Error) -> RepoError {
    let path = repo.path().to_owned();
    move |source| RepoError::Io {
        doing,
        path,
        source,
    }
}
