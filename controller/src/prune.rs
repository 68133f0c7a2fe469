//! Old slugs: an app keeps those it runs and its newest ones, to roll back to. The others go, so that the disk an app
//! takes does not grow with every deploy; their blobs follow with the next sweep, their releases stay in the list.

use std::collections::{BTreeMap, HashSet};

use model::{App, AppId, Slug, SlugId};
use store::{Committed, Store, StoreError, Txn, Versioned, key};
use tracing::info;

/// Well below the store's limit on one commit: each takes a comparison and a delete.
const CHUNK: usize = 50;

/// Leaves each app with `keep` slugs, and those of its current release and of the one on trial.
pub(crate) async fn prune(store: &dyn Store, keep: usize) -> Result<(), StoreError> {
    let mut slugs: BTreeMap<AppId, Vec<Versioned<Slug>>> = BTreeMap::new();
    for slug in key::SLUGS.all(store).await? {
        slugs.entry(slug.value.app).or_default().push(slug);
    }
    for (id, slugs) in slugs.into_iter().filter(|(_, slugs)| slugs.len() > keep) {
        if let Some(app) = key::APPS.get(store, &key::app(id)).await? {
            let running = running(store, &app.value).await?;
            delete(store, &app, &surplus(slugs, &running, keep)).await?;
        }
    }
    Ok(())
}

async fn running(store: &dyn Store, app: &App) -> Result<HashSet<SlugId>, StoreError> {
    let mut running = HashSet::new();
    for version in [app.current, app.target] {
        let release = key::RELEASES
            .get(store, &key::release(app.id, version))
            .await?;
        running.extend(release.and_then(|release| release.value.slug));
    }
    Ok(running)
}

/// All but the newest `keep` and those in `running`.
fn surplus(
    mut slugs: Vec<Versioned<Slug>>,
    running: &HashSet<SlugId>,
    keep: usize,
) -> Vec<Versioned<Slug>> {
    slugs.sort_by_key(|slug| std::cmp::Reverse(slug.value.created_at));
    let mut old = slugs.split_off(keep.min(slugs.len()));
    old.retain(|slug| !running.contains(&slug.value.id));
    old
}

/// Only while the app runs what it ran when it was looked at. A rollback that has just read one of these and commits after
/// us is a release that cannot start: it fails its trial, in words, and what runs stays.
async fn delete(
    store: &dyn Store,
    app: &Versioned<App>,
    surplus: &[Versioned<Slug>],
) -> Result<(), StoreError> {
    for chunk in surplus.chunks(CHUNK) {
        let txn = chunk.iter().fold(Txn::new().unchanged(app), |txn, slug| {
            txn.unchanged(slug).delete(slug.key.clone())
        });
        if txn.commit(store).await? == Committed::Conflict {
            // The app has changed: the next sweep looks again.
            return Ok(());
        }
        info!(app.name = %app.value.name, slugs = chunk.len(), "Deleted old slugs");
    }
    Ok(())
}
