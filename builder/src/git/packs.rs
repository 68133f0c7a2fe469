//! Packs between git and the blob store: what a push brought goes there before anything is built of it, many small packs
//! become one, and a builder that goes on with another's build takes its pack from there.

use std::io;
use std::path::{Path, PathBuf};

use model::repository::Pushed;
use model::{Pack, Repository};
use store::blob::BlobStore;

use super::Repo;
use super::bring_up::{index, note};
use super::repo::{RepoError, run_with_input};
use crate::hook::wire::Quarantine;

/// A repository of more packs than this is repacked into one.
pub(crate) const MAX_PACKS: usize = 20;

/// A pack of a push, and what git calls it.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) pack: Pack,
    name: String,
}

/// Puts what a push has brought into the blob store. A push of what is here already brings nothing.
pub(crate) async fn store_received(
    repo: &Repo,
    quarantine: Option<&Quarantine>,
    blobs: &BlobStore,
) -> Result<Vec<Received>, RepoError> {
    let Some(quarantine) = quarantine else {
        return Ok(Vec::new());
    };
    let objects = repo.path().join(&quarantine.object_directory);
    let mut received = Vec::new();
    for path in packs_in(&objects).map_err(failed(&objects))? {
        let path = path.ok_or_else(|| RepoError::LooseObjects {
            path: objects.clone(),
        })?;
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        received.push(Received {
            pack: put(&path, blobs).await?,
            name,
        });
    }
    Ok(received)
}

/// Git has taken the push: its packs are the repository's.
pub(crate) fn note_received(repo: &Repo, received: &[Received]) -> io::Result<()> {
    received
        .iter()
        .try_for_each(|received| note(repo, &received.pack.checksum, &received.name))
}

/// The packs below an object directory; `None` for what is in no pack.
fn packs_in(objects: &Path) -> io::Result<Vec<Option<PathBuf>>> {
    let mut found = Vec::new();
    for dir in fs_err::read_dir(objects)? {
        let dir = dir?;
        if !dir.file_type()?.is_dir() || dir.file_name() == "info" {
            continue;
        }
        let is_pack_dir = dir.file_name() == "pack";
        for file in fs_err::read_dir(dir.path())? {
            let path = file?.path();
            if !is_pack_dir {
                found.push(None);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "pack")
            {
                found.push(Some(path));
            }
        }
    }
    Ok(found)
}

/// The same repository, gone on from another builder: what its push brought is in `objects`, beside the copy.
pub(crate) async fn with_source(
    repo: &Repo,
    pushed: &Pushed,
    objects: &Path,
    blobs: &BlobStore,
) -> Result<Repo, RepoError> {
    fs_err::create_dir_all(objects.join("pack")).map_err(failed(objects))?;
    let repo = repo.clone().with_quarantine(Some(Quarantine {
        object_directory: objects.to_owned(),
        alternates: Some(repo.path().join("objects").display().to_string()),
    }));
    for pack in &pushed.packs {
        index(&repo, &pack.checksum, &objects.join("fetched"), blobs).await?;
    }
    Ok(repo)
}

/// All that the repository's refs reach, as one pack in the blob store.
pub(crate) async fn consolidate(
    repo: &Repo,
    repository: &Repository,
    blobs: &BlobStore,
) -> Result<Repository, RepoError> {
    let tips: Vec<String> = repository.refs.values().cloned().collect();
    Ok(Repository {
        packs: pack_all(repo, &tips, blobs).await?,
        updated_at: jiff::Timestamp::now(),
        ..repository.clone()
    })
}

/// Packs all that these objects reach.
pub(super) async fn pack_all(
    repo: &Repo,
    tips: &[String],
    blobs: &BlobStore,
) -> Result<Vec<Pack>, RepoError> {
    let dir = tempfile::Builder::new()
        .prefix(super::repos::UNFINISHED)
        .tempdir_in(repo.path().parent().unwrap_or(Path::new(".")))
        .map_err(failed(repo.path()))?;
    let mut command = repo.git();
    command
        .args(["-c", "pack.threads=1", "-c", "pack.windowMemory=128m"])
        .args(["pack-objects", "--revs", "--quiet", "--delta-base-offset"])
        .arg(dir.path().join("pack"));
    let mut input = tips.join("\n");
    input.push('\n');
    run_with_input(command, input, "pack a repository", repo.path()).await?;
    let mut packs = Vec::new();
    for entry in fs_err::read_dir(dir.path()).map_err(failed(dir.path()))? {
        let path = entry.map_err(failed(dir.path()))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "pack")
        {
            packs.push(put(&path, blobs).await?);
        }
    }
    Ok(packs)
}

async fn put(path: &Path, blobs: &BlobStore) -> Result<Pack, RepoError> {
    let size = fs_err::metadata(path).map_err(failed(path))?.len();
    let checksum = blobs
        .put_file(path)
        .await
        .map_err(|source| RepoError::Blob {
            doing: "put a pack into",
            source,
        })?;
    Ok(Pack { checksum, size })
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> RepoError {
    let path = path.to_owned();
    move |source| RepoError::Io {
        doing: "handle a pack of",
        path,
        source,
    }
}
