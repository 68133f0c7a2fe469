//! Builds and their output.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use controller_api::wire;
use futures::StreamExt as _;
use model::{AppId, Build, BuildId, BuildStatus, ReleaseId};
use serde::{Deserialize, Serialize};
use store::{StoreError, key};
use tokio::time::Instant;
use tracing::warn;

use super::{Created, created};
use crate::actions;
use crate::builders::Said;
use crate::context::{Context, Ctx, actor};
use crate::error::{ApiError, ApiResult};
use crate::guard::AppAccess;
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::http::ticket;
use crate::views;

/// A build's output is bounded where it is made; this only keeps a mistake there from filling memory here.
const MAX_OUTPUT_BYTES: u64 = 64 << 20;
/// How often it is looked for who has a build.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Longer than a build waits for its turn, builds and is released.
const WATCHED_FOR: Duration = Duration::from_secs(3 * 3600);
const BEAT: Duration = Duration::from_secs(10);
const NOTHING: Bytes = Bytes::from_static(b"\0");

/// Lets whoever has it read one build's output.
#[derive(Debug, Serialize, Deserialize)]
struct OutputTicket {
    app: AppId,
    build: BuildId,
}

pub(crate) async fn list(
    State(context): State<Ctx>,
    access: AppAccess,
    range: PageRange,
) -> ApiResult<Page> {
    let app = access.app.value.id;
    let builds = key::BUILDS
        .list(context.store(), &key::builds_of(app))
        .await?;
    let mut views = Vec::with_capacity(builds.len());
    for build in builds {
        views.push(view(&context, &build.value).await?);
    }
    range.page(views)
}

