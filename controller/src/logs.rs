//! The log store: each app's lines on disk, in the order in which they came, bounded.
//!
//! An app's lines are numbered without gaps, across restarts. Readers follow by number, from the files: a slow one
//! loses nothing until what it has yet to read has been rotated away, and then it is told how much.
//! Each controller has its own; a [`Session`] reads all of them.
//! The files are plain text; the process may die at any byte, a torn last line is cut off at the next start.

mod app_log;
mod batches;
mod filter;
mod line;
mod merge;
mod peers;
mod reader;
mod segment;
mod session;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::AppId;
use model::log::LogLine;
use tokio::sync::watch;

use self::app_log::AppLog;
pub(crate) use self::app_log::{Cursor, Lines};
pub(crate) use self::batches::Batches;
pub(crate) use self::filter::Filter;
pub(crate) use self::peers::Peers;
pub(crate) use self::reader::{Reader, Start};
pub(crate) use self::session::{Format, Session, Wanted};

/// An app's files are closed when nothing was written or followed for so long.
const IDLE: Duration = Duration::from_secs(600);

/// How much log is kept.
#[derive(Debug, Clone, Copy)]
pub struct LogLimits {
    /// Of one file of an app; an app has two at most.
    pub segment_bytes: u64,
    /// Of all apps; the oldest files go first.
    pub total_bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error("the log file at {path} could not be used")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the log was interrupted")]
    Interrupted,
}

#[derive(Debug, Clone)]
pub(crate) struct LogStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    limits: LogLimits,
    /// Guards the map only; each log has a lock of its own, taken on blocking threads.
    apps: Mutex<HashMap<AppId, Arc<Mutex<AppLog>>>>,
}

impl LogStore {
    /// Nothing is read yet.
    pub(crate) fn new(dir: PathBuf, limits: LogLimits) -> Self {
        Self {
            inner: Arc::new(Inner {
                dir,
                limits,
                apps: Mutex::default(),
            }),
        }
    }

    /// Whether the app is known to be one of ours: its log is in use.
    pub(crate) fn is_open(&self, app: AppId) -> bool {
        lock(&self.inner.apps).contains_key(&app)
    }

    pub(crate) async fn append(&self, app: AppId, lines: Vec<LogLine>) -> Result<(), LogError> {
        self.with(app, move |log| log.append(&lines)).await
    }

    /// The newest `count` lines that pass the filter, and where to go on.
    pub(crate) async fn backlog(
        &self,
        app: AppId,
        filter: Filter,
        count: usize,
    ) -> Result<(Lines, Cursor), LogError> {
        self.with(app, move |log| log.backlog(&filter, count)).await
    }

    /// Where the line after number `id` is.
    pub(crate) async fn seek(&self, app: AppId, id: u64) -> Result<Cursor, LogError> {
        self.with(app, move |log| log.seek(id)).await
    }

    /// Lines from the cursor on that pass the filter, as many as come in one reading, and where to go on.
    pub(crate) async fn read(
        &self,
        app: AppId,
        cursor: Cursor,
        filter: Filter,
    ) -> Result<(Lines, Cursor), LogError> {
        self.with(app, move |log| log.read(cursor, &filter)).await
    }

    /// Tells the number of the next line whenever it grows; closes when the log is removed.
    pub(crate) async fn follow(&self, app: AppId) -> Result<watch::Receiver<u64>, LogError> {
        self.with(app, |log| Ok(log.follow())).await
    }

    /// Ends all readers and deletes the files.
    pub(crate) async fn remove(&self, app: AppId) -> Result<(), LogError> {
        lock(&self.inner.apps).remove(&app);
        let dir = self.dir_of(app);
        blocking(move || match fs_err::remove_dir_all(&dir) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(LogError::File { path: dir, source })
            }
            _ => Ok(()),
        })
        .await
    }

    /// The apps that have files here.
    pub(crate) async fn stored_apps(&self) -> Result<Vec<AppId>, LogError> {
        let inner = self.inner.clone();
        blocking(move || inner.stored_apps()).await
    }

    /// Closes what is idle, and brings the files under their total.
    pub(crate) async fn tidy(&self) -> Result<(), LogError> {
        let inner = self.inner.clone();
        blocking(move || {
            inner.close_idle();
            inner.enforce_total()
        })
        .await
    }

    fn dir_of(&self, app: AppId) -> PathBuf {
        self.inner.dir.join(app.to_string())
    }

    async fn with<T: Send + 'static>(
        &self,
        app: AppId,
        work: impl FnOnce(&mut AppLog) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let inner = self.inner.clone();
        let dir = self.dir_of(app);
        blocking(move || {
            let log = inner.open(app, dir)?;
            let mut log = lock(&log);
            work(&mut log)
        })
        .await
    }
}

impl Inner {
    fn open(&self, app: AppId, dir: PathBuf) -> Result<Arc<Mutex<AppLog>>, LogError> {
        let mut apps = lock(&self.apps);
        if let Some(log) = apps.get(&app) {
            return Ok(log.clone());
        }
        let log = Arc::new(Mutex::new(AppLog::open(dir, self.limits.segment_bytes)?));
        apps.insert(app, log.clone());
        Ok(log)
    }

    fn close_idle(&self) {
        let mut apps = lock(&self.apps);
        // A log in use has another owner than the map: to close it now would give it two writers.
        apps.retain(|_, log| Arc::strong_count(log) > 1 || !lock(log).is_idle(IDLE));
    }

    fn stored_apps(&self) -> Result<Vec<AppId>, LogError> {
        let failed = |source| LogError::File {
            path: self.dir.clone(),
            source,
        };
        let entries = match fs_err::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut apps = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            apps.extend(name.to_str().and_then(|name| name.parse::<AppId>().ok()));
        }
        Ok(apps)
    }

    /// The newest file of a log that is open stays: somebody writes to it.
    fn enforce_total(&self) -> Result<(), LogError> {
        let mut files = Vec::new();
        for app in self.stored_apps()? {
            let dir = self.dir.join(app.to_string());
            let mut segments = segment::segment_files(&dir)?;
            if lock(&self.apps).contains_key(&app) {
                segments.pop();
            }
            files.extend(segments.into_iter().filter_map(|(_, path)| {
                let meta = fs_err::metadata(&path).ok()?;
                Some((meta.modified().ok()?, meta.len(), path))
            }));
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in files {
            if total <= self.limits.total_bytes {
                break;
            }
            fs_err::remove_file(&path).map_err(|source| LogError::File { path, source })?;
            total -= size;
        }
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| LogError::Interrupted)?
}

/// A log whose writer panicked is read from its files again; the map is valid after every statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
