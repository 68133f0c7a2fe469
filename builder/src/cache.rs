//! Build caches: one directory per app on this builder's disk.
//!
//! A build gets a copy of hard links, made in a moment and beside the build directory, so that buildpacks can move and link
//! between the two. When the build has succeeded the copy becomes the cache; when it has not, the cache is what it was
//! before, but for files that were changed in place, which tools that mean well do not do. [`shared`] carries caches
//! between builders.

mod shared;

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use model::AppId;
use tokio::sync::Semaphore;
use tracing::info;

use crate::workspace::private_dir;

/// No cache takes as long to pack or to unpack.
const BEING_MADE: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone)]
pub(crate) struct Caches {
    dir: PathBuf,
    sharing: Arc<Semaphore>,
}

impl Caches {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            sharing: Arc::new(Semaphore::new(1)),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn of(&self, app: AppId) -> PathBuf {
        self.dir.join(app.to_string())
    }

    /// Fills the empty directory `into` with the app's cache.
    pub(crate) fn check_out(&self, app: AppId, into: &Path) -> io::Result<()> {
        let cache = self.of(app);
        if cache.exists() {
            link_tree(&cache, into)?;
        }
        Ok(())
    }

    /// Makes `from`, which nothing uses any more, the app's cache.
    pub(crate) fn keep(&self, app: AppId, from: &Path) -> io::Result<()> {
        private_dir(&self.dir)?;
        let cache = self.of(app);
        fs_err::File::open(from)?
            .file()
            .set_modified(SystemTime::now())?;
        let old = self.away(app);
        match fs_err::rename(&cache, &old) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        fs_err::rename(from, &cache)?;
        remove(&old)
    }

    /// Removes the least recently kept caches until all of them together are within `limit` bytes, and what a crash left.
    pub(crate) fn bound(&self, limit: u64) -> io::Result<()> {
        let mut caches = Vec::new();
        for entry in entries(&self.dir)? {
            let file_name = entry.file_name();
            let name = file_name.to_str().unwrap_or_default();
            if let Ok(app) = name.parse::<AppId>() {
                let kept = entry.metadata()?.modified()?;
                caches.push((kept, crate::housekeeping::size_of(&entry.path())?, app));
            } else if !self.is_needed(name, &entry)? {
                remove(&entry.path())?;
            }
        }
        caches.sort();
        let mut total: u64 = caches.iter().map(|(_, size, _)| size).sum();
        for (_, size, app) in caches {
            if total <= limit {
                break;
            }
            info!(app.id = %app, size_bytes = size, "Removed the build cache that was not used for longest");
            // Away at one stroke, so that no build sees half of it.
            let away = self.away(app);
            fs_err::rename(self.of(app), &away)?;
            remove(&away)?;
            total -= size;
        }
        Ok(())
    }

    /// What is no cache but belongs to one, or is being made.
    fn is_needed(&self, name: &str, entry: &fs_err::DirEntry) -> io::Result<bool> {
        if let Some(Ok(app)) = name.strip_suffix(".json").map(str::parse::<AppId>) {
            return Ok(self.of(app).exists());
        }
        let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
        Ok(age < BEING_MADE)
    }

    fn away(&self, app: AppId) -> PathBuf {
        self.dir.join(format!(".{app}-{:x}", rand::random::<u64>()))
    }
}

/// Directories and symbolic links anew, files by another name. What is none of these is left out.
fn link_tree(from: &Path, into: &Path) -> io::Result<()> {
    for entry in fs_err::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), into.join(entry.file_name()));
        let found = entry.metadata()?;
        let kind = found.file_type();
        if kind.is_dir() {
            std::fs::DirBuilder::new()
                .mode(found.mode() & 0o777)
                .create(&target)?;
            link_tree(&source, &target)?;
            own_as(&target, &found)?;
            fs_err::File::open(&target)?
                .file()
                .set_modified(found.modified()?)?;
        } else if kind.is_symlink() {
            fs_err::os::unix::fs::symlink(fs_err::read_link(&source)?, &target)?;
            own_as(&target, &found)?;
        } else if kind.is_file() {
            link_or_copy(&source, &target, &found)?;
        }
    }
    Ok(())
}

