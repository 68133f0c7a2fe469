//! The shipped buildpacks and the driver, carried inside the binary.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use include_dir::{Dir, DirEntry, include_dir};

use crate::DETECTION_ORDER;

static PACKS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/packs");
static DRIVER: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/driver");

/// Writes the driver to `<dir>/driver`, the packs to `<dir>/shipped` and their order to `<dir>/shipped.order`.
pub fn extract_to(dir: &Path) -> io::Result<()> {
    extract(&DRIVER, &dir.join("driver"))?;
    for pack in DETECTION_ORDER {
        let embedded = PACKS
            .get_dir(pack.name())
            .ok_or_else(|| io::Error::other(format!("no pack {pack} embedded")))?;
        extract(embedded, &dir.join("shipped").join(pack.name()))?;
    }
    let order: String = DETECTION_ORDER
        .iter()
        .map(|pack| format!("{}\n", pack.name()))
        .collect();
    fs_err::write(dir.join("shipped.order"), order)
}

fn extract(from: &Dir<'_>, to: &Path) -> io::Result<()> {
    fs_err::create_dir_all(to)?;
    for entry in from.entries() {
        let Some(name) = entry.path().file_name() else {
            continue;
        };
        let target = to.join(name);
        match entry {
            DirEntry::Dir(dir) => extract(dir, &target)?,
            DirEntry::File(file) => {
                fs_err::write(&target, file.contents())?;
                // Modes are not embedded; what is a program says so itself.
                let mode = if file.contents().starts_with(b"#!") {
                    0o755
                } else {
                    0o644
                };
                fs_err::set_permissions(&target, PermissionsExt::from_mode(mode))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs_err::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn every_pack_comes_out_whole_and_runnable() {
        let dir = tempfile::tempdir().unwrap();
        extract_to(dir.path()).unwrap();
        assert_eq!(mode(&dir.path().join("driver/build")), 0o755);
        for pack in DETECTION_ORDER {
            let pack = dir.path().join("shipped").join(pack.name());
            for program in ["detect", "compile", "release"] {
                assert_eq!(
                    mode(&pack.join("bin").join(program)),
                    0o755,
                    "{}",
                    pack.display()
                );
            }
            // A link in the repository, a file of its own here: each pack stands alone.
            assert!(
                fs_err::symlink_metadata(pack.join("lib/pack.sh"))
                    .unwrap()
                    .is_file()
            );
        }
        let order = fs_err::read_to_string(dir.path().join("shipped.order")).unwrap();
        assert_eq!(order, "ruby\nnodejs\npython\ngo\nrust\nstatic\nprocfile\n");
    }
}
