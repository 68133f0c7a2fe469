//! The end of a build that was released: its app's repository gets what the push brought, or does not.
//!
//! The branch moves when the release is up, in one commit with the end of the build's source. So whoever is there can do
//! it, the builder that made the release or another one, and it is done once.

use jiff::Timestamp;
use model::repository::{Code, Merged, Repository};
use model::{AppId, BuildId, BuildSource, BuildStatus, ReleaseStatus, ReleaseVersion, SlugId};
use store::{Attempts, Committed, Store, StoreError, Txn, Versioned, key};
use tokio::time::Instant;
use tracing::warn;

/// Moves the refs of a build that was released. Fine when somebody has, or when they are elsewhere by now.
pub(crate) async fn settle(
    store: &dyn Store,
    app: AppId,
    build: BuildId,
) -> Result<(), StoreError> {
    let until = Instant::now() + crate::PATIENCE;
    let mut attempts = Attempts::default();
    loop {
        let place = key::build_source(app, build);
        let Some(source) = key::BUILD_SOURCES.get(store, &place).await? else {
            return Ok(());
        };
        // An archive leaves the repository as it is.
        let Code::Pushed(pushed) = &source.value.code else {
            return over(&source).commit(store).await.map(drop);
        };
        let place = key::repository(app);
        let record = key::REPOSITORIES.get(store, &place).await?;
        let empty = Repository::empty(app);
        let present = record.as_ref().map_or(&empty, |record| &record.value);
        let txn = over(&source).exists(key::app(app));
        let txn = match (present.merge(pushed, Timestamp::now()), &record) {
            (Merged::Changed(merged), Some(record)) => {
                txn.replace(&key::REPOSITORIES, record, &merged)
            }
            (Merged::Changed(merged), None) => txn.create(&key::REPOSITORIES, place, &merged),
            (Merged::AlreadyThere | Merged::Stale(_), _) => txn,
        };
        match txn.commit(store).await {
            Ok(Committed::Done(_)) => return Ok(()),
            Ok(Committed::Conflict) => attempts.lost().await?,
            // The next look finds out what came of it.
            Err(error @ StoreError::Unavailable { .. }) if Instant::now() < until => {
                warn!(error = &error as &dyn std::error::Error, app.id = %app, "Could not move a branch; trying again");
                tokio::time::sleep(crate::PAUSE).await;
            }
            Err(error) => return Err(error),
        }
        if key::APPS.get(store, &key::app(app)).await?.is_none() {
            return Ok(());
        }
    }
}

/// Ends what dead builders left of the app's released builds, so that whoever has the app's turn finds the branch where
/// the releases are: a push of the same commit would otherwise release it twice.
pub(crate) async fn settle_left(store: &dyn Store, app: AppId) -> Result<(), StoreError> {
    let place = key::build_sources_of(app);
    for source in key::BUILD_SOURCES.list(store, &place).await? {
        let id = source.value.build;
        let build = key::BUILDS.get(store, &key::build(app, id)).await?;
        if let Some(BuildStatus::Succeeded { slug, release }) = build.map(|seen| seen.value.status)
        {
            settle_released(store, app, id, release, slug).await?;
        }
    }
    Ok(())
}

/// Moves the refs of a build that was released, or never will, once that is known.
pub(crate) async fn settle_released(
    store: &dyn Store,
    app: AppId,
    build: BuildId,
    release: ReleaseVersion,
    slug: SlugId,
) -> Result<Fate, StoreError> {
    let fate = fate(store, app, release, slug).await?;
    match fate {
        Fate::OnTrial => {}
        Fate::Void => discard(store, app, build).await?,
        Fate::Up => settle(store, app, build).await?,
    }
    Ok(fate)
}

/// Nothing will come of the build: its refs stay where they are.
pub(crate) async fn discard(
    store: &dyn Store,
    app: AppId,
    build: BuildId,
) -> Result<(), StoreError> {
    let place = key::build_source(app, build);
    Txn::new().delete(place).commit(store).await.map(drop)
}

fn over(source: &Versioned<BuildSource>) -> Txn {
    Txn::new().unchanged(source).delete(source.key.clone())
}

/// What became of a release, as a push that follows it judges it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    OnTrial,
    /// It came up, or another took its place in good order.
    Up,
    /// It failed, or is no more.
    Void,
}

pub(crate) async fn fate(
    store: &dyn Store,
    app: AppId,
    mut version: ReleaseVersion,
    slug: SlugId,
) -> Result<Fate, StoreError> {
    loop {
        let place = key::release(app, version);
        let Some(release) = key::RELEASES.get(store, &place).await? else {
            return Ok(Fate::Void);
        };
        if release.value.slug != Some(slug) {
            return Ok(Fate::Up);
        }
        match release.value.status {
            ReleaseStatus::Pending => return Ok(Fate::OnTrial),
            ReleaseStatus::Succeeded => return Ok(Fate::Up),
            ReleaseStatus::Failed(_) => return Ok(Fate::Void),
            ReleaseStatus::Superseded { by } => version = by,
        }
    }
}
