//! Who is in a team.

use axum::Json;
use axum::extract::{Path, State};
use controller_api::wire;
use model::{Owner, TeamRole};

use super::{Created, apps, created};
use crate::actions::team_members::{self, Known};
use crate::context::Ctx;
use crate::error::{ApiError, ApiResult};
use crate::find;
use crate::guard::TeamAccess;
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::views::team::member;

pub(crate) async fn list(
    State(context): State<Ctx>,
    access: TeamAccess,
    range: PageRange,
) -> ApiResult<Page> {
    let all = team_members::all(context.store(), access.team.id).await?;
    range.page(all.iter().map(member))
}

pub(crate) async fn create(
    State(context): State<Ctx>,
    access: TeamAccess,
    JsonBody(body): JsonBody<wire::TeamMemberSet>,
) -> ApiResult<Created<wire::TeamMember>> {
    let (store, team) = (context.store(), access.team.id);
    let made = team_members::set(store, team, &body.email, &body.role, Known::No).await?;
    Ok(created(member(&made)))
}

/// Adds one, or gives one who is there another role.
pub(crate) async fn set(
    State(context): State<Ctx>,
    access: TeamAccess,
    JsonBody(body): JsonBody<wire::TeamMemberSet>,
) -> ApiResult<Json<wire::TeamMember>> {
    let (store, team) = (context.store(), access.team.id);
    let there = team_members::set(store, team, &body.email, &body.role, Known::Either).await?;
    Ok(Json(member(&there)))
}

pub(crate) async fn update(
    State(context): State<Ctx>,
    access: TeamAccess,
    JsonBody(body): JsonBody<wire::TeamMemberSet>,
) -> ApiResult<Json<wire::TeamMember>> {
    let (store, team) = (context.store(), access.team.id);
    let there = team_members::set(store, team, &body.email, &body.role, Known::Yes).await?;
    Ok(Json(member(&there)))
}

pub(crate) async fn remove(
    State(context): State<Ctx>,
    access: TeamAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Json<wire::TeamMember>> {
    let store = context.store();
    let found = team_members::find(store, &access.team, &identity).await?;
    if access.role < TeamRole::Admin && found.account.id != access.session.account.id {
        return Err(ApiError::forbidden(format!(
            "Only administrators of the team {} may remove others; you may remove yourself.",
            access.team.name
        )));
    }
    team_members::remove(store, access.team.id, found.account.id).await?;
    Ok(Json(member(&found)))
}

/// The team's apps that this member works on, of those one may see.
pub(crate) async fn apps(
    State(context): State<Ctx>,
    access: TeamAccess,
    Path((_, identity)): Path<(String, String)>,
    range: PageRange,
) -> ApiResult<Page> {
    let store = context.store();
    let found = team_members::find(store, &access.team, &identity).await?;
    let owner = Owner::Team {
        team: access.team.id,
    };
    let theirs = find::apps_of(store, &found.account).await?;
    let mut seen = find::visible_apps(store, &access.session.account).await?;
    seen.retain(|app| app.owner == owner && theirs.iter().any(|their| their.id == app.id));
    apps::team_page(&context, &access.session.account, &seen, &range).await
}
