//! Enforcing a route's rule before its handler runs, and handing the handler what was established on the way.
//!
//! A handler that asks for a [`Session`] or an [`AppAccess`] which its route's rule does not establish answers 500: a
//! mistake in the route table fails closed.

use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use model::{AccountId, Addon, App, Need, Permission, Role, Team, TeamRole, Timestamp, Token};
use store::{Versioned, key};
use tokio::time::Instant;

use crate::actions::{addons, teams};
use crate::audit;
use crate::auth::{Credentials, Session, authenticate, same_secret};
use crate::context::{Context, Ctx};
use crate::error::{ApiError, ApiResult};
use crate::handlers::addon_providers::is_provider;
use crate::routes::Rule;
use crate::{find, notice, owners};

/// What a route's guard needs.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    pub(crate) context: Ctx,
    pub(crate) rule: Rule,
    pub(crate) need: Need,
    /// With its parameters' names.
    pub(crate) path: &'static str,
    /// Whether it is open to those who lack a second factor that is asked of them.
    pub(crate) enrols: bool,
}

/// The app of the path, as it was when the request came, and what the caller is to it.
#[derive(Debug, Clone)]
pub(crate) struct AppAccess {
    pub(crate) app: Versioned<App>,
    pub(crate) role: Role,
    pub(crate) session: Session,
}

/// The team of the path, and what the caller is to it.
#[derive(Debug, Clone)]
pub(crate) struct TeamAccess {
    pub(crate) team: Team,
    pub(crate) role: TeamRole,
    pub(crate) session: Session,
}

/// The add-on of the path.
#[derive(Debug, Clone)]
pub(crate) struct AddonAccess {
    pub(crate) addon: Versioned<Addon>,
}

pub(crate) async fn enforce(
    State(Guard {
        context,
        rule,
        need,
        path,
        enrols,
    }): State<Guard>,
    params: RawPathParams,
    mut request: Request,
    next: Next,
) -> ApiResult<Response> {
    let session = match rule {
        Rule::Public => return Ok(next.run(request).await),
        Rule::Internal => {
            require_internal(&context, request.headers())?;
            return Ok(next.run(request).await);
        }
        Rule::Addon(_)
            if let Some(addon) = of_provider(&context, &params, request.headers()).await? =>
        {
            return serve_provider(&context, addon, path, &params, request, next).await;
        }
        Rule::Account | Rule::Admin | Rule::App(_) | Rule::Team(_) | Rule::Addon(_) => {
            authenticate(&context, request.headers())
                .await?
                .ok_or_else(ApiError::unauthorized)?
        }
    };
    if !session.token.value.grants(need) {
        return Err(too_narrow(&session.token.value, need));
    }
    if !enrols {
        require_second_factor(&context, &session)?;
    }
    let remaining = context
        .requests
        .take(session.account.id, Instant::now())
        .ok_or_else(|| {
            ApiError::rate_limit(
                "Your account reached the API rate limit. Please wait a few minutes.",
            )
        })?;
    match rule {
        Rule::Admin if !session.account.is_admin => {
            return Err(ApiError::forbidden(
                "Only administrators of the platform may do this.",
            ));
        }
        Rule::App(permission) => {
            let access = app_access(&context, &params, session.clone(), permission).await?;
            request.extensions_mut().insert(access);
        }
        Rule::Team(least) => {
            let access = team_access(&context, &params, session.clone(), least).await?;
            request.extensions_mut().insert(access);
        }
        Rule::Addon(permission) => {
            let access = addon_access(&context, &params, &session, permission).await?;
            request.extensions_mut().insert(access);
        }
        _ => {
            request.extensions_mut().insert(session.clone());
        }
    }
    let token = session.token.value.clone();
    let mut response = match changes_something(need, request.method()) {
        false => next.run(request).await,
        true => {
            let (parts, body) = request.into_parts();
            let team = parts.extensions.get::<TeamAccess>();
            let team = team.map(|access| access.team.id.to_string());
            let mut deed = audit::deed(
                &session,
                parts.extensions.get::<AppAccess>(),
                audit::caller(&parts.extensions, &parts.headers),
                format!("{} {path}", parts.method),
                &params,
            );
            // Its name may be another's by the time this is read.
            deed.parameters
                .extend(team.map(|id| ("team id".to_owned(), id)));
            let act = next.run(Request::from_parts(parts, body));
            let status = |response: &Response| response.status().as_u16();
            let audit = context.audit.clone();
            // Done to its end, and on record how it went, though the client hangs up.
            let done = tokio::spawn(async move { audit.of(deed, act, status).await });
            done.await.map_err(ApiError::internal)??
        }
    };
    let headers = response.headers_mut();
    headers.insert("ratelimit-remaining", HeaderValue::from(remaining));
    for warning in context.notice.for_token(&token, Timestamp::now()) {
        headers.append(notice::HEADER, warning);
    }
    // For those who are let in only: a stranger need not know what might be wrong with it.
    headers.insert(
        controller_api::PLATFORM_VERSION,
        HeaderValue::from_static(env!("CARGO_PKG_VERSION")),
    );
    Ok(response)
}

