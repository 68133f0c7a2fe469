//! Build caches between builders: each app's is a blob too, so that a builder that has never built an app need not begin
//! with nothing.
//!
//! What a build left is packed in the background, when it differs from what is on record. A builder whose own copy is not
//! of the blob on record takes that one: the newest shared cache wins, and a cache that is lost costs time and no more.

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use model::{AppId, BuildCache, Checksum};
use runtime::slug::{UnpackOptions, unpack};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use store::blob::BlobStore;
use store::{Store, Txn, key};
use tracing::{debug, info, warn};

use super::{Caches, remove};
use crate::housekeeping::blocking;
use crate::slug::{Times, pack};
use crate::workspace::private_dir;

/// A larger cache (packed) stays on the builder that made it.
const MAX_BYTES: u64 = 1 << 30;
const MAX_UNPACKED_BYTES: u64 = 8 << 30;
const MAX_ENTRIES: u64 = 2_000_000;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Which blob a copy was packed into or unpacked from, and what it looked like then.
#[derive(Debug, Serialize, Deserialize)]
struct Origin {
    checksum: Checksum,
    fingerprint: String,
}

impl Caches {
    /// Before a build: takes the cache on record unless this builder's is that one, or made from it.
    pub(crate) async fn fetch_shared(&self, store: &dyn Store, blobs: &BlobStore, app: AppId) {
        if let Err(error) = self.try_fetch(store, blobs, app).await {
            warn!(error = &*error, app.id = %app, "Could not fetch a build cache; the build begins with what is here");
        }
    }

    async fn try_fetch(
        &self,
        store: &dyn Store,
        blobs: &BlobStore,
        app: AppId,
    ) -> Result<(), Failed> {
        let Some(record) = key::BUILD_CACHES.get(store, &key::build_cache(app)).await? else {
            return Ok(());
        };
        let checksum = record.value.checksum;
        if self
            .origin(app)
            .is_some_and(|origin| origin.checksum == checksum)
            && self.of(app).exists()
        {
            return Ok(());
        }
        private_dir(&self.dir)?;
        let scratch = Scratch::new(self, app)?;
        blobs.fetch_to(&checksum, &scratch.file()).await?;
        let (caches, wanted) = (self.clone(), checksum.clone());
        blocking(move || {
            let tree = scratch.tree();
            fs_err::create_dir(&tree)?;
            let options = UnpackOptions {
                owner: None,
                max_bytes: MAX_UNPACKED_BYTES,
                max_entries: MAX_ENTRIES,
            };
            let file = fs_err::File::open(scratch.file())?;
            unpack(file, &wanted, &tree, &options).map_err(io::Error::other)?;
            buildpacks::job::hand_over(&tree).map_err(io::Error::other)?;
            caches.keep(app, &tree)?;
            let fingerprint = fingerprint(&caches.of(app))?;
            caches.set_origin(app, wanted, fingerprint)
        })
        .await?;
        debug!(app.id = %app, cache.checksum = %checksum, "Fetched a build cache");
        Ok(())
    }

    /// After a build, in nobody's way: puts this builder's cache on record if it has changed.
    pub(crate) async fn share(&self, store: &dyn Store, blobs: &BlobStore, app: AppId) {
        // One at a time: packing takes a processor.
        let Ok(_turn) = self.sharing.acquire().await else {
            return;
        };
        if let Err(error) = self.try_share(store, blobs, app).await {
            warn!(error = &*error, app.id = %app, "Could not share a build cache; after the next build it is tried again");
        }
    }

