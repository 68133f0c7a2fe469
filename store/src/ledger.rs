//! Appending to an app's release ledger, in one commit: the release, its config, and the app that points to it.

use model::addon::Part;
use model::release::{OfAddons, Pages, ReleaseDraft, append, merge_base};
use model::{
    AddonConfig, App, AppId, Attached, ConfigVars, Release, ReleaseStatus, ReleaseVersion,
    Timestamp,
};

use crate::{Attempts, Committed, Key, Keyring, Store, StoreError, Txn, Versioned, key};

/// What a change makes of the app as it finds it.
#[derive(Debug)]
pub struct NewRelease {
    pub draft: ReleaseDraft,
    /// What the app's users set; the config vars of its add-ons are laid over it.
    pub config: ConfigVars,
    /// What its add-ons give from now on, where this changes; else what they give as the ledger finds them.
    pub attached: Option<Attached>,
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
    /// What its users set.
    pub config: ConfigVars,
    /// What its add-ons give, as they are now.
    pub attached: Attached,
}

impl Base {
    /// The app's config vars, all of them.
    pub fn all_config(&self) -> ConfigVars {
        self.attached.over(&self.config)
    }
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
///
/// # Errors
/// Contended, too, when what is compared besides in [`NewRelease::also`] is not as it was.
pub async fn append_release<E>(
    store: &dyn Store,
    keyring: &Keyring,
    app: AppId,
    now: Timestamp,
    mut change: impl FnMut(&Base) -> Result<NewRelease, E> + Send,
) -> Result<(App, Release), AppendError<E>> {
    let mut attempts = Attempts::default();
    let (mut before, mut brings_more) = (None, false);
    loop {
        let base = read_base(store, keyring, app)
            .await?
            .ok_or(AppendError::NoSuchApp)?;
        let revisions = Some((base.app.revision, base.release.revision));
        if brings_more && revisions == before {
            // It is what goes with it that was changed by somebody else, and no other try would do better.
            return Err(StoreError::Contended { attempts: 1 }.into());
        }
        before = revisions;
        let new = change(&base).map_err(AppendError::Refused)?;
        brings_more = !new.also.is_empty();
        let attached = new.attached.as_ref().unwrap_or(&base.attached);
        let config = attached.over(&new.config);
        let (app, release) = append(&new.app, new.draft, Pages::of(&config), now);
        let release = Release {
            addons: OfAddons::from(attached),
            ..release
        };
        if commit(store, keyring, &base, &app, &release, &config, new.also).await? {
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
    let place = key::release(app.value.id, version);
    // At once: of many who append to one app, each holds up the others for as long as this takes. Whatever changes what is
    // attached compares the app's record, as every release does.
    let (release, config, attached) = futures::try_join!(
        key::RELEASES.get(store, &place),
        read_config(store, keyring, app.value.id, version),
        read_attached(store, keyring, app.value.id),
    )?;
    match (release, config) {
        (Some(release), Some(config)) => Ok(Some(Base {
            config: config.without(&release.value.addons.vars),
            app,
            release,
            attached,
        })),
        // Destroyed between two reads: to the caller it never was.
        _ => Ok(None),
    }
}

/// What an app's add-ons give.
async fn read_attached(
    store: &dyn Store,
    keyring: &Keyring,
    app: AppId,
) -> Result<Attached, StoreError> {
    let mut attached = Attached::default();
    let mut attachments = key::ATTACHMENTS
        .list(store, &key::attachments_of(app))
        .await?;
    attachments.sort_by_key(|attachment| (attachment.value.created_at, attachment.value.id));
    for attachment in attachments {
        let place = key::addon(attachment.value.addon);
        // One whose add-on is gone is on its way out, too.
        if let Some(addon) = key::ADDONS.get(store, &place).await? {
            let addon = addon.value;
            let config: AddonConfig = keyring.open(&place, &addon.config)?;
            let service = key::addon_service(&addon.service);
            let service = key::ADDON_SERVICES.get(store, &service).await?;
            let declared = service.map(|service| service.value.config_vars);
            let name = &attachment.value.name;
            let declared = declared.unwrap_or_default();
            attached.add(Part::new(name, &addon, &config, &declared));
        }
    }
    Ok(attached)
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
