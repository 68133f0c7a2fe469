//! Whether the platform gets an app's certificates by itself. Here is only said that it should; see [`crate::acme`].

use model::{Acm, AppId, EndpointOrigin, Timestamp};
use store::{Committed, Store, StoreError, Txn, key};

use super::{ActionError, Attempts, certificates};
use crate::context::Context;

pub(crate) async fn is_enabled(store: &dyn Store, app: AppId) -> Result<bool, StoreError> {
    Ok(key::ACM.get(store, &key::acm(app)).await?.is_some())
}

pub(crate) async fn enable(context: &Context, app: AppId) -> Result<(), ActionError> {
    if context.config.acme.is_none() {
        return Err(ActionError::invalid(
            "This platform has no certificate authority to ask. Whoever runs it can name one: see \"Certificates of apps\" in \
             docs/OPERATING.md.",
        ));
    }
    let now = Timestamp::now();
    let acm = Acm {
        app,
        enabled_at: now,
        asked_at: now,
    };
    let txn = Txn::new().exists(key::app(app));
    let txn = txn.create(&key::ACM, key::acm(app), &acm);
    match txn.commit(context.store()).await? {
        Committed::Done(_) => Ok(()),
        Committed::Conflict => refresh(context, app).await,
    }
}

/// Has everything that failed tried anew.
pub(crate) async fn refresh(context: &Context, app: AppId) -> Result<(), ActionError> {
    let mut attempts = Attempts::default();
    loop {
        let seen = key::ACM.get(context.store(), &key::acm(app)).await?;
        let seen = seen.ok_or_else(|| {
            ActionError::invalid(
                "Certificates are not managed for this app; see `paas certs:auto:enable`.",
            )
        })?;
        let mut changed = seen.value.clone();
        changed.asked_at = Timestamp::now();
        let txn = Txn::new().replace(&key::ACM, &seen, &changed);
        if let Committed::Done(_) = txn.commit(context.store()).await? {
            return Ok(());
        }
        attempts.lost().await?;
    }
}

/// With it go the certificates that the platform got.
pub(crate) async fn disable(context: &Context, app: AppId) -> Result<(), ActionError> {
    let store = context.store();
    // First: from then on none is added.
    Txn::new().delete(key::acm(app)).commit(store).await?;
    Txn::new()
        .delete(key::acm_progress(app))
        .commit(store)
        .await?;
    for seen in certificates::list(store, app).await? {
        if seen.value.origin == EndpointOrigin::Managed {
            Txn::new()
                .unchanged(&seen)
                .delete(seen.key.clone())
                .commit(store)
                .await?;
        }
    }
    Ok(())
}
