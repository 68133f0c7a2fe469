//! Teams.

use axum::Json;
use axum::extract::State;
use controller_api::wire;
use model::TeamRole;
use serde_json::Value;
use store::key;

use super::{Created, created};
use crate::actions;
use crate::auth::Session;
use crate::context::Ctx;
use crate::error::ApiResult;
use crate::guard::TeamAccess;
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::owners;
use crate::views::team;

/// Those one is in: for administrators of the platform, every team.
pub(crate) async fn list(
    State(context): State<Ctx>,
    session: Session,
    range: PageRange,
) -> ApiResult<Page> {
    let store = context.store();
    let roles = owners::memberships(store, &session.account).await?;
    let role = |team| match session.account.is_admin {
        true => Some(TeamRole::Admin),
        false => roles.get(&team).copied(),
    };
    let all = key::TEAMS.all(store).await?;
    let ours = all.iter().filter_map(|seen| {
        let role = role(seen.value.id)?;
        Some(team::team(&seen.value, Some(role)))
    });
    range.page(ours)
}

pub(crate) async fn create(
    State(context): State<Ctx>,
    session: Session,
    JsonBody(body): JsonBody<wire::TeamCreate>,
) -> ApiResult<Created<wire::Team>> {
    let made = actions::teams::create(context.store(), &session.account, &body.name).await?;
    Ok(created(team::team(&made, Some(TeamRole::Admin))))
}

pub(crate) async fn show(access: TeamAccess) -> Json<wire::Team> {
    Json(team::team(&access.team, Some(access.role)))
}

pub(crate) async fn update(
    State(context): State<Ctx>,
    access: TeamAccess,
    JsonBody(body): JsonBody<wire::TeamUpdate>,
) -> ApiResult<Json<wire::Team>> {
    let (store, id) = (context.store(), access.team.id);
    let changed = actions::teams::rename(store, id, body.name.as_deref()).await?;
    Ok(Json(team::team(&changed, Some(access.role))))
}

pub(crate) async fn destroy(
    State(context): State<Ctx>,
    access: TeamAccess,
) -> ApiResult<Json<wire::Team>> {
    let gone = actions::teams::destroy(context.store(), access.team.id).await?;
    Ok(Json(team::team(&gone, Some(access.role))))
}

pub(crate) async fn features(access: TeamAccess, range: PageRange) -> ApiResult<Page> {
    range.page(team::features(&access.team))
}

/// Who is added to a team is in it.
pub(crate) async fn no_invitations(_: TeamAccess) -> Json<[Value; 0]> {
    Json([])
}

pub(crate) async fn preferences(_: TeamAccess) -> Json<wire::TeamPreferences> {
    Json(wire::TeamPreferences {
        default_permission: Some("viewer".to_owned()),
        addons_controls: Some(false),
    })
}
