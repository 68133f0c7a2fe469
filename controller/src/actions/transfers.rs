//! Giving apps and pipelines to other accounts.

use std::time::Duration;

use model::transfer::{Transfer, TransferState};
use model::{
    Account, Actor, App, Collaborator, Owner, Permission, Pipeline, Role, TeamMember, Timestamp,
    TransferId,
};
use store::{Committed, Store, StoreError, Txn, Versioned, key};

use super::{ActionError, Attempts, collaborators, contended, pipelines, read_app, teams};
use crate::context::{Context, actor};
use crate::{find, owners};

/// How long an offer stands.
pub(crate) const OFFERED_FOR: Duration = Duration::from_secs(14 * 24 * 3600);
/// Collaborators that one commit takes besides the apps of a pipeline.
const MAX_ACCESS_LOST: usize = 40;

/// Offers an app. Its recipient accepts or declines; an administrator does not ask.
pub(crate) async fn offer(
    context: &Context,
    by: &Account,
    app: &App,
    recipient: &str,
) -> Result<Transfer, ActionError> {
    let store = context.store();
    let to = recipient_of(store, recipient).await?;
    let Owner::Account(from) = app.owner else {
        return Err(ActionError::invalid(format!(
            "{} belongs to a team, whose administrators give it away without an offer: paas apps:transfer",
            app.name
        )));
    };
    if to.id == from {
        return Err(ActionError::invalid(format!(
            "{} owns {} already.",
            to.email, app.name
        )));
    }
    let now = Timestamp::now();
    let transfer = Transfer {
        id: TransferId::new(),
        app: app.id,
        owner: from,
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
            && app.owner == transfer.owner
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
            let to = Owner::Account(transfer.recipient);
            txn = teams::owned_by(store, txn, to).await?;
            txn = hand_over(txn, &app, (to, None), &[], now);
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

/// Whether the owner's rights are theirs. One who was let manage an app could else keep it, after he was let out.
pub(crate) fn gives_away(by: &Account, role: Role) -> bool {
    role == Role::Owner || by.is_admin
}

/// Who may work on an app no more once it is somebody else's: what a team shares is not its next owner's to bear.
///
/// # Errors
/// If they are more than one commit takes.
pub(super) async fn access_lost(
    store: &dyn Store,
    app: &App,
    to: Owner,
) -> Result<Vec<Versioned<Collaborator>>, ActionError> {
    if app.owner.team().is_none() || to.team().is_some() {
        return Ok(Vec::new());
    }
    let all = key::COLLABORATORS
        .list(store, &key::collaborators_of(app.id))
        .await?;
    match all.len() <= MAX_ACCESS_LOST {
        true => Ok(all),
        false => Err(ActionError::invalid(format!(
            "More than {MAX_ACCESS_LOST} people work on {}, and they would lose it with its team; remove some of them first: \
             paas access:remove",
            app.name
        ))),
    }
}

/// Whether whoever gives an app to a team is in that.
pub(super) async fn former_member(
    store: &dyn Store,
    app: &App,
    to: Owner,
) -> Result<Option<TeamMember>, StoreError> {
    match app.owner {
        Owner::Account(former) => owners::member(store, to, former).await,
        Owner::Team { .. } => Ok(None),
    }
}

/// Whoever gave an app may still work on it: as a member where it is his team's now.
pub(super) fn hand_over(
    txn: Txn,
    seen: &Versioned<App>,
    (to, former_member): (Owner, Option<&TeamMember>),
    lost: &[Versioned<Collaborator>],
    now: Timestamp,
) -> Txn {
    let app = &seen.value;
    let changed = App {
        owner: to,
        locked: app.locked && to.team().is_some(),
        updated_at: now,
        ..app.clone()
    };
    let txn = txn.replace(&key::APPS, seen, &changed);
    let txn = match app.owner {
        Owner::Account(former) => txn.put(
            &key::COLLABORATORS,
            key::collaborator(app.id, former),
            &collaborators::new(app.id, former, Permission::Operate, former_member),
        ),
        Owner::Team { .. } => txn,
    };
    let txn = lost
        .iter()
        .fold(txn, |txn, seen| txn.delete(seen.key.clone()));
    match to {
        Owner::Account(to) if !lost.iter().any(|seen| seen.value.account == to) => {
            txn.delete(key::collaborator(app.id, to))
        }
        _ => txn,
    }
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
pub(super) async fn must_know_it(
    store: &dyn Store,
    by: &Account,
    app: &App,
    to: &Account,
) -> Result<(), ActionError> {
    if by.is_admin || find::role(store, to, app).await?.is_some() {
        return Ok(());
    }
    Err(ActionError::invalid(format!(
        "{} does not work on {}, and nobody is made the owner of what is nothing to him: share it first (paas access:add).",
        to.email, app.name
    )))
}

/// The pipeline with those of its apps that its owner owns, in one commit; nobody is asked. `known`: as it was when it was
/// found that `by` may.
pub(crate) async fn pipeline(
    context: &Context,
    by: &Account,
    known: &Pipeline,
    recipient: &str,
) -> Result<Pipeline, ActionError> {
    let (id, from) = (known.id, known.owner);
    let store = context.store();
    let to = owners::named(store, recipient).await?;
    let to = to.ok_or_else(|| teams::unknown(recipient))?;
    let mut attempts = Attempts::default();
    loop {
        let now = Timestamp::now();
        let seen = key::PIPELINES.get(store, &key::pipeline(id)).await?;
        let seen = seen.ok_or(ActionError::Gone {
            resource: "pipeline",
        })?;
        if seen.value.owner != from {
            return Err(contended());
        }
        if from == to {
            return Ok(seen.value);
        }
        let changed = Pipeline {
            owner: to,
            updated_at: now,
            ..seen.value.clone()
        };
        pipelines::must_be_free(store, &changed).await?;
        if let Owner::Team { team } = to {
            teams::must_add_to(store, by, team, recipient).await?;
        }
        let txn = teams::owned_by(store, Txn::new(), to).await?;
        let mut txn = txn.replace(&key::PIPELINES, &seen, &changed);
        let (mut given, mut all_lost) = (Vec::new(), 0);
        for coupling in pipelines::couplings_of(store, id).await? {
            let place = key::app(coupling.value.app);
            if let Some(app) = key::APPS.get(store, &place).await?
                && app.value.owner == from
            {
                if let Owner::Account(to) = to {
                    let to = key::ACCOUNTS.get(store, &key::account(to)).await?;
                    let to = to.ok_or(ActionError::Gone {
                        resource: "account",
                    })?;
                    must_know_it(store, by, &app.value, &to.value).await?;
                }
                let lost = access_lost(store, &app.value, to).await?;
                all_lost += lost.len();
                let former = former_member(store, &app.value, to).await?;
                let to = (to, former.as_ref());
                txn = hand_over(txn.unchanged(&coupling), &app, to, &lost, now);
                given.push(app.value.id);
            }
        }
        if all_lost > MAX_ACCESS_LOST {
            return Err(ActionError::invalid(format!(
                "More than {MAX_ACCESS_LOST} people would lose apps of this pipeline with its team; give its apps one by one: \
                 paas apps:transfer"
            )));
        }
        if let Committed::Done(_) = txn.commit(store).await? {
            let shown = owners::show(store, to).await?;
            let shown = shown.map(|shown| shown.email.to_string());
            let text = format!("Transfer to {}", shown.unwrap_or_default());
            for app in given {
                context.tell(app, &actor(by), &text).await;
            }
            return Ok(changed);
        }
        attempts.lost().await?;
    }
}
