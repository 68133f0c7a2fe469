//! Log sessions: a URL good for reading one app's lines, with or without their future.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use controller_api::wire;
use model::log::LogSource;
use model::{AccountId, AppId, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Store, StoreError, key};
use uuid::Uuid;

use super::{Created, created};
use crate::context::Ctx;
use crate::error::{ApiError, ApiResult};
use crate::find;
use crate::guard::AppAccess;
use crate::http::body::JsonBody;
use crate::http::ticket;
use crate::logs::{Filter, Format, Session, Wanted};

const DEFAULT_LINES: u16 = 100;
const MAX_LINES: u16 = 1500;
/// How long after it was made a session can be begun, and be taken up again.
const BEGIN_WITHIN: Duration = Duration::from_secs(300);
const RESUME_WITHIN: Duration = Duration::from_secs(24 * 3600);

/// What a log URL's last segment holds.
#[derive(Debug, Serialize, Deserialize)]
struct LogTicket {
    app: AppId,
    /// Who made it. Of tickets from before it was told: nobody is asked.
    #[serde(default)]
    account: Option<AccountId>,
    filter: Filter,
    lines: u16,
    tail: bool,
    made_at: Timestamp,
}

pub(crate) async fn create_session(
    State(context): State<Ctx>,
    access: AppAccess,
    JsonBody(body): JsonBody<wire::LogSessionCreate>,
) -> ApiResult<Created<wire::LogSession>> {
    let source = match body.source.as_deref() {
        None | Some("") => None,
        Some("app") => Some(LogSource::App),
        Some("heroku") => Some(LogSource::Heroku),
        Some(other) => {
            return Err(ApiError::invalid(format!(
                "There is no log source {other:?}; there are app and heroku."
            )));
        }
    };
    let now = Timestamp::now();
    let session = LogTicket {
        app: access.app.value.id,
        account: Some(access.session.account.id),
        filter: Filter {
            source,
            process: body.dyno.filter(|dyno| !dyno.is_empty()),
        },
        lines: body.lines.unwrap_or(DEFAULT_LINES).clamp(1, MAX_LINES),
        tail: body.tail.unwrap_or_default(),
        made_at: now,
    };
    let path = format!(
        "/streams/logs/{}",
        ticket::seal(&context.keyring, &session)?
    );
    Ok(created(wire::LogSession {
        created_at: now.into(),
        id: Uuid::new_v4(),
        logplex_url: context.config.api_url(&path),
        updated_at: now.into(),
    }))
}

/// Whether the app is there, and something to whoever made the ticket.
async fn may_still_read(store: &dyn Store, ticket: &LogTicket) -> Result<bool, StoreError> {
    let Some(app) = key::APPS.get(store, &key::app(ticket.app)).await? else {
        return Ok(false);
    };
    let Some(account) = ticket.account else {
        return Ok(true);
    };
    let account = key::ACCOUNTS.get(store, &key::account(account)).await?;
    Ok(match account {
        Some(account) if !account.value.is_suspended() => {
            find::role(store, &account.value, &app.value)
                .await?
                .is_some()
        }
        _ => false,
    })
}

/// Server-sent events for whoever accepts them, else plain lines.
pub(crate) async fn stream(
    State(context): State<Ctx>,
    Path(text): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let over =
        || ApiError::not_found_because("log session", "Log stream timed out. Please try again.");
    let session: LogTicket = ticket::open(&context.keyring, &text).ok_or_else(over)?;
    let last_id = headers
        .get("last-event-id")
        .and_then(|value| Some(value.to_str().ok()?.trim().to_owned()));
    let good_for = if last_id.is_some() {
        RESUME_WITHIN
    } else {
        BEGIN_WITHIN
    };
    let age = Timestamp::now()
        .duration_since(session.made_at)
        .unsigned_abs();
    if age > good_for || !may_still_read(context.store(), &session).await? {
        return Err(over());
    }
    let events = headers.get_all(header::ACCEPT).iter().any(|value| {
        value
            .to_str()
            .is_ok_and(|value| value.contains("text/event-stream"))
    });
    let format = if events { Format::Events } else { Format::Text };
    let wanted = Wanted {
        app: session.app,
        filter: session.filter,
        lines: session.lines.into(),
        tail: session.tail,
        after: last_id,
    };
    let session = Session::open(&context.logs, &context.peers, context.addr, wanted);
    let body = Body::from_stream(session.stream(format, context.shutdown.clone()));
    let mut response = Response::new(body);
    let content_type = match format {
        Format::Events => "text/event-stream; charset=utf-8",
        Format::Text => "text/plain; charset=utf-8",
    };
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}
