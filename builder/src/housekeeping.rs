//! Level-based tidying: what is on disk and in the engine is compared with what the store says, and the rest goes.
//!
//! Runs at start (nothing is being built yet, so whatever is left of builds is litter), when apps go, and by the clock.
//! On any error of the store nothing is removed: an app that cannot be read is not an app that is gone.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use model::{AppId, Build, BuildStatus};
use store::{Event, Follower, StoreError, Txn, Update, key};
use tracing::{info, warn};

use crate::Builder;

const EVERY: Duration = Duration::from_secs(600);
/// No push takes as long: what git was receiving so long ago, it never will have received.
const ABANDONED_AFTER: Duration = Duration::from_secs(12 * 3600);

#[derive(Debug, thiserror::Error)]
pub(crate) enum HousekeepingError {
    #[error("could not ask the store what there is")]
    Store(#[from] StoreError),
    #[error("could not tidy the disk")]
    Disk(#[from] io::Error),
}

/// Before anything is accepted: removes what an earlier life of this builder left.
pub(crate) async fn at_start(builder: &Builder) {
    builder.compiler.remove_leftovers().await;
    let builds = builder.config.builds_dir();
    let repos = builder.repos.dir().to_owned();
    for (dir, prefix) in [(builds, ""), (repos, crate::git::repos::UNFINISHED)] {
        if let Err(error) = remove_children(dir, prefix).await {
            warn!(
                error = &error as &dyn std::error::Error,
                "Could not remove what a killed builder left"
            );
        }
    }
    // The rest may take its time, and need not be done before the first push.
    if let Err(error) = fail_dead_builds(builder).await {
        warn!(
            error = &error as &dyn std::error::Error,
            "Could not look for dead builds; will retry"
        );
    }
}

/// Until dropped.
pub(crate) async fn run(builder: Arc<Builder>) {
    let mut apps = Follower::new(builder.store.clone(), vec![key::APPS.prefix()]);
    let mut clock = tokio::time::interval(EVERY);
    clock.tick().await;
    loop {
        let look = tokio::select! {
            update = apps.next() => match update {
                Update::Snapshot { .. } => true,
                Update::Changes { events, .. } => events.iter().any(|event| matches!(event, Event::Delete { .. })),
            },
            _ = clock.tick() => true,
        };
        if look && let Err(error) = tidy(&builder).await {
            warn!(
                error = &error as &dyn std::error::Error,
                "Could not tidy up; will retry"
            );
        }
    }
}

async fn tidy(builder: &Builder) -> Result<(), HousekeepingError> {
    fail_dead_builds(builder).await?;
    if let Err(error) = builder.repos.adopt_all().await {
        warn!(
            error = &error as &dyn std::error::Error,
            "Could not put repositories on record; will retry"
        );
    }
    // The disk first, the store second: an app made in between is in the store's list.
    let repos = app_dirs(builder.repos.dir(), ".git")?;
    let caches = app_dirs(builder.caches.dir(), "")?;
    let apps: BTreeSet<AppId> = key::APPS
        .all(&*builder.store)
        .await?
        .into_iter()
        .map(|app| app.value.id)
        .collect();
    for (app, path) in repos.iter().chain(&caches) {
        if !apps.contains(app) {
            info!(app.id = %app, path = %path.display(), "Removed what was left of an app that is gone");
            remove_tree(path.clone()).await?;
        }
    }
    for (_, path) in repos.iter().filter(|(app, _)| apps.contains(app)) {
        remove_abandoned(path)?;
    }
    let repository_bytes = builder.config.limits.repository_bytes;
    if let Err(error) = builder.repos.bound(repository_bytes).await {
        warn!(
            error = &error as &dyn std::error::Error,
            "Could not bound the copies of repositories; will retry"
        );
    }
    let (caches, limit) = (builder.caches.clone(), builder.config.limits.cache_bytes);
    blocking(move || caches.bound(limit)).await?;
    Ok(())
}

/// A pending build that nobody could go on with: without a source, and without its lock.
async fn fail_dead_builds(builder: &Builder) -> Result<(), StoreError> {
    let store = &*builder.store;
    for build in key::BUILDS.all(store).await? {
        if !build.value.status.is_pending() {
            continue;
        }
        let source = key::build_source(build.value.app, build.value.id);
        if key::BUILD_SOURCES.get(store, &source).await?.is_some() {
            continue;
        }
        let lock = key::alive_build(build.value.app);
        let holder = key::ALIVE_BUILDS.get(store, &lock).await?;
        if holder
            .as_ref()
            .is_some_and(|holder| holder.value == build.value.id)
        {
            continue;
        }
        let failed = Build {
            status: BuildStatus::Failed {
                reason: "The builder was stopped during this build".to_owned(),
            },
            updated_at: Timestamp::now(),
            ..build.value.clone()
        };
        // Against a builder that has only been out of touch and takes its lock again now.
        let txn = match &holder {
            Some(other) => Txn::new().unchanged(other),
            None => Txn::new().absent(lock),
        };
        txn.replace(&key::BUILDS, &build, &failed)
            .commit(store)
            .await?;
        info!(build.id = %build.value.id, "Recorded a build as failed whose builder is gone");
    }
    Ok(())
}

pub(crate) fn app_dirs(dir: &Path, suffix: &str) -> io::Result<Vec<(AppId, PathBuf)>> {
    let entries = match fs_err::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let app = name
            .to_str()
            .and_then(|name| name.strip_suffix(suffix))
            .and_then(|name| name.parse().ok());
        if let Some(app) = app {
            found.push((app, entry.path()));
        }
    }
    Ok(found)
}

/// What git was receiving when its machine died: quarantines of pushes, and packs in the making.
fn remove_abandoned(repo: &Path) -> io::Result<()> {
    let objects = repo.join("objects");
    for (dir, prefix) in [
        (objects.clone(), "tmp_objdir-incoming-"),
        (objects.join("pack"), "tmp_"),
    ] {
        for entry in fs_err::read_dir(&dir)? {
            let entry = entry?;
            let is_litter = entry.file_name().to_string_lossy().starts_with(prefix);
            let found = entry.metadata()?;
            let age = SystemTime::now()
                .duration_since(found.modified()?)
                .unwrap_or_default();
            if is_litter && age > ABANDONED_AFTER {
                match found.is_dir() {
                    true => fs_err::remove_dir_all(entry.path())?,
                    false => fs_err::remove_file(entry.path())?,
                }
            }
        }
    }
    Ok(())
}

async fn remove_children(dir: PathBuf, prefix: &str) -> io::Result<()> {
    let entries = match fs_err::read_dir(&dir) {
        Ok(entries) => entries.collect::<Result<Vec<_>, _>>()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            remove_tree(entry.path()).await?;
        }
    }
    Ok(())
}

/// Removes a directory and all in it; fine when there is none.
pub(crate) async fn remove_tree(path: PathBuf) -> io::Result<()> {
    blocking(move || match fs_err::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    })
    .await
}

/// Bytes a tree takes on disk.
pub(crate) async fn tree_size(path: PathBuf) -> io::Result<u64> {
    blocking(move || size_of(&path)).await
}

/// Blocks. What vanishes while it is looked at counts nothing.
pub(crate) fn size_of(path: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let found = match fs_err::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut size = found.blocks() * 512;
    if found.is_dir() {
        match fs_err::read_dir(path) {
            Ok(entries) => {
                for entry in entries {
                    size += size_of(&entry?.path())?;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(size)
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|panic| Err(io::Error::other(panic)))
}