pub(crate) async fn show(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Json<wire::Build>> {
    let id: BuildId = identity.parse().map_err(|_| ApiError::not_found("build"))?;
    let build = find(&context, access.app.value.id, id).await?;
    Ok(Json(view(&context, &build).await?))
}

pub(crate) async fn create(
    State(context): State<Ctx>,
    access: AppAccess,
    JsonBody(body): JsonBody<wire::BuildCreate>,
) -> ApiResult<Created<wire::Build>> {
    let by = actor(&access.session.account);
    let build = actions::builds::create(&context, &access.app.value, &by, &body).await?;
    Ok(created(view(&context, &build).await?))
}

pub(crate) async fn cancel(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Json<wire::Build>> {
    let id: BuildId = identity.parse().map_err(|_| ApiError::not_found("build"))?;
    let by = actor(&access.session.account);
    let build = actions::builds::cancel(&context, access.app.value.id, id, &by).await?;
    Ok(Json(view(&context, &build).await?))
}

pub(crate) async fn purge_cache(
    State(context): State<Ctx>,
    access: AppAccess,
) -> ApiResult<StatusCode> {
    let by = actor(&access.session.account);
    actions::builds::purge_cache(&context, access.app.value.id, &by).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// All of the output as text, as it is printed. A build that ended long ago has it in one piece.
pub(crate) async fn output(
    State(context): State<Ctx>,
    Path(text): Path<String>,
) -> ApiResult<Response> {
    let OutputTicket { app, build } =
        ticket::open(&context.keyring, &text).ok_or_else(|| ApiError::not_found("build"))?;
    let found = find(&context, app, build).await?;
    if !found.status.is_pending() {
        let live = context.builders.listen(context.store(), build).await?;
        if live.is_none() && found.output.is_none() {
            return Err(ApiError::not_found_because(
                "build",
                "The build's output was not kept.",
            ));
        }
    }
    let watching = Watching {
        context,
        app,
        build,
        said: None,
        has_shown: false,
        until: Instant::now() + WATCHED_FOR,
    };
    let pieces = futures::stream::unfold(watching, |mut watching| async move {
        let piece = watching.next().await?;
        Some((piece, watching))
    });
    let headers = [("content-type", "text/plain; charset=utf-8")];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// Somebody who watches a build, whichever builder has it.
struct Watching {
    context: Ctx,
    app: AppId,
    build: BuildId,
    said: Option<Said>,
    has_shown: bool,
    until: Instant,
}

impl Watching {
    /// `None` at the end. An error breaks the connection off, for there was more to come.
    async fn next(&mut self) -> Option<Result<Bytes, Interrupted>> {
        let beat = Instant::now() + BEAT;
        loop {
            if let Some(said) = &mut self.said {
                let piece = tokio::select! {
                    piece = said.next() => piece,
                    () = self.context.shutdown.cancelled() => return Some(Err(Interrupted)),
                };
                match piece {
                    Some(Ok(piece)) => {
                        self.has_shown |= piece != NOTHING;
                        return Some(Ok(piece));
                    }
                    // Another builder may have it next.
                    Some(Err(_)) | None => self.said = None,
                }
            }
            match look(&self.context, self.app, self.build, self.has_shown).await {
                Ok(Look::Again) if Instant::now() > self.until => return Some(Err(Interrupted)),
                Ok(Look::Again) => {}
                Ok(Look::Live(said)) => {
                    self.said = Some(said);
                    continue;
                }
                Ok(Look::Whole(text)) => {
                    self.has_shown = true;
                    return Some(Ok(text));
                }
                Ok(Look::Over) => return None,
                Err(error) => {
                    warn!(error = ?error, build.id = %self.build, "Could not go on with a build's output");
                    return Some(Err(Interrupted));
                }
            }
            // Nobody cuts a connection for silence that says this now and then, and it shows nothing.
            if Instant::now() > beat {
                return Some(Ok(NOTHING));
            }
            tokio::select! {
                () = self.context.shutdown.cancelled() => return Some(Err(Interrupted)),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }
}

async fn look(context: &Context, app: AppId, build: BuildId, has_shown: bool) -> ApiResult<Look> {
    let found = find(context, app, build).await?;
    let is_over = !found.status.is_pending();
    if is_over && has_shown {
        return Ok(Look::Over);
    }
    if let Some(said) = context.builders.listen(context.store(), build).await? {
        return Ok(Look::Live(said));
    }
    match found.output {
        Some(output) if is_over => {
            let text = context.blobs.read(&output, MAX_OUTPUT_BYTES).await;
            Ok(Look::Whole(text.map_err(ApiError::internal)?))
        }
        _ if is_over => Ok(Look::Over),
        _ => Ok(Look::Again),
    }
}

enum Look {
    Live(Said),
    Whole(Bytes),
    Over,
    Again,
}

#[derive(Debug, thiserror::Error)]
#[error("the build goes on, and its output elsewhere")]
struct Interrupted;

async fn find(context: &Context, app: AppId, build: BuildId) -> ApiResult<Build> {
    let found = key::BUILDS
        .get(context.store(), &key::build(app, build))
        .await?;
    Ok(found.ok_or_else(|| ApiError::not_found("build"))?.value)
}

pub(super) async fn view(context: &Context, build: &Build) -> ApiResult<wire::Build> {
    let release: Option<ReleaseId> = match build.status {
        BuildStatus::Succeeded { release, .. } => {
            let release = key::RELEASES
                .get(context.store(), &key::release(build.app, release))
                .await?;
            release.map(|release| release.value.id)
        }
        BuildStatus::Pending | BuildStatus::Failed { .. } => None,
    };
    Ok(views::build::build(
        build,
        release,
        output_url(context, build)?,
    ))
}

/// Where its output is read, by whoever has this.
pub(crate) fn output_url(context: &Context, build: &Build) -> Result<String, StoreError> {
    let ticket = ticket::seal(
        &context.keyring,
        &OutputTicket {
            app: build.app,
            build: build.id,
        },
    )?;
    Ok(context.config.api_url(&format!("/streams/builds/{ticket}")))
}
