//! Giving apps and pipelines to other accounts.

use std::time::Duration;

use model::transfer::{Transfer, TransferState};
use model::{
    Account, AccountId, Actor, App, Collaborator, Permission, Pipeline, PipelineId, Timestamp,
    TransferId,
};
use store::{Committed, Store, Txn, Versioned, key};
use uuid::Uuid;

use super::{ActionError, Attempts, pipelines, read_app};
use crate::context::{Context, actor};
use crate::find;

/// How long an offer stands.
pub(crate) const OFFERED_FOR: Duration = Duration::from_secs(14 * 24 * 3600);

/// Offers an app. Its recipient accepts or declines; an administrator does not ask.
pub(crate) async fn offer(
    context: &Context,
    by: &Account,
    app: &App,
    recipient: &str,
) -> Result<Transfer, ActionError> {
    let store = context.store();
    let to = recipient_of(store, recipient).await?;
    if to.id == app.owner {
        return Err(ActionError::invalid(format!(
            "{} owns {} already.",
            to.email, app.name
        )));
    }
    let now = Timestamp::now();
    let transfer = Transfer {
        id: TransferId::new(),
        app: app.id,
        owner: app.owner,
        recipient: to.id,
        state: TransferState::Pending,
        created_at: now,
        updated_at: now,
    };
    let place = key::transfer(transfer.id);
    let mut attempts = Attempts::default();
    loop {
        let seen = read_app(store, app.id).await?;
        let pending = find_pending(store, app).await?;
        if pending.is_some() {
            return Err(ActionError::invalid(format!(
                "{} is being offered to somebody already; take that back first.",
                app.name
            )));
        }
        // Two offers at once cannot both be made: each writes the app's record.
        let txn = Txn::new()
            .exists(key::account(to.id))
            .replace(&key::APPS, &seen, &seen.value)
            .create(&key::TRANSFERS, place.clone(), &transfer);
        if let Committed::Done(_) = txn.commit(store).await? {
            break;
        }
        attempts.lost().await?;
    }
    if !by.is_admin {
        return Ok(transfer);
    }
    let made = key::TRANSFERS.get(store, &place).await?;
    let made = made.ok_or_else(gone)?;
    decide(context, &actor(by), &made, TransferState::Accepted).await
}

async fn find_pending(
    store: &dyn Store,
    app: &App,
) -> Result<Option<Versioned<Transfer>>, ActionError> {
    let all = key::TRANSFERS.all(store).await?;
    Ok(all.into_iter().find(|seen| {
        let transfer = &seen.value;
        transfer.app == app.id
            && transfer.owner == app.owner
            && transfer.state == TransferState::Pending
    }))
}

async fn recipient_of(store: &dyn Store, identity: &str) -> Result<Account, ActionError> {
    let found = find::account(store, identity).await?;
    let found = found.ok_or_else(|| {
        ActionError::invalid(format!(
            "There is no account {}. An administrator of the platform can make one.",
            identity.chars().take(300).collect::<String>()
        ))
    })?;
    Ok(found.value)
}

const fn gone() -> ActionError {
    ActionError::Gone {
        resource: "app transfer",
    }
}

/// Accepted, the app changes hands; whoever gave it may still work on it.
pub(crate) async fn decide(
    context: &Context,
    by: &Actor,
    seen: &Versioned<Transfer>,
    state: TransferState,
) -> Result<Transfer, ActionError> {
    let store = context.store();
    let transfer = &seen.value;
    if transfer.state != TransferState::Pending {
        return Err(ActionError::invalid("This transfer was decided already."));
    }
    let now = Timestamp::now();
    if now.duration_since(transfer.created_at).unsigned_abs() > OFFERED_FOR {
        return Err(ActionError::invalid(
            "This offer is too old; ask for it once more.",
        ));
    }
    let changed = Transfer {
        state,
        updated_at: now,
        ..transfer.clone()
    };
    let mut attempts = Attempts::default();
    loop {
        let mut txn = Txn::new().replace(&key::TRANSFERS, seen, &changed);
        if state == TransferState::Accepted {
            let app = read_app(store, transfer.app).await?;
            if app.value.owner != transfer.owner {
                return Err(ActionError::invalid(format!(
                    "{} has changed hands since this was offered.",
                    app.value.name
                )));
            }
            txn = hand_over(txn, &app, transfer.recipient, now);
        }
        if let Committed::Done(_) = txn.commit(store).await? {
            if state == TransferState::Accepted {
                let email = find::emails(store, vec![transfer.recipient]).await?;
                let email = email.get(&transfer.recipient).map(ToString::to_string);
                let text = format!("Transfer to {}", email.unwrap_or_default());
                context.tell(transfer.app, by, &text).await;
            }
            return Ok(changed);
        }
        match key::TRANSFERS.get(store, &seen.key).await? {
            Some(now) if now.revision == seen.revision => attempts.lost().await?,
            _ => return Err(gone()),
        }
    }
}

