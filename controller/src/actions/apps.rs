//! Making, changing and destroying apps.

use std::collections::BTreeMap;

use controller_api::wire::app::Identity;
use controller_api::wire::{AppCreate, AppUpdate};
use model::release::{Pages, ReleaseDraft, append};
use model::{
    Account, Actor, App, AppId, AppName, ConfigVars, Owner, Permission, ReleaseVersion, Role,
    Routing, Timestamp,
};
use store::{Committed, Store, Txn, key};

use super::{ActionError, Attempts, app_names, collaborators, contended, read_app, teams};
use crate::addons::attachments_of;
use crate::context::{Context, actor};
use crate::owners;
use crate::views::platform::REGION;

/// Domains that go in the same commit as the app; the sweeper takes the rest.
const DOMAINS_AT_ONCE: usize = 50;

/// A new app with its first release, `v1 Initial release`.
pub(crate) async fn create(
    context: &Context,
    by: &Account,
    create: &AppCreate,
) -> Result<App, ActionError> {
    create_with(context, by, create, |_| Txn::new()).await
}

/// The same, and in the same commit what `also` says of the app.
pub(crate) async fn create_with(
    context: &Context,
    by: &Account,
    create: &AppCreate,
    mut also: impl FnMut(&App) -> Txn + Send,
) -> Result<App, ActionError> {
    let given: Option<AppName> = create
        .name
        .as_deref()
        .filter(|name| !name.is_empty())
        .map(str::parse)
        .transpose()?;
    if let Some(region) = &create.region
        && region.0 != REGION
    {
        return Err(ActionError::invalid(format!(
            "There is no region {:?}; there is {REGION} only.",
            region.0
        )));
    }
    let stack = match &create.stack {
        Some(stack) => known_stack(context, &stack.0)?,
        None => context.config.stack.clone(),
    };
    if create.space.is_some() {
        return Err(ActionError::invalid(
            "There are no private spaces here; leave the space out.",
        ));
    }
    let mut attempts = Attempts::default();
    loop {
        let owner = owner_to_be(context.store(), by, create).await?;
        let locked = create.locked.unwrap_or_default() && owner.team().is_some();
        let name = match &given {
            Some(name) => name.clone(),
            None => app_names::random().ok_or_else(|| ActionError::invalid("Name the app."))?,
        };
        let app = App {
            locked,
            ..blank(name, owner, &stack)
        };
        if let Some(app) = insert(context, by, app, &mut also).await? {
            context.tell(app.id, &actor(by), "Initial release").await;
            context.tell(app.id, &actor(by), "Release v1 created").await;
            return Ok(app);
        }
        if let Some(name) = &given
            && key::APP_NAMES
                .get(context.store(), &key::app_name(name))
                .await?
                .is_some()
        {
            return Err(taken(name));
        }
        // Others make apps for the same team; else what was to go with the app is not as it was.
        if given.is_some() && owner.team().is_none() {
            return Err(contended());
        }
        attempts.lost().await?;
    }
}

async fn owner_to_be(
    store: &dyn Store,
    by: &Account,
    create: &AppCreate,
) -> Result<Owner, ActionError> {
    let team = create.team.as_ref().or(create.organization.as_ref());
    let Some(Identity(named)) = team.filter(|_| create.personal != Some(true)) else {
        return Ok(Owner::Account(by.id));
    };
    let found = owners::team(store, named).await?;
    let team = found.ok_or_else(|| teams::unknown(named))?.value.id;
    teams::must_add_to(store, by, team, named).await?;
    Ok(Owner::Team { team })
}

/// Without a release.
fn blank(name: AppName, owner: Owner, stack: &str) -> App {
    let now = Timestamp::now();
    let unreleased = ReleaseVersion(0);
    App {
        id: AppId::new(),
        name,
        owner,
        locked: false,
        created_at: now,
        updated_at: now,
        released_at: None,
        stack: stack.to_owned(),
        maintenance: false,
        routing: Routing::default(),
        buildpacks: Vec::new(),
        formation: BTreeMap::new(),
        placement: Default::default(),
        latest: unreleased,
        target: unreleased,
        current: unreleased,
        repo_size: None,
        slug_size: None,
    }
}

/// `None` when the name is taken, or the owner changed meanwhile.
async fn insert(
    context: &Context,
    by: &Account,
    app: App,
    mut also: impl FnMut(&App) -> Txn + Send,
) -> Result<Option<App>, ActionError> {
    let draft = ReleaseDraft {
        description: "Initial release".to_owned(),
        actor: actor(by),
        slug: None,
    };
    let config = ConfigVars::default();
    let (app, release) = append(&app, draft, Pages::of(&config), app.created_at);
    let config_key = key::release_config(app.id, release.version);
    let sealed = context.keyring.seal(&config_key, &config)?;
    let mut txn = teams::owned_by(context.store(), also(&app), app.owner).await?;
    if let Some(member) = owners::member(context.store(), app.owner, by.id).await? {
        // Whoever makes an app for his team manages it.
        let first = collaborators::new(app.id, by.id, Permission::Manage, Some(&member));
        let place = key::collaborator(app.id, by.id);
        txn = txn
            .exists(key::account(by.id))
            .create(&key::COLLABORATORS, place, &first);
    }
    let txn = txn
        .create(&key::APPS, key::app(app.id), &app)
        .create(&key::APP_NAMES, key::app_name(&app.name), &app.id)
        .create(
            &key::RELEASES,
            key::release(app.id, release.version),
            &release,
        )
        .create(&key::RELEASE_CONFIG, config_key, &sealed);
    Ok(match txn.commit(context.store()).await? {
        Committed::Done(_) => Some(app),
        Committed::Conflict => None,
    })
}

