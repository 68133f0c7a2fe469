//! Pipelines, and the apps in them. Who owns a pipeline manages it, and so do the members of a team that does; who may see
//! one of its apps may see it, too.

use std::collections::{HashMap, HashSet};

use axum::Json;
use axum::extract::{Path, Query, State};
use controller_api::wire;
use model::{App, AppId, Coupling, Owner, Permission, Pipeline, Stage, TeamId, TeamRole};
use store::{Store, Versioned, key};

use super::accounts::require_self;
use super::{Created, created};
use crate::actions;
use crate::auth::Session;
use crate::context::Ctx;
use crate::error::{ApiError, ApiResult};
use crate::guard::{AppAccess, lacks};
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::views;
use crate::{find, owners};

/// `eq[name]=…` leaves those of that name.
pub(crate) async fn list(
    State(context): State<Ctx>,
    session: Session,
    range: PageRange,
    Query(wanted): Query<Vec<(String, String)>>,
) -> ApiResult<Page> {
    let mut seen = Seen::by(context.store(), &session).await?.pipelines;
    let name = wanted.iter().find(|(field, _)| field == "eq[name]");
    if let Some((_, name)) = name {
        seen.retain(|pipeline| pipeline.name.as_str() == name);
    }
    range.page(seen.iter().map(views::pipeline::pipeline))
}

pub(crate) async fn create(
    State(context): State<Ctx>,
    session: Session,
    JsonBody(body): JsonBody<wire::PipelineCreate>,
) -> ApiResult<Created<wire::Pipeline>> {
    let made = actions::pipelines::create(context.store(), &session.account, &body).await?;
    Ok(created(views::pipeline::pipeline(&made)))
}

pub(crate) async fn show(
    State(context): State<Ctx>,
    session: Session,
    Path(identity): Path<String>,
) -> ApiResult<Json<wire::Pipeline>> {
    let seen = Seen::by(context.store(), &session).await?;
    Ok(Json(views::pipeline::pipeline(&seen.find(&identity)?)))
}

pub(crate) async fn update(
    State(context): State<Ctx>,
    session: Session,
    Path(identity): Path<String>,
    JsonBody(body): JsonBody<wire::PipelineUpdate>,
) -> ApiResult<Json<wire::Pipeline>> {
    let seen = Seen::by(context.store(), &session).await?;
    let id = seen.managed(&session, &identity)?.id;
    let changed = actions::pipelines::update(context.store(), id, &body).await?;
    Ok(Json(views::pipeline::pipeline(&changed)))
}

pub(crate) async fn destroy(
    State(context): State<Ctx>,
    session: Session,
    Path(identity): Path<String>,
) -> ApiResult<Json<wire::Pipeline>> {
    let seen = Seen::by(context.store(), &session).await?;
    let id = seen.managed(&session, &identity)?.id;
    let gone = actions::pipelines::destroy(context.store(), id).await?;
    Ok(Json(views::pipeline::pipeline(&gone)))
}

/// Those of the apps that one may see.
pub(crate) async fn couplings(
    State(context): State<Ctx>,
    session: Session,
    range: PageRange,
    Path(identity): Path<String>,
) -> ApiResult<Page> {
    let seen = Seen::by(context.store(), &session).await?;
    let pipeline = seen.find(&identity)?;
    let ours = seen
        .couplings
        .iter()
        .filter(|coupling| coupling.value.pipeline == pipeline.id);
    range.page(ours.map(|coupling| views::pipeline::coupling(&pipeline, &coupling.value)))
}

pub(crate) async fn all_couplings(
    State(context): State<Ctx>,
    session: Session,
    range: PageRange,
) -> ApiResult<Page> {
    let seen = Seen::by(context.store(), &session).await?;
    range.page(seen.views())
}

pub(crate) async fn couplings_of_user(
    State(context): State<Ctx>,
    session: Session,
    Path(user): Path<String>,
    range: PageRange,
) -> ApiResult<Page> {
    require_self(&session, &user)?;
    all_couplings(State(context), session, range).await
}

