//! Add-ons: one's own, an app's, and what somebody may mean by a name.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use controller_api::wire;
use model::{Addon, AddonId, App, AppId, Attachment, Need};
use serde_json::Value;
use store::{Store, Versioned, key};

use super::accounts::require_self;
use super::{Created, created};
use crate::actions;
use crate::addons::progress::config_of;
use crate::addons::sso::{self, LINK_FOR, Link};
use crate::auth::Session;
use crate::context::{Context, Ctx, actor};
use crate::error::{ApiError, ApiResult};
use crate::find;
use crate::guard::{AddonAccess, AppAccess, TeamAccess};
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::http::ticket;
use crate::views::addon::{self as views, Known};

/// All that there is of add-ons, for whoever looks at several.
pub(super) struct Books {
    pub(super) addons: HashMap<AddonId, Addon>,
    pub(super) attachments: Vec<Attachment>,
    services: HashMap<String, model::AddonService>,
}

impl Books {
    pub(super) async fn read(store: &dyn Store) -> ApiResult<Self> {
        let addons = key::ADDONS.all(store).await?.into_iter();
        // Mostly there are none, and then the rest need not be read.
        let addons: HashMap<_, _> = addons.map(|seen| (seen.value.id, seen.value)).collect();
        let (mut attachments, mut services) = (Vec::new(), HashMap::new());
        if !addons.is_empty() {
            let all = key::ATTACHMENTS.all(store).await?.into_iter();
            attachments = all.map(|seen| seen.value).collect();
            attachments.sort_by_key(|attachment: &Attachment| attachment.created_at);
            let all = key::ADDON_SERVICES.all(store).await?.into_iter();
            services = all
                .map(|seen| (seen.value.name.to_string(), seen.value))
                .collect();
        }
        Ok(Self {
            addons,
            attachments,
            services,
        })
    }

    /// With all that a view takes; `None` for what is of no service any more.
    pub(super) fn known(
        &self,
        context: &Context,
        addon: &Addon,
        app: &App,
    ) -> ApiResult<Option<Known>> {
        let Some(service) = self.services.get(addon.service.as_str()) else {
            return Ok(None);
        };
        let mut attachments = self.attachments.iter();
        let own = attachments.find(|one| one.addon == addon.id && one.app == addon.app);
        let dashboard = context
            .config
            .api_url(&format!("/addons/{}/dashboard", addon.id));
        Ok(Some(Known {
            config: config_of(context, addon)?,
            addon: addon.clone(),
            app: app.clone(),
            service: service.clone(),
            attachment: own.cloned(),
            web_url: service.sso_url.is_some().then_some(dashboard),
        }))
    }
}

/// What of the add-on a client wants in full.
fn expansion(headers: &HeaderMap) -> &str {
    let header = headers.get("accept-expansion");
    header.and_then(|value| value.to_str().ok()).unwrap_or("")
}

pub(super) async fn shown(
    context: &Context,
    addon: &Addon,
    headers: &HeaderMap,
) -> ApiResult<Value> {
    let app = key::APPS.get(context.store(), &key::app(addon.app)).await?;
    let app = app.ok_or_else(none)?.value;
    let books = Books::read(context.store()).await?;
    let known = books.known(context, addon, &app)?.ok_or_else(none)?;
    Ok(views::expanded(&known, expansion(headers)))
}

pub(super) fn none() -> ApiError {
    ApiError::not_found_because("add_on", "Couldn't find that add-on.")
}

async fn page(
    context: &Context,
    apps: Vec<App>,
    headers: &HeaderMap,
    range: &PageRange,
) -> ApiResult<Page> {
    let books = Books::read(context.store()).await?;
    let apps: HashMap<AppId, App> = apps.into_iter().map(|app| (app.id, app)).collect();
    let mut shown = Vec::new();
    for addon in books.addons.values() {
        if let Some(app) = apps.get(&addon.app)
            && let Some(known) = books.known(context, addon, app)?
        {
            shown.push(views::expanded(&known, expansion(headers)));
        }
    }
    range.page(shown)
}

/// Those of the apps that one may see.
pub(crate) async fn list(
    State(context): State<Ctx>,
    session: Session,
    headers: HeaderMap,
    range: PageRange,
) -> ApiResult<Page> {
    let apps = find::visible_apps(context.store(), &session.account).await?;
    page(&context, apps, &headers, &range).await
}

