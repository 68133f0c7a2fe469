//! This builder's copies of the apps' repositories.
//!
//! The repository of record is in the store (its refs) and in the blob store (its packs). What is on this disk is a copy:
//! brought up to the record before each use, and safe to lose at any moment.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use model::{AppId, Repository, Revision};
use store::blob::BlobStore;
use store::{Committed, Store, Txn, Versioned, key};
use tokio::sync::OwnedMutexGuard;
use tracing::{info, warn};

use super::bring_up::{self, bring_up};
use super::command::OWN_REFS;
use super::packs;
use super::repo::{RepoError, run};
use super::{Git, Repo};
use crate::housekeeping::{app_dirs, remove_tree, tree_size};

/// What directories are called that are no repositories yet, or no more.
pub(crate) const UNFINISHED: &str = ".new-";

/// The directory of all copies.
#[derive(Debug)]
pub(crate) struct Repos {
    dir: PathBuf,
    git: Git,
    store: Arc<dyn Store>,
    blobs: BlobStore,
    /// Of the copies in use, and of some that were. Guards the map for single look-ups only.
    locals: Mutex<HashMap<AppId, Arc<Local>>>,
}

/// What is known of one copy.
#[derive(Debug, Default)]
pub(crate) struct Local {
    /// The record's revision the copy was last brought up to. Locked while the copy's refs or packs are being changed.
    at: Arc<tokio::sync::Mutex<Option<Revision>>>,
}

/// While it is held, nobody brings the copy up to the record: git is about to move a ref of it itself.
#[derive(Debug)]
pub(crate) struct Still {
    at: OwnedMutexGuard<Option<Revision>>,
}

impl Drop for Still {
    fn drop(&mut self) {
        // Whatever git did: the next use compares again.
        *self.at = None;
    }
}

/// A repository as the record has it now.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) repository: Repository,
    /// The copy here was another one until now.
    pub(crate) has_changed: bool,
}