pub(crate) async fn coupling_of_app(
    State(context): State<Ctx>,
    access: AppAccess,
) -> ApiResult<Json<wire::PipelineCoupling>> {
    let store = context.store();
    let place = key::coupling(access.app.value.id);
    let none = || {
        let message = format!("{} is in no pipeline.", access.app.value.name);
        ApiError::not_found_because("pipeline coupling", message)
    };
    let found = key::COUPLINGS.get(store, &place).await?.ok_or_else(none)?;
    let place = key::pipeline(found.value.pipeline);
    let pipeline = key::PIPELINES.get(store, &place).await?.ok_or_else(none)?;
    Ok(Json(views::pipeline::coupling(
        &pipeline.value,
        &found.value,
    )))
}

pub(crate) async fn couple(
    State(context): State<Ctx>,
    session: Session,
    JsonBody(body): JsonBody<wire::PipelineCouplingCreate>,
) -> ApiResult<Created<wire::PipelineCoupling>> {
    let store = context.store();
    let stage: Stage = body.stage.parse().map_err(actions::ActionError::from)?;
    let app = permitted(store, &session, &body.app.0, Permission::Manage).await?;
    let seen = Seen::by(store, &session).await?;
    let pipeline = seen.managed(&session, &body.pipeline.0)?;
    let made = actions::pipelines::couple(store, &app, pipeline.id, stage).await?;
    Ok(created(views::pipeline::coupling(&pipeline, &made)))
}

pub(crate) async fn show_coupling(
    State(context): State<Ctx>,
    session: Session,
    Path(identity): Path<String>,
) -> ApiResult<Json<wire::PipelineCoupling>> {
    let seen = Seen::by(context.store(), &session).await?;
    let (pipeline, found) = seen.coupling(&identity)?;
    Ok(Json(views::pipeline::coupling(&pipeline, &found.value)))
}

pub(crate) async fn move_coupling(
    State(context): State<Ctx>,
    session: Session,
    Path(identity): Path<String>,
    JsonBody(body): JsonBody<wire::PipelineCouplingUpdate>,
) -> ApiResult<Json<wire::PipelineCoupling>> {
    let store = context.store();
    let stage: Stage = body.stage.parse().map_err(actions::ActionError::from)?;
    let (pipeline, found) = changeable(store, &session, &identity).await?;
    let moved = actions::pipelines::move_to(store, &found, stage).await?;
    Ok(Json(views::pipeline::coupling(&pipeline, &moved)))
}

pub(crate) async fn remove_coupling(
    State(context): State<Ctx>,
    session: Session,
    Path(identity): Path<String>,
) -> ApiResult<Json<wire::PipelineCoupling>> {
    let store = context.store();
    let (pipeline, found) = changeable(store, &session, &identity).await?;
    actions::pipelines::take_out(store, &found).await?;
    Ok(Json(views::pipeline::coupling(&pipeline, &found.value)))
}

/// By who manages the pipeline, or operates the app.
async fn changeable(
    store: &dyn Store,
    session: &Session,
    identity: &str,
) -> ApiResult<(Pipeline, Versioned<Coupling>)> {
    let seen = Seen::by(store, session).await?;
    let (pipeline, found) = seen.coupling(identity)?;
    if !seen.may_manage(session, &pipeline) {
        let app = found.value.app.to_string();
        permitted(store, session, &app, Permission::Operate).await?;
    }
    Ok((pipeline, found))
}

/// The app, if one may do that with it; to whom an app is nothing, it does not exist.
pub(super) async fn permitted(
    store: &dyn Store,
    session: &Session,
    identity: &str,
    permission: Permission,
) -> ApiResult<App> {
    let app = find::app(store, identity).await?;
    let app = app.ok_or_else(|| ApiError::not_found("app"))?.value;
    let role = find::role(store, &session.account, &app).await?;
    let role = role.ok_or_else(|| ApiError::not_found("app"))?;
    match role.may(permission) {
        true => Ok(app),
        false => Err(lacks(&app, role, permission)),
    }
}

/// What one may see of pipelines.
pub(super) struct Seen {
    pipelines: Vec<Pipeline>,
    /// Of apps that one may see, in those pipelines.
    couplings: Vec<Versioned<Coupling>>,
    /// What one is to teams.
    teams: HashMap<TeamId, TeamRole>,
}

