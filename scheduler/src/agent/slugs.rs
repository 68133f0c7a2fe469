//! Unpacked slugs of this node: each unpacked once, shared by all its dynos, the least used removed when there are many.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use model::{Checksum, Slug};
use runtime::slug::{SlugError, UnpackOptions, unpack};
use store::blob::{BlobError, BlobStore};
use tracing::{info, warn};

/// Most files, directories and links of a slug.
const MAX_ENTRIES: u64 = 2_000_000;
/// Of directories that are not yet, or no longer, a slug.
const UNFINISHED: &str = ".unfinished-";

#[derive(Debug)]
pub(crate) struct SlugCache {
    dir: PathBuf,
    blobs: BlobStore,
    max_bytes: u64,
    options: UnpackOptions,
    /// Guards the table; never held across a wait.
    slugs: Mutex<HashMap<Checksum, Held>>,
}

#[derive(Debug, Default)]
struct Held {
    /// Dynos that use it or are about to.
    users: usize,
    /// Once unpacked.
    bytes: Option<u64>,
    used_at: Option<SystemTime>,
    /// Whoever unpacks holds it.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// While it lives, the slug stays.
#[derive(Debug)]
pub(crate) struct SlugLease {
    cache: Arc<SlugCache>,
    checksum: Checksum,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SlugCacheError {
    #[error("the slug could not be fetched")]
    Fetch(#[source] BlobError),
    #[error(transparent)]
    Unpack(#[from] SlugError),
    #[error("the slug could not be kept in {}", dir.display())]
    Keep {
        dir: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

pub(crate) struct Limits {
    pub cache_bytes: u64,
    pub slug_bytes: u64,
    pub owner: Option<(u32, u32)>,
}

impl SlugCache {
    /// Takes over what an earlier agent unpacked, but for what it did not finish or the last power cut may have torn.
    pub(crate) fn open(
        dir: PathBuf,
        blobs: BlobStore,
        limits: &Limits,
    ) -> std::io::Result<Arc<Self>> {
        fs_err::create_dir_all(&dir)?;
        let boot = boot_id();
        let mut slugs = HashMap::new();
        for entry in fs_err::read_dir(&dir)? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if name.starts_with(UNFINISHED) {
                remove_tree(&path);
            } else if let Ok(checksum) = name.parse::<Checksum>() {
                match Note::read(&path).filter(|note| note.synced || note.boot == boot) {
                    Some(note) => {
                        let used_at = fs_err::metadata(Note::path(&path))
                            .and_then(|note| note.modified())
                            .ok();
                        slugs.insert(
                            checksum,
                            Held {
                                bytes: Some(note.bytes),
                                used_at,
                                ..Held::default()
                            },
                        );
                    }
                    None => remove_tree(&path),
                }
            }
        }
        let options = UnpackOptions {
            owner: limits.owner,
            max_bytes: limits.slug_bytes,
            max_entries: MAX_ENTRIES,
        };
        Ok(Arc::new(Self {
            dir,
            blobs,
            max_bytes: limits.cache_bytes,
            options,
            slugs: Mutex::new(slugs),
        }))
    }

    /// Keeps a slug that a running container uses, whether or not it is here.
    pub(crate) fn hold(self: &Arc<Self>, checksum: &Checksum) -> SlugLease {
        self.slugs().entry(checksum.clone()).or_default().users += 1;
        SlugLease {
            cache: Arc::clone(self),
            checksum: checksum.clone(),
        }
    }

    /// The slug, unpacked. However many ask at once, one of them does the work.
    pub(crate) async fn get(self: &Arc<Self>, slug: &Slug) -> Result<SlugLease, SlugCacheError> {
        let lease = self.hold(&slug.checksum);
        let turn = self
            .slugs()
            .get(&slug.checksum)
            .map(|held| Arc::clone(&held.turn))
            .unwrap_or_default();
        // Work that was begun is finished even if who asked has gone: others may wait for it, or ask again.
        let (cache, checksum) = (Arc::clone(self), slug.checksum.clone());
        let unpacking = tokio::spawn(async move {
            let _turn = turn.lock().await;
            let _lease = cache.hold(&checksum);
            if cache.is_unpacked(&checksum) {
                Ok(())
            } else {
                cache.unpack(&checksum).await
            }
        });
        match unpacking.await {
            Ok(done) => done?,
            Err(error) => {
                let dir = self.dir.clone();
                return Err(SlugCacheError::Keep {
                    dir,
                    source: std::io::Error::other(error),
                });
            }
        }
        self.touch(&slug.checksum);
        Ok(lease)
    }

    fn is_unpacked(&self, checksum: &Checksum) -> bool {
        self.slugs()
            .get(checksum)
            .is_some_and(|held| held.bytes.is_some())
            && self.path(checksum).is_dir()
    }

    async fn unpack(self: &Arc<Self>, checksum: &Checksum) -> Result<(), SlugCacheError> {
        let started = std::time::Instant::now();
        let keep = |source| SlugCacheError::Keep {
            dir: self.dir.clone(),
            source,
        };
        let unfinished = Unfinished::make(&self.dir).map_err(keep)?;
        // A local blob store's file is read where it lies; it is verified while it is unpacked.
        let blob = match self.blobs.local_path(checksum) {
            Some(path) => path,
            None => {
                let path = unfinished.path.join("blob");
                self.blobs
                    .fetch_to(checksum, &path)
                    .await
                    .map_err(SlugCacheError::Fetch)?;
                path
            }
        };
        let (target, options, wanted) = (self.path(checksum), self.options, checksum.clone());
        let unpacked = blocking(move || {
            let root = unfinished.path.join("app");
            let failed = |source| SlugCacheError::Keep {
                dir: root.clone(),
                source,
            };
            let file = std::fs::File::open(&blob).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => SlugCacheError::Fetch(BlobError::NotFound {
                    checksum: wanted.clone(),
                }),
                _ => failed(error),
            })?;
            fs_err::create_dir(&root).map_err(failed)?;
            let unpacked = unpack(
                std::io::BufReader::with_capacity(1 << 20, file),
                &wanted,
                &root,
                &options,
            )?;
            remove_tree(&target);
            let note = Note {
                bytes: unpacked.bytes,
                boot: boot_id(),
                synced: false,
            };
            note.write(&target)
                .and_then(|()| fs_err::rename(&root, &target))
                .map_err(failed)?;
            Ok(unpacked)
        })
        .await?;
        info!(slug.checksum = %checksum, slug.bytes = unpacked.bytes, slug.entries = unpacked.entries,
            duration_ms = started.elapsed().as_millis() as u64, "Unpacked a slug");
        if let Some(held) = self.slugs().get_mut(checksum) {
            held.bytes = Some(unpacked.bytes);
        }
        let (cache, checksum) = (Arc::clone(self), checksum.clone());
        // Nobody waits for it: it only lets the slug outlive a power cut.
        drop(tokio::task::spawn_blocking(move || {
            cache.sync(&checksum, unpacked.bytes);
            cache.evict();
        }));
        Ok(())
    }

    /// Once all of it is on the disk, a note says so.
    fn sync(&self, checksum: &Checksum, bytes: u64) {
        let path = self.path(checksum);
        let synced = fs_err::File::open(&path)
            .and_then(|dir| nix::unistd::syncfs(dir.file()).map_err(std::io::Error::from))
            .and_then(|()| {
                Note {
                    bytes,
                    boot: boot_id(),
                    synced: true,
                }
                .write(&path)
            });
        if let Err(error) = synced {
            warn!(%error, slug.checksum = %checksum, "Could not flush a slug; it will be unpacked anew after a power cut");
        }
    }

    /// Removes what nobody uses, oldest use first, until the rest fits.
    fn evict(&self) {
        let mut unwanted = Vec::new();
        {
            let mut slugs = self.slugs();
            let mut total: u64 = slugs.values().filter_map(|held| held.bytes).sum();
            let mut idle: Vec<_> = slugs
                .iter()
                .filter(|(_, held)| held.users == 0)
                .filter_map(|(checksum, held)| Some((held.used_at, checksum.clone(), held.bytes?)))
                .collect();
            idle.sort();
            for (_, checksum, bytes) in idle {
                if total <= self.max_bytes {
                    break;
                }
                total -= bytes;
                // Moved aside while the table is locked: who asks for it from now on unpacks it anew.
                let aside = self
                    .dir
                    .join(format!("{UNFINISHED}{}", uuid::Uuid::new_v4().simple()));
                if fs_err::rename(self.path(&checksum), &aside).is_ok() {
                    unwanted.push(aside);
                }
                slugs.remove(&checksum);
            }
        }
        for path in unwanted {
            info!(path = %path.display(), "Removes a slug that no dyno uses");
            remove_tree(&path);
        }
    }

    fn touch(&self, checksum: &Checksum) {
        let now = SystemTime::now();
        if let Some(held) = self.slugs().get_mut(checksum) {
            held.used_at = Some(now);
        }
        let path = Note::path(&self.path(checksum));
        if let Ok(file) = fs_err::OpenOptions::new().write(true).open(path) {
            let _ = file.file().set_modified(now);
        }
    }

    fn path(&self, checksum: &Checksum) -> PathBuf {
        self.dir.join(checksum.as_str())
    }

    fn slugs(&self) -> MutexGuard<'_, HashMap<Checksum, Held>> {
        self.slugs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SlugLease {
    pub(crate) fn path(&self) -> PathBuf {
        self.cache.path(&self.checksum)
    }
}

impl Drop for SlugLease {
    fn drop(&mut self) {
        if let Some(held) = self.cache.slugs().get_mut(&self.checksum) {
            held.users = held.users.saturating_sub(1);
            held.used_at = Some(SystemTime::now());
        }
    }
}

/// What is kept beside a slug.
struct Note {
    bytes: u64,
    /// The boot of the kernel that wrote it.
    boot: String,
    /// All of the slug was on the disk.
    synced: bool,
}

impl Note {
    fn path(slug: &Path) -> PathBuf {
        slug.with_extension("note")
    }

    fn read(slug: &Path) -> Option<Self> {
        let text = fs_err::read_to_string(Self::path(slug)).ok()?;
        let mut words = text.split_ascii_whitespace();
        let bytes = words.next()?.parse().ok()?;
        Some(Self {
            bytes,
            boot: words.next()?.to_owned(),
            synced: words.next() == Some("synced"),
        })
    }

    fn write(&self, slug: &Path) -> std::io::Result<()> {
        let synced = if self.synced { " synced" } else { "" };
        let path = Self::path(slug);
        let new = path.with_extension("new");
        fs_err::write(&new, format!("{} {}{synced}\n", self.bytes, self.boot))?;
        fs_err::rename(new, path)
    }
}

/// A directory to work in, gone when it is dropped.
struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    fn make(dir: &Path) -> std::io::Result<Self> {
        let path = dir.join(format!("{UNFINISHED}{}", uuid::Uuid::new_v4().simple()));
        fs_err::create_dir(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        remove_tree(&self.path);
    }
}

/// With the note beside it. What cannot be removed now is tried again by the next agent.
fn remove_tree(path: &Path) {
    for result in [
        fs_err::remove_dir_all(path),
        fs_err::remove_file(Note::path(path)),
    ] {
        match result {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                warn!(%error, "Could not remove an old slug");
            }
            _ => {}
        }
    }
}

fn boot_id() -> String {
    fs_err::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| "unknown".to_owned(), |id| id.trim().to_owned())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SlugCacheError> + Send + 'static,
) -> Result<T, SlugCacheError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| {
            Err(SlugCacheError::Keep {
                dir: PathBuf::new(),
                source: std::io::Error::other(error),
            })
        })
}

#[cfg(test)]
mod tests;