/// Renames, sets the stack of later builds, turns maintenance on and off.
pub(crate) async fn update(
    context: &Context,
    app: AppId,
    role: Role,
    by: &Actor,
    update: &AppUpdate,
) -> Result<App, ActionError> {
    let name: Option<AppName> = update.name.as_deref().map(str::parse).transpose()?;
    let stack = update
        .build_stack
        .as_ref()
        .map(|stack| known_stack(context, &stack.0))
        .transpose()?;
    let mut attempts = Attempts::default();
    loop {
        let seen = read_app(context.store(), app).await?;
        let mut changed = seen.value.clone();
        let mut txn = Txn::new();
        if let Some(name) = name.as_ref().filter(|name| **name != seen.value.name) {
            if !role.may(Permission::Manage) {
                return Err(ActionError::Forbidden {
                    message: format!("Only who manages {} may rename it.", seen.value.name),
                });
            }
            if key::APP_NAMES
                .get(context.store(), &key::app_name(name))
                .await?
                .is_some()
            {
                return Err(taken(name));
            }
            txn = txn
                .create(&key::APP_NAMES, key::app_name(name), &app)
                .delete(key::app_name(&seen.value.name));
            changed.name = name.clone();
        }
        if let Some(stack) = &stack {
            changed.stack.clone_from(stack);
        }
        changed.maintenance = update.maintenance.unwrap_or(changed.maintenance);
        if changed == seen.value {
            return Ok(changed);
        }
        changed.updated_at = Timestamp::now();
        if let Committed::Done(_) = txn
            .replace(&key::APPS, &seen, &changed)
            .commit(context.store())
            .await?
        {
            tell_update(context, by, &seen.value, &changed).await;
            return Ok(changed);
        }
        attempts.lost().await?;
    }
}

async fn tell_update(context: &Context, by: &Actor, before: &App, after: &App) {
    if before.name != after.name {
        context
            .tell(after.id, by, &format!("Rename to {}", after.name))
            .await;
    }
    if before.stack != after.stack {
        context
            .tell(
                after.id,
                by,
                &format!("Stack of later builds set to {}", after.stack),
            )
            .await;
    }
    if before.maintenance != after.maintenance {
        let what = if after.maintenance {
            "Enable"
        } else {
            "Disable"
        };
        context
            .tell(after.id, by, &format!("{what} maintenance mode"))
            .await;
    }
}

/// What its add-ons give to other apps, nobody takes from those without a word.
async fn must_share_nothing(store: &dyn Store, app: &App) -> Result<(), ActionError> {
    let addons = key::ADDONS.all(store).await?;
    let ours = addons.iter().map(|addon| &addon.value);
    for addon in ours.filter(|addon| addon.app == app.id && addon.state.is_wanted()) {
        let attachments = attachments_of(store, addon.id).await?;
        if attachments.iter().any(|one| one.value.app != app.id) {
            return Err(ActionError::invalid(format!(
                "The add-on {} of {} is attached to other apps, too, which would lose it. See who has it: paas addons:info {}. \
                 Detach it there, or destroy it with --force first.",
                addon.name, app.name, addon.name
            )));
        }
    }
    Ok(())
}

/// The app and its name are gone with this commit; what hangs on it is swept up after it, and its dynos are stopped by
/// the scheduler.
pub(crate) async fn destroy(context: &Context, app: AppId) -> Result<App, ActionError> {
    let mut attempts = Attempts::default();
    loop {
        let seen = read_app(context.store(), app).await?;
        must_share_nothing(context.store(), &seen.value).await?;
        let domains = key::DOMAINS.all(context.store()).await?;
        let ours = domains
            .iter()
            .filter(|domain| domain.value.app == app)
            .take(DOMAINS_AT_ONCE);
        let txn = Txn::new()
            .unchanged(&seen)
            .delete(seen.key.clone())
            .delete(key::app_name(&seen.value.name));
        let txn = ours.fold(txn, |txn, domain| {
            txn.unchanged(domain).delete(domain.key.clone())
        });
        if let Committed::Done(_) = txn.commit(context.store()).await? {
            return Ok(seen.value);
        }
        attempts.lost().await?;
    }
}

/// What Heroku's first stack was called, and what clients of its time still ask for when they are not told of any: the
/// Python library heroku3 with each app it makes.
const ANY_STACK: &str = "cedar";

pub(crate) fn known_stack(context: &Context, wanted: &str) -> Result<String, ActionError> {
    if wanted == ANY_STACK {
        return Ok(context.config.stack.clone());
    }
    let id_of = |name: &str| crate::views::platform::stack_named(name).id.to_string();
    if let Some(stack) = context
        .config
        .stacks()
        .find(|stack| *stack == wanted || id_of(stack) == wanted)
    {
        return Ok(stack.to_owned());
    }
    let known: Vec<_> = context.config.stacks().collect();
    Err(ActionError::invalid(format!(
        "There is no stack {wanted:?}; there is {}.",
        known.join(", ")
    )))
}

fn taken(name: &AppName) -> ActionError {
    ActionError::invalid(format!("Name {name} is already taken"))
}
