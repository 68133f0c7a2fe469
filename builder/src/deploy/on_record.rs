//! A push is in the audit log before anything is built of it, and how it went soon after.

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::audit::{AuditRecord, Deed, DeedApp, DeedEnd};
use store::{Store, StoreError, audit};
use tokio::time::{Instant, sleep};
use tracing::warn;
use uuid::Uuid;

use super::refs::Deploy;
use crate::push::Push;

/// # Errors
/// When it cannot be put on record, and so must not be done.
pub(super) async fn begin(
    store: &dyn Store,
    push: &Push,
    deploy: &Deploy,
) -> Result<Uuid, StoreError> {
    let id = Uuid::now_v7();
    let origin = push.origin();
    let deed = Deed {
        id,
        at: Timestamp::now(),
        actor: push.actor().clone(),
        token: origin.token,
        from: origin.from,
        what: "git push".to_owned(),
        parameters: BTreeMap::from([
            ("branch".to_owned(), deploy.branch.clone()),
            ("commit".to_owned(), deploy.commit.clone()),
        ]),
        app: Some(DeedApp {
            id: push.app(),
            name: push.app_name().clone(),
        }),
    };
    append(store, &[AuditRecord::Begun(deed)]).await?;
    Ok(id)
}

/// In the words of the API's: 200 for a push that was taken, 422 for one that was not.
pub(super) async fn end(store: &dyn Store, id: Uuid, is_taken: bool) {
    let end = DeedEnd {
        id,
        at: Timestamp::now(),
        status: if is_taken { 200 } else { 422 },
        details: String::new(),
    };
    if let Err(error) = append(store, &[AuditRecord::Ended(end)]).await {
        warn!(
            error = &error as &dyn std::error::Error,
            "How a push went cannot be put on record"
        );
    }
}

/// A store that is away for a moment, or a log that all write to at once, is waited for.
async fn append(store: &dyn Store, records: &[AuditRecord]) -> Result<(), StoreError> {
    let until = Instant::now() + crate::PATIENCE;
    loop {
        match audit::append(store, records).await {
            Err(error) if error.is_retryable() && Instant::now() < until => {
                sleep(crate::PAUSE).await;
            }
            appended => return appended,
        }
    }
}
