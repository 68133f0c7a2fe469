//! Packing a built tree into a slug: a zstd-compressed tar whose paths land in `/app`.
//!
//! The same tree of the same commit gives the same bytes: entries in order, owners normalised, and one time for all, the
//! commit's. Servers make ETags of a file's size and time, so a time that never changed would show browsers an old page
//! after a deploy. The tree was written by an app's own code, so nothing in it is followed: links are packed as links,
//! and what is neither file, directory nor link is left out.

use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use model::Checksum;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

/// The dyno user of the stack images.
const OWNER: u64 = 2000;
/// Cheap to make, and as quick to unpack as any.
const LEVEL: i32 = 3;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Packed {
    pub(crate) checksum: Checksum,
    /// Bytes, compressed.
    pub(crate) size: u64,
    /// Bytes of the files in it.
    pub(crate) unpacked_size: u64,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum PackError {
    #[error("could not pack {path}")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Seen before all of it was packed, so its size is not known.
    #[error("the slug is larger than {limit} bytes")]
    TooLarge { limit: u64 },
}

/// The times of a packed tree's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    /// In seconds since 1970, for all.
    All(u64),
    /// As they are on disk.
    OfEach,
}

/// Packs `tree` into the file `slug`. Blocks.
pub(crate) fn pack(
    tree: &Path,
    slug: &Path,
    times: Times,
    limit: u64,
) -> Result<Packed, PackError> {
    let failed = |source: io::Error| match source
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<OverLimit>())
    {
        Some(OverLimit) => PackError::TooLarge { limit },
        None => PackError::Io {
            path: slug.to_owned(),
            source,
        },
    };
    let file = fs_err::File::create(slug).map_err(failed)?;
    let sink = Sink {
        inner: io::BufWriter::new(file),
        hash: Sha256::new(),
        written: 0,
        limit,
    };
    let mut encoder = zstd::Encoder::new(sink, LEVEL).map_err(failed)?;
    encoder.include_checksum(true).map_err(failed)?;
    // The result does not depend on how many threads there are, only on there being any.
    encoder.multithread(2).map_err(failed)?;
    let mut packing = Packing {
        archive: tar::Builder::new(encoder),
        times,
        unpacked: 0,
    };
    packing
        .directory(tree, Path::new(""))
        .map_err(|(path, source)| match failed(source) {
            PackError::Io { source, .. } => PackError::Io { path, source },
            over => over,
        })?;
    let unpacked_size = packing.unpacked;
    let mut sink = packing
        .archive
        .into_inner()
        .and_then(zstd::Encoder::finish)
        .map_err(failed)?;
    sink.flush().map_err(failed)?;
    let checksum = hex::encode(sink.hash.finalize());
    let checksum = checksum
        .parse()
        .map_err(|_| failed(io::Error::other("a digest is not a checksum")))?;
    Ok(Packed {
        checksum,
        size: sink.written,
        unpacked_size,
    })
}

struct Packing<W: Write> {
    archive: tar::Builder<W>,
    times: Times,
    unpacked: u64,
}

type Failed = (PathBuf, io::Error);

impl<W: Write> Packing<W> {
    fn directory(&mut self, dir: &Path, name: &Path) -> Result<(), Failed> {
        let at = |source| (dir.to_owned(), source);
        let mut entries = std::fs::read_dir(dir)
            .and_then(Iterator::collect::<Result<Vec<_>, io::Error>>)
            .map_err(at)?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let file_name = entry.file_name();
            // At the top only: below it may be a fixture, or a vendored dependency that asks git for its version.
            if name.as_os_str().is_empty() && file_name == ".git" {
                continue;
            }
            self.entry(&entry.path(), &name.join(&file_name))?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, name: &Path) -> Result<(), Failed> {
        let at = |source| (path.to_owned(), source);
        let found = std::fs::symlink_metadata(path).map_err(at)?;
        let kind = found.file_type();
        if kind.is_dir() {
            let mut header = self.header(EntryType::Directory, 0o755, &found);
            self.archive
                .append_data(&mut header, directory_name(name), io::empty())
                .map_err(at)?;
            self.directory(path, name)
        } else if kind.is_symlink() {
            let target = std::fs::read_link(path).map_err(at)?;
            let mut header = self.header(EntryType::Symlink, 0o777, &found);
            self.archive
                .append_link(&mut header, name, target)
                .map_err(at)
        } else if kind.is_file() {
            self.file(path, name).map_err(at)
        } else {
            Ok(())
        }
    }

    fn file(&mut self, path: &Path, name: &Path) -> io::Result<()> {
        // Nothing that was built runs any more, but should it: a link put in the file's place is not followed.
        let file = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(NO_FOLLOW)
            .open(path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::other("it changed while it was packed"));
        }
        let mut header = self.header(EntryType::Regular, file_mode(&found), &found);
        header.set_size(found.len());
        self.unpacked += found.len();
        self.archive.append_data(
            &mut header,
            name,
            Exactly {
                file,
                left: found.len(),
            },
        )
    }

    fn header(&self, kind: EntryType, mode: u32, found: &Metadata) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(OWNER);
        header.set_gid(OWNER);
        let time = match self.times {
            Times::All(time) => time,
            Times::OfEach => u64::try_from(found.mtime()).unwrap_or_default(),
        };
        header.set_mtime(time.max(EPOCH));
        header.set_size(0);
        header
    }
}

const NO_FOLLOW: i32 = nix::fcntl::OFlag::O_NOFOLLOW.bits() | nix::fcntl::OFlag::O_NONBLOCK.bits();

/// 1980-01-01, the oldest day zip files know: tools that pack an app's files anew can handle what is not older.
const EPOCH: u64 = 315_532_800;

/// Tar tells directories by their slash.
fn directory_name(name: &Path) -> PathBuf {
    let mut text = name.as_os_str().to_owned();
    text.push("/");
    text.into()
}

/// Readable by the dyno whatever the build left; executable as it was; never setuid.
fn file_mode(found: &Metadata) -> u32 {
    if found.permissions().mode() & 0o100 == 0 {
        0o644
    } else {
        0o755
    }
}

/// A file's first so many bytes, or an error if it has become shorter: a tar that promised more would be broken.
struct Exactly {
    file: File,
    left: u64,
}

impl io::Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let read = self.file.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it became shorter while it was packed",
            ));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("over the limit")]
struct OverLimit;

/// Hashes and counts what is written.
struct Sink<W> {
    inner: W,
    hash: Sha256,
    written: u64,
    limit: u64,
}

impl<W: Write> Write for Sink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.written += written as u64;
        if self.written > self.limit {
            return Err(io::Error::other(OverLimit));
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests;
