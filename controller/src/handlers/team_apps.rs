//! The apps of teams. Any other app is shown here, too, as one that belongs to none.

use axum::Json;
use axum::extract::State;
use controller_api::wire;
use model::{Account, App, Need, Owner, Permission, Role};

use super::{Created, apps, created};
use crate::actions::{self, team_apps};
use crate::auth::Session;
use crate::context::{Context, Ctx};
use crate::error::{ApiError, ApiResult};
use crate::find;
use crate::guard::{AppAccess, TeamAccess, too_narrow};
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::views::collaborator::permissions as all_up_to;

/// Those one may see.
pub(crate) async fn list(
    State(context): State<Ctx>,
    access: TeamAccess,
    range: PageRange,
) -> ApiResult<Page> {
    let owner = Owner::Team {
        team: access.team.id,
    };
    let account = &access.session.account;
    let mut seen = find::visible_apps(context.store(), account).await?;
    seen.retain(|app| app.owner == owner);
    apps::team_page(&context, account, &seen, &range).await
}

pub(crate) async fn create(
    State(context): State<Ctx>,
    session: Session,
    JsonBody(body): JsonBody<wire::AppCreate>,
) -> ApiResult<Created<wire::TeamApp>> {
    if body.team.is_none() && body.personal != Some(true) && body.space.is_none() {
        return Err(ApiError::invalid(
            "Name the team, or say that the app is to be personal. See `paas teams`.",
        ));
    }
    let app = actions::apps::create(&context, &session.account, &body).await?;
    Ok(created(view(&context, &session.account, &app).await?))
}

pub(crate) async fn show(
    State(context): State<Ctx>,
    access: AppAccess,
) -> ApiResult<Json<wire::TeamApp>> {
    let account = &access.session.account;
    Ok(Json(view(&context, account, &access.app.value).await?))
}

pub(crate) async fn update(
    State(context): State<Ctx>,
    access: AppAccess,
    JsonBody(body): JsonBody<wire::TeamAppUpdate>,
) -> ApiResult<Json<wire::TeamApp>> {
    let (account, id) = (&access.session.account, access.app.value.id);
    let changed = match (body.locked, &body.owner) {
        (Some(locked), None) => team_apps::lock(&context, account, id, locked).await?,
        (None, Some(to)) => {
            // Of a token, no less than for an offer of it.
            let token = &access.session.token.value;
            if !token.grants(Need::Global) {
                return Err(too_narrow(token, Need::Global));
            }
            team_apps::give(&context, account, id, &to.0).await?
        }
        _ => {
            return Err(ApiError::invalid(
                "Say whether the app is to be locked, or who is to own it; one of the two.",
            ));
        }
    };
    Ok(Json(view(&context, account, &changed).await?))
}

/// Every permission there is on a team's app.
pub(crate) async fn permissions(_: Session) -> Json<Vec<wire::CollaboratorPermission>> {
    Json(all_up_to(Role::Collaborator(Permission::Manage)))
}

async fn view(context: &Context, account: &Account, app: &App) -> ApiResult<wire::TeamApp> {
    let all = find::collaborators(context.store(), app).await?;
    let works = all.iter().any(|seen| seen.value.account == account.id);
    Ok(wire::TeamApp {
        joined: app.owner == account.id || works,
        locked: app.locked,
        app: apps::view(context, app).await?,
    })
}
