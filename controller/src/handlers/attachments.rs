//! Which apps have which add-ons, and as what.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use controller_api::wire;
use model::{App, Attachment, AttachmentName, Permission};
use serde_json::Value;
use store::{Versioned, key};

use super::addons::{Books, Seen, split, with_link};
use super::{Created, created};
use crate::actions;
use crate::audit;
use crate::auth::Session;
use crate::context::{Context, Ctx, actor};
use crate::error::{ApiError, ApiResult};
use crate::find;
use crate::guard::{AddonAccess, AppAccess, lacks};
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::views::addon as views;

fn none() -> ApiError {
    ApiError::not_found_because(
        "add_on attachment",
        "Couldn't find that add-on attachment. See `paas addons`.",
    )
}

/// What of the attachment a client wants besides.
fn inclusion(headers: &HeaderMap) -> &str {
    let header = headers.get("accept-inclusion");
    header.and_then(|value| value.to_str().ok()).unwrap_or("")
}

async fn shown(
    context: &Context,
    attachment: &Attachment,
    app: &App,
    headers: &HeaderMap,
) -> ApiResult<Value> {
    let books = Books::read(context.store()).await?;
    let one = view(context, &books, attachment, app, headers).await?;
    one.ok_or_else(none)
}

/// `None` for one whose add-on is just going.
async fn view(
    context: &Context,
    books: &Books,
    attachment: &Attachment,
    app: &App,
    headers: &HeaderMap,
) -> ApiResult<Option<Value>> {
    let Some(addon) = books.addons.get(&attachment.addon) else {
        return Ok(None);
    };
    let owner = key::APPS.get(context.store(), &key::app(addon.app)).await?;
    let Some(owner) = owner else { return Ok(None) };
    let known = books.known(context, addon, &owner.value)?;
    Ok(known.map(|known| views::included(attachment, app, &known, inclusion(headers))))
}

async fn page<'a>(
    context: &Context,
    books: &Books,
    attachments: impl Iterator<Item = (&'a Attachment, &'a App)>,
    headers: &HeaderMap,
    range: &PageRange,
) -> ApiResult<Page> {
    let mut all = Vec::new();
    for (attachment, app) in attachments {
        all.extend(view(context, books, attachment, app, headers).await?);
    }
    range.page(all)
}

/// Those of apps that one may see, and those by which other apps have add-ons of such apps.
pub(crate) async fn list(
    State(context): State<Ctx>,
    session: Session,
    headers: HeaderMap,
    range: PageRange,
) -> ApiResult<Page> {
    let seen = Seen::by(&context, &session, None).await?;
    let ours = seen.books.attachments.iter();
    let ours = ours.filter_map(|one| Some((one, seen.apps.get(&one.app)?)));
    page(&context, &seen.books, ours, &headers, &range).await
}

pub(crate) async fn list_of_app(
    State(context): State<Ctx>,
    access: AppAccess,
    headers: HeaderMap,
    range: PageRange,
) -> ApiResult<Page> {
    let app = &access.app.value;
    let books = Books::read(context.store()).await?;
    let ours = books.attachments.iter().filter(|one| one.app == app.id);
    page(
        &context,
        &books,
        ours.map(|one| (one, app)),
        &headers,
        &range,
    )
    .await
}

/// Names of apps that one may not see are told to whoever has the add-on: without them he could not destroy it knowingly.
pub(crate) async fn list_of_addon(
    State(context): State<Ctx>,
    access: AddonAccess,
    headers: HeaderMap,
    range: PageRange,
) -> ApiResult<Page> {
    let store = context.store();
    let books = Books::read(store).await?;
    let id = access.addon.value.id;
    let mut ours = Vec::new();
    for one in books.attachments.iter().filter(|one| one.addon == id) {
        if let Some(app) = key::APPS.get(store, &key::app(one.app)).await? {
            ours.push((one, app.value));
        }
    }
    let ours = ours.iter().map(|(one, app)| (*one, app));
    page(&context, &books, ours, &headers, &range).await
}

pub(crate) async fn show_of_app(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
    headers: HeaderMap,
) -> ApiResult<Json<Value>> {
    let app = &access.app.value;
    let of_app = key::attachments_of(app.id);
    let all = key::ATTACHMENTS.list(context.store(), &of_app).await?;
    let named: Option<AttachmentName> = identity.parse().ok();
    let found = all.into_iter().find(|one| {
        one.value.id.to_string() == identity || named.as_ref() == Some(&one.value.name)
    });
    let found = found.ok_or_else(none)?;
    Ok(Json(shown(&context, &found.value, app, &headers).await?))
}

