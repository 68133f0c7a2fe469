//! What the platform offers.

use axum::Json;
use axum::extract::{Path, State};
use controller_api::wire;
use model::DynoSize;

use crate::context::Ctx;
use crate::error::{ApiError, ApiResult};
use crate::http::range::{Page, PageRange};
use crate::views::platform;

/// Whether this process answers; says nothing about the store.
pub(crate) async fn health() -> &'static str {
    "ok\n"
}

pub(crate) async fn stacks(State(context): State<Ctx>, range: PageRange) -> ApiResult<Page> {
    range.page(all_stacks(&context))
}

pub(crate) async fn stack(
    State(context): State<Ctx>,
    Path(identity): Path<String>,
) -> ApiResult<Json<wire::Stack>> {
    let found = all_stacks(&context)
        .find(|stack| stack.name == identity || stack.id.to_string() == identity);
    found.map(Json).ok_or_else(|| ApiError::not_found("stack"))
}

pub(crate) async fn regions(range: PageRange) -> ApiResult<Page> {
    range.page([platform::region()])
}

pub(crate) async fn region(Path(identity): Path<String>) -> ApiResult<Json<wire::Region>> {
    let region = platform::region();
    if identity == region.name || identity == region.id.to_string() {
        return Ok(Json(region));
    }
    Err(ApiError::not_found("region"))
}

pub(crate) async fn dyno_sizes(range: PageRange) -> ApiResult<Page> {
    range.page(DynoSize::ALL.map(platform::dyno_size))
}

pub(crate) async fn dyno_size(Path(identity): Path<String>) -> ApiResult<Json<wire::DynoSize>> {
    let mut sizes = DynoSize::ALL.into_iter().map(platform::dyno_size);
    let found = sizes
        .find(|size| size.name.eq_ignore_ascii_case(&identity) || size.id.to_string() == identity);
    found
        .map(Json)
        .ok_or_else(|| ApiError::not_found("dyno size"))
}

fn all_stacks(context: &Ctx) -> impl Iterator<Item = wire::Stack> {
    context
        .config
        .stacks()
        .map(|name| platform::stack(name, name == context.config.stack))
}
