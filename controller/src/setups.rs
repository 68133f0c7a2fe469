//! Brings apps that are being set up to where they are to be: what `app.json` wants, a build, a release, its script.
//!
//! Level-based: each step looks at what there is and makes one commit, compared with the setup's record. Whoever comes
//! after one that was killed goes on with it, and of two who believe that it is theirs one commits.

mod addons;

use std::collections::HashMap;
use std::time::Duration;

use controller_api::archives::Looked;
use controller_api::wire::{DynoCreate, SourceBlobCreate};
use model::release::ReleaseDraft;
use model::repository::{Archive, ArchivePlace};
use model::{
    App, AppSetup, AppSetupId, Build, BuildSource, BuildStatus, ConfigChange, ConfigVars, Dyno,
    DynoId, DynoState, ExitReason, Intent, Postdeploy, ReleaseStatus, ServiceRole, SetupStage,
    Timestamp,
};
use store::ledger::{AppendError, Base, NewRelease, append_release};
use store::{Committed, Follower, StoreError, Txn, Versioned, key};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::actions::{ActionError, builds, dynos};
use crate::app_json::{self, Manifest};
use crate::auth::random_hex;
use crate::context::{Context, Ctx};
use addons::Given;

/// Another controller may have left some.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const STEP_EVERY: Duration = Duration::from_millis(500);
const AFTER_TROUBLE: Duration = Duration::from_secs(3);
/// Before what was found is swept up.
const LOOK_AGAIN: Duration = Duration::from_secs(300);
/// Longer than the longest build, release phase and script.
const WITHIN: jiff::SignedDuration = jiff::SignedDuration::from_hours(4);
/// Seconds that the script may take.
const SCRIPT_WITHIN: i64 = 3600;

/// Until the controller ends.
pub(crate) async fn run(context: Ctx) {
    let mut news = Follower::new(context.store.clone(), vec![key::APP_SETUPS.prefix()]);
    let mut every = tokio::time::interval(LOOK_EVERY);
    let mut tasks = JoinSet::new();
    let mut driven: HashMap<AppSetupId, AbortHandle> = HashMap::new();
    loop {
        driven.retain(|_, task| !task.is_finished());
        while tasks.try_join_next().is_some() {}
        match left(&context).await {
            Ok(setups) => {
                for id in setups {
                    let drive = || tasks.spawn(drive(context.clone(), id));
                    driven.entry(id).or_insert_with(drive);
                }
            }
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                "Could not look for apps to set up; will retry"
            ),
        }
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            _ = news.next() => {}
            _ = every.tick() => {}
        }
    }
}

/// Those that are not over, if they are this controller's to see to: the first of all that live does it.
async fn left(context: &Context) -> Result<Vec<AppSetupId>, StoreError> {
    let setups = key::APP_SETUPS.all(context.store()).await?;
    let left: Vec<_> = setups
        .into_iter()
        .filter(|seen| !seen.value.stage.is_over())
        .map(|seen| seen.value.id)
        .collect();
    if left.is_empty() {
        return Ok(left);
    }
    let place = key::alive_services_of(ServiceRole::Controller);
    let controllers = key::ALIVE_SERVICES.list(context.store(), &place).await?;
    let first = controllers.iter().map(|service| service.value.addr).min();
    Ok(match first {
        Some(first) if first != context.addr => Vec::new(),
        _ => left,
    })
}

/// Step by step to its end.
async fn drive(context: Ctx, id: AppSetupId) {
    // Not read at every step, for its add-ons may take a while.
    let mut looked = None;
    loop {
        let pause = match step(&context, id, &mut looked).await {
            Ok(Next::Over) => return,
            Ok(Next::Wait) => STEP_EVERY,
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, setup.id = %id, "Could not set an app up; will retry");
                AFTER_TROUBLE
            }
        };
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

enum Next {
    Wait,
    Over,
}

async fn step(
    context: &Context,
    id: AppSetupId,
    looked: &mut Option<(Looked, Instant)>,
) -> Result<Next, ActionError> {
    let store = context.store();
    let seen = key::APP_SETUPS.get(store, &key::app_setup(id)).await?;
    let Some(seen) = seen.filter(|seen| !seen.value.stage.is_over()) else {
        return Ok(Next::Over);
    };
    if Timestamp::now().duration_since(seen.value.created_at) > WITHIN {
        return fail(context, &seen, "It took too long.".to_owned(), Vec::new()).await;
    }
    match seen.value.stage.clone() {
        SetupStage::Reading => read(context, &seen, looked).await,
        SetupStage::Building { postdeploy } => building(context, &seen, postdeploy).await,
        SetupStage::PostDeploying { dyno } => post_deploying(context, &seen, dyno).await,
        SetupStage::Succeeded | SetupStage::Failed { .. } => Ok(Next::Over),
    }
}

