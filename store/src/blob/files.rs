//! Files on their way in and out: hashed in passing, and never left half written.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use model::Checksum;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::BlobError;

const BUFFER_BYTES: usize = 256 * 1024;

#[derive(Default)]
pub(super) struct Hasher(Sha256);

impl Hasher {
    pub(super) fn hash(bytes: &[u8]) -> Checksum {
        let mut hasher = Self::default();
        hasher.update(bytes);
        hasher.finish()
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> Checksum {
        Checksum::of_digest(self.0.finalize().into())
    }
}

/// Runs what blocks off the async threads; goes down with it if it panics.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Blocking tasks are cancelled only when the runtime goes, and this future with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// The checksum and the size of a file.
pub(super) async fn hash_file(path: &Path) -> Result<(Checksum, u64), BlobError> {
    let path = path.to_owned();
    blocking(move || {
        let failed = |source| BlobError::File {
            doing: "reading",
            path: path.clone(),
            source,
        };
        let mut file = fs_err::File::open(&path).map_err(failed)?;
        copy_hashed(&mut file, &mut std::io::sink()).map_err(failed)
    })
    .await
}

fn copy_hashed(
    from: &mut impl std::io::Read,
    to: &mut impl std::io::Write,
) -> std::io::Result<(Checksum, u64)> {
    let (mut hasher, mut size, mut buffer) = (Hasher::default(), 0, vec![0; BUFFER_BYTES]);
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => return Ok((hasher.finish(), size)),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let filled = buffer.get(..read).unwrap_or_default();
        hasher.update(filled);
        to.write_all(filled)?;
        size += read as u64;
    }
}

/// A file in parts of one size, hashed as they are taken.
pub(super) struct Parts {
    path: PathBuf,
    part_bytes: usize,
    state: Option<(fs_err::File, Hasher)>,
}

impl Parts {
    pub(super) async fn open(path: &Path, part_bytes: usize) -> Result<Self, BlobError> {
        let path = path.to_owned();
        blocking(move || match fs_err::File::open(&path) {
            Ok(file) => Ok(Self {
                path,
                part_bytes,
                state: Some((file, Hasher::default())),
            }),
            Err(source) => Err(BlobError::File {
                doing: "reading",
                path,
                source,
            }),
        })
        .await
    }

    /// Empty at the end of the file.
    pub(super) async fn next(&mut self) -> Result<Bytes, BlobError> {
        let Some((mut file, mut hasher)) = self.state.take() else {
            return Ok(Bytes::new());
        };
        let limit = self.part_bytes;
        let (state, part) = blocking(move || {
            let mut part =
                Vec::with_capacity(limit.min(file.metadata().map_or(limit, |m| clamp(m.len()))));
            let read = (&mut file).take(limit as u64).read_to_end(&mut part);
            hasher.update(&part);
            ((file, hasher), read.map(|_| part))
        })
        .await;
        self.state = Some(state);
        part.map(Bytes::from).map_err(|source| BlobError::File {
            doing: "reading",
            path: self.path.clone(),
            source,
        })
    }

    /// The checksum of all that was taken.
    pub(super) fn finish(self) -> Checksum {
        self.state
            .map(|(_, hasher)| hasher)
            .unwrap_or_default()
            .finish()
    }
}

fn clamp(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// A file that appears under its name whole and durable, or is removed again.
pub(super) struct NewFile {
    path: PathBuf,
    temporary: PathBuf,
    file: Option<fs_err::File>,
}

impl NewFile {
    pub(super) fn beside(path: &Path) -> Result<Self, BlobError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.{}.part", Uuid::new_v4().simple()));
        match fs_err::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)
        {
            Ok(file) => Ok(Self {
                path: path.to_owned(),
                temporary,
                file: Some(file),
            }),
            Err(source) => Err(BlobError::File {
                doing: "writing",
                path: temporary,
                source,
            }),
        }
    }

    pub(super) fn failed(&self, source: std::io::Error) -> BlobError {
        BlobError::File {
            doing: "writing",
            path: self.path.clone(),
            source,
        }
    }

    /// All of another file; the checksum of what was copied.
    pub(super) async fn copy_from(&self, source: PathBuf) -> Result<Checksum, BlobError> {
        let mut to = self.handle()?;
        let path = self.path.clone();
        blocking(move || {
            let failed = |doing, path: &Path, source| BlobError::File {
                doing,
                path: path.to_owned(),
                source,
            };
            let mut from =
                fs_err::File::open(&source).map_err(|e| failed("reading", &source, e))?;
            let (checksum, _) =
                copy_hashed(&mut from, &mut to).map_err(|e| failed("writing", &path, e))?;
            to.flush().map_err(|e| failed("writing", &path, e))?;
            Ok(checksum)
        })
        .await
    }

    pub(super) fn writer(&self) -> Result<tokio::fs::File, BlobError> {
        Ok(tokio::fs::File::from_std(self.handle()?))
    }

    /// fsync, rename, fsync of the directory.
    pub(super) async fn persist(mut self) -> Result<(), BlobError> {
        let Some(file) = self.file.take() else {
            return Ok(());
        };
        blocking(move || {
            let persisted = file.sync_all().and_then(|()| {
                fs_err::rename(&self.temporary, &self.path)?;
                match self.path.parent() {
                    Some(dir) if !dir.as_os_str().is_empty() => fs_err::File::open(dir)?.sync_all(),
                    _ => fs_err::File::open(".")?.sync_all(),
                }
            });
            persisted.map_err(|source| self.failed(source))
        })
        .await
    }

    fn handle(&self) -> Result<std::fs::File, BlobError> {
        let again = match &self.file {
            Some(file) => file.file().try_clone(),
            None => Err(std::io::Error::other("the file was closed")),
        };
        again.map_err(|source| self.failed(source))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // After a rename there is nothing to remove.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

/// Removes what uploads that died left in a local store: the engine stages them as `<name>#<number>`.
pub(super) fn remove_abandoned(dir: &Path, older_than: Duration) -> std::io::Result<()> {
    for folder in fs_err::read_dir(dir)? {
        let folder = folder?;
        if !folder.file_type()?.is_dir() {
            continue;
        }
        for file in fs_err::read_dir(folder.path())? {
            let file = file?;
            let is_staged = file.file_name().to_string_lossy().contains('#');
            let age = |modified| {
                SystemTime::now()
                    .duration_since(modified)
                    .unwrap_or_default()
            };
            if is_staged && file.metadata()?.modified().map(age)? > older_than {
                fs_err::remove_file(file.path())?;
            }
        }
    }
    Ok(())
}