impl Seen {
    pub(super) async fn by(store: &dyn Store, session: &Session) -> ApiResult<Self> {
        let apps = find::visible_apps(store, &session.account).await?;
        let apps: HashSet<AppId> = apps.iter().map(|app| app.id).collect();
        let mut couplings = key::COUPLINGS.all(store).await?;
        couplings.retain(|coupling| apps.contains(&coupling.value.app));
        let through: HashSet<_> = couplings.iter().map(|c| c.value.pipeline).collect();
        let teams = owners::memberships(store, &session.account).await?;
        let pipelines = key::PIPELINES.all(store).await?.into_iter();
        let pipelines: Vec<Pipeline> = pipelines
            .map(|seen| seen.value)
            .filter(|pipeline| {
                let is_ours = match pipeline.owner {
                    Owner::Account(owner) => owner == session.account.id,
                    Owner::Team { team } => teams.contains_key(&team),
                };
                is_ours || session.account.is_admin || through.contains(&pipeline.id)
            })
            .collect();
        let ids: HashSet<_> = pipelines.iter().map(|pipeline| pipeline.id).collect();
        couplings.retain(|coupling| ids.contains(&coupling.value.pipeline));
        Ok(Self {
            pipelines,
            couplings,
            teams,
        })
    }

    fn may_manage(&self, session: &Session, pipeline: &Pipeline) -> bool {
        let is_ours = match pipeline.owner {
            Owner::Account(owner) => owner == session.account.id,
            Owner::Team { team } => self.teams.get(&team) >= Some(&TeamRole::Member),
        };
        is_ours || session.account.is_admin
    }

    /// The same, if one may give it away: of a team's, that takes its administrators.
    pub(super) fn owned(&self, session: &Session, identity: &str) -> ApiResult<Pipeline> {
        let pipeline = self.managed(session, identity)?;
        let is_admin = |team| self.teams.get(&team) == Some(&TeamRole::Admin);
        match pipeline.owner.team() {
            Some(team) if !is_admin(team) && !session.account.is_admin => {
                Err(ApiError::forbidden(format!(
                    "Only administrators of the team that owns {} may give it to somebody.",
                    pipeline.name
                )))
            }
            _ => Ok(pipeline),
        }
    }

    /// By id or name.
    pub(super) fn find(&self, identity: &str) -> ApiResult<Pipeline> {
        let is_it = |pipeline: &&Pipeline| {
            pipeline.id.to_string() == identity || pipeline.name.as_str() == identity
        };
        let mut found = self.pipelines.iter().filter(is_it);
        match (found.next(), found.next()) {
            (Some(pipeline), None) => Ok(pipeline.clone()),
            (Some(_), Some(_)) => Err(ApiError::invalid(format!(
                "There are several pipelines named {identity}; say which by its id. See `paas pipelines --json`."
            ))),
            (None, _) => Err(ApiError::not_found("pipeline")),
        }
    }

    /// The same, if one may change it.
    pub(super) fn managed(&self, session: &Session, identity: &str) -> ApiResult<Pipeline> {
        let pipeline = self.find(identity)?;
        match self.may_manage(session, &pipeline) {
            true => Ok(pipeline),
            false => Err(ApiError::forbidden(format!(
                "Only the owner of the pipeline {} may do this, or a member of the team that owns it.",
                pipeline.name
            ))),
        }
    }

    /// By id.
    fn coupling(&self, identity: &str) -> ApiResult<(Pipeline, Versioned<Coupling>)> {
        let found = self
            .couplings
            .iter()
            .find(|coupling| coupling.value.id.to_string() == identity);
        let found = found.ok_or_else(|| ApiError::not_found("pipeline coupling"))?;
        let pipeline = self.find(&found.value.pipeline.to_string())?;
        Ok((pipeline, found.clone()))
    }

    /// Whether the app is one of the pipeline's.
    pub(super) fn has(&self, pipeline: &Pipeline, app: AppId) -> bool {
        self.couplings
            .iter()
            .any(|coupling| coupling.value.app == app && coupling.value.pipeline == pipeline.id)
    }

    fn views(&self) -> impl Iterator<Item = wire::PipelineCoupling> {
        self.couplings.iter().filter_map(|coupling| {
            let id = coupling.value.pipeline;
            let pipeline = self.pipelines.iter().find(|pipeline| pipeline.id == id)?;
            Some(views::pipeline::coupling(pipeline, &coupling.value))
        })
    }
}