/// What `app.json` wants, and the build: on record together, once its add-ons are there.
async fn read(
    context: &Context,
    seen: &Versioned<AppSetup>,
    looked: &mut Option<(Looked, Instant)>,
) -> Result<Next, ActionError> {
    let setup = &seen.value;
    if looked
        .as_ref()
        .is_none_or(|(_, at)| at.elapsed() > LOOK_AGAIN)
    {
        let look = context.builders.look(context.store(), &setup.archive);
        *looked = look.await?.map(|looked| (looked, Instant::now()));
    }
    let (blob, manifest) = match looked.as_ref().map(|(looked, _)| looked.clone()) {
        // No builder is there to look.
        None => return Ok(Next::Wait),
        Some(Looked::Refused { reason }) => return fail(context, seen, reason, vec![]).await,
        Some(Looked::Found { blob, manifest }) => (blob, manifest),
    };
    // A branch can be looked at without one.
    let manifest = manifest.or_else(|| setup.environment.is_some().then(|| "{}".to_owned()));
    let Some(text) = manifest else {
        let why = "The source has no app.json at its top.".to_owned();
        return fail(context, seen, why, vec![]).await;
    };
    let wanted = match Wishes::read(context, seen, &text) {
        Ok(wanted) => wanted,
        Err(Unfit::Manifest(errors)) => {
            return fail(context, seen, "invalid app.json".to_owned(), errors).await;
        }
        Err(Unfit::Action(ActionError::Invalid { message })) => {
            return fail(context, seen, "invalid app.json".to_owned(), vec![message]).await;
        }
        Err(Unfit::Action(error)) => return Err(error),
    };
    match addons::give(context, setup, &wanted.manifest.addons).await? {
        Given::All => {}
        Given::Wait => return Ok(Next::Wait),
        Given::Gone => return Ok(Next::Over),
        Given::Refused(why) => return fail(context, seen, why, vec![]).await,
    }
    let archive = Archive {
        place: ArchivePlace::Blob(blob),
        ..setup.archive.clone()
    };
    wanted.commit(context, seen, archive).await
}

enum Unfit {
    Manifest(Vec<String>),
    Action(ActionError),
}

impl<E: Into<ActionError>> From<E> for Unfit {
    fn from(error: E) -> Self {
        Self::Action(error.into())
    }
}

/// What an app is to be given before its first build.
struct Wishes {
    manifest: Manifest,
    buildpacks: Vec<model::BuildpackRef>,
    change: ConfigChange,
}

impl Wishes {
    fn read(context: &Context, seen: &Versioned<AppSetup>, text: &str) -> Result<Self, Unfit> {
        let setup = &seen.value;
        let manifest =
            app_json::parse(text, setup.environment.as_deref()).map_err(Unfit::Manifest)?;
        let given: ConfigVars = context.keyring.open(&seen.key, &setup.env)?;
        let config = manifest
            .config(&given.0, random_hex::<32>)
            .map_err(Unfit::Manifest)?;
        let change = ConfigChange(
            config
                .into_iter()
                .map(|(name, value)| (name, Some(value)))
                .collect(),
        );
        // Whether they fit an app is told now and not by the ledger.
        ConfigVars::default().with(&change)?;
        if let Some(stack) = &manifest.stack {
            crate::actions::apps::known_stack(context, stack)?;
        }
        let named = manifest.buildpacks.iter().map(String::as_str);
        let buildpacks = match setup.buildpacks.is_empty() {
            true => crate::actions::buildpacks::parse_all(named)?,
            false => setup.buildpacks.clone(),
        };
        Ok(Self {
            manifest,
            buildpacks,
            change,
        })
    }

    fn apply(&self, context: &Context, app: &App) -> App {
        let mut app = app.clone();
        app.formation.extend(self.manifest.formation.clone());
        app.buildpacks.clone_from(&self.buildpacks);
        // Whoever chose another stack for the app meant it.
        if let Some(stack) = &self.manifest.stack
            && app.stack == context.config.stack
        {
            app.stack.clone_from(stack);
        }
        app
    }

