//! Small files that matter: whole or not there, and secrets for their owner alone.

use std::io::{self, Write as _};
use std::path::Path;

use fs_err::os::unix::fs::OpenOptionsExt as _;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Access {
    Owner,
    Everybody,
}

/// Temp file, fsync, rename: a crash leaves the old text or the new one.
pub(crate) fn write(path: &Path, text: &str, access: Access) -> io::Result<()> {
    let mode = match access {
        Access::Owner => 0o600,
        Access::Everybody => 0o644,
    };
    let temporary = path.with_added_extension("new");
    // Left over from a crash, it could have another mode.
    remove_if_there(&temporary)?;
    let mut file = fs_err::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs_err::rename(&temporary, path)
}

/// The file's text; none when there is no such file.
pub(crate) fn read(path: &Path) -> io::Result<Option<String>> {
    match fs_err::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
