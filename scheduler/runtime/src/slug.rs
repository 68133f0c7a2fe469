//! Unpacking slugs: untrusted archives into a directory, and nothing outside it.
//!
//! A slug is a zstd-compressed tar made by a build that ran an app's code, so every header in it is the app's word.

use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use model::Checksum;
use sha2::{Digest as _, Sha256};
use tar::{Archive, EntryType};

/// How and for whom to unpack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnpackOptions {
    /// Everything belongs to this user and group; `None` leaves it with whoever unpacks (tests without root).
    pub owner: Option<(u32, u32)>,
    /// Refused when the files come to more.
    pub max_bytes: u64,
    /// Refused when there are more files, directories and links.
    pub max_entries: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum SlugError {
    #[error("the slug could not be unpacked into {}", dir.display())]
    Io {
        dir: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the slug holds an unsafe entry: {path:?} {problem}")]
    Unsafe { path: String, problem: &'static str },
    #[error("the slug is larger than {max_bytes} bytes or {max_entries} entries once unpacked")]
    TooLarge { max_bytes: u64, max_entries: u64 },
    #[error("the slug is damaged: its checksum is {found} and should be {wanted}")]
    Damaged { wanted: Checksum, found: String },
}

/// What came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpacked {
    pub bytes: u64,
    pub entries: u64,
}

/// Unpacks into `dir`, which must exist and be empty, and checks that all that was read is `checksum`.
///
/// Blocks: call it where that is fine. On an error `dir` holds some of it and must not be used.
pub fn unpack(
    slug: impl Read,
    checksum: &Checksum,
    dir: &Path,
    options: &UnpackOptions,
) -> Result<Unpacked, SlugError> {
    let io = |source| SlugError::Io {
        dir: dir.to_owned(),
        source,
    };
    let mut hashed = Hashed {
        inner: slug,
        hash: Sha256::new(),
    };
    let unpacked = {
        let mut archive = Archive::new(zstd::Decoder::new(&mut hashed).map_err(io)?);
        archive.set_preserve_permissions(false);
        archive.set_unpack_xattrs(false);
        unpack_entries(&mut archive, dir, options)?
    };
    // Whatever follows the archive is part of the checksum too.
    io::copy(&mut hashed, &mut io::sink()).map_err(io)?;
    let found = hex::encode(hashed.hash.finalize());
    if found != checksum.as_str() {
        return Err(SlugError::Damaged {
            wanted: checksum.clone(),
            found,
        });
    }
    if let Some((uid, gid)) = options.owner {
        chown_all(dir, uid, gid).map_err(io)?;
    }
    Ok(unpacked)
}

fn unpack_entries(
    archive: &mut Archive<impl Read>,
    dir: &Path,
    options: &UnpackOptions,
) -> Result<Unpacked, SlugError> {
    let io = |source| SlugError::Io {
        dir: dir.to_owned(),
        source,
    };
    let mut total = Unpacked {
        bytes: 0,
        entries: 0,
    };
    for entry in archive.entries().map_err(io)? {
        let mut entry = entry.map_err(io)?;
        if entry.header().entry_type().is_pax_global_extensions() {
            // A comment on the whole archive; no file.
            continue;
        }
        let path = entry.path().map_err(io)?.into_owned();
        check(&path, entry.header().entry_type())?;
        if let Some(link) = entry.link_name().map_err(io)?
            && entry.header().entry_type() == EntryType::Link
        {
            check(&link, EntryType::Link)?;
        }
        total.bytes = total.bytes.saturating_add(entry.size());
        total.entries += 1;
        if total.bytes > options.max_bytes || total.entries > options.max_entries {
            return Err(SlugError::TooLarge {
                max_bytes: options.max_bytes,
                max_entries: options.max_entries,
            });
        }
        // Refuses to write through a symbolic link that leads out of `dir`, and masks setuid, setgid and sticky bits.
        if !entry.unpack_in(dir).map_err(io)? {
            return Err(SlugError::Unsafe {
                path: shown(&path),
                problem: "leads out of the slug",
            });
        }
    }
    Ok(total)
}

fn check(path: &Path, kind: EntryType) -> Result<(), SlugError> {
    let problem = if !matches!(
        kind,
        EntryType::Regular
            | EntryType::Continuous
            | EntryType::Directory
            | EntryType::Symlink
            | EntryType::Link
            | EntryType::GNUSparse
    ) {
        Some("is neither a file, a directory nor a link")
    } else if path
        .components()
        .any(|part| matches!(part, Component::RootDir | Component::Prefix(_)))
    {
        Some("is absolute")
    } else if path.components().any(|part| part == Component::ParentDir) {
        Some("contains `..`")
    } else {
        None
    };
    problem.map_or(Ok(()), |problem| {
        Err(SlugError::Unsafe {
            path: shown(path),
            problem,
        })
    })
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().chars().take(200).collect()
}

fn chown_all(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    std::os::unix::fs::lchown(path, Some(uid), Some(gid))?;
    if fs_err::symlink_metadata(path)?.is_dir() {
        for entry in fs_err::read_dir(path)? {
            chown_all(&entry?.path(), uid, gid)?;
        }
    }
    Ok(())
}

/// Hashes what is read through it.
struct Hashed<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use tar::{Builder, Header};

    use super::*;

    const OPTIONS: UnpackOptions = UnpackOptions {
        owner: None,
        max_bytes: 1 << 20,
        max_entries: 100,
    };

    struct Item {
        path: &'static str,
        kind: EntryType,
        mode: u32,
        link: &'static str,
        body: &'static str,
    }

    const FILE: Item = Item {
        path: "file",
        kind: EntryType::Regular,
        mode: 0o644,
        link: "",
        body: "x",
    };

    /// Written by hand, because the library refuses to write the archives an attacker would.
    fn pack(items: &[Item]) -> (Vec<u8>, Checksum) {
        let mut builder = Builder::new(Vec::new());
        for item in items {
            let mut header = Header::new_gnu();
            let name = &mut header.as_old_mut().name;
            name[..item.path.len()].copy_from_slice(item.path.as_bytes());
            let link = &mut header.as_old_mut().linkname;
            link[..item.link.len()].copy_from_slice(item.link.as_bytes());
            header.set_entry_type(item.kind);
            header.set_mode(item.mode);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(item.body.len() as u64);
            header.set_cksum();
            builder.append(&header, item.body.as_bytes()).unwrap();
        }
        let packed = zstd::encode_all(builder.into_inner().unwrap().as_slice(), 1).unwrap();
        let checksum = hex::encode(Sha256::digest(&packed)).parse().unwrap();
        (packed, checksum)
    }

    fn unpacked(items: &[Item]) -> (tempfile::TempDir, Result<Unpacked, SlugError>) {
        let dir = tempfile::tempdir().unwrap();
        let (packed, checksum) = pack(items);
        let result = unpack(packed.as_slice(), &checksum, dir.path(), &OPTIONS);
        (dir, result)
    }

    #[test]
    fn files_and_links_come_out_and_setuid_does_not() {
        let (dir, result) = unpacked(&[
            Item {
                path: "bin/run",
                mode: 0o4755,
                body: "#!/bin/sh",
                ..FILE
            },
            Item {
                path: "link",
                kind: EntryType::Symlink,
                link: "/app/bin/run",
                body: "",
                ..FILE
            },
        ]);
        assert_eq!(
            result.unwrap(),
            Unpacked {
                bytes: 9,
                entries: 2
            }
        );
        let mode = fs_err::metadata(dir.path().join("bin/run"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o755);
        assert_eq!(
            fs_err::read_link(dir.path().join("link")).unwrap(),
            Path::new("/app/bin/run")
        );
    }

    #[test]
    fn nothing_is_written_outside_and_no_device_is_made() {
        let evil = [
            vec![Item {
                path: "/etc/evil",
                ..FILE
            }],
            vec![Item {
                path: "../evil",
                ..FILE
            }],
            vec![Item {
                path: "a/../../evil",
                ..FILE
            }],
            vec![Item {
                path: "null",
                kind: EntryType::Char,
                body: "",
                ..FILE
            }],
            vec![Item {
                path: "sda",
                kind: EntryType::Block,
                body: "",
                ..FILE
            }],
            vec![Item {
                path: "pipe",
                kind: EntryType::Fifo,
                body: "",
                ..FILE
            }],
            vec![Item {
                path: "hard",
                kind: EntryType::Link,
                link: "/etc/passwd",
                body: "",
                ..FILE
            }],
            vec![Item {
                path: "hard",
                kind: EntryType::Link,
                link: "../../etc/passwd",
                body: "",
                ..FILE
            }],
            vec![
                Item {
                    path: "out",
                    kind: EntryType::Symlink,
                    link: "/tmp",
                    body: "",
                    ..FILE
                },
                Item {
                    path: "out/evil-of-a-slug",
                    ..FILE
                },
            ],
            vec![
                Item {
                    path: "out",
                    kind: EntryType::Symlink,
                    link: "../..",
                    body: "",
                    ..FILE
                },
                Item {
                    path: "out/evil-of-a-slug",
                    ..FILE
                },
            ],
        ];
        for items in evil {
            let (dir, result) = unpacked(&items);
            assert!(result.is_err(), "{} was unpacked", items[0].path);
            assert!(!dir.path().parent().unwrap().join("evil").exists());
            assert!(!Path::new("/tmp/evil-of-a-slug").exists());
        }
    }

    #[test]
    fn a_bomb_and_a_damaged_slug_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (packed, checksum) = pack(&[FILE]);
        let small = UnpackOptions {
            max_bytes: 0,
            ..OPTIONS
        };
        assert!(matches!(
            unpack(packed.as_slice(), &checksum, dir.path(), &small),
            Err(SlugError::TooLarge { .. })
        ));
        let few = UnpackOptions {
            max_entries: 0,
            ..OPTIONS
        };
        assert!(matches!(
            unpack(packed.as_slice(), &checksum, dir.path(), &few),
            Err(SlugError::TooLarge { .. })
        ));
        let (_, other) = pack(&[Item { body: "y", ..FILE }]);
        assert!(matches!(
            unpack(packed.as_slice(), &other, dir.path(), &OPTIONS),
            Err(SlugError::Damaged { .. })
        ));
    }
}