fn link_or_copy(source: &Path, target: &Path, found: &std::fs::Metadata) -> io::Result<()> {
    match fs_err::hard_link(source, target) {
        // Caches and builds on two file systems, or a file with as many names as it can have.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::CrossesDevices | io::ErrorKind::TooManyLinks
            ) =>
        {
            fs_err::copy(source, target)?;
            own_as(target, found)
        }
        other => other,
    }
}

fn own_as(path: &Path, found: &std::fs::Metadata) -> io::Result<()> {
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::lchown(path, Some(found.uid()), Some(found.gid()))?;
    }
    Ok(())
}

fn entries(dir: &Path) -> io::Result<Vec<fs_err::DirEntry>> {
    match fs_err::read_dir(dir) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs_err::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs_err::remove_dir_all(path),
        Ok(_) => fs_err::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Setting {
        dir: tempfile::TempDir,
        caches: Caches,
        builds: u32,
    }

    fn setting() -> Setting {
        let dir = tempfile::tempdir().unwrap();
        let caches = Caches::new(dir.path().join("cache"));
        Setting {
            dir,
            caches,
            builds: 0,
        }
    }

    impl Setting {
        fn check_out(&mut self, app: AppId) -> PathBuf {
            self.builds += 1;
            let into = self.dir.path().join(self.builds.to_string());
            fs_err::create_dir(&into).unwrap();
            self.caches.check_out(app, &into).unwrap();
            into
        }
    }

    #[test]
    fn a_kept_cache_comes_back_and_one_that_was_not_kept_changes_nothing() {
        let mut setting = setting();
        let app = AppId::new();
        let first = setting.check_out(app);
        fs_err::create_dir(first.join("dir")).unwrap();
        fs_err::write(first.join("dir/file"), "1").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", first.join("link")).unwrap();
        setting.caches.keep(app, &first).unwrap();

        let failed = setting.check_out(app);
        fs_err::remove_dir_all(failed.join("dir")).unwrap();
        fs_err::write(failed.join("new"), "2").unwrap();

        let next = setting.check_out(app);
        assert_eq!(fs_err::read_to_string(next.join("dir/file")).unwrap(), "1");
        assert_eq!(
            fs_err::read_link(next.join("link")).unwrap(),
            Path::new("/etc/passwd")
        );
        assert!(!next.join("new").exists());
        fs_err::remove_dir_all(next.join("dir")).unwrap();
        setting.caches.keep(app, &next).unwrap();
        assert!(!setting.check_out(app).join("dir").exists());
        assert_eq!(entries(setting.caches.dir()).unwrap().len(), 1);
    }

    #[test]
    fn the_cache_that_was_not_kept_for_longest_goes_first() {
        let mut setting = setting();
        let apps = [AppId::new(), AppId::new(), AppId::new()];
        for (age, app) in [3, 1, 2].into_iter().zip(apps) {
            let build = setting.check_out(app);
            fs_err::write(build.join("file"), vec![1; 100_000]).unwrap();
            setting.caches.keep(app, &build).unwrap();
            let kept = SystemTime::now() - Duration::from_secs(age * 3600);
            fs_err::File::open(setting.caches.of(app))
                .unwrap()
                .file()
                .set_modified(kept)
                .unwrap();
        }
        let litter = setting.caches.away(apps[0]);
        fs_err::create_dir(&litter).unwrap();
        fs_err::File::open(&litter)
            .unwrap()
            .file()
            .set_modified(SystemTime::now() - BEING_MADE)
            .unwrap();
        setting.caches.bound(250_000).unwrap();
        assert_eq!(
            apps.map(|app| setting.caches.of(app).exists()),
            [false, true, true]
        );
        assert_eq!(entries(setting.caches.dir()).unwrap().len(), 2);
    }
}
