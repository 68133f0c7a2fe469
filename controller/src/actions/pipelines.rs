//! Making, changing and destroying pipelines, and putting apps into them.

use controller_api::wire::{PipelineCreate, PipelineUpdate};
use model::pipeline::MAX_APPS;
use model::{
    Account, App, Coupling, CouplingId, Owner, Pipeline, PipelineId, PipelineName, Stage, Timestamp,
};
use store::{Committed, Store, Txn, Versioned, key};

use super::{ActionError, Attempts, contended, teams};
use crate::owners;

pub(crate) async fn create(
    store: &dyn Store,
    account: &Account,
    create: &PipelineCreate,
) -> Result<Pipeline, ActionError> {
    let name: PipelineName = create.name.parse()?;
    let owner = match &create.owner {
        Some(owner) => owner_to_be(store, account, &owner.0).await?,
        None => Owner::Account(account.id),
    };
    let now = Timestamp::now();
    let pipeline = Pipeline {
        id: PipelineId::new(),
        name,
        owner,
        created_at: now,
        updated_at: now,
    };
    let mut attempts = Attempts::default();
    loop {
        must_be_free(store, &pipeline).await?;
        let txn = teams::owned_by(store, Txn::new(), owner).await?;
        let txn = txn.create(&key::PIPELINES, key::pipeline(pipeline.id), &pipeline);
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(pipeline);
        }
        attempts.lost().await?;
    }
}

async fn owner_to_be(store: &dyn Store, by: &Account, named: &str) -> Result<Owner, ActionError> {
    let owner = owners::named(store, named).await?;
    let owner = owner.ok_or_else(|| teams::unknown(named))?;
    match owner {
        Owner::Team { team } => teams::must_add_to(store, by, team, named).await?,
        Owner::Account(owner) if owner != by.id && !by.is_admin => {
            return Err(ActionError::Forbidden {
                message: "A pipeline that you make is your own or your team's; give it to others afterwards."
                    .to_owned(),
            });
        }
        Owner::Account(_) => {}
    }
    Ok(owner)
}

/// The names of an owner's pipelines are told apart.
pub(super) async fn must_be_free(store: &dyn Store, wanted: &Pipeline) -> Result<(), ActionError> {
    let all = key::PIPELINES.all(store).await?;
    let is_taken = all.iter().any(|other| {
        let other = &other.value;
        other.id != wanted.id && other.owner == wanted.owner && other.name == wanted.name
    });
    match is_taken {
        true => Err(ActionError::invalid(format!(
            "Name {} is already taken",
            wanted.name
        ))),
        false => Ok(()),
    }
}

pub(crate) async fn update(
    store: &dyn Store,
    id: PipelineId,
    update: &PipelineUpdate,
) -> Result<Pipeline, ActionError> {
    let name: Option<PipelineName> = update.name.as_deref().map(str::parse).transpose()?;
    let mut attempts = Attempts::default();
    loop {
        let seen = key::PIPELINES.get(store, &key::pipeline(id)).await?;
        let seen = seen.ok_or(ActionError::Gone {
            resource: "pipeline",
        })?;
        let mut changed = seen.value.clone();
        if let Some(name) = &name {
            changed.name.clone_from(name);
        }
        if changed == seen.value {
            return Ok(changed);
        }
        must_be_free(store, &changed).await?;
        changed.updated_at = Timestamp::now();
        let txn = Txn::new().replace(&key::PIPELINES, &seen, &changed);
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(changed);
        }
        attempts.lost().await?;
    }
}

/// Its apps stay, and are in no pipeline.
pub(crate) async fn destroy(store: &dyn Store, id: PipelineId) -> Result<Pipeline, ActionError> {
    let mut attempts = Attempts::default();
    loop {
        let seen = key::PIPELINES.get(store, &key::pipeline(id)).await?;
        let seen = seen.ok_or(ActionError::Gone {
            resource: "pipeline",
        })?;
        let txn = Txn::new().unchanged(&seen).delete(seen.key.clone());
        let txn = couplings_of(store, id)
            .await?
            .into_iter()
            .fold(txn, |txn, coupling| {
                txn.unchanged(&coupling).delete(coupling.key)
            });
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(seen.value);
        }
        attempts.lost().await?;
    }
}

/// The apps of a pipeline.
pub(crate) async fn couplings_of(
    store: &dyn Store,
    id: PipelineId,
) -> Result<Vec<Versioned<Coupling>>, ActionError> {
    let mut couplings = key::COUPLINGS.all(store).await?;
    couplings.retain(|coupling| coupling.value.pipeline == id);
    Ok(couplings)
}

/// The pipeline's record is touched, so that it cannot go, nor fill up, at the same time.
pub(crate) async fn couple(
    store: &dyn Store,
    app: &App,
    pipeline: PipelineId,
    stage: Stage,
) -> Result<Coupling, ActionError> {
    let mut attempts = Attempts::default();
    loop {
        let seen = key::PIPELINES.get(store, &key::pipeline(pipeline)).await?;
        let seen = seen.ok_or(ActionError::Gone {
            resource: "pipeline",
        })?;
        if let Some(there) = key::COUPLINGS.get(store, &key::coupling(app.id)).await? {
            let message = match there.value.pipeline == pipeline {
                true => format!("{} is in this pipeline already.", app.name),
                false => format!(
                    "{} is in another pipeline; take it out of that one first.",
                    app.name
                ),
            };
            return Err(ActionError::invalid(message));
        }
        if couplings_of(store, pipeline).await?.len() >= MAX_APPS {
            return Err(ActionError::invalid(format!(
                "A pipeline may have at most {MAX_APPS} apps."
            )));
        }
        let now = Timestamp::now();
        let coupling = Coupling {
            id: CouplingId::new(),
            app: app.id,
            pipeline,
            stage,
            created_at: now,
            updated_at: now,
        };
        let txn = Txn::new()
            .exists(key::app(app.id))
            .replace(&key::PIPELINES, &seen, &seen.value)
            .create(&key::COUPLINGS, key::coupling(app.id), &coupling);
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(coupling);
        }
        attempts.lost().await?;
    }
}

pub(crate) async fn move_to(
    store: &dyn Store,
    seen: &Versioned<Coupling>,
    stage: Stage,
) -> Result<Coupling, ActionError> {
    let changed = Coupling {
        stage,
        updated_at: Timestamp::now(),
        ..seen.value.clone()
    };
    let txn = Txn::new().replace(&key::COUPLINGS, seen, &changed);
    match txn.commit(store).await? {
        Committed::Done(_) => Ok(changed),
        Committed::Conflict => Err(contended()),
    }
}

pub(crate) async fn take_out(
    store: &dyn Store,
    seen: &Versioned<Coupling>,
) -> Result<(), ActionError> {
    let txn = Txn::new().unchanged(seen).delete(seen.key.clone());
    match txn.commit(store).await? {
        Committed::Done(_) => Ok(()),
        Committed::Conflict => Err(contended()),
    }
}