fn hand_over(txn: Txn, seen: &Versioned<App>, to: AccountId, now: Timestamp) -> Txn {
    let app = &seen.value;
    let changed = App {
        owner: to,
        updated_at: now,
        ..app.clone()
    };
    let former = Collaborator {
        id: Uuid::now_v7(),
        app: app.id,
        account: app.owner,
        permission: Permission::Operate,
        created_at: now,
        updated_at: now,
    };
    txn.exists(key::account(to))
        .replace(&key::APPS, seen, &changed)
        .put(
            &key::COLLABORATORS,
            key::collaborator(app.id, app.owner),
            &former,
        )
        .delete(key::collaborator(app.id, to))
}

pub(crate) async fn take_back(
    store: &dyn Store,
    seen: &Versioned<Transfer>,
) -> Result<(), ActionError> {
    let txn = Txn::new().unchanged(seen).delete(seen.key.clone());
    match txn.commit(store).await? {
        Committed::Done(_) => Ok(()),
        Committed::Conflict => Err(gone()),
    }
}

/// Nobody is made the owner of what he has nothing to do with.
async fn must_know_it(
    store: &dyn Store,
    by: &Account,
    app: &App,
    to: &Account,
) -> Result<(), ActionError> {
    if by.is_admin || find::role(store, to, app).await?.is_some() {
        return Ok(());
    }
    Err(ActionError::invalid(format!(
        "{} does not work on {}: share it first (paas access:add), or offer it by itself (paas apps:transfer).",
        to.email, app.name
    )))
}

/// The pipeline with those of its apps that its owner owns, in one commit; nobody is asked.
pub(crate) async fn pipeline(
    context: &Context,
    by: &Account,
    id: PipelineId,
    recipient: &str,
) -> Result<(Pipeline, AccountId), ActionError> {
    let store = context.store();
    let to = recipient_of(store, recipient).await?;
    let mut attempts = Attempts::default();
    loop {
        let now = Timestamp::now();
        let seen = key::PIPELINES.get(store, &key::pipeline(id)).await?;
        let seen = seen.ok_or(ActionError::Gone {
            resource: "pipeline",
        })?;
        let from = seen.value.owner;
        if from == to.id {
            return Ok((seen.value, from));
        }
        let changed = Pipeline {
            owner: to.id,
            updated_at: now,
            ..seen.value.clone()
        };
        pipelines::must_be_free(store, &changed).await?;
        let mut txn =
            Txn::new()
                .exists(key::account(to.id))
                .replace(&key::PIPELINES, &seen, &changed);
        let mut given = Vec::new();
        for coupling in pipelines::couplings_of(store, id).await? {
            let place = key::app(coupling.value.app);
            if let Some(app) = key::APPS.get(store, &place).await?
                && app.value.owner == from
            {
                must_know_it(store, by, &app.value, &to).await?;
                txn = hand_over(txn.unchanged(&coupling), &app, to.id, now);
                given.push(app.value.id);
            }
        }
        if let Committed::Done(_) = txn.commit(store).await? {
            for app in given {
                let text = format!("Transfer to {}", to.email);
                context.tell(app, &actor(by), &text).await;
            }
            return Ok((changed, from));
        }
        attempts.lost().await?;
    }
}