/// The add-on of the path, if it is its provider that asks.
async fn of_provider(
    context: &Context,
    params: &RawPathParams,
    headers: &HeaderMap,
) -> ApiResult<Option<Versioned<Addon>>> {
    let Some(Credentials::Token(token)) = Credentials::from_headers(headers) else {
        return Ok(None);
    };
    let Some((_, identity)) = params.iter().find(|(name, _)| *name == "addon") else {
        return Ok(None);
    };
    let Some(addon) = addons::find(context.store(), identity).await? else {
        return Ok(None);
    };
    let is_provider = is_provider(context, &addon, token.expose()).await?;
    Ok(is_provider.then_some(addon))
}

/// What a provider does is on record in the name of whoever asked for the add-on.
async fn serve_provider(
    context: &Context,
    addon: Versioned<Addon>,
    path: &str,
    params: &RawPathParams,
    mut request: Request,
    next: Next,
) -> ApiResult<Response> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let what = format!("{} {path}", request.method());
    let from = audit::caller(request.extensions(), request.headers());
    let app = key::APPS
        .get(context.store(), &key::app(addon.value.app))
        .await?;
    let app = app.as_ref().map(|app| &app.value);
    let deed = audit::of_provider(&addon.value, app, from, what, params);
    // For each of its add-ons it has as many calls as an account.
    let caller = AccountId::from_uuid(addon.value.id.as_uuid());
    if context.requests.take(caller, Instant::now()).is_none() {
        return Err(ApiError::rate_limit(
            "The provider reached the API rate limit. Please wait a few minutes.",
        ));
    }
    request.extensions_mut().insert(AddonAccess { addon });
    if is_read {
        return Ok(next.run(request).await);
    }
    let act = next.run(request);
    let status = |response: &Response| response.status().as_u16();
    let audit = context.audit.clone();
    let done = tokio::spawn(async move { audit.of(deed, act, status).await });
    Ok(done.await.map_err(ApiError::internal)??)
}

/// Reading by other methods is no deed.
fn changes_something(need: Need, method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD) && !matches!(need, Need::Identity | Need::Read)
}

pub(crate) fn too_narrow(token: &Token, need: Need) -> ApiError {
    let scopes: Vec<_> = token.scope.iter().map(|scope| scope.as_str()).collect();
    ApiError::forbidden(format!(
        "This token has the scope {}, and this needs {}. Make one that has it: paas authorizations:create --scope {}",
        scopes.join(", "),
        need.scope(),
        need.scope()
    ))
}

pub(crate) fn require_second_factor(context: &Context, session: &Session) -> ApiResult<()> {
    if context.config.second_factor.is_broken_by(&session.account) {
        return Err(ApiError::forbidden(
            "The platform asks a second factor of you, and until you have one nothing else may be done. Get one with: paas \
             auth:2fa:enable",
        ));
    }
    Ok(())
}

/// Other roles show the internal token, and never come through a router, which would have left its headers.
fn require_internal(context: &Context, headers: &HeaderMap) -> ApiResult<()> {
    let forwarded = ["x-forwarded-for", "forwarded", "via"]
        .iter()
        .any(|name| headers.contains_key(*name));
    let Some(Credentials::Token(token)) = Credentials::from_headers(headers) else {
        return Err(ApiError::no_endpoint());
    };
    if forwarded || !same_secret(token.expose(), context.keyring.internal_token().expose()) {
        return Err(ApiError::no_endpoint());
    }
    Ok(())
}