    async fn try_share(
        &self,
        store: &dyn Store,
        blobs: &BlobStore,
        app: AppId,
    ) -> Result<(), Failed> {
        let (caches, tree) = (self.clone(), self.of(app));
        let packed = blocking(move || {
            if !tree.exists() {
                return Ok(None);
            }
            let fingerprint = fingerprint(&tree)?;
            let origin = caches.origin(app);
            if origin.is_some_and(|origin| origin.fingerprint == fingerprint) {
                return Ok(None);
            }
            let scratch = Scratch::new(&caches, app)?;
            let packed =
                pack(&tree, &scratch.file(), Times::OfEach, MAX_BYTES).map_err(io::Error::other)?;
            Ok(Some((scratch, packed, fingerprint)))
        })
        .await?;
        let Some((scratch, packed, fingerprint)) = packed else {
            return Ok(());
        };
        let checksum = blobs.put_file(&scratch.file()).await?;
        let cache = BuildCache {
            app,
            checksum: checksum.clone(),
            size: packed.size,
            updated_at: Timestamp::now(),
        };
        Txn::new()
            .exists(key::app(app))
            .put(&key::BUILD_CACHES, key::build_cache(app), &cache)
            .commit(store)
            .await?;
        info!(app.id = %app, cache.checksum = %checksum, cache.bytes = packed.size, "Shared a build cache");
        let caches = self.clone();
        blocking(move || caches.set_origin(app, checksum, fingerprint)).await?;
        Ok(())
    }

    pub(super) fn origin_file(&self, app: AppId) -> PathBuf {
        self.dir.join(format!("{app}.json"))
    }

    fn origin(&self, app: AppId) -> Option<Origin> {
        serde_json::from_slice(&fs_err::read(self.origin_file(app)).ok()?).ok()
    }

    fn set_origin(&self, app: AppId, checksum: Checksum, fingerprint: String) -> io::Result<()> {
        let origin = Origin {
            checksum,
            fingerprint,
        };
        let fresh = self.away(app);
        fs_err::write(&fresh, serde_json::to_vec(&origin)?)?;
        fs_err::rename(&fresh, self.origin_file(app))
    }
}

/// Beside the caches, and gone when dropped: a tree that was moved away is not there any more.
struct Scratch(PathBuf);

impl Scratch {
    fn new(caches: &Caches, app: AppId) -> io::Result<Self> {
        let dir = caches.away(app);
        private_dir(&dir)?;
        Ok(Self(dir))
    }

    fn file(&self) -> PathBuf {
        self.0.join("cache.tar.zst")
    }

    fn tree(&self) -> PathBuf {
        self.0.join("tree")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now goes with the next tidying.
        let _ = remove(&self.0);
    }
}

/// Changes whenever a file does, without reading any.
fn fingerprint(tree: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    add(tree, &mut hash)?;
    Ok(hex::encode(hash.finalize()))
}

fn add(dir: &Path, hash: &mut Sha256) -> io::Result<()> {
    let mut entries = fs_err::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs_err::DirEntry::file_name);
    for entry in entries {
        let found = entry.metadata()?;
        hash.update(entry.file_name().as_encoded_bytes());
        hash.update([0]);
        if found.is_dir() {
            hash.update(b"{");
            add(&entry.path(), hash)?;
            hash.update(b"}");
            continue;
        }
        hash.update(found.len().to_be_bytes());
        hash.update(found.mtime().to_be_bytes());
        hash.update(found.mtime_nsec().to_be_bytes());
        hash.update(found.permissions().mode().to_be_bytes());
        if found.is_symlink() {
            hash.update(
                fs_err::read_link(entry.path())?
                    .as_os_str()
                    .as_encoded_bytes(),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_changes_with_any_file_and_not_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        fs_err::create_dir(file("sub")).unwrap();
        fs_err::write(file("sub/a"), "1").unwrap();
        let mut seen = vec![fingerprint(dir.path()).unwrap()];
        assert_eq!(seen[0], fingerprint(dir.path()).unwrap());
        fs_err::write(file("sub/a"), "12").unwrap();
        seen.push(fingerprint(dir.path()).unwrap());
        fs_err::rename(file("sub/a"), file("a")).unwrap();
        seen.push(fingerprint(dir.path()).unwrap());
        std::os::unix::fs::symlink("a", file("link")).unwrap();
        seen.push(fingerprint(dir.path()).unwrap());
        let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
        assert_eq!(distinct.len(), seen.len());
    }
}
