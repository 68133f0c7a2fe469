//! Setting apps up: the app and the wish for the rest, in one commit. [`crate::setups`] sees to the rest.

use std::collections::BTreeMap;

use controller_api::wire::{AppCreate, AppSetupCreate};
use model::repository::Archive;
use model::{
    Account, AppSetup, AppSetupId, BuildpackRef, ConfigChange, ConfigVarName, ConfigVars, Secret,
    SetupStage, Timestamp,
};
use store::{Txn, key};

use super::{ActionError, apps, builds};
use crate::context::{Context, actor};

/// Of one account that are not over.
const MAX_AT_ONCE: usize = 5;

/// What is to become of a new app.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) archive: Archive,
    /// Where the code is said to be.
    pub(crate) url: String,
    /// What counts for more than what `app.json` says.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) buildpacks: Vec<BuildpackRef>,
    /// Which of the environments of `app.json` it is for.
    pub(crate) environment: Option<String>,
}

pub(crate) async fn create(
    context: &Context,
    by: &Account,
    create: AppSetupCreate,
) -> Result<AppSetup, ActionError> {
    let overrides = create.overrides.unwrap_or_default();
    let wish = Wish {
        archive: builds::archive(context, &create.source_blob).await?,
        url: create.source_blob.url,
        env: overrides.env,
        buildpacks: builds::given(&overrides.buildpacks)?,
        environment: None,
    };
    let app: AppCreate = create.app.unwrap_or_default();
    begin(context, by, &app, wish, |_| Txn::new()).await
}

/// The app, the setup, and what `also` says of it.
pub(super) async fn begin(
    context: &Context,
    by: &Account,
    app: &AppCreate,
    wish: Wish,
    mut also: impl FnMut(&AppSetup) -> Txn + Send,
) -> Result<AppSetup, ActionError> {
    let mut env = ConfigChange::default();
    for (name, value) in &wish.env {
        let name = name.parse::<ConfigVarName>()?;
        env.0.insert(name, Some(Secret::from(value.as_str())));
    }
    let env = ConfigVars::default().with(&env)?;
    let all = key::APP_SETUPS.all(context.store()).await?;
    let unfinished = all.iter().filter(|seen| {
        let setup = &seen.value;
        setup.actor.account == by.id && !setup.stage.is_over()
    });
    if unfinished.count() >= MAX_AT_ONCE {
        return Err(ActionError::invalid(format!(
            "{MAX_AT_ONCE} of your apps are being set up; wait for one of them."
        )));
    }
    let (id, now) = (AppSetupId::new(), Timestamp::now());
    let place = key::app_setup(id);
    let env = context.keyring.seal(&place, &env)?;
    let mut made = None;
    apps::create_with(context, by, app, |app| {
        let setup = AppSetup {
            id,
            app: app.id,
            app_name: app.name.clone(),
            actor: actor(by),
            url: wish.url.clone(),
            archive: wish.archive.clone(),
            env: env.clone(),
            buildpacks: wish.buildpacks.clone(),
            environment: wish.environment.clone(),
            stage: SetupStage::Reading,
            build: None,
            success_url: None,
            postdeploy: None,
            created_at: now,
            updated_at: now,
        };
        let txn = also(&setup).create(&key::APP_SETUPS, place.clone(), &setup);
        made = Some(setup);
        txn
    })
    .await?;
    made.ok_or(ActionError::Gone { resource: "app" })
}
