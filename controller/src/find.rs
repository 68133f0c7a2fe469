//! Looking things up the way users name them: by id or by name.

use std::collections::HashMap;

use model::{
    Account, AccountId, App, AppId, AppName, Collaborator, Dyno, DynoId, DynoName, DynoStatus,
    Email, Owner, Release, ReleaseId, ReleaseVersion, Role, Slug, SlugId,
};
use store::{Store, StoreError, Versioned, key};

use crate::owners;

pub(crate) async fn app(
    store: &dyn Store,
    identity: &str,
) -> Result<Option<Versioned<App>>, StoreError> {
    let id = match identity.parse::<AppId>() {
        Ok(id) => id,
        Err(_) => {
            let Ok(name) = identity.parse::<AppName>() else {
                return Ok(None);
            };
            let Some(id) = key::APP_NAMES.get(store, &key::app_name(&name)).await? else {
                return Ok(None);
            };
            id.value
        }
    };
    key::APPS.get(store, &key::app(id)).await
}

/// By e-mail address or id.
pub(crate) async fn account(
    store: &dyn Store,
    identity: &str,
) -> Result<Option<Versioned<Account>>, StoreError> {
    let id = match identity.parse::<AccountId>() {
        Ok(id) => id,
        Err(_) => {
            let Ok(email) = identity.parse::<Email>() else {
                return Ok(None);
            };
            let Some(id) = key::ACCOUNT_EMAILS
                .get(store, &key::account_email(&email))
                .await?
            else {
                return Ok(None);
            };
            id.value
        }
    };
    key::ACCOUNTS.get(store, &key::account(id)).await
}

/// What an account is to an app; `None` for a stranger.
pub(crate) async fn role(
    store: &dyn Store,
    account: &Account,
    app: &App,
) -> Result<Option<Role>, StoreError> {
    let collaborator = key::COLLABORATORS
        .get(store, &key::collaborator(app.id, account.id))
        .await?
        .map(|collaborator| collaborator.value);
    let in_team = match app.owner {
        Owner::Account(_) => None,
        Owner::Team { team } => owners::member_role(store, account, team).await?,
    };
    Ok(model::access::role(
        account.id,
        account.is_admin,
        app,
        in_team,
        collaborator.as_ref(),
    ))
}

/// The apps an account owns or works on.
pub(crate) async fn apps_of(store: &dyn Store, account: &Account) -> Result<Vec<App>, StoreError> {
    let shared = shared_with(store, account).await?;
    let apps = key::APPS.all(store).await?.into_iter();
    Ok(apps
        .map(|app| app.value)
        .filter(|app| app.owner == account.id || shared.contains_key(&app.id))
        .collect())
}

/// Those it may see, of its teams too: for administrators, every app.
pub(crate) async fn visible_apps(
    store: &dyn Store,
    account: &Account,
) -> Result<Vec<App>, StoreError> {
    let mut apps: Vec<App> = (key::APPS.all(store).await?.into_iter())
        .map(|app| app.value)
        .collect();
    if account.is_admin {
        return Ok(apps);
    }
    let shared = shared_with(store, account).await?;
    let teams = owners::memberships(store, account).await?;
    apps.retain(|app| {
        let in_team = app.owner.team().and_then(|team| teams.get(&team).copied());
        let role = model::access::role(account.id, false, app, in_team, shared.get(&app.id));
        role.is_some()
    });
    Ok(apps)
}

async fn shared_with(
    store: &dyn Store,
    account: &Account,
) -> Result<HashMap<AppId, Collaborator>, StoreError> {
    let all = key::COLLABORATORS.all(store).await?.into_iter();
    Ok(all
        .map(|seen| seen.value)
        .filter(|collaborator| collaborator.account == account.id)
        .map(|collaborator| (collaborator.app, collaborator))
        .collect())
}

/// The e-mail addresses of accounts; those that are gone are left out.
pub(crate) async fn emails(
    store: &dyn Store,
    accounts: Vec<AccountId>,
) -> Result<HashMap<AccountId, Email>, StoreError> {
    let mut emails = HashMap::new();
    for id in accounts {
        if !emails.contains_key(&id)
            && let Some(account) = key::ACCOUNTS.get(store, &key::account(id)).await?
        {
            emails.insert(id, account.value.email);
        }
    }
    Ok(emails)
}

/// By version (`12`, `v12`) or id.
pub(crate) async fn release(
    store: &dyn Store,
    app: AppId,
    identity: &str,
) -> Result<Option<Versioned<Release>>, StoreError> {
    if let Ok(version) = identity.parse::<ReleaseVersion>() {
        return key::RELEASES.get(store, &key::release(app, version)).await;
    }
    let Ok(id) = identity.parse::<ReleaseId>() else {
        return Ok(None);
    };
    let releases = key::RELEASES.list(store, &key::releases_of(app)).await?;
    Ok(releases.into_iter().find(|release| release.value.id == id))
}

pub(crate) async fn slug(
    store: &dyn Store,
    app: AppId,
    slug: Option<SlugId>,
) -> Result<Option<Slug>, StoreError> {
    let Some(slug) = slug else { return Ok(None) };
    Ok(key::SLUGS
        .get(store, &key::slug(app, slug))
        .await?
        .map(|slug| slug.value))
}

/// The slug that the app's dynos should run: its target release's.
pub(crate) async fn target_slug(store: &dyn Store, app: &App) -> Result<Option<Slug>, StoreError> {
    let release = key::RELEASES
        .get(store, &key::release(app.id, app.target))
        .await?;
    slug(
        store,
        app.id,
        release.and_then(|release| release.value.slug),
    )
    .await
}

/// A dyno that is meant to run, with what is known of it.
#[derive(Debug, Clone)]
pub(crate) struct KnownDyno {
    pub(crate) dyno: Versioned<Dyno>,
    pub(crate) status: Option<DynoStatus>,
}

/// The app's dynos but those that are stopping or have ended.
pub(crate) async fn dynos(store: &dyn Store, app: AppId) -> Result<Vec<KnownDyno>, StoreError> {
    let dynos = key::DYNOS.list(store, &key::dynos_of(app)).await?;
    let statuses = key::DYNO_STATUS
        .list(store, &key::dyno_statuses_of(app))
        .await?;
    let mut statuses: HashMap<DynoId, DynoStatus> = statuses
        .into_iter()
        .map(|status| (status.value.dyno, status.value))
        .collect();
    let known = dynos.into_iter().map(|dyno| {
        let status = statuses.remove(&dyno.value.id);
        KnownDyno { dyno, status }
    });
    Ok(known.filter(KnownDyno::is_wanted).collect())
}

/// By name or id. While one dyno takes another's place both have its name: the newer one is meant.
pub(crate) async fn dyno(
    store: &dyn Store,
    app: AppId,
    identity: &str,
) -> Result<Option<KnownDyno>, StoreError> {
    let all = dynos(store, app).await?.into_iter();
    let matching = all.filter(|known| known.is_called(identity));
    Ok(matching.max_by_key(|known| known.dyno.value.created_at))
}

impl KnownDyno {
    pub(crate) fn is_called(&self, identity: &str) -> bool {
        let dyno = &self.dyno.value;
        identity.parse::<DynoId>() == Ok(dyno.id)
            || identity.parse::<DynoName>().as_ref() == Ok(&dyno.name)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.status
            .as_ref()
            .is_some_and(|status| status.state.is_up())
    }

    fn is_wanted(&self) -> bool {
        !self.dyno.value.is_stopping()
            && !self
                .status
                .as_ref()
                .is_some_and(|status| status.state.is_stopped())
    }
}
