//! Sweeping up: records that hang on an app which is gone, its log, old slugs, blobs nobody refers to, tokens that have
//! expired.
//!
//! Level-based: what is there is compared with which apps there are. An app and its first records are made in one
//! commit, so a record whose app is missing *afterwards* belongs to an app that is gone, never to one to come.
//! Dynos, their status and routes are the scheduler's; copies of repositories and caches on a builder's disk are the
//! builder's.

use std::collections::HashSet;
use std::time::Duration;

use jiff::SignedDuration;
use model::repository::ArchivePlace;
use model::{AppId, Checksum, TcpTarget, TeamId, Timestamp, TransferState};
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::{
    Committed, Event, Follower, Key, Store, StoreError, Table, Txn, Update, Versioned, audit, key,
};
use tracing::{debug, info, warn};
use uuid::Uuid;

use crate::actions::ActionError;
use crate::actions::review_apps::destroy_stale;
use crate::actions::transfers::OFFERED_FOR;
use crate::context::{Context, Ctx};
use crate::logs::LogError;
use crate::prune::prune;

const EVERY: Duration = Duration::from_secs(3600);
/// A new blob has no record yet: whoever makes it puts it first, and the record after.
const UNCLAIMED: Duration = Duration::from_secs(3600);
/// Whoever made a promotion asks how it went for a while; what came of it is in the releases.
const PROMOTIONS_KEPT: SignedDuration = SignedDuration::from_hours(24);
const TRANSFERS_KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Some hundred megabytes of the store.
const AUDIT_BLOCKS: usize = 200_000;
const AUDIT_KEPT: SignedDuration = SignedDuration::from_hours(400 * 24);
const SETUPS_KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Well below the store's limit on one commit.
const CHUNK: usize = 60;

