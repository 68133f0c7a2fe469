//! Certificate files: whole or not there, and keys for their owner alone.

use std::io::{self, Write as _};
use std::path::Path;

use fs_err::os::unix::fs::OpenOptionsExt as _;

use super::LocalCaError;

#[derive(Debug, Clone, Copy)]
pub(super) enum Access {
    Owner,
    Everybody,
}

/// Temp file, fsync, rename: a crash leaves the old text or the new one.
pub(super) fn write(path: &Path, text: &str, access: Access) -> Result<(), LocalCaError> {
    let mode = match access {
        Access::Owner => 0o600,
        Access::Everybody => 0o644,
    };
    let temporary = path.with_added_extension("new");
    let written = (|| {
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
    })();
    written.map_err(LocalCaError::Files)
}

/// The file's text; none when there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<String>, LocalCaError> {
    match fs_err::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LocalCaError::Files(error)),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
