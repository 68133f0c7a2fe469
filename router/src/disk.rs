//! The last records on disk: one small file per record, so that a change costs one file and a bad file one app.
//!
//! A change is written *before* it is acknowledged: a router that is killed and starts again while the store is away
//! never sends a request to a dyno whose removal it had acknowledged, whose address may by then be another app's.
//! Records of certificates are kept as the store has them, their keys sealed by the host's own key file. Still nobody but
//! its owner reads any file here: who serves what, and where, is nobody else's business.
//! Written means in the kernel's hands, which a kill leaves alone; the disk follows within [`SYNC_AFTER`].

use std::collections::HashSet;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use store::key::ROOT;
use store::{Entry, Event, Key};
use tracing::warn;

pub(crate) const SYNC_AFTER: Duration = Duration::from_secs(2);

/// Blocking: call it where blocking is allowed.
#[derive(Debug)]
pub(crate) struct Mirror {
    dir: PathBuf,
    unsynced: HashSet<PathBuf>,
}

#[derive(Debug)]
pub(crate) enum Change {
    /// These are all there are below the prefix.
    Replace {
        prefix: Key,
        entries: Vec<Entry>,
    },
    Apply(Event),
}

impl Mirror {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self {
            dir: data_dir.join("table"),
            unsynced: HashSet::new(),
        }
    }

    /// What was kept below `prefix`. What cannot be read is left out, and said.
    pub(crate) fn load(&self, prefix: &Key) -> Vec<Entry> {
        let mut entries = Vec::new();
        for path in self.files(prefix) {
            let text = path.strip_prefix(&self.dir).ok().and_then(Path::to_str);
            let Some(key) = text.map(|text| Key::from_text(format!("{ROOT}{text}"))) else {
                continue;
            };
            match fs::read(&path) {
                Ok(value) => entries.push(Entry {
                    key,
                    value: Bytes::from(value),
                    revision: 0,
                }),
                Err(error) => warn!(
                    error = &error as &dyn std::error::Error,
                    "Could not read a kept record"
                ),
            }
        }
        entries
    }

    /// Trouble is logged, not returned: a full disk must not hold up a deploy.
    pub(crate) fn keep(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Apply(Event::Put(entry)) => self.write(&entry),
                Change::Apply(Event::Delete { key, .. }) => self.remove(&self.path(&key)),
                Change::Replace { prefix, entries } => {
                    let kept: HashSet<PathBuf> =
                        entries.iter().map(|entry| self.path(&entry.key)).collect();
                    for path in self.files(&prefix) {
                        if !kept.contains(&path) {
                            self.remove(&path);
                        }
                    }
                    for entry in &entries {
                        self.write(entry);
                    }
                }
            }
        }
    }

    pub(crate) fn needs_sync(&self) -> bool {
        !self.unsynced.is_empty()
    }

    /// What is to be synced. It may take a while, and the mirror is not needed for it.
    pub(crate) fn unsynced(&mut self) -> Unsynced {
        Unsynced(std::mem::take(&mut self.unsynced))
    }

    fn path(&self, key: &Key) -> PathBuf {
        let text = key.as_str().strip_prefix(ROOT).unwrap_or(key.as_str());
        // A key's segments are ids and role names; anything that would climb out of the directory is none.
        let safe = text
            .split('/')
            .filter(|segment| !matches!(*segment, "" | "." | ".."));
        safe.fold(self.dir.clone(), |path, segment| path.join(segment))
    }

    fn write(&mut self, entry: &Entry) {
        let path = self.path(&entry.key);
        if fs::read(&path).is_ok_and(|kept| kept == entry.value) {
            return;
        }
        match replace(&path, &entry.value) {
            Ok(()) => {
                self.unsynced.extend(path.parent().map(Path::to_owned));
                self.unsynced.insert(path);
            }
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "Could not keep a record on disk; a restart would not know it"
                );
                self.remove(&path);
            }
        }
    }

    fn remove(&mut self, path: &Path) {
        match fs::remove_file(path) {
            Ok(()) => {
                self.unsynced.extend(path.parent().map(Path::to_owned));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                "Could not remove a kept record"
            ),
        }
    }

    fn files(&self, prefix: &Key) -> Vec<PathBuf> {
        let (mut files, mut dirs) = (Vec::new(), vec![self.path(prefix)]);
        while let Some(dir) = dirs.pop() {
            let Ok(entries) = fs::read_dir(&dir) else {
                continue;
            };
            for entry in entries.flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => dirs.push(entry.path()),
                    Ok(_) if entry.path().extension().is_none_or(|end| end != TEMPORARY) => {
                        files.push(entry.path())
                    }
                    _ => {}
                }
            }
        }
        files
    }
}

/// Files and directories that the disk may not have yet.
#[derive(Debug)]
pub(crate) struct Unsynced(HashSet<PathBuf>);

impl Unsynced {
    /// Blocking, and for long where there are many or the disk is busy.
    pub(crate) fn sync(self) {
        for path in self.0 {
            match fs::File::open(&path).and_then(|file| file.sync_all()) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => warn!(
                    error = &error as &dyn std::error::Error,
                    "Could not sync a kept record"
                ),
            }
        }
    }
}

const TEMPORARY: &str = "new";

fn replace(path: &Path, value: &[u8]) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let temporary = path.with_extension(TEMPORARY);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(value)?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use model::AppId;
    use store::key;

    use super::*;

    fn entry(app: AppId, value: &'static str) -> Entry {
        Entry {
            key: key::route(app),
            value: Bytes::from_static(value.as_bytes()),
            revision: 0,
        }
    }

    fn loaded(mirror: &Mirror) -> Vec<Entry> {
        let mut entries = mirror.load(&key::ROUTES.prefix());
        entries.sort_by(|a, b| a.key.cmp(&b.key));
        entries
    }

    #[test]
    fn what_was_kept_is_loaded_and_what_was_removed_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut mirror = Mirror::new(dir.path());
        let (one, two, three) = (AppId::new(), AppId::new(), AppId::new());
        let entries = vec![entry(one, "1"), entry(two, "2")];
        mirror.keep(vec![Change::Replace {
            prefix: key::ROUTES.prefix(),
            entries,
        }]);
        mirror.keep(vec![
            Change::Apply(Event::Put(entry(three, "3"))),
            Change::Apply(Event::Delete {
                key: key::route(one),
                revision: 3,
            }),
        ]);
        assert!(mirror.needs_sync());
        mirror.unsynced().sync();
        assert!(!mirror.needs_sync());
        assert_eq!(
            loaded(&Mirror::new(dir.path())),
            [entry(two, "2"), entry(three, "3")]
        );

        let entries = vec![entry(two, "new")];
        mirror.keep(vec![Change::Replace {
            prefix: key::ROUTES.prefix(),
            entries,
        }]);
        assert_eq!(loaded(&Mirror::new(dir.path())), [entry(two, "new")]);
    }
}