#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("the logs failed")]
    Logs(#[from] LogError),
    #[error("a stale review app could not be destroyed")]
    Stale(#[from] ActionError),
    #[error("the blob store failed")]
    Blobs(#[from] store::blob::BlobError),
}

/// Sweeps at start, whenever an app goes, and by the clock.
pub(crate) async fn run(context: Ctx) {
    let mut apps = Follower::new(context.store.clone(), vec![key::APPS.prefix()]);
    let mut every = tokio::time::interval(EVERY);
    loop {
        let all = tokio::select! {
            () = context.shutdown.cancelled() => return,
            _ = every.tick() => true,
            update = apps.next() => {
                if !any_gone(&update) {
                    continue;
                }
                false
            }
        };
        let swept = tokio::select! {
            () = context.shutdown.cancelled() => return,
            swept = sweep(&context, all) => swept,
        };
        if let Err(error) = swept {
            warn!(
                error = &error as &dyn std::error::Error,
                "Could not sweep up after destroyed apps; will retry"
            );
            every.reset_after(Duration::from_secs(10));
        }
    }
}

fn any_gone(update: &Update) -> bool {
    match update {
        Update::Snapshot { .. } => true,
        Update::Changes { events, .. } => events
            .iter()
            .any(|event| matches!(event, Event::Delete { .. })),
    }
}

async fn sweep(context: &Context, all: bool) -> Result<(), SweepError> {
    let store = context.store();
    let mut left = Leftovers::default();
    left.look(store, &key::COLLABORATORS, |c| Some(c.app))
        .await?;
    left.look(store, &key::TRANSFERS, |t| Some(t.app)).await?;
    left.look(store, &key::COUPLINGS, |c| Some(c.app)).await?;
    left.look(store, &key::DOMAINS, |d| Some(d.app)).await?;
    left.look(store, &key::LOG_DRAINS, |d| Some(d.app)).await?;
    left.look(store, &key::CERTIFICATES, |c| Some(c.app))
        .await?;
    left.look(store, &key::ACM, |a| Some(a.app)).await?;
    left.look(store, &key::ACM_PROGRESS, |a| Some(a.app))
        .await?;
    left.look(store, &key::TCP_ROUTES, |route| match route.target {
        TcpTarget::App(app) => Some(app),
        TcpTarget::Host { .. } => None,
    })
    .await?;
    left.look(store, &key::REVIEW_APPS, |review| Some(review.app))
        .await?;
    left.look(store, &key::APP_SETUPS, |setup| Some(setup.app))
        .await?;
    left.look(store, &key::BUILDS, |b| Some(b.app)).await?;
    left.look(store, &key::BUILD_SOURCES, |s| Some(s.app))
        .await?;
    left.look(store, &key::REPOSITORIES, |r| Some(r.app))
        .await?;
    left.look(store, &key::BUILD_CACHES, |c| Some(c.app))
        .await?;
    left.look(store, &key::ATTACHMENTS, |a| Some(a.app)).await?;
    left.look(store, &key::SLUGS, |s| Some(s.app)).await?;
    left.look(store, &key::RELEASES, |r| Some(r.app)).await?;
    left.look_at_configs(store).await?;
    let logs = context.logs.stored_apps().await?;
    // After everything else, see above.
    let apps: HashSet<AppId> = key::APPS
        .all(store)
        .await?
        .into_iter()
        .map(|app| app.value.id)
        .collect();

    left.delete(store, &apps).await?;
    for app in logs.into_iter().filter(|app| !apps.contains(app)) {
        context.logs.remove(app).await?;
        info!(app.id = %app, "Removed the log of an app that is gone");
    }
    if all {
        sweep_records(store).await?;
        sweep_audit(store).await?;
        let now = Timestamp::now();
        delete_if(store, &key::BROWSER_LOGINS, |login| login.is_expired(now)).await?;
        delete_if(store, &key::INVITATIONS, |invitation| {
            invitation.is_expired(now)
        })
        .await?;
        sweep_review_app_configs(store).await?;
        sweep_team_members(store).await?;
        sweep_collaborators(store).await?;
        destroy_stale(context).await?;
        prune(store, context.config.slugs_per_app).await?;
        sweep_blobs(context).await?;
    }
    Ok(())
}

/// Every record that hangs on an app.
#[derive(Debug, Default)]
struct Leftovers {
    records: Vec<(AppId, Versioned<()>)>,
}

impl Leftovers {
    async fn look<T: Serialize + DeserializeOwned>(
        &mut self,
        store: &dyn Store,
        table: &Table<T>,
        app_of: impl Fn(&T) -> Option<AppId>,
    ) -> Result<(), StoreError> {
        for seen in table.all(store).await? {
            let Versioned {
                key,
                revision,
                value,
            } = seen;
            self.records.extend(app_of(&value).map(|app| {
                (
                    app,
                    Versioned {
                        key,
                        revision,
                        value: (),
                    },
                )
            }));
        }
        Ok(())
    }

    /// Sealed config does not say whose it is; its key does.
    async fn look_at_configs(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let prefix = key::RELEASE_CONFIG.prefix();
        for entry in store.list(&prefix).await?.entries {
            if let Some(app) = app_in(&prefix, &entry.key) {
                self.records.push((
                    app,
                    Versioned {
                        key: entry.key,
                        revision: entry.revision,
                        value: (),
                    },
                ));
            }
        }
        Ok(())
    }

    async fn delete(mut self, store: &dyn Store, apps: &HashSet<AppId>) -> Result<(), StoreError> {
        self.records.retain(|(app, _)| !apps.contains(app));
        for chunk in self.records.chunks(CHUNK) {
            // A domain may belong to another app by now.
            let outcome = delete_unchanged(store, chunk.iter().map(|(_, seen)| seen)).await?;
            debug!(
                ?outcome,
                records = chunk.len(),
                "Swept up after apps that are gone"
            );
        }
        Ok(())
    }
}

/// `…/release-config/<app>/<version>` → the app.
fn app_in(prefix: &Key, key: &Key) -> Option<AppId> {
    key.as_str()
        .strip_prefix(prefix.as_str())?
        .split('/')
        .next()?
        .parse()
        .ok()
}

/// What is of no use to anybody any more.
async fn sweep_records(store: &dyn Store) -> Result<(), StoreError> {
    let now = Timestamp::now();
    let age = |of: Timestamp| now.duration_since(of);
    delete_if(store, &key::TOKENS, |token| token.is_expired(now)).await?;
    delete_if(store, &key::PROMOTIONS, |promotion| {
        age(promotion.created_at) > PROMOTIONS_KEPT
    })
    .await?;
    // A build that is to be made of one says so itself.
    delete_if(store, &key::SOURCES, |source| source.expires_at < now).await?;
    delete_if(store, &key::APP_SETUPS, |setup| {
        setup.stage.is_over() && age(setup.updated_at) > SETUPS_KEPT
    })
    .await?;
    delete_if(store, &key::TRANSFERS, |transfer| match transfer.state {
        TransferState::Pending => age(transfer.updated_at).unsigned_abs() > OFFERED_FOR,
        TransferState::Accepted | TransferState::Declined => {
            age(transfer.updated_at) > TRANSFERS_KEPT
        }
    })
    .await
}

async fn delete_if<T: Serialize + DeserializeOwned>(
    store: &dyn Store,
    table: &Table<T>,
    is_over: impl Fn(&T) -> bool,
) -> Result<(), StoreError> {
    let mut records = table.all(store).await?;
    records.retain(|seen| is_over(&seen.value));
    delete_all(store, &records).await
}

/// In as many commits as it takes.
pub(crate) async fn delete_all<T>(
    store: &dyn Store,
    records: &[Versioned<T>],
) -> Result<(), StoreError> {
    for chunk in records.chunks(CHUNK) {
        delete_unchanged(store, chunk).await?;
    }
    Ok(())
}

/// Only what is still as it was seen; if any of them is not, all of them wait for the next sweep.
async fn delete_unchanged<'a, T: 'a>(
    store: &dyn Store,
    records: impl IntoIterator<Item = &'a Versioned<T>>,
) -> Result<Committed, StoreError> {
    records
        .into_iter()
        .fold(Txn::new(), |txn, seen| {
            txn.unchanged(seen).delete(seen.key.clone())
        })
        .commit(store)
        .await
}

/// From the oldest on, up to the first that is to be kept, so that what is left is a chain: a clock that was wrong keeps
/// what is old, and takes nothing that is not.
async fn sweep_audit(store: &dyn Store) -> Result<(), StoreError> {
    let now = Timestamp::now();
    let is_old = |at: Timestamp| now.duration_since(at) > AUDIT_KEPT;
    let (mut count, mut oldest) = (0, Vec::new());
    let mut too_many = false;
    let mut pages = audit::Pages::new(store, None).await?;
    while let Some(page) = pages.next().await? {
        for block in page {
            count += 1;
            if count > AUDIT_BLOCKS {
                too_many = true;
            } else if count == 1 || !block.block.records.iter().all(|record| is_old(record.at())) {
                oldest.clear();
                continue;
            }
            oldest.push(block.key);
        }
    }
    if too_many {
        warn!(
            blocks = oldest.len(),
            "The audit log is full: its oldest blocks go before their time"
        );
    }
    oldest.reverse();
    for chunk in oldest.chunks(CHUNK) {
        chunk
            .iter()
            .fold(Txn::new(), |txn, key| txn.delete(key.clone()))
            .commit(store)
            .await?;
    }
    Ok(())
}

/// Of memberships that are gone: they count no more. A membership is there before whatever is done by it.
async fn sweep_collaborators(store: &dyn Store) -> Result<(), StoreError> {
    let mut shared = key::COLLABORATORS.all(store).await?;
    let members = key::TEAM_MEMBERS.all(store).await?;
    let members: HashSet<Uuid> = members.into_iter().map(|member| member.value.id).collect();
    shared.retain(|seen| (seen.value.as_member).is_some_and(|id| !members.contains(&id)));
    delete_all(store, &shared).await
}

/// Of teams that are gone. A team and its first member are made in one commit, and later ones only while it is there.
async fn sweep_team_members(store: &dyn Store) -> Result<(), StoreError> {
    let mut members = key::TEAM_MEMBERS.all(store).await?;
    let teams = key::TEAMS.all(store).await?;
    let teams: HashSet<TeamId> = teams.into_iter().map(|team| team.value.id).collect();
    members.retain(|member| !teams.contains(&member.value.team));
    delete_all(store, &members).await
}

/// Of pipelines that are gone.
async fn sweep_review_app_configs(store: &dyn Store) -> Result<(), StoreError> {
    for seen in key::REVIEW_APP_CONFIGS.all(store).await? {
        let place = key::pipeline(seen.value.pipeline);
        if key::PIPELINES.get(store, &place).await?.is_none() {
            Txn::new()
                .absent(place)
                .delete(seen.key)
                .commit(store)
                .await?;
        }
    }
    Ok(())
}

/// Deletes blobs that no record refers to.
async fn sweep_blobs(context: &Context) -> Result<(), SweepError> {
    // Blobs first, records second: a blob that is claimed in between is seen as claimed.
    let blobs = context.blobs.list().await?;
    let claimed = claimed(context.store()).await?;
    let now = Timestamp::now();
    let is_unclaimed = |modified: Timestamp| {
        let age = now.duration_since(modified);
        !age.is_negative() && age.unsigned_abs() > UNCLAIMED
    };
    for blob in blobs {
        if claimed.contains(&blob.checksum) || !is_unclaimed(blob.modified) {
            continue;
        }
        // Whoever has put the same bytes since is about to claim them.
        let modified = context.blobs.modified(&blob.checksum).await?;
        if modified.is_some_and(is_unclaimed) {
            context.blobs.delete(&blob.checksum).await?;
            info!(blob.checksum = %blob.checksum, blob.bytes = blob.size, "Deleted a blob that nothing refers to");
        }
    }
    Ok(())
}

/// Each kind of record that refers to blobs. A source goes in the same commit that puts its packs into the repository, so
/// sources are read first.
async fn claimed(store: &dyn Store) -> Result<HashSet<Checksum>, StoreError> {
    let mut claimed = HashSet::new();
    for source in key::BUILD_SOURCES.all(store).await? {
        claimed.extend(source.value.blobs().into_iter().cloned());
    }
    for setup in key::APP_SETUPS.all(store).await? {
        if let (false, ArchivePlace::Blob(blob)) =
            (setup.value.stage.is_over(), setup.value.archive.place)
        {
            claimed.insert(blob);
        }
    }
    for source in key::SOURCES.all(store).await? {
        claimed.extend(source.value.blob);
    }
    for repository in key::REPOSITORIES.all(store).await? {
        claimed.extend(repository.value.packs.into_iter().map(|pack| pack.checksum));
    }
    for cache in key::BUILD_CACHES.all(store).await? {
        claimed.insert(cache.value.checksum);
    }
    for slug in key::SLUGS.all(store).await? {
        claimed.insert(slug.value.checksum);
    }
    for build in key::BUILDS.all(store).await? {
        claimed.extend(build.value.output);
    }
    Ok(claimed)
}

#[cfg(test)]
mod tests {
    use model::ReleaseVersion;

    use super::*;

    #[test]
    fn a_config_is_told_to_be_its_apps_by_its_key() {
        let app = AppId::new();
        let place = key::release_config(app, ReleaseVersion(3));
        assert_eq!(app_in(&key::RELEASE_CONFIG.prefix(), &place), Some(app));
    }

    #[tokio::test]
    async fn of_the_audit_log_only_the_beginning_goes_though_clocks_differ() {
        let store = store::Embedded::open_in_memory().unwrap();
        let now = Timestamp::now();
        let old = now - AUDIT_KEPT - SignedDuration::from_hours(1);
        for at in [old, old, now, old, now] {
            let end = model::audit::DeedEnd {
                id: uuid::Uuid::now_v7(),
                at,
                status: 200,
                details: String::new(),
            };
            let record = model::audit::AuditRecord::Ended(end);
            audit::append(&*store, &[record]).await.unwrap();
        }
        sweep_audit(&*store).await.unwrap();
        let verified = audit::verify(&*store).await.unwrap();
        assert_eq!((verified.first, verified.fault), (Some(3), None));
    }
}