    async fn commit(
        self,
        context: &Context,
        seen: &Versioned<AppSetup>,
        archive: Archive,
    ) -> Result<Next, ActionError> {
        let (setup, now) = (&seen.value, Timestamp::now());
        let place = key::app(setup.app);
        let Some(app) = key::APPS.get(context.store(), &place).await? else {
            return Ok(Next::Over);
        };
        let changed = self.apply(context, &app.value);
        let blob = SourceBlobCreate {
            url: setup.url.clone(),
            ..SourceBlobCreate::default()
        };
        let asked = builds::asked(&changed, &setup.actor, &blob, archive);
        let (txn, next) = self.asking(seen, &asked);
        if self.change.0.is_empty() {
            let txn = txn.replace(
                &key::APPS,
                &app,
                &App {
                    updated_at: now,
                    ..changed
                },
            );
            // Somebody was quicker, with the app or with this.
            txn.commit(context.store()).await?;
            return Ok(Next::Wait);
        }
        let description = self.change.description();
        let appended = append_release(context.store(), &context.keyring, setup.app, now, |base| {
            self.release(context, base, &description, seen, &asked, &next)
        });
        match appended.await {
            Ok((_, release)) => {
                let (app, by) = (setup.app, &setup.actor);
                context.tell(app, by, &description).await;
                let text = format!("Release {} created", release.version);
                context.tell(app, by, &text).await;
                Ok(Next::Wait)
            }
            Err(AppendError::NoSuchApp) => Ok(Next::Over),
            Err(AppendError::Refused(error)) => Err(error),
            Err(AppendError::Store(StoreError::Contended { .. })) => Ok(Next::Wait),
            Err(AppendError::Store(error)) => Err(error.into()),
        }
    }

    fn release(
        &self,
        context: &Context,
        base: &Base,
        description: &str,
        seen: &Versioned<AppSetup>,
        (build, source): &(Build, BuildSource),
        next: &AppSetup,
    ) -> Result<NewRelease, ActionError> {
        Ok(NewRelease {
            draft: ReleaseDraft {
                description: description.to_owned(),
                actor: seen.value.actor.clone(),
                slug: base.release.value.slug,
            },
            // What add-ons give is not for app.json to set.
            config: base
                .config
                .with(&self.change)?
                .without(&base.attached.reserved()),
            attached: None,
            app: self.apply(context, &base.app.value),
            also: builds::ask(Txn::new(), build, source).replace(&key::APP_SETUPS, seen, next),
        })
    }

    fn asking(
        &self,
        seen: &Versioned<AppSetup>,
        (build, source): &(Build, BuildSource),
    ) -> (Txn, AppSetup) {
        let next = AppSetup {
            stage: SetupStage::Building {
                postdeploy: self.manifest.postdeploy.clone(),
            },
            build: Some(build.id),
            success_url: self.manifest.success_url.clone(),
            updated_at: Timestamp::now(),
            ..seen.value.clone()
        };
        let txn = builds::ask(Txn::new(), build, source);
        (txn.replace(&key::APP_SETUPS, seen, &next), next)
    }
}

async fn building(
    context: &Context,
    seen: &Versioned<AppSetup>,
    postdeploy: Option<String>,
) -> Result<Next, ActionError> {
    let (store, setup) = (context.store(), &seen.value);
    let build = match setup.build {
        Some(build) => {
            key::BUILDS
                .get(store, &key::build(setup.app, build))
                .await?
        }
        None => None,
    };
    let version = match build.map(|build| build.value.status) {
        Some(BuildStatus::Pending) => return Ok(Next::Wait),
        Some(BuildStatus::Succeeded { release, .. }) => release,
        Some(BuildStatus::Failed { reason }) => {
            let why = format!("The build failed: {reason}");
            return fail(context, seen, why, vec![]).await;
        }
        None => return fail(context, seen, "The build is gone.".to_owned(), vec![]).await,
    };
    let place = key::release(setup.app, version);
    match key::RELEASES
        .get(store, &place)
        .await?
        .map(|release| release.value.status)
    {
        Some(ReleaseStatus::Pending) => return Ok(Next::Wait),
        Some(ReleaseStatus::Succeeded | ReleaseStatus::Superseded { .. }) => {}
        Some(ReleaseStatus::Failed(failure)) => {
            let why = format!("The release failed: {}", failure.reason);
            return fail(context, seen, why, vec![]).await;
        }
        None => return fail(context, seen, "The release is gone.".to_owned(), vec![]).await,
    }
    match postdeploy {
        None => finish(context, seen, Txn::new(), SetupStage::Succeeded, None).await,
        Some(command) => post_deploy(context, seen, &command).await,
    }
}

