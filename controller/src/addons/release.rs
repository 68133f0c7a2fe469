//! A release because of an add-on: what the app's add-ons give changes, and records with it.

use model::release::ReleaseDraft;
use model::{Actor, AppId, Attached, ConfigVars, Timestamp};
use store::Txn;
use store::ledger::{AppendError, Base, NewRelease, append_release};

use crate::context::Context;

/// What changes, as the app is found.
pub(crate) struct Change {
    pub(crate) description: String,
    pub(crate) attached: Attached,
    /// What the app's users set.
    pub(crate) config: ConfigVars,
    /// More writes of the same commit.
    pub(crate) also: Txn,
}

pub(crate) async fn append<E>(
    context: &Context,
    app: AppId,
    by: &Actor,
    mut change: impl FnMut(&Base) -> Result<Change, E> + Send,
) -> Result<(), AppendError<E>> {
    let (store, keyring) = (context.store(), &context.keyring);
    let (_, release) = append_release(store, keyring, app, Timestamp::now(), |base| {
        let Change {
            description,
            attached,
            config,
            also,
        } = change(base)?;
        Ok(NewRelease {
            draft: ReleaseDraft {
                description,
                actor: by.clone(),
                slug: base.release.value.slug,
            },
            config,
            attached: Some(attached),
            app: base.app.value.clone(),
            also,
        })
    })
    .await?;
    context.tell(app, by, &release.description).await;
    let text = format!("Release {} created", release.version);
    context.tell(app, by, &text).await;
    Ok(())
}