pub(crate) async fn list_of_user(
    State(context): State<Ctx>,
    session: Session,
    Path(user): Path<String>,
    headers: HeaderMap,
    range: PageRange,
) -> ApiResult<Page> {
    require_self(&session, &user)?;
    let apps = find::apps_of(context.store(), &session.account).await?;
    page(&context, apps, &headers, &range).await
}

pub(crate) async fn list_of_team(
    State(context): State<Ctx>,
    access: TeamAccess,
    headers: HeaderMap,
    range: PageRange,
) -> ApiResult<Page> {
    let mut apps = find::visible_apps(context.store(), &access.session.account).await?;
    apps.retain(|app| app.owner.team() == Some(access.team.id));
    page(&context, apps, &headers, &range).await
}

pub(crate) async fn list_of_app(
    State(context): State<Ctx>,
    access: AppAccess,
    headers: HeaderMap,
    range: PageRange,
) -> ApiResult<Page> {
    page(&context, vec![access.app.value], &headers, &range).await
}

pub(crate) async fn create(
    State(context): State<Ctx>,
    access: AppAccess,
    headers: HeaderMap,
    JsonBody(body): JsonBody<wire::AddonCreate>,
) -> ApiResult<Created<Value>> {
    let (app, by) = (&access.app.value, actor(&access.session.account));
    let made = actions::addons::create(&context, app, &by, &body).await?;
    Ok(created(shown(&context, &made, &headers).await?))
}

/// One that was made for the app, by name or id.
async fn of_app(
    context: &Context,
    access: &AppAccess,
    identity: &str,
) -> ApiResult<Versioned<Addon>> {
    let found = actions::addons::find(context.store(), identity).await?;
    found
        .filter(|found| found.value.app == access.app.value.id)
        .ok_or_else(none)
}

/// By what it is attached as, too: nobody loses an add-on by looking at another.
async fn by_any_name(
    context: &Context,
    access: &AppAccess,
    identity: &str,
) -> ApiResult<Versioned<Addon>> {
    if let Ok(found) = of_app(context, access, identity).await {
        return Ok(found);
    }
    let (store, app) = (context.store(), access.app.value.id);
    let name = identity.parse().map_err(|_| none())?;
    let attached = key::ATTACHMENTS
        .get(store, &key::attachment(app, &name))
        .await?;
    let place = key::addon(attached.ok_or_else(none)?.value.addon);
    let found = key::ADDONS.get(store, &place).await?;
    found
        .filter(|found| found.value.app == app)
        .ok_or_else(none)
}

pub(crate) async fn show_of_app(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
    headers: HeaderMap,
) -> ApiResult<Json<Value>> {
    let found = by_any_name(&context, &access, &identity).await?;
    Ok(Json(shown(&context, &found.value, &headers).await?))
}

pub(crate) async fn update(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<wire::AddonUpdate>,
) -> ApiResult<Json<Value>> {
    let by = actor(&access.session.account);
    let found = of_app(&context, &access, &identity).await?;
    let changed = actions::addons::update(&context, found, &by, &body).await?;
    Ok(Json(shown(&context, &changed, &headers).await?))
}

pub(crate) async fn destroy(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<wire::AddonDestroy>,
) -> ApiResult<Json<Value>> {
    let by = actor(&access.session.account);
    let found = of_app(&context, &access, &identity).await?;
    let force = body.force.unwrap_or_default();
    let gone = actions::addon_end::destroy(&context, &found, &by, force).await?;
    let books = Books::read(context.store()).await?;
    let known = match books.known(&context, &gone, &access.app.value)? {
        Some(known) => known,
        None => Known {
            service: super::addon_services::find(&context, gone.service.as_str())
                .await?
                .value,
            config: config_of(&context, &gone)?,
            attachment: None,
            app: access.app.value.clone(),
            addon: gone,
            web_url: None,
        },
    };
    Ok(Json(views::expanded(&known, expansion(&headers))))
}

pub(crate) async fn show(
    State(context): State<Ctx>,
    access: AddonAccess,
    headers: HeaderMap,
) -> ApiResult<Json<Value>> {
    Ok(Json(shown(&context, &access.addon.value, &headers).await?))
}

