//! Appending to an app's release ledger, in one commit: the release, its config, and the app that points to it.

use model::release::{Pages, ReleaseDraft, append, merge_base};
use model::{App, AppId, ConfigVars, Release, ReleaseStatus, ReleaseVersion, Timestamp};

use crate::{Attempts, Committed, Key, Keyring, Store, StoreError, Txn, Versioned, key};

/// What a change makes of the app as it finds it.
#[derive(Debug)]
pub struct NewRelease {
    pub draft: ReleaseDraft,
    pub config: ConfigVars,
    /// The app with whatever else changes with the release (formation, sizes); its ledger fields are set here.
    pub app: App,
    /// More writes of the same commit (the slug, the build).
    pub also: Txn,
}

/// What a change starts from.
#[derive(Debug)]
pub struct Base {
    pub app: Versioned<App>,
    /// The release that the change builds on; never a failed one.
    pub release: Versioned<Release>,
    pub config: ConfigVars,
}

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError<E> {
    #[error("the app does not exist any more")]
    NoSuchApp,
    /// What the caller's function answered.
    #[error("the change was refused")]
    Refused(E),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Appends what `change` makes of the app's newest state; run again when somebody else was quicker.
pub async fn append_release<E>(
    store: &dyn Store,
    keyring: &Keyring,
    app: AppId,
    now: Timestamp,
    mut change: impl FnMut(&Base) -> Result<NewRelease, E> + Send,
) -> Result<(App, Release), AppendError<E>> {
    let mut attempts = Attempts::default();
    loop {
        let base = read_base(store, keyring, app)
            .await?
            .ok_or(AppendError::NoSuchApp)?;
        let new = change(&base).map_err(AppendError::Refused)?;
        let (app, release) = append(&new.app, new.draft, Pages::of(&new.config), now);
        if commit(store, keyring, &base, &app, &release, &new.config, new.also).await? {
            return Ok((app, release));
        }
        attempts.lost().await?;
    }
}

/// The config of the release that dynos should run.
pub async fn read_config(
    store: &dyn Store,
    keyring: &Keyring,
    app: AppId,
    version: ReleaseVersion,
) -> Result<Option<ConfigVars>, StoreError> {
    let place = key::release_config(app, version);
    let Some(sealed) = key::RELEASE_CONFIG.get(store, &place).await? else {
        return Ok(None);
    };
    keyring.open(&place, &sealed.value).map(Some)
}

/// The app's newest state, with its merge base.
pub async fn read_base(
    store: &dyn Store,
    keyring: &Keyring,
    app: AppId,
) -> Result<Option<Base>, StoreError> {
    let Some(app) = key::APPS.get(store, &key::app(app)).await? else {
        return Ok(None);
    };
    let version = merge_base(&app.value);
    let release = key::RELEASES
        .get(store, &key::release(app.value.id, version))
        .await?;
    let config = read_config(store, keyring, app.value.id, version).await?;
    match (release, config) {
        (Some(release), Some(config)) => Ok(Some(Base {
            app,
            release,
            config,
        })),
        // Destroyed between two reads: to the caller it never was.
        _ => Ok(None),
    }
}

async fn commit(
    store: &dyn Store,
    keyring: &Keyring,
    base: &Base,
    app: &App,
    release: &Release,
    config: &ConfigVars,
    also: Txn,
) -> Result<bool, StoreError> {
    let release_key = key::release(app.id, release.version);
    let config_key: Key = key::release_config(app.id, release.version);
    let mut txn = also
        .replace(&key::APPS, &base.app, app)
        .create(&key::RELEASES, release_key, release)
        .put(
            &key::RELEASE_CONFIG,
            config_key.clone(),
            &keyring.seal(&config_key, config)?,
        );
    if base.release.value.status.is_pending() {
        let superseded = Release {
            status: ReleaseStatus::Superseded {
                by: release.version,
            },
            updated_at: release.created_at,
            ..base.release.value.clone()
        };
        txn = txn.replace(&key::RELEASES, &base.release, &superseded);
    }
    Ok(matches!(txn.commit(store).await?, Committed::Done(_)))
}
