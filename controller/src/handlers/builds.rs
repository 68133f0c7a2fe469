//! Builds and their output.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use controller_api::wire;
use model::{AppId, Build, BuildId, BuildStatus, ReleaseId};
use serde::{Deserialize, Serialize};
use store::{StoreError, key};
use tokio::time::Instant;

use crate::context::{Context, Ctx};
use crate::error::{ApiError, ApiResult};
use crate::guard::AppAccess;
use crate::http::range::{Page, PageRange};
use crate::http::ticket;
use crate::views;

/// A build's output is bounded where it is made; this only keeps a mistake there from filling memory here.
const MAX_OUTPUT_BYTES: u64 = 64 << 20;
/// How long the output of a running build is waited for, and how often it is looked for.
const WAIT: Duration = Duration::from_secs(45);
const LOOK_EVERY: Duration = Duration::from_secs(1);

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

/// The whole output as text, once there is one. A build that still runs shows its output to whoever pushed.
pub(crate) async fn output(
    State(context): State<Ctx>,
    Path(text): Path<String>,
) -> ApiResult<Response> {
    let OutputTicket { app, build } =
        ticket::open(&context.keyring, &text).ok_or_else(|| ApiError::not_found("build"))?;
    let give_up = Instant::now() + WAIT;
    loop {
        let found = find(&context, app, build).await?;
        if let Some(output) = &found.output {
            let bytes = context
                .blobs
                .read(output, MAX_OUTPUT_BYTES)
                .await
                .map_err(ApiError::internal)?;
            return Ok(([("content-type", "text/plain; charset=utf-8")], bytes).into_response());
        }
        if !found.status.is_pending() {
            return Err(ApiError::not_found_because(
                "build",
                "The build's output was not kept.",
            ));
        }
        if Instant::now() > give_up {
            return Err(ApiError::not_found_because(
                "build",
                "The build still runs; ask again when it has ended.",
            ));
        }
        tokio::select! {
            () = context.shutdown.cancelled() => {
                return Err(ApiError::not_found_because("build", "The platform is restarting; ask again."));
            }
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn find(context: &Context, app: AppId, build: BuildId) -> ApiResult<Build> {
    let found = key::BUILDS
        .get(context.store(), &key::build(app, build))
        .await?;
    Ok(found.ok_or_else(|| ApiError::not_found("build"))?.value)
}

async fn view(context: &Context, build: &Build) -> ApiResult<wire::Build> {
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