/// How a browser is sent to its dashboard.
pub(crate) async fn sso(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Json<wire::AddonSso>> {
    let found = of_app(&context, &access, &identity).await?.value;
    let service = super::addon_services::find(&context, found.service.as_str()).await?;
    let secrets = context.keyring.open(&service.key, &service.value.secrets)?;
    let Some(action) = service.value.sso_url else {
        return Err(ApiError::invalid(format!(
            "Add-ons of {} have no dashboard.",
            service.value.name
        )));
    };
    let (app, email) = (&access.app.value.name, &access.session.account.email);
    let now = model::Timestamp::now();
    Ok(Json(wire::AddonSso {
        action,
        method: "post".to_owned(),
        params: sso::params(&found, &secrets, app, email, now),
    }))
}

/// What somebody may mean: by name or id, as what it is attached, or by its service or plan.
pub(crate) async fn resolve(
    State(context): State<Ctx>,
    session: Session,
    headers: HeaderMap,
    JsonBody(body): JsonBody<wire::AddonResolve>,
) -> ApiResult<Json<Vec<Value>>> {
    let (given_app, named) = split(&body.addon);
    let app = given_app
        .or(body.app.as_deref())
        .filter(|app| !app.is_empty());
    let seen = Seen::by(&context, &session, app).await?;
    let matches = |addon: &Addon| {
        addon.id.to_string() == named
            || addon.name.as_str() == named
            || addon.service.as_str() == named
            || addon.full_plan() == named
    };
    let is_attached = |addon: &Addon| {
        (seen.books.attachments.iter()).any(|one| {
            one.addon == addon.id
                && seen.looks_at(one.app)
                && one.name.as_str().eq_ignore_ascii_case(named)
        })
    };
    let mut found = Vec::new();
    for addon in seen.books.addons.values() {
        let Some(owner) = seen.apps.get(&addon.app) else {
            continue;
        };
        let is_near = seen.looks_at(addon.app) || seen.is_attached(addon);
        let of_service = body.addon_service.as_deref();
        let of_service = of_service.is_none_or(|service| addon.service.as_str() == service);
        if of_service
            && ((is_near && matches(addon)) || is_attached(addon))
            && let Some(known) = seen.books.known(&context, addon, owner)?
        {
            let known = with_link(&context, &session, known, owner).await?;
            found.push(views::expanded(&known, expansion(&headers)));
        }
    }
    match found.is_empty() {
        true => Err(none()),
        false => Ok(Json(found)),
    }
}

/// `app::addon`
pub(super) fn split(identity: &str) -> (Option<&str>, &str) {
    match identity.split_once("::") {
        Some((app, rest)) => (Some(app), rest),
        None => (None, identity),
    }
}

/// What one may see of add-ons, and which app one looks at, if at one.
pub(super) struct Seen {
    pub(super) books: Books,
    /// Those that one may see.
    pub(super) apps: HashMap<AppId, App>,
    app: Option<AppId>,
}

impl Seen {
    pub(super) async fn by(
        context: &Context,
        session: &Session,
        app: Option<&str>,
    ) -> ApiResult<Self> {
        let apps = find::visible_apps(context.store(), &session.account).await?;
        let app = match app {
            None => None,
            Some(named) => {
                let is_it = |app: &&App| app.name.as_str() == named || app.id.to_string() == named;
                let found = apps.iter().find(is_it);
                Some(found.ok_or_else(|| ApiError::not_found("app"))?.id)
            }
        };
        Ok(Self {
            books: Books::read(context.store()).await?,
            apps: apps.into_iter().map(|app| (app.id, app)).collect(),
            app,
        })
    }

    pub(super) fn looks_at(&self, app: AppId) -> bool {
        self.app
            .map_or_else(|| self.apps.contains_key(&app), |looked| looked == app)
    }

    fn is_attached(&self, addon: &Addon) -> bool {
        let mut attachments = self.books.attachments.iter();
        attachments.any(|one| one.addon == addon.id && self.looks_at(one.app))
    }
}

/// Its dashboard by a link that logs its holder in there; for those who may operate the app, with a token that may do so.
pub(super) async fn with_link(
    context: &Context,
    session: &Session,
    known: Known,
    app: &App,
) -> ApiResult<Known> {
    let role = find::role(context.store(), &session.account, &known.app).await?;
    let may = role.is_some_and(|role| role.may(model::Permission::Operate))
        && session.token.value.grants(Need::WriteProtected);
    if known.web_url.is_none() || !may {
        return Ok(known);
    }
    let until = model::Timestamp::now().checked_add(LINK_FOR);
    let link = Link {
        addon: known.addon.id,
        app: app.name.clone(),
        email: session.account.email.clone(),
        until: until.unwrap_or(model::Timestamp::MAX),
    };
    let sealed = ticket::seal(&context.keyring, &link)?;
    Ok(Known {
        web_url: Some(context.config.api_url(&format!("/sso/{sealed}"))),
        ..known
    })
}