impl Repos {
    pub(crate) fn new(dir: PathBuf, git: Git, store: Arc<dyn Store>, blobs: BlobStore) -> Self {
        Self {
            dir,
            git,
            store,
            blobs,
            locals: Mutex::default(),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) const fn blobs(&self) -> &BlobStore {
        &self.blobs
    }

    /// The app's repository, as it is on record now.
    pub(crate) async fn open(&self, app: AppId) -> Result<Repo, RepoError> {
        let repo = self.at(app);
        self.refresh(app, &repo).await?;
        Ok(repo)
    }

    /// The app's repository, whether or not there is a copy of it here.
    pub(crate) fn at(&self, app: AppId) -> Repo {
        let path = self.dir.join(format!("{app}.git"));
        let mut locals = self.locals.lock().unwrap_or_else(PoisonError::into_inner);
        let local = locals.entry(app).or_default().clone();
        Repo::new(path, self.git.clone(), local)
    }

    /// Brings the copy up to the record.
    pub(crate) async fn refresh(&self, app: AppId, repo: &Repo) -> Result<Fresh, RepoError> {
        // What a push has brought so far is no part of the copy.
        let repo = &repo.clone().with_quarantine(None);
        let mut at = repo.local.at.lock().await;
        let record = match key::REPOSITORIES
            .get(&*self.store, &key::repository(app))
            .await?
        {
            Some(record) => Some(record),
            None => self.adopt(app, repo).await?,
        };
        let (repository, revision) = match record {
            Some(record) => (record.value, record.revision),
            None => (Repository::empty(app), 0),
        };
        let has_changed = *at != Some(revision) || !is_made(repo);
        if has_changed {
            *at = None;
            self.bring_up(repo, &repository).await?;
            *at = Some(revision);
        }
        bring_up::touch(repo, SystemTime::now());
        Ok(Fresh {
            repository,
            has_changed,
        })
    }

    pub(crate) async fn hold_still(&self, repo: &Repo) -> Still {
        Still {
            at: repo.local.at.clone().lock_owned().await,
        }
    }

    /// A copy that git cannot work with is made anew: it is only a copy.
    async fn bring_up(&self, repo: &Repo, repository: &Repository) -> Result<(), RepoError> {
        if !is_made(repo) {
            self.remove(repo.path()).await?;
            self.create(repo.path()).await?;
        }
        match bring_up(repo, repository, &self.blobs).await {
            Err(error @ RepoError::Git { .. }) => {
                warn!(error = &error as &dyn std::error::Error, app.id = %repository.app, "A copy of a repository is damaged; it is made anew");
                self.remove(repo.path()).await?;
                self.create(repo.path()).await?;
                bring_up(repo, repository, &self.blobs).await
            }
            other => other,
        }
    }

    /// A repository that was made when each was on one builder's disk only gets its record, and its pack into the blob store.
    async fn adopt(
        &self,
        app: AppId,
        repo: &Repo,
    ) -> Result<Option<Versioned<Repository>>, RepoError> {
        if !is_made(repo) {
            return Ok(None);
        }
        let mut refs = repo.refs_below("refs/").await?;
        refs.retain(|(name, _)| !name.starts_with(OWN_REFS));
        if refs.is_empty() {
            return Ok(None);
        }
        let tips: Vec<String> = refs.iter().map(|(_, object)| object.clone()).collect();
        let repository = Repository {
            packs: packs::pack_all(repo, &tips, &self.blobs).await?,
            refs: refs.into_iter().collect(),
            updated_at: jiff::Timestamp::now(),
            ..Repository::empty(app)
        };
        let place = key::repository(app);
        let txn =
            Txn::new()
                .exists(key::app(app))
                .create(&key::REPOSITORIES, place.clone(), &repository);
        if let Committed::Done(_) = txn.commit(&*self.store).await? {
            info!(app.id = %app, packs = repository.packs.len(), "Put a repository on record that was only here");
        }
        // From here on it is a copy like any other.
        self.remove(repo.path()).await?;
        Ok(key::REPOSITORIES.get(&*self.store, &place).await?)
    }

    /// Puts what is only here on record, so that another builder can serve it.
    pub(crate) async fn adopt_all(&self) -> Result<(), RepoError> {
        for (app, _) in app_dirs(&self.dir, ".git").map_err(self.failed("list"))? {
            let (record, owner) = (key::repository(app), key::app(app));
            if key::REPOSITORIES
                .get(&*self.store, &record)
                .await?
                .is_none()
                && key::APPS.get(&*self.store, &owner).await?.is_some()
            {
                self.open(app).await?;
            }
        }
        Ok(())
    }

    /// Drops the copies that were not used for longest until the rest takes at most `limit` bytes.
    pub(crate) async fn bound(&self, limit: u64) -> Result<(), RepoError> {
        let mut copies = Vec::new();
        for (app, path) in app_dirs(&self.dir, ".git").map_err(self.failed("list"))? {
            let size = tree_size(path.clone())
                .await
                .map_err(self.failed("measure"))?;
            copies.push((bring_up::last_used(&path), size, app, path));
        }
        copies.sort();
        let mut total: u64 = copies.iter().map(|(_, size, ..)| size).sum();
        for (_, size, app, path) in copies {
            if total <= limit {
                break;
            }
            let on_record = key::REPOSITORIES
                .get(&*self.store, &key::repository(app))
                .await?
                .is_some();
            if on_record && self.drop_unused(app, &path).await? {
                info!(app.id = %app, size_bytes = size, "Dropped the copy of a repository that was not used for longest");
                total -= size;
            }
        }
        Ok(())
    }

    /// `false` when it is in use.
    async fn drop_unused(&self, app: AppId, path: &Path) -> Result<bool, RepoError> {
        let away = self.away(path);
        {
            let mut locals = self.locals.lock().unwrap_or_else(PoisonError::into_inner);
            if locals
                .get(&app)
                .is_some_and(|local| Arc::strong_count(local) > 1)
            {
                return Ok(false);
            }
            // Under the lock: whoever asks for it next finds none, and makes one.
            fs_err::rename(path, &away).map_err(self.failed("put away"))?;
            locals.remove(&app);
        }
        remove_tree(away).await.map_err(self.failed("remove"))?;
        Ok(true)
    }

    /// At one stroke, so that nobody meets half of it.
    async fn remove(&self, path: &Path) -> Result<(), RepoError> {
        if !path.exists() {
            return Ok(());
        }
        let away = self.away(path);
        fs_err::rename(path, &away).map_err(self.failed("put away"))?;
        remove_tree(away).await.map_err(self.failed("remove"))
    }

    fn away(&self, path: &Path) -> PathBuf {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.dir
            .join(format!("{UNFINISHED}{name}-{:x}", rand::random::<u64>()))
    }

    async fn create(&self, path: &Path) -> Result<(), RepoError> {
        fs_err::create_dir_all(&self.dir).map_err(self.failed("make room for"))?;
        let fresh = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(&self.dir)
            .map_err(self.failed("make"))?;
        let mut command = self.git.in_dir(fresh.path());
        command.args([
            "init",
            "--quiet",
            "--bare",
            "--template=",
            "--initial-branch=main",
            ".",
        ]);
        run(command, "make a repository", path).await?;
        fs_err::rename(fresh.path(), path).map_err(self.failed("put in place"))?;
        let _ = fresh.keep();
        Ok(())
    }

    fn failed(&self, doing: &'static str) -> impl FnOnce(std::io::Error) -> RepoError {
        let path = self.dir.clone();
        move |source| RepoError::Io {
            doing,
            path,
            source,
        }
    }
}

fn is_made(repo: &Repo) -> bool {
    repo.path().join("HEAD").exists()
}
