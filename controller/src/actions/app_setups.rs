//! Setting apps up: the app and the wish for the rest, in one commit. [`crate::setups`] sees to the rest.

use controller_api::wire::{AppCreate, AppSetupCreate};
use model::{
    Account, AppSetup, AppSetupId, ConfigChange, ConfigVarName, ConfigVars, Secret, SetupStage,
    Timestamp,
};
use store::{Txn, key};

use super::{ActionError, apps, builds};
use crate::context::{Context, actor};

/// Of one account that are not over.
const MAX_AT_ONCE: usize = 5;

pub(crate) async fn create(
    context: &Context,
    by: &Account,
    create: AppSetupCreate,
) -> Result<AppSetup, ActionError> {
    let archive = builds::archive(context, &create.source_blob).await?;
    let overrides = create.overrides.unwrap_or_default();
    let buildpacks = builds::given(&overrides.buildpacks)?;
    let mut env = ConfigChange::default();
    for (name, value) in &overrides.env {
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
    let app_create: AppCreate = create.app.unwrap_or_default();
    apps::create_with(context, by, &app_create, |app| {
        let setup = AppSetup {
            id,
            app: app.id,
            app_name: app.name.clone(),
            actor: actor(by),
            url: create.source_blob.url.clone(),
            archive: archive.clone(),
            env: env.clone(),
            buildpacks: buildpacks.clone(),
            stage: SetupStage::Reading,
            build: None,
            success_url: None,
            postdeploy: None,
            created_at: now,
            updated_at: now,
        };
        let txn = Txn::new().create(&key::APP_SETUPS, place.clone(), &setup);
        made = Some(setup);
        txn
    })
    .await?;
    made.ok_or(ActionError::Gone { resource: "app" })
}
