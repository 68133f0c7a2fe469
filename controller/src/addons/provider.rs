//! Calling a provider: Heroku's Add-on Partner API v3, as the platform's side of it.
//!
//! Every call is bounded in time and in what it takes back, and goes nowhere but where the manifest says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::addon::{Addon, AddonService, Options, ProviderSecrets};
use model::{AddonServiceName, PlanName, Timestamp};
use reqwest::header::{ACCEPT, HeaderName};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::answer::Heard;
use crate::outbound::words;

/// Heroku's: providers are built for it.
const WITHIN: Duration = Duration::from_secs(25);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const MAX_ANSWER: usize = 1 << 20;
/// Calls under way to one provider: others are not held up by it.
const AT_ONCE: usize = 4;
/// How long a call may wait for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(20);
const VERSION: &str = "application/vnd.heroku-addons+json; version=3";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const USER_AGENT: &str = concat!("paas-addons/", env!("CARGO_PKG_VERSION"));

/// Those who provide add-ons, as they are called.
#[derive(Debug)]
pub(crate) struct Providers {
    http: reqwest::Client,
    /// By service; no more of them than there are services.
    turns: Mutex<HashMap<AddonServiceName, Arc<Semaphore>>>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ProvidersError {
    #[error("whom to trust could not be read")]
    Tls(#[source] controller_api::tls::TlsError),
    #[error("no client could be made")]
    Client(#[source] reqwest::Error),
}

/// One of them, and what the platform is to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Provider<'a> {
    pub(crate) service: &'a AddonService,
    pub(crate) secrets: &'a ProviderSecrets,
}

/// What a provider is told besides the add-on's record when it is asked for one.
#[derive(Debug)]
pub(crate) struct Asking {
    /// Where it tells how it goes.
    pub(crate) callback_url: String,
    pub(crate) grant: String,
    pub(crate) grant_until: Timestamp,
    pub(crate) region: String,
}

impl Providers {
    pub(crate) fn new() -> Result<Self, ProvidersError> {
        let tls = controller_api::tls::client_config(None).map_err(ProvidersError::Tls)?;
        let http = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_WITHIN)
            .timeout(WITHIN)
            .tls_backend_preconfigured(tls)
            .build()
            .map_err(ProvidersError::Client)?;
        Ok(Self {
            http,
            turns: Mutex::default(),
        })
    }

    /// May be sent again: providers know an add-on by its `uuid`.
    pub(crate) async fn provision(
        &self,
        provider: Provider<'_>,
        addon: &Addon,
        options: &Options,
        asking: &Asking,
    ) -> Heard {
        let body = json!({
            "uuid": addon.id,
            "name": addon.name,
            "plan": addon.plan,
            "region": asking.region,
            "options": options,
            "callback_url": asking.callback_url,
            "oauth_grant": {
                "code": asking.grant,
                "expires_at": asking.grant_until,
                "type": "authorization_code",
            },
            "log_input_url": null,
            "log_drain_token": addon.drain.as_ref().map(|drain| drain.token.to_string()),
        });
        let url = provider.service.base_url.clone();
        self.call(provider, Method::POST, url, Some(&body)).await
    }

    pub(crate) async fn change_plan(
        &self,
        provider: Provider<'_>,
        addon: &Addon,
        plan: &PlanName,
    ) -> Heard {
        let body = json!({"uuid": addon.id, "plan": plan});
        let url = url_of(provider.service, addon);
        self.call(provider, Method::PUT, url, Some(&body)).await
    }

    pub(crate) async fn deprovision(&self, provider: Provider<'_>, addon: &Addon) -> Heard {
        let url = url_of(provider.service, addon);
        self.call(provider, Method::DELETE, url, None).await
    }

    /// How it goes with one that takes its time; ours, beyond Heroku's contract.
    pub(crate) async fn status(&self, provider: Provider<'_>, addon: &Addon) -> Heard {
        let url = format!("{}/status", url_of(provider.service, addon));
        self.call(provider, Method::GET, url, None).await
    }

    async fn call(
        &self,
        provider: Provider<'_>,
        method: Method,
        url: String,
        body: Option<&Value>,
    ) -> Heard {
        let turns = {
            let mut all = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            let ours = all.entry(provider.service.name.clone());
            ours.or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE)))
                .clone()
        };
        let Ok(Ok(_turn)) = timeout(TURN_WITHIN, turns.acquire()).await else {
            return Err("its provider keeps too many others waiting".to_owned());
        };
        let mut request = self
            .http
            .request(method, url)
            .basic_auth(
                &provider.service.name,
                Some(provider.secrets.password.expose()),
            )
            .header(ACCEPT, VERSION)
            .header(REQUEST_ID, uuid::Uuid::new_v4().to_string());
        if let Some(body) = body {
            request = request.json(body);
        }
        hear(request).await
    }
}

/// Its provider's place for it. One that is not known there by a name of its own is by ours.
fn url_of(service: &AddonService, addon: &Addon) -> String {
    let id = match &addon.provider_id {
        Some(id) => id.clone(),
        None => addon.id.to_string(),
    };
    let mut url = service.base_url.clone();
    url.push('/');
    url.extend(
        url::form_urlencoded::byte_serialize(id.as_bytes()).map(|part| match part {
            "+" => "%20",
            part => part,
        }),
    );
    url
}

async fn hear(request: RequestBuilder) -> Heard {
    let mut answer = request.send().await.map_err(|error| why(&error))?;
    let status = answer.status().as_u16();
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(|error| why(&error))? {
        if body.len() + part.len() > MAX_ANSWER {
            return Err("its provider's answer is too long".to_owned());
        }
        body.extend_from_slice(&part);
    }
    Ok((status, body))
}

fn why(error: &reqwest::Error) -> String {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut io = None;
    while let Some(error) = cause {
        io = error.downcast_ref::<std::io::Error>().or(io);
        cause = error.source();
    }
    match io {
        _ if error.is_timeout() => {
            format!("its provider did not answer within {} s", WITHIN.as_secs())
        }
        Some(io) => format!("its provider cannot be reached: {}", words(io)),
        None => "its provider cannot be reached".to_owned(),
    }
}