/// By id, in an app that one may do this with.
async fn find_one(
    context: &Context,
    session: &Session,
    identity: &str,
    permission: Permission,
) -> ApiResult<(Versioned<Attachment>, App)> {
    let store = context.store();
    let id = identity.parse().map_err(|_| none())?;
    let found = actions::attachments::find(store, id).await?;
    let found = found.ok_or_else(none)?;
    let app = key::APPS.get(store, &key::app(found.value.app)).await?;
    let app = app.ok_or_else(none)?.value;
    let role = find::role(store, &session.account, &app).await?;
    let role = role.ok_or_else(none)?;
    match role.may(permission) {
        true => Ok((found, app)),
        false => Err(lacks(&app, role, permission)),
    }
}

pub(crate) async fn show(
    State(context): State<Ctx>,
    session: Session,
    Path(identity): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Json<Value>> {
    let (found, app) = find_one(&context, &session, &identity, Permission::View).await?;
    Ok(Json(shown(&context, &found.value, &app, &headers).await?))
}

/// Whoever operates both the app and the add-on's own.
pub(crate) async fn create(
    State(context): State<Ctx>,
    session: Session,
    headers: HeaderMap,
    JsonBody(body): JsonBody<wire::AddonAttachmentCreate>,
) -> ApiResult<Created<Value>> {
    let store = context.store();
    let found = actions::addons::find(store, &body.addon.0).await?;
    let addon = found.ok_or_else(super::addons::none)?.value;
    let owner = key::APPS.get(store, &key::app(addon.app)).await?;
    let owner = owner.ok_or_else(super::addons::none)?.value;
    let role = find::role(store, &session.account, &owner).await?;
    let role = role.ok_or_else(super::addons::none)?;
    if !role.may(Permission::Operate) {
        return Err(lacks(&owner, role, Permission::Operate));
    }
    let app = find::app(store, &body.app.0).await?;
    let app = app.ok_or_else(|| ApiError::not_found("app"))?.value;
    let role = find::role(store, &session.account, &app).await?;
    let role = role.ok_or_else(|| ApiError::not_found("app"))?;
    if !role.may(Permission::Operate) {
        return Err(lacks(&app, role, Permission::Operate));
    }
    if let Some(namespace) = body.namespace.as_deref().filter(|text| !text.is_empty()) {
        return Err(ApiError::invalid(format!(
            "{} has no {:?}: add-ons have no credentials of their own here.",
            addon.name,
            namespace.chars().take(100).collect::<String>()
        )));
    }
    let by = actor(&session.account);
    let wish = (body.name.as_deref(), body.confirm.as_deref());
    let made = actions::attachments::attach(&context, &app, &addon, &by, wish).await?;
    Ok(created(shown(&context, &made, &app, &headers).await?))
}

pub(crate) async fn remove(
    State(context): State<Ctx>,
    session: Session,
    Path(identity): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Json<Value>> {
    let (found, app) = find_one(&context, &session, &identity, Permission::Operate).await?;
    audit::also(&format!(
        "app={}, attachment={}",
        app.name, found.value.name
    ));
    let gone = shown(&context, &found.value, &app, &headers).await?;
    let by = actor(&session.account);
    actions::attachments::detach(&context, &found, &by).await?;
    Ok(Json(gone))
}

/// What somebody may mean: an attachment by name or id, or by its add-on.
pub(crate) async fn resolve(
    State(context): State<Ctx>,
    session: Session,
    headers: HeaderMap,
    JsonBody(body): JsonBody<wire::AddonAttachmentResolve>,
) -> ApiResult<Json<Vec<Value>>> {
    let (given_app, named) = split(&body.addon_attachment);
    let app = given_app
        .or(body.app.as_deref())
        .filter(|app| !app.is_empty());
    let seen = Seen::by(&context, &session, app).await?;
    let mut found = Vec::new();
    for one in &seen.books.attachments {
        let (Some(app), Some(addon)) = (
            seen.apps.get(&one.app).filter(|app| seen.looks_at(app.id)),
            seen.books.addons.get(&one.addon),
        ) else {
            continue;
        };
        let of_service = body.addon_service.as_deref();
        let of_service = of_service.is_none_or(|service| addon.service.as_str() == service);
        let is_meant = one.id.to_string() == named
            || one.name.as_str().eq_ignore_ascii_case(named)
            || addon.name.as_str() == named
            || addon.id.to_string() == named;
        if !of_service || !is_meant {
            continue;
        }
        let owner = key::APPS.get(context.store(), &key::app(addon.app)).await?;
        let Some(owner) = owner else { continue };
        if let Some(known) = seen.books.known(&context, addon, &owner.value)? {
            let known = with_link(&context, &session, known, app).await?;
            found.push(views::included(one, app, &known, inclusion(&headers)));
        }
    }
    match found.is_empty() {
        true => Err(none()),
        false => Ok(Json(found)),
    }
}
