//! Archives of code that users bring: gzipped tars, which are checked whole and then written anew as the tar that a build
//! reads.
//!
//! Every header is a stranger's word. What leads out of the archive, what is no file, directory or link, and what is too
//! much is refused with a sentence for whoever brought it; nothing is unpacked outside of the build's container.

mod fetch;
mod manifest;

use std::cell::Cell;
use std::collections::HashSet;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use flate2::read::MultiGzDecoder;
use model::Checksum;
use model::repository::{Archive, ArchivePlace};
use sha2::{Digest as _, Sha256};
use store::blob::BlobError;
use tar::{Entry, EntryType, Header};

use crate::Builder;
use crate::deploy::failure::Failure;
use crate::housekeeping::blocking;
use fetch::{Fence, FetchError, fetch};

pub(crate) use manifest::serve;

/// The most that may come out of an archive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
}

/// `Display` is fit for whoever brought the archive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    #[error("The source is no gzipped tar archive (.tar.gz)")]
    NotGzipped,
    #[error("The source is damaged, or no gzipped tar archive: {0}")]
    Damaged(String),
    #[error("The source has {path:?}, which {problem}")]
    Unsafe { path: String, problem: &'static str },
    #[error("The source is too large: it may have {} files of {} in all", .0.entries, crate::words::limit(.0.bytes))]
    TooLarge(Bounds),
    #[error("The source is empty")]
    Empty,
    #[error("The source has the checksum SHA256:{found}, and should have SHA256:{wanted}")]
    Checksum { wanted: Checksum, found: Checksum },
    #[error("could not write the source anew")]
    Io(#[source] io::Error),
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rewritten {
    /// When the newest of its files was changed, in seconds since 1970.
    pub(crate) newest: u64,
}

/// A source of code has fewer files.
const MAX_ENTRIES: u64 = 500_000;

/// Brings the archive to `file`, and its content to `tar`. What is wrong with it is the reason of a refusal.
pub(crate) async fn bring(
    builder: &Builder,
    archive: &Archive,
    file: &Path,
    tar: &Path,
) -> Result<Rewritten, Failure> {
    let config = &builder.config;
    let refused = |why: &dyn std::error::Error| Failure::refused([format!("{why}.")]);
    match &archive.place {
        ArchivePlace::Blob(checksum) => match builder.blobs.fetch_to(checksum, file).await {
            Err(BlobError::NotFound { .. }) => {
                return Err(Failure::refused([
                    "The source that was uploaded is no longer kept; upload it again.".to_owned(),
                ]));
            }
            fetched => fetched.map_err(|e| Failure::internal("fetch the source")(e.into()))?,
        },
        ArchivePlace::Url(url) => {
            let fence = Fence::read(config, &*builder.store).await?;
            match fetch(config, &fence, url, file).await {
                Err(FetchError::Store(error)) => return Err(error.into()),
                Err(FetchError::Io(error)) => {
                    return Err(Failure::internal("keep the source")(error.into()));
                }
                fetched => fetched.map_err(|error| refused(&error))?,
            }
        }
    }
    let (from, to) = (file.to_owned(), tar.to_owned());
    let bounds = Bounds {
        bytes: config.limits.disk_bytes / 2,
        entries: MAX_ENTRIES,
    };
    let wanted = archive.checksum.clone();
    let rewritten = blocking(move || {
        if let Some(wanted) = wanted {
            let found = checksum_of(&from)?;
            if found != wanted {
                return Ok(Err(ArchiveError::Checksum { wanted, found }));
            }
        }
        Ok(rewrite(&from, &to, bounds))
    });
    let rewritten = rewritten
        .await
        .map_err(|e| Failure::internal("read the source")(e.into()))?;
    rewritten.map_err(|error| match error {
        ArchiveError::Io(error) => Failure::internal("write the source")(error.into()),
        error => refused(&error),
    })
}

fn checksum_of(file: &Path) -> io::Result<Checksum> {
    let mut hash = Sha256::new();
    io::copy(&mut fs_err::File::open(file)?, &mut hash)?;
    let digest = hex::encode(hash.finalize());
    digest.parse().map_err(io::Error::other)
}

/// Headers of one entry, long names and extensions included.
const MAX_HEADERS: u64 = 1 << 20;

/// Reads `archive` twice: to look at all of it, and to write it to `tar`. A single directory that holds everything, as in
/// GitHub's archives, is left out of the names. Blocks.
pub(crate) fn rewrite(
    archive: &Path,
    tar: &Path,
    bounds: Bounds,
) -> Result<Rewritten, ArchiveError> {
    let mut tops = HashSet::new();
    let mut has_top_file = false;
    walk(archive, bounds, |_, path, kind| {
        let mut parts = path.components();
        tops.extend(parts.next().map(|top| top.as_os_str().to_owned()));
        has_top_file |= kind != EntryType::Directory && parts.next().is_none();
        Ok(())
    })?;
    if tops.is_empty() {
        return Err(ArchiveError::Empty);
    }
    let is_wrapped = tops.len() == 1 && !has_top_file;
    let out = fs_err::File::create(tar).map_err(ArchiveError::Io)?;
    let mut writing = Writing {
        tar: tar::Builder::new(io::BufWriter::new(out)),
        skipped: usize::from(is_wrapped),
        files: HashSet::new(),
        links: HashSet::new(),
        newest: 0,
    };
    walk(archive, bounds, |entry, path, kind| {
        writing.add(entry, path, kind)
    })?;
    let mut out = writing.tar.into_inner().map_err(ArchiveError::Io)?;
    io::Write::flush(&mut out).map_err(ArchiveError::Io)?;
    Ok(Rewritten {
        newest: writing.newest,
    })
}

/// A file at the top of a tar that [`rewrite`] wrote; `None` when there is none, or more of it than `max`. Blocks.
pub(crate) fn read_file(tar: &Path, name: &str, max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut archive = tar::Archive::new(io::BufReader::new(fs_err::File::open(tar)?));
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.path()?.as_ref() == Path::new(name) && entry.header().entry_type().is_file() {
            if entry.size() > max {
                return Ok(None);
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

type Unzipped = Metered<MultiGzDecoder<io::BufReader<fs_err::File>>>;

/// Each file, directory and link there is, with its path made plain.
fn walk(
    archive: &Path,
    bounds: Bounds,
    mut each: impl FnMut(&mut Entry<'_, Unzipped>, &Path, EntryType) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let mut file = fs_err::File::open(archive).map_err(ArchiveError::Io)?;
    let mut magic = [0; 2];
    if file.read_exact(&mut magic).is_err() || magic != [0x1f, 0x8b] {
        return Err(ArchiveError::NotGzipped);
    }
    let file = fs_err::File::open(archive).map_err(ArchiveError::Io)?;
    let allowance = Rc::new(Cell::new(MAX_HEADERS));
    let unzipped = Metered {
        inner: MultiGzDecoder::new(io::BufReader::new(file)),
        allowance: allowance.clone(),
    };
    let damaged = |error: io::Error| ArchiveError::Damaged(error.to_string());
    let mut archive = tar::Archive::new(unzipped);
    let (mut bytes, mut count) = (0u64, 0u64);
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let kind = entry.header().entry_type();
        (bytes, count) = (bytes.saturating_add(entry.size()), count + 1);
        if bytes > bounds.bytes || count > bounds.entries {
            return Err(ArchiveError::TooLarge(bounds));
        }
        allowance.set(entry.size() + MAX_HEADERS);
        // A comment on the whole archive: git writes the commit there.
        if kind != EntryType::XGlobalHeader {
            let given = entry.path().map_err(damaged)?.into_owned();
            let path = plain(&given).ok_or_else(|| unsafe_entry(&given, "leads out of it"))?;
            if !path.as_os_str().is_empty() {
                each(&mut entry, &path, kind)?;
            }
        }
        io::copy(&mut entry, &mut io::sink()).map_err(damaged)?;
        allowance.set(MAX_HEADERS);
    }
    Ok(())
}

/// Stops what an archive makes of a few bytes: headers are kept in memory.
struct Metered<R> {
    inner: R,
    allowance: Rc<Cell<u64>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let left = self.allowance.get().checked_sub(read as u64);
        let left = left.ok_or_else(|| io::Error::other("one of its headers is too long"))?;
        self.allowance.set(left);
        Ok(read)
    }
}

struct Writing<W: io::Write> {
    tar: tar::Builder<W>,
    /// Directories at the front of each path that are left out.
    skipped: usize,
    files: HashSet<PathBuf>,
    links: HashSet<PathBuf>,
    newest: u64,
}

impl<W: io::Write> Writing<W> {
    fn add(
        &mut self,
        entry: &mut Entry<'_, Unzipped>,
        given: &Path,
        kind: EntryType,
    ) -> Result<(), ArchiveError> {
        let path = self.shortened(given);
        if path.as_os_str().is_empty() {
            return Ok(());
        }
        if path
            .ancestors()
            .skip(1)
            .any(|above| self.links.contains(above))
        {
            return Err(unsafe_entry(given, "is below a link"));
        }
        let damaged = |error: io::Error| ArchiveError::Damaged(error.to_string());
        let is_executable = entry.header().mode().unwrap_or_default() & 0o111 != 0;
        let time = entry.header().mtime().unwrap_or_default();
        let mut header = Header::new_gnu();
        header.set_mtime(time);
        header.set_size(0);
        header.set_mode(0o755);
        match kind {
            EntryType::Regular | EntryType::Continuous => {
                self.newest = self.newest.max(time);
                header.set_size(entry.size());
                header.set_mode(if is_executable { 0o755 } else { 0o644 });
                header.set_entry_type(EntryType::Regular);
                self.tar
                    .append_data(&mut header, &path, &mut *entry)
                    .map_err(damaged)?;
                self.files.insert(path);
            }
            EntryType::Directory => {
                header.set_entry_type(EntryType::Directory);
                self.tar
                    .append_data(&mut header, &path, io::empty())
                    .map_err(ArchiveError::Io)?;
            }
            EntryType::Symlink => {
                let target = entry.link_name().map_err(damaged)?.unwrap_or_default();
                if leads_outside(&path, &target) {
                    return Err(unsafe_entry(given, "is a link that leads out of it"));
                }
                header.set_entry_type(EntryType::Symlink);
                self.tar
                    .append_link(&mut header, &path, &target)
                    .map_err(ArchiveError::Io)?;
                self.links.insert(path);
            }
            EntryType::Link => {
                let target = entry.link_name().map_err(damaged)?.unwrap_or_default();
                let target = plain(&target).map(|target| self.shortened(&target));
                let Some(target) = target.filter(|target| self.files.contains(target)) else {
                    return Err(unsafe_entry(given, "is a link to no file of it"));
                };
                header.set_entry_type(EntryType::Link);
                self.tar
                    .append_link(&mut header, &path, &target)
                    .map_err(ArchiveError::Io)?;
            }
            _ => return Err(unsafe_entry(given, "is no file, directory or link")),
        }
        Ok(())
    }

    fn shortened(&self, path: &Path) -> PathBuf {
        path.components().skip(self.skipped).collect()
    }
}

fn unsafe_entry(path: &Path, problem: &'static str) -> ArchiveError {
    let path: String = path.to_string_lossy().chars().take(200).collect();
    ArchiveError::Unsafe { path, problem }
}

/// Without `.`; `None` for what leads out of where it is.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => plain.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(plain)
}

/// Whether a link at `path` names something that is not below the top. Links on the way are not followed: each is judged by
/// itself, and nothing lies below one.
fn leads_outside(path: &Path, target: &Path) -> bool {
    let mut depth = path.components().count().saturating_sub(1);
    for component in target.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => match depth.checked_sub(1) {
                Some(above) => depth = above,
                None => return true,
            },
            Component::RootDir | Component::Prefix(_) => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests;
