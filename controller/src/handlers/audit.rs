//! The audit log.

use std::collections::HashMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use controller_api::wire;
use model::AppId;
use model::audit::{AuditRecord, DeedEnd};
use serde::Deserialize;
use store::audit;
use uuid::Uuid;

use crate::context::{Context, Ctx};
use crate::error::{ApiError, ApiResult};
use crate::guard::AppAccess;
use crate::http::range::{Page, PageRange};
use crate::views;

/// As many as one answer may have.
const ENOUGH: usize = 1000;
/// For those before to have read.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pages of the log that one answer is looked for in.
const FAR: usize = 500;

#[derive(Debug, Deserialize)]
pub(crate) struct Before {
    /// Entries of earlier blocks than this.
    before: Option<u64>,
}

pub(crate) async fn list(
    State(context): State<Ctx>,
    range: PageRange,
    Query(Before { before }): Query<Before>,
) -> ApiResult<Page> {
    range.page(entries(&context, None, before).await?)
}

pub(crate) async fn list_of_app(
    State(context): State<Ctx>,
    access: AppAccess,
    range: PageRange,
    Query(Before { before }): Query<Before>,
) -> ApiResult<Page> {
    let app = Some(access.app.value.id);
    range.page(entries(&context, app, before).await?)
}

pub(crate) async fn chain(State(context): State<Ctx>) -> ApiResult<Json<wire::AuditChain>> {
    let _turn = turn(&context).await?;
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

/// The newest that there are.
async fn entries(
    context: &Context,
    app: Option<AppId>,
    before: Option<u64>,
) -> ApiResult<Vec<wire::AuditEntry>> {
    let _turn = turn(context).await?;
    let mut pages = audit::Pages::new(context.store(), before).await?;
    let mut ends: HashMap<Uuid, DeedEnd> = HashMap::new();
    let mut entries = Vec::new();
    for _ in 0..FAR {
        let Some(page) = pages.next().await? else {
            break;
        };
        // A deed's end comes after it, so it is met before it.
        for kept in page {
            for record in kept.block.records.into_iter().rev() {
                match record {
                    AuditRecord::Ended(end) => {
                        ends.insert(end.id, end);
                    }
                    AuditRecord::Begun(deed) => {
                        let end = ends.remove(&deed.id);
                        let of = deed.app.as_ref().map(|app| app.id);
                        if app.is_none() || of == app {
                            let number = kept.block.number;
                            entries.push(views::audit::entry(number, deed, end));
                        }
                    }
                }
            }
        }
        if entries.len() >= ENOUGH {
            break;
        }
    }
    Ok(entries)
}

/// The log is long: it is read by one at a time.
async fn turn(context: &Context) -> ApiResult<tokio::sync::SemaphorePermit<'_>> {
    let turn = tokio::time::timeout(PATIENCE, context.audit.reading.acquire());
    match turn.await {
        Ok(turn) => turn.map_err(ApiError::internal),
        Err(_) => Err(ApiError::rate_limit(
            "Others are reading the audit log. Try again in a moment.",
        )),
    }
}
