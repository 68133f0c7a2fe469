//! The audit log.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use controller_api::wire;
use model::AppId;
use model::audit::{AuditRecord, Deed, DeedEnd};
use store::{Store, StoreError, audit};
use uuid::Uuid;

use crate::context::Ctx;
use crate::error::ApiResult;
use crate::guard::AppAccess;
use crate::http::range::{Page, PageRange};
use crate::views;

pub(crate) async fn list(State(context): State<Ctx>, range: PageRange) -> ApiResult<Page> {
    range.page(entries(context.store(), None).await?)
}

pub(crate) async fn list_of_app(
    State(context): State<Ctx>,
    access: AppAccess,
    range: PageRange,
) -> ApiResult<Page> {
    let app = Some(access.app.value.id);
    range.page(entries(context.store(), app).await?)
}

pub(crate) async fn chain(State(context): State<Ctx>) -> ApiResult<Json<wire::AuditChain>> {
    let verified = audit::verify(context.store()).await?;
    Ok(Json(wire::AuditChain {
        fault: verified.fault,
        first: verified.first,
        head: verified.head.map(|head| wire::AuditChainHead {
            hash: head.hash.to_string(),
            number: head.number,
        }),
    }))
}

async fn entries(
    store: &dyn Store,
    app: Option<AppId>,
) -> Result<Vec<wire::AuditEntry>, StoreError> {
    let (mut deeds, mut ends): (Vec<Deed>, HashMap<Uuid, DeedEnd>) = Default::default();
    for block in audit::blocks(store).await? {
        for record in block.value.records {
            match record {
                AuditRecord::Begun(deed) => {
                    let of = deed.app.as_ref().map(|app| app.id);
                    if app.is_none() || of == app {
                        deeds.push(deed);
                    }
                }
                AuditRecord::Ended(end) => {
                    ends.insert(end.id, end);
                }
            }
        }
    }
    Ok(deeds
        .into_iter()
        .map(|deed| {
            let end = ends.remove(&deed.id);
            views::audit::entry(deed, end)
        })
        .collect())
}