/// Starts the script as a one-off dyno, which stays on record until its end was seen.
async fn post_deploy(
    context: &Context,
    seen: &Versioned<AppSetup>,
    command: &str,
) -> Result<Next, ActionError> {
    let setup = &seen.value;
    let create = DynoCreate {
        command: command.to_owned(),
        process_type: Some("postdeploy".to_owned()),
        time_to_live: Some(SCRIPT_WITHIN),
        ..DynoCreate::default()
    };
    let started = dynos::start(context, setup.app, &setup.actor, &create, |dyno| {
        let next = AppSetup {
            stage: SetupStage::PostDeploying { dyno: dyno.id },
            updated_at: Timestamp::now(),
            ..setup.clone()
        };
        if let model::DynoKind::OneOff(one_off) = &mut dyno.kind {
            one_off.is_kept = true;
        }
        Txn::new().replace(&key::APP_SETUPS, seen, &next)
    });
    match started.await {
        Ok(_) => Ok(Next::Wait),
        Err(ActionError::Gone { .. }) => Ok(Next::Over),
        Err(ActionError::Store(StoreError::Contended { .. })) => Ok(Next::Wait),
        Err(ActionError::Invalid { message }) => fail(context, seen, message, vec![]).await,
        Err(error) => Err(error),
    }
}

async fn post_deploying(
    context: &Context,
    seen: &Versioned<AppSetup>,
    dyno: DynoId,
) -> Result<Next, ActionError> {
    let (store, app) = (context.store(), seen.value.app);
    let status = key::DYNO_STATUS
        .get(store, &key::dyno_status(app, dyno))
        .await?;
    let Some(record) = key::DYNOS.get(store, &key::dyno(app, dyno)).await? else {
        let why = "The dyno of the postdeploy script is gone.".to_owned();
        return fail(context, seen, why, vec![]).await;
    };
    let Some(DynoState::Stopped { exit, .. }) = status.map(|status| status.value.state) else {
        return Ok(Next::Wait);
    };
    let (code, why, lines) = match exit {
        Some(exit) => {
            let code = match exit.reason {
                ExitReason::Exited { status } => status,
                _ => 1,
            };
            (code, exit.reason.describe(), exit.log_tail)
        }
        None => (1, "It was stopped before it ran".to_owned(), Vec::new()),
    };
    let stage = match code {
        0 => SetupStage::Succeeded,
        _ => SetupStage::Failed {
            message: format!("The postdeploy script failed: {why}"),
            manifest_errors: Vec::new(),
        },
    };
    let postdeploy = Postdeploy {
        exit_code: code,
        output: lines.iter().map(|line| format!("{line}\n")).collect(),
    };
    let released = Dyno {
        intent: Intent::Stop {
            since: Timestamp::now(),
        },
        ..record.value.clone()
    };
    let txn = Txn::new().replace(&key::DYNOS, &record, &released);
    finish(context, seen, txn, stage, Some(postdeploy)).await
}

async fn fail(
    context: &Context,
    seen: &Versioned<AppSetup>,
    message: String,
    manifest_errors: Vec<String>,
) -> Result<Next, ActionError> {
    let stage = SetupStage::Failed {
        message,
        manifest_errors,
    };
    finish(context, seen, Txn::new(), stage, None).await
}

async fn finish(
    context: &Context,
    seen: &Versioned<AppSetup>,
    txn: Txn,
    stage: SetupStage,
    postdeploy: Option<Postdeploy>,
) -> Result<Next, ActionError> {
    let over = AppSetup {
        stage,
        postdeploy,
        updated_at: Timestamp::now(),
        ..seen.value.clone()
    };
    let txn = txn.replace(&key::APP_SETUPS, seen, &over);
    if txn.commit(context.store()).await? == Committed::Conflict {
        return Ok(Next::Wait);
    }
    match &over.stage {
        SetupStage::Failed { message, .. } => {
            info!(app.name = %over.app_name, setup.id = %over.id, "An app could not be set up: {message}");
        }
        _ => info!(app.name = %over.app_name, setup.id = %over.id, "Set an app up"),
    }
    Ok(Next::Over)
}
