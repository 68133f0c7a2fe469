//! A provider of add-ons, who does as the test says.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::harness::{Platform, eventually};

pub(crate) const PASSWORD: &str = "known to both";
pub(crate) const SALT: &str = "salt of the earth";

#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Below the base URL.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// How a call is answered.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Json(u16, Value),
    Text(u16, &'static str),
    /// Only once the provider is released.
    Silence,
}

#[derive(Debug, Default)]
struct Seen {
    calls: Vec<Call>,
    /// For the next calls; what a good provider says to those after.
    replies: VecDeque<Reply>,
}

pub(crate) struct Provider {
    pub(crate) addr: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    released: tokio::sync::watch::Sender<bool>,
    _task: AbortOnDropHandle<()>,
}

type Shared = (Arc<Mutex<Seen>>, tokio::sync::watch::Receiver<bool>);

impl Provider {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::default());
        let released = tokio::sync::watch::Sender::new(false);
        let shared: Shared = (Arc::clone(&seen), released.subscribe());
        let app = Router::new().fallback(answer).with_state(shared);
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            addr,
            seen,
            released,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// On a platform that knows it as `acme-pg`.
    pub(crate) async fn known_to(platform: &Platform) -> Self {
        let provider = Self::start().await;
        let manifest = provider.manifest();
        let made = platform.admin.post("/addon-services", manifest).await;
        made.expect(201);
        provider
    }

    pub(crate) fn manifest(&self) -> Value {
        json!({
            "id": "acme-pg",
            "name": "Acme PG",
            "api": {
                "version": "3",
                "config_vars_prefix": "ACME_PG",
                "config_vars": ["ACME_PG_URL", "ACME_PG_POOL"],
                "password": PASSWORD,
                "sso_salt": SALT,
                "client_secret": "of the provider",
                "requires": ["attachable", "many_per_app"],
                "production": {
                    "base_url": format!("http://{}/heroku/resources", self.addr),
                    "sso_url": format!("http://{}/sso", self.addr),
                },
            },
            "$paas": {"plans": [
                {"name": "dev", "human_name": "Dev"},
                {"name": "standard-0", "price": {"cents": 5000, "unit": "month"}},
            ]},
        })
    }

    pub(crate) fn will_reply(&self, replies: impl IntoIterator<Item = Reply>) {
        self.seen.lock().unwrap().replies.extend(replies);
    }

    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }

    pub(crate) fn calls(&self, method: &Method) -> Vec<Call> {
        let calls = &self.seen.lock().unwrap().calls;
        let calls = calls.iter().filter(|call| call.method == *method);
        calls.cloned().collect()
    }

    /// Once there are that many of them.
    pub(crate) async fn called(&self, method: &Method, times: usize) -> Vec<Call> {
        eventually("the provider is called", async || {
            self.calls(method).len() >= times
        })
        .await;
        self.calls(method)
    }
}

async fn answer(
    State((seen, mut released)): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path().strip_prefix("/heroku/resources").unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let reply = {
        let mut seen = seen.lock().unwrap();
        seen.calls.push(Call {
            method: method.clone(),
            path: path.to_owned(),
            headers,
            body: body.clone(),
        });
        seen.replies.pop_front()
    };
    let good = || match method {
        Method::POST => {
            let uuid = body["uuid"].as_str().unwrap_or_default();
            let url = format!("postgres://{uuid}");
            Reply::Json(
                201,
                json!({"id": format!("r-{uuid}"), "config": {"ACME_PG_URL": url}}),
            )
        }
        Method::DELETE => Reply::Text(204, ""),
        _ => Reply::Json(200, json!({"message": "as you wish"})),
    };
    match reply.unwrap_or_else(good) {
        Reply::Json(status, body) => (
            StatusCode::from_u16(status).unwrap(),
            [(header::CONTENT_TYPE, "application/json")],
            body.to_string(),
        )
            .into_response(),
        Reply::Text(status, text) => (StatusCode::from_u16(status).unwrap(), text).into_response(),
        Reply::Silence => {
            released.wait_for(|released| *released).await.unwrap();
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
