//! How it goes with each domain, written down for whoever asks. Only the leader writes.

use std::collections::BTreeMap;
use std::time::Duration;

use model::acm::pause_after;
use model::{AcmProgress, AcmStatus, AppId, Hostname, NameProgress, Timestamp};
use store::leader::Leadership;
use store::{Committed, Txn, key};

use super::AcmeError;
use super::order::OrderError;
use super::plan::{Wanted, after_failure};
use crate::context::Context;

/// One that was begun and is not heard of again is begun anew after this.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(300);
/// Who was told to ask less often waits at least this long.
const AFTER_TOO_MANY: Duration = Duration::from_secs(3600);
const ATTEMPTS: u32 = 20;

/// Changes what is known of one domain. `false`: the app does not want certificates any more, or another leads.
async fn set(
    context: &Context,
    leadership: &Leadership,
    app: AppId,
    name: &Hostname,
    change: impl Fn(&mut NameProgress),
) -> Result<bool, AcmeError> {
    let (store, place) = (context.store(), key::acm_progress(app));
    for _ in 0..ATTEMPTS {
        let now = Timestamp::now();
        let seen = key::ACM_PROGRESS.get(store, &place).await?;
        let mut progress = match &seen {
            Some(seen) => seen.value.clone(),
            None => AcmProgress {
                app,
                names: BTreeMap::new(),
            },
        };
        let known = progress
            .names
            .entry(name.clone())
            .or_insert_with(|| NameProgress {
                status: AcmStatus::InProgress,
                reason: None,
                failures: 0,
                next_try: now,
                updated_at: now,
            });
        known.updated_at = now;
        change(known);
        let txn = leadership.guard(Txn::new().exists(key::acm(app)));
        let txn = match &seen {
            Some(seen) => txn.replace(&key::ACM_PROGRESS, seen, &progress),
            None => txn.create(&key::ACM_PROGRESS, place.clone(), &progress),
        };
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(true);
        }
        // Another domain of the app was quicker; or all is over.
        let is_wanted = key::ACM.get(store, &key::acm(app)).await?.is_some();
        if !is_wanted || !leadership.is_on_record(store).await? {
            return Ok(false);
        }
    }
    Ok(false)
}

pub(super) async fn begun(
    context: &Context,
    leadership: &Leadership,
    app: AppId,
    name: &Hostname,
) -> Result<bool, AcmeError> {
    set(context, leadership, app, name, |known| {
        known.status = AcmStatus::InProgress;
        known.next_try = after(known.updated_at, GIVEN_UP_AFTER);
    })
    .await
}

pub(super) async fn failed(
    context: &Context,
    leadership: &Leadership,
    app: AppId,
    name: &Hostname,
    error: &OrderError,
    is_renewal: bool,
) -> Result<(), AcmeError> {
    let jitter = rand::random::<f64>();
    set(context, leadership, app, name, |known| {
        known.failures = known.failures.saturating_add(1);
        let pause = pause_after(known.failures, jitter);
        let (pause, is_endless) = match error {
            OrderError::Refused(_) => (pause, is_renewal),
            OrderError::TooMany(_) => (pause.max(AFTER_TOO_MANY), true),
            OrderError::Trouble(_) => (pause, true),
        };
        known.status = after_failure(known.failures, is_endless);
        known.reason = Some(error.words().to_owned());
        known.next_try = after(known.updated_at, pause);
    })
    .await?;
    Ok(())
}

pub(super) async fn never(
    context: &Context,
    leadership: &Leadership,
    app: AppId,
    name: &Hostname,
    why: &'static str,
) -> Result<(), AcmeError> {
    let seen = key::ACM_PROGRESS
        .get(context.store(), &key::acm_progress(app))
        .await?;
    let known = seen.as_ref().and_then(|seen| seen.value.names.get(name));
    if known.is_some_and(|known| known.reason.as_deref() == Some(why)) {
        return Ok(());
    }
    set(context, leadership, app, name, |known| {
        known.status = AcmStatus::Failed;
        known.reason = Some(why.to_owned());
    })
    .await?;
    Ok(())
}

/// It has what it should have, whoever wrote that down or not.
pub(super) async fn done(
    context: &Context,
    leadership: &Leadership,
    wanted: &Wanted,
    name: &Hostname,
) -> Result<(), AcmeError> {
    let known = wanted
        .progress
        .as_ref()
        .and_then(|progress| progress.names.get(name));
    if known.is_some_and(|known| known.status == AcmStatus::Ok) {
        return Ok(());
    }
    got(context, leadership, wanted.acm.app, name).await
}

pub(super) async fn got(
    context: &Context,
    leadership: &Leadership,
    app: AppId,
    name: &Hostname,
) -> Result<(), AcmeError> {
    set(context, leadership, app, name, |known| {
        known.status = AcmStatus::Ok;
        known.reason = None;
        known.failures = 0;
        known.next_try = known.updated_at;
    })
    .await?;
    Ok(())
}

fn after(moment: Timestamp, pause: Duration) -> Timestamp {
    moment.checked_add(pause).unwrap_or(Timestamp::MAX)
}
