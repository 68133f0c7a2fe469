//! Offers of apps to other accounts, and of pipelines.

use axum::Json;
use axum::extract::{Path, State};
use controller_api::wire;
use model::transfer::{Transfer, TransferState};
use model::{Account, Permission, TransferId};
use store::{Store, Versioned, key};

use super::pipelines::{Seen, permitted};
use super::{Created, created};
use crate::actions::transfers;
use crate::auth::Session;
use crate::context::{Ctx, actor};
use crate::error::{ApiError, ApiResult};
use crate::find;
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::views;

pub(crate) async fn create(
    State(context): State<Ctx>,
    session: Session,
    JsonBody(body): JsonBody<wire::AppTransferCreate>,
) -> ApiResult<Created<wire::AppTransfer>> {
    let store = context.store();
    let app = permitted(store, &session, &body.app.0, Permission::Manage).await?;
    let account = &session.account;
    let role = find::role(store, account, &app).await?;
    if !role.is_some_and(|role| transfers::gives_away(account, role)) {
        return Err(ApiError::forbidden(format!(
            "Only the owner of {} may give it to somebody.",
            app.name
        )));
    }
    let transfer = transfers::offer(&context, account, &app, &body.recipient.0).await?;
    Ok(created(view(store, &transfer).await?))
}

/// Those one makes, and those one is offered.
pub(crate) async fn list(
    State(context): State<Ctx>,
    session: Session,
    range: PageRange,
) -> ApiResult<Page> {
    let store = context.store();
    let mut views = Vec::new();
    for seen in key::TRANSFERS.all(store).await? {
        // One whose app is just going is not told of.
        if concerns(&seen.value, &session.account)
            && let Ok(view) = view(store, &seen.value).await
        {
            views.push(view);
        }
    }
    range.page(views)
}

pub(crate) async fn show(
    State(context): State<Ctx>,
    session: Session,
    Path(identity): Path<String>,
) -> ApiResult<Json<wire::AppTransfer>> {
    let store = context.store();
    let seen = own(store, &session, &identity).await?;
    Ok(Json(view(store, &seen.value).await?))
}

pub(crate) async fn decide(
    State(context): State<Ctx>,
    session: Session,
    Path(identity): Path<String>,
    JsonBody(body): JsonBody<wire::AppTransferUpdate>,
) -> ApiResult<Json<wire::AppTransfer>> {
    let store = context.store();
    let seen = own(store, &session, &identity).await?;
    if seen.value.recipient != session.account.id && !session.account.is_admin {
        return Err(ApiError::forbidden(
            "Only whom the app is offered to may accept or decline it.",
        ));
    }
    let state = match body.state.as_str() {
        "accepted" => TransferState::Accepted,
        "declined" => TransferState::Declined,
        _ => {
            return Err(ApiError::invalid(
                "A transfer's state can be set to accepted or declined.",
            ));
        }
    };
    let by = actor(&session.account);
    let decided = transfers::decide(&context, &by, &seen, state).await?;
    Ok(Json(view(store, &decided).await?))
}

pub(crate) async fn take_back(
    State(context): State<Ctx>,
    session: Session,
    Path(identity): Path<String>,
) -> ApiResult<Json<wire::AppTransfer>> {
    let store = context.store();
    let seen = own(store, &session, &identity).await?;
    if seen.value.owner != session.account.id && !session.account.is_admin {
        return Err(ApiError::forbidden(
            "Only who offers the app may take the offer back; decline it instead.",
        ));
    }
    let view = view(store, &seen.value).await?;
    transfers::take_back(store, &seen).await?;
    Ok(Json(view))
}

pub(crate) async fn pipeline(
    State(context): State<Ctx>,
    session: Session,
    JsonBody(body): JsonBody<wire::PipelineTransferCreate>,
) -> ApiResult<Created<wire::PipelineTransfer>> {
    let store = context.store();
    let seen = Seen::by(store, &session).await?;
    let pipeline = seen.owned(&session, &body.pipeline.0)?;
    let (by, to) = (&session.account, &body.new_owner.0);
    let given = transfers::pipeline(&context, by, &pipeline, to).await?;
    Ok(created(wire::PipelineTransfer {
        new_owner: views::pipeline::owner(given.owner),
        pipeline: wire::IdRef { id: given.id },
        previous_owner: views::pipeline::owner(pipeline.owner),
    }))
}

fn concerns(transfer: &Transfer, account: &Account) -> bool {
    account.is_admin || transfer.owner == account.id || transfer.recipient == account.id
}

/// By its id, or the name of the app.
async fn own(
    store: &dyn Store,
    session: &Session,
    identity: &str,
) -> ApiResult<Versioned<Transfer>> {
    let none = || ApiError::not_found("app transfer");
    let id = match identity.parse::<TransferId>() {
        Ok(id) => id,
        Err(_) => {
            let app = find::app(store, identity).await?.ok_or_else(none)?;
            let all = key::TRANSFERS.all(store).await?;
            let is_it = |seen: &&Versioned<Transfer>| {
                let transfer = &seen.value;
                transfer.app == app.value.id
                    && app.value.owner == transfer.owner
                    && transfer.state == TransferState::Pending
            };
            all.iter().find(is_it).ok_or_else(none)?.value.id
        }
    };
    let found = key::TRANSFERS.get(store, &key::transfer(id)).await?;
    found
        .filter(|seen| concerns(&seen.value, &session.account))
        .ok_or_else(none)
}

async fn view(store: &dyn Store, transfer: &Transfer) -> ApiResult<wire::AppTransfer> {
    let app = key::APPS.get(store, &key::app(transfer.app)).await?;
    let app = app.ok_or_else(|| ApiError::not_found("app transfer"))?;
    let emails = find::emails(store, vec![transfer.owner, transfer.recipient]).await?;
    let user = |id| {
        let email = emails.get(&id).cloned();
        email.map(|email| wire::UserRef { id, email })
    };
    let none = || ApiError::not_found("app transfer");
    Ok(wire::AppTransfer {
        app: views::app_ref(&app.value),
        created_at: transfer.created_at.into(),
        id: transfer.id,
        owner: user(transfer.owner).ok_or_else(none)?,
        recipient: user(transfer.recipient).ok_or_else(none)?,
        state: transfer.state,
        updated_at: transfer.updated_at.into(),
    })
}
