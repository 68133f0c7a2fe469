//! What providers say of their add-ons, and the way of a browser to them.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use controller_api::wire;
use model::addon::ProviderSecrets;
use model::{AddonConfig, AddonId, Secret, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use store::{Versioned, key};

use super::addons::shown;
use crate::actions;
use crate::addons::grants::{AccessToken, Grant, RefreshToken, TOKEN_FOR};
use crate::addons::progress::{config_of, read};
use crate::addons::service_of;
use crate::addons::sso::{self, Link};
use crate::auth::same_secret;
use crate::context::{Context, Ctx};
use crate::error::ApiResult;
use crate::guard::AddonAccess;
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::http::ticket;
use crate::pages::{Text, page, page_to};
use crate::views::log_drain::log_drain;

/// By its provider's names.
fn view(config: AddonConfig) -> Json<Vec<wire::AddonConfig>> {
    let all = config.0.into_iter().map(|(name, value)| wire::AddonConfig {
        name: name.to_string(),
        value: Some(value),
    });
    Json(all.collect())
}

pub(crate) async fn config(
    State(context): State<Ctx>,
    access: AddonAccess,
) -> ApiResult<Json<Vec<wire::AddonConfig>>> {
    Ok(view(config_of(&context, &access.addon.value)?))
}

/// Of credentials of its own, which no add-on has here: clients look whether one is there.
pub(crate) async fn config_of_namespace(_: AddonAccess) -> Json<[Value; 0]> {
    Json([])
}

pub(crate) async fn set_config(
    State(context): State<Ctx>,
    access: AddonAccess,
    JsonBody(body): JsonBody<wire::AddonConfigUpdate>,
) -> ApiResult<Json<Vec<wire::AddonConfig>>> {
    let addon = &access.addon.value;
    if !addon.state.is_wanted() {
        return Err(actions::addon_provided::on_its_way_out(addon).into());
    }
    let given: Vec<_> = body
        .config
        .into_iter()
        .map(|one| (one.name, one.value))
        .collect();
    let config = actions::addon_provided::set_config_vars(&context, addon.id, &given).await?;
    Ok(view(config))
}

/// Of its own: one at most.
pub(crate) async fn log_drains(
    State(context): State<Ctx>,
    access: AddonAccess,
    range: PageRange,
) -> ApiResult<Page> {
    let addon = &access.addon.value;
    let drains = actions::log_drains::list(&context, addon.app).await?;
    let ours = drains
        .iter()
        .filter(|known| known.drain.value.addon == Some(addon.id));
    let app = key::APPS.get(context.store(), &key::app(addon.app)).await?;
    let app = app.ok_or_else(super::addons::none)?.value;
    let addons = [addon.clone()];
    range.page(ours.map(|known| log_drain(&app, &known.drain.value, &known.url, &addons)))
}

pub(crate) async fn set_log_drain(
    State(context): State<Ctx>,
    access: AddonAccess,
    Path((_, identity)): Path<(String, String)>,
    JsonBody(body): JsonBody<wire::LogDrainCreate>,
) -> ApiResult<Json<wire::LogDrain>> {
    let addon = &access.addon.value;
    let changed =
        actions::log_drains::replace_of_addon(&context, addon, &identity, &body.url).await?;
    let app = key::APPS.get(context.store(), &key::app(addon.app)).await?;
    let app = app.ok_or_else(super::addons::none)?.value;
    let (drain, url) = changed;
    Ok(Json(log_drain(
        &app,
        &drain,
        &url,
        std::slice::from_ref(addon),
    )))
}

pub(crate) async fn provisioned(
    State(context): State<Ctx>,
    access: AddonAccess,
    headers: HeaderMap,
) -> ApiResult<Json<Value>> {
    let addon = actions::addon_provided::provisioned(&context, access.addon.value.id).await?;
    Ok(Json(shown(&context, &addon, &headers).await?))
}

pub(crate) async fn not_provisioned(
    State(context): State<Ctx>,
    access: AddonAccess,
    headers: HeaderMap,
) -> ApiResult<Json<Value>> {
    let addon = actions::addon_provided::not_provisioned(&context, access.addon.value.id).await?;
    Ok(Json(shown(&context, &addon, &headers).await?))
}

#[derive(Debug, Deserialize)]
struct TokenRequest {
    grant_type: String,
    code: Option<String>,
    refresh_token: Option<String>,
    client_secret: Option<Secret<String>>,
}

/// As OAuth has it, by a form or by JSON. <https://www.rfc-editor.org/rfc/rfc6749#section-4.1.3>
pub(crate) async fn token(
    State(context): State<Ctx>,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult<Response> {
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let asked: Option<TokenRequest> = match is_json {
        true => serde_json::from_slice(&body).ok(),
        false => {
            let fields: Map<_, _> = url::form_urlencoded::parse(&body)
                .map(|(name, value)| (name.into_owned(), Value::from(value)))
                .collect();
            serde_json::from_value(fields.into()).ok()
        }
    };
    let Some(asked) = asked else {
        return Ok(refused(
            "invalid_request",
            "grant_type, and what goes with it, is asked for.",
        ));
    };
    let now = Timestamp::now();
    let keyring = &context.keyring;
    let held = match asked.grant_type.as_str() {
        "authorization_code" => {
            let code = asked.code.as_deref().unwrap_or_default();
            Grant::open(keyring, code).map(Held::Grant)
        }
        "refresh_token" => {
            let token = asked.refresh_token.as_deref().unwrap_or_default();
            RefreshToken::open(keyring, token).map(Held::Refresh)
        }
        _ => {
            return Ok(refused(
                "unsupported_grant_type",
                "There is authorization_code, and refresh_token.",
            ));
        }
    };
    let Some((held, secrets)) = with_secrets(&context, held).await? else {
        return Ok(refused(
            "invalid_grant",
            "The grant is none, or none any more.",
        ));
    };
    let given = asked.client_secret.unwrap_or_default();
    if !same_secret(given.expose(), secrets.client_secret.expose()) {
        return Ok(refused("invalid_client", "The client_secret is wrong."));
    }
    if !held.counts(&secrets, now) {
        return Ok(refused("invalid_grant", "The grant is too old."));
    }
    let addon = held.addon();
    let refresh_token = RefreshToken::new(addon, &secrets, now).seal(keyring)?;
    let answer = wire::ProviderToken {
        access_token: Secret::new(AccessToken::new(addon, &secrets, now).seal(keyring)?),
        expires_in: TOKEN_FOR.as_secs(),
        refresh_token: Secret::new(refresh_token),
        token_type: "Bearer".to_owned(),
    };
    Ok((no_store(), Json(answer)).into_response())
}

enum Held {
    Grant(Grant),
    Refresh(RefreshToken),
}

impl Held {
    const fn addon(&self) -> AddonId {
        match self {
            Self::Grant(grant) => grant.addon(),
            Self::Refresh(token) => token.addon(),
        }
    }

    fn counts(&self, secrets: &ProviderSecrets, now: Timestamp) -> bool {
        match self {
            Self::Grant(grant) => grant.counts(secrets, now),
            Self::Refresh(token) => token.counts(secrets, now),
        }
    }
}

async fn with_secrets(
    context: &Context,
    held: Option<Held>,
) -> ApiResult<Option<(Held, ProviderSecrets)>> {
    let Some(held) = held else { return Ok(None) };
    let Some(addon) = read(context, held.addon()).await? else {
        return Ok(None);
    };
    let secrets = secrets_of(context, &addon).await?;
    Ok(secrets.map(|secrets| (held, secrets)))
}

/// What an add-on's provider and the platform know each other by.
pub(crate) async fn secrets_of(
    context: &Context,
    addon: &Versioned<model::Addon>,
) -> ApiResult<Option<ProviderSecrets>> {
    let service = service_of(context.store(), &addon.value.service).await?;
    let Some(service) = service else {
        return Ok(None);
    };
    Ok(Some(
        context.keyring.open(&service.key, &service.value.secrets)?,
    ))
}

/// Of OAuth's words for it. <https://www.rfc-editor.org/rfc/rfc6749#section-5.2>
fn refused(error: &str, description: &str) -> Response {
    let status = match error {
        "invalid_client" | "invalid_grant" => StatusCode::UNAUTHORIZED,
        _ => StatusCode::BAD_REQUEST,
    };
    let body = json!({
        "error": error, "error_description": description, "id": error, "message": description,
    });
    (status, no_store(), Json(body)).into_response()
}

const fn no_store() -> [(header::HeaderName, &'static str); 1] {
    [(header::CACHE_CONTROL, "no-store")]
}

/// Sends a browser to an add-on's dashboard; whoever has the link is who it was made for.
pub(crate) async fn enter(
    State(context): State<Ctx>,
    Path(link): Path<String>,
) -> ApiResult<Response> {
    let now = Timestamp::now();
    let link = ticket::open::<Link>(&context.keyring, &link);
    let Some(link) = link.filter(|link| now < link.until) else {
        return Ok(over());
    };
    let Some(addon) = key::ADDONS
        .get(context.store(), &key::addon(link.addon))
        .await?
    else {
        return Ok(over());
    };
    let service = service_of(context.store(), &addon.value.service).await?;
    let Some((action, secrets)) = service.and_then(|service| {
        let secrets = context.keyring.open(&service.key, &service.value.secrets);
        Some((service.value.sso_url?, secrets.ok()?))
    }) else {
        return Ok(over());
    };
    let params = sso::params(&addon.value, &secrets, &link.app, &link.email, now);
    let fields = params.iter().map(|(name, value)| {
        let (name, value) = (Text(name), Text(value));
        format!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\">")
    });
    let body = format!(
        "<p>{} is opened at its provider&#39;s.</p><form method=\"post\" action=\"{}\">{}<button>Go on</button></form>",
        Text(addon.value.name.as_str()),
        Text(&action),
        fields.collect::<String>()
    );
    Ok(page_to("Opening an add-on", &body, &action))
}

fn over() -> Response {
    page(
        StatusCode::NOT_FOUND,
        "This link is over",
        "<p>Links to dashboards are good for five minutes. Get another with <code>paas addons:open</code>.</p>",
    )
}

/// Where an add-on's `web_url` leads whoever has no link of his own.
pub(crate) async fn dashboard(Path(_): Path<String>) -> Response {
    page(
        StatusCode::OK,
        "An add-on's dashboard",
        "<p>The platform vouches for you at the provider&#39;s, and so it has to know who you are. Open the dashboard \
         with <code>paas addons:open NAME</code>.</p>",
    )
}

/// Whether it is an add-on's provider that asks, by a token that it was given for it.
pub(crate) async fn is_provider(
    context: &Context,
    addon: &Versioned<model::Addon>,
    token: &str,
) -> ApiResult<bool> {
    let Some(token) = AccessToken::open(&context.keyring, token) else {
        return Ok(false);
    };
    let secrets = secrets_of(context, addon).await?;
    Ok(token.addon() == addon.value.id
        && secrets.is_some_and(|secrets| token.counts(&secrets, Timestamp::now())))
}