pub(crate) fn lacks(app: &App, role: Role, permission: Permission) -> ApiError {
    let yours = Permission::ALL.into_iter().rfind(|one| role.may(*one));
    let way = match app.owner.team() {
        Some(_) if permission < Permission::Manage => {
            "Join the app if it is your team's (paas apps:join), or ask its team's administrators: paas access:add"
        }
        Some(_) => "The administrators of its team can give it: paas access:add",
        None => "Its owner can give it: paas access:update",
    };
    ApiError::forbidden(format!(
        "This needs the permission {permission} on {}, and you have {}. {way}",
        app.name,
        yours.map_or("none", Permission::as_str),
    ))
}

/// To whom an app is nothing, it does not exist.
async fn app_access(
    context: &Context,
    params: &RawPathParams,
    session: Session,
    permission: Permission,
) -> ApiResult<AppAccess> {
    let (_, identity) = params
        .iter()
        .find(|(name, _)| *name == "app")
        .ok_or_else(ApiError::no_endpoint)?;
    let app = find::app(context.store(), identity)
        .await?
        .ok_or_else(|| ApiError::not_found("app"))?;
    let role = find::role(context.store(), &session.account, &app.value)
        .await?
        .ok_or_else(|| ApiError::not_found("app"))?;
    if !role.may(permission) {
        return Err(lacks(&app.value, role, permission));
    }
    Ok(AppAccess { app, role, session })
}

/// To strangers a team does not exist.
async fn team_access(
    context: &Context,
    params: &RawPathParams,
    session: Session,
    least: TeamRole,
) -> ApiResult<TeamAccess> {
    let (_, identity) = params
        .iter()
        .find(|(name, _)| *name == "team")
        .ok_or_else(ApiError::no_endpoint)?;
    let team = owners::team(context.store(), identity)
        .await?
        .ok_or_else(|| teams::none(identity))?
        .value;
    let role = owners::role_in(context.store(), &session.account, team.id)
        .await?
        .ok_or_else(|| teams::none(identity))?;
    if role < least {
        return Err(ApiError::forbidden(format!(
            "This takes the role {least} in the team {}, and yours is {role}. Its administrators can give it: paas members:set",
            team.name
        )));
    }
    Ok(TeamAccess {
        team,
        role,
        session,
    })
}

/// Without a permission that users may have, it is its provider's alone. To strangers an add-on does not exist.
async fn addon_access(
    context: &Context,
    params: &RawPathParams,
    session: &Session,
    permission: Option<Permission>,
) -> ApiResult<AddonAccess> {
    let none = || ApiError::not_found_because("add_on", "Couldn't find that add-on.");
    let (_, identity) = params
        .iter()
        .find(|(name, _)| *name == "addon")
        .ok_or_else(ApiError::no_endpoint)?;
    let store = context.store();
    let addon = addons::find(store, identity).await?.ok_or_else(none)?;
    let app = key::APPS.get(store, &key::app(addon.value.app)).await?;
    let app = app.ok_or_else(none)?.value;
    let role = find::role(store, &session.account, &app).await?;
    let role = role.ok_or_else(none)?;
    match permission {
        Some(permission) if role.may(permission) => Ok(AddonAccess { addon }),
        Some(permission) => Err(lacks(&app, role, permission)),
        None => Err(ApiError::forbidden(format!(
            "This is for the provider of {} to say.",
            addon.value.name
        ))),
    }
}

macro_rules! established {
    ($($kind:ty: $named:literal),*) => {$(
        impl<S: Send + Sync> FromRequestParts<S> for $kind {
            type Rejection = ApiError;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> ApiResult<Self> {
                let found = parts.extensions.get::<Self>().cloned();
                found.ok_or_else(|| ApiError::internal(NoRule($named)))
            }
        }
    )*};
}

established!(AddonAccess: "an add-on", AppAccess: "an app", TeamAccess: "a team", Session: "a session");

#[derive(Debug, thiserror::Error)]
#[error("the route's rule does not establish {0}, which its handler needs")]
struct NoRule(&'static str);
